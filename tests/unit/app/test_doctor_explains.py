"""What the doctor says of a token, a device and a file, from facts written by hand.

Owns the tests of the pure parts of `serai.app.doctor` that explain one device.
"""

from __future__ import annotations

import shlex
from uuid import UUID

import pytest
from msgspec import structs

from serai.app.doctor.compare import judge_both, judge_file
from serai.app.doctor.device import DeviceReport, Session, judge_device, meaning
from serai.app.doctor.finding import State, is_well
from serai.app.doctor.people import Person, Role, judge_person
from serai.app.doctor.token import CollectionPart, judge_token, parts_of
from serai.app.runtime import load_vertical
from serai.client.look import FileReport, Part, Waiting
from serai.client.trouble import Trouble
from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai.core.token import Position, SinceToken
from serai.ports.store import Head
from serai.readers.sync.horizon import Refetch, why_refetch

VERTICAL = load_vertical("serai.testing.vertical:VERTICAL")
USER, DEVICE, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
SEA, HILL = UUID(int=0xA), UUID(int=0xB)
NUMBERS = {c.name: c.number for c in VERTICAL.collections}
FIRST, SECOND = list(NUMBERS)[:2]
BIT1, BIT2 = 1 << NUMBERS[FIRST], 1 << NUMBERS[SECOND]


def head(epoch: int = 1, version: int = 100, floor: int = 0, state: str = "active") -> Head:
    return Head(epoch, version, floor, 1, state)


def token(version: int = 90, epoch: int = 1, **more) -> SinceToken:
    return SinceToken(7, USER, Position(epoch, version), **more)


@pytest.mark.parametrize(
    ("position", "now", "why"),
    [
        (Position(1, 90), head(), None),
        (Position(1, 100), head(), None),
        (Position(1, 50), head(floor=50), None),
        (Position(1, 49), head(floor=50), Refetch.BELOW),
        (Position(1, 101), head(), Refetch.AHEAD),
        (Position(1, 90), head(epoch=2), Refetch.EPOCH),
        (Position(3, 0), head(epoch=2, floor=5), Refetch.EPOCH),
    ],
)
def test_a_token_is_continued_unless_its_numbers_cannot_be_trusted(position, now, why) -> None:
    assert why_refetch(position, now) is why


def test_each_collection_of_a_token_says_how_whole_it_is_and_what_a_pull_brings() -> None:
    held = token(complete={ORG_SCOPE: BIT1, SEA: BIT2}, filling=((HILL, BIT2),))
    since = {
        (ORG_SCOPE, NUMBERS[FIRST]): 4,
        (SEA, NUMBERS[SECOND]): 3,
        (HILL, NUMBERS[SECOND]): 1000,
        (SEA, NUMBERS[FIRST]): 1000,
    }
    assert parts_of(held, VERTICAL, since) == [
        CollectionPart(FIRST, "whole", None, 4),
        CollectionPart(SECOND, "partly", 2, 3),
    ]


def test_a_fill_is_told_with_what_waits_for_it() -> None:
    held = token(filling=((ALL_SCOPES, BIT1), (ALL_SCOPES, BIT2)))
    assert parts_of(held, VERTICAL, {(SEA, NUMBERS[FIRST]): 5}) == [
        CollectionPart(FIRST, "filling", None, 0),
        CollectionPart(SECOND, "waiting", None, 0),
    ]


def test_a_collection_that_the_vertical_has_no_more_is_named_by_its_number() -> None:
    assert parts_of(token(complete={SEA: 1 << 61}), VERTICAL, {})[0].name == "61"


@pytest.mark.parametrize(
    ("version", "now", "said"),
    [
        (100, head(), "at the head"),
        (90, head(), "10 versions behind"),
        (49, head(floor=50), "reaches back to version 50 and the token is at 49"),
        (101, head(), "at version 101 and the organisation at 100"),
        (90, head(epoch=4), "epoch 1, now 4"),
    ],
)
def test_the_distance_of_a_token_is_told_in_words(version: int, now: Head, said: str) -> None:
    seen = {SEA: BIT1}
    found = judge_token(token(version, complete=seen), now, VERTICAL, seen)
    assert any(said in each.means for each in found)
    assert is_well(found), "a device mends all of this by itself"


def test_what_the_user_may_not_see_any_more_and_a_move_are_told() -> None:
    held = token(complete={SEA: BIT1 | BIT2})
    found = judge_token(held, head(state="frozen"), VERTICAL, {SEA: BIT1})
    told = {each.check: each.means for each in found}
    assert SECOND in told["visibility"]
    assert FIRST not in told["visibility"]
    assert "frozen" in told["organisation"]


def someone(**more: object) -> Person:
    plain = Person(USER, "user", "a@b.example", active=True, roles=[Role("owner", None)])
    return structs.replace(plain, **more)


@pytest.mark.parametrize(
    ("who", "said"),
    [
        (someone(kind="unknown", name="", active=False, roles=[]), "no user and no API key"),
        (someone(active=False), "is disabled"),
        (someone(kind="api_key", active=False), "ended or has expired"),
        (someone(roles=[]), "has no role in h"),
    ],
)
def test_who_may_not_sync_is_told_why(who: Person, said: str) -> None:
    [found] = judge_person(who, "h")
    assert found.state is State.FAILED
    assert said in found.means


def test_a_command_that_is_told_can_be_typed_whatever_the_names_hold() -> None:
    [found] = judge_person(someone(name="o'hara@b.example", roles=[]), "h")
    words = shlex.split(found.remedy.partition(": ")[2])
    expected = ["serai", "user", "add", "o'hara@b.example", "--org", "h", "--role", "ROLE"]
    assert words == expected


def test_roles_are_told_with_their_properties() -> None:
    [found] = judge_person(someone(roles=[Role("owner", None), Role("auditor", SEA)]), "h")
    assert found.state is State.OK
    assert found.means == f"a@b.example: owner, auditor at {SEA}"


def session(state: str, reason: str | None = None) -> Session:
    return Session(state, "2026-01-01", "2026-01-02", "2026-07-01", None, reason)


def device(number: int = 5, refused: int = 0, *sessions: Session) -> DeviceReport:
    return DeviceReport(7, "h", DEVICE, "", someone(), number, refused, [], [*sessions])


@pytest.mark.parametrize(
    ("report", "flags", "checks"),
    [
        (device(5, 0, session("live")), {}, {}),
        (device(), {}, {}),
        (device(5, 2, session("live")), {}, {"refused": State.WARNING}),
        (device(5, 0, session("live")), {"shared": True}, {"user": State.WARNING}),
        (device(5, 0, session("ended", "password")), {}, {"session": State.FAILED}),
        (device(5, 0, session("expired"), session("live")), {}, {}),
        (device(5, 0, session("live")), {"revoked": True}, {"revoked": State.FAILED}),
    ],
)
def test_what_keeps_a_device_from_syncing_is_told(report, flags, checks) -> None:
    found = judge_device(report, **{"revoked": False, "shared": False, **flags})
    assert {f.check: f.state for f in found if f.state is not State.OK} == checks


def test_a_code_of_the_catalogue_is_told_in_words_and_a_rules_own_is_not_invented() -> None:
    assert meaning("rule").startswith("The change is not allowed.")
    assert meaning("negative_amount") == ""


def waiting(number: int, age: int = 30) -> Waiting:
    return Waiting(number, "stays", "insert", str(OTHER), [], "2026-01-01", age, sent=False)


def report(*queue: Waiting, next_number: int = 6, **more: object) -> FileReport:
    plain = FileReport(
        path="a.db",
        account=f"7/{USER}",
        device=DEVICE,
        state="in step",
        epoch=1,
        version=90,
        last_sync="2026-01-01T00:00:00.000000Z",
        next_number=next_number,
        waiting=len(queue),
        held_back=False,
        queue=[*queue],
        refusals=[],
        collections=[Part("stays", "whole", 3)],
        trouble=None,
    )
    return structs.replace(plain, **more)


def test_a_file_in_step_has_nothing_to_do() -> None:
    assert {each.state for each in judge_file(report())} == {State.OK}


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (report(last_sync=None), "never synced"),
        (report(waiting(5, age=7_300)), "1 writes wait, the oldest for 2 hours"),
        (report(waiting(5, age=200_000)), "for 2 days"),
        (report(waiting(5), held_back=True), "until the rows are fetched anew"),
        (report(collections=[Part("stays", "stale", 3)]), "not whole on the device: stays"),
    ],
)
def test_what_a_file_waits_for_is_told(file: FileReport, said: str) -> None:
    found = judge_file(file)
    assert is_well(found)
    assert any(said in f"{each.means}" for each in found if each.state is State.WARNING)


def test_a_failure_that_passes_is_a_warning_and_one_that_waits_for_a_person_is_not() -> None:
    passing = Trouble("waiting", None, "No answer came in time.", 3, "12:00", "12:01")
    lasting = Trouble("halted", "refresh_reused", "Sign in again.", 0, "12:00", None)
    assert is_well(judge_file(report(trouble=passing)))
    assert not is_well(judge_file(report(trouble=lasting)))


@pytest.mark.parametrize(
    ("file", "number", "said", "state"),
    [
        (report(), 5, "awaits number 6", State.OK),
        (report(next_number=1), 0, "awaits number 1", State.OK),
        (report(waiting(4), waiting(5)), 3, "awaits number 4", State.OK),
        (report(waiting(4), waiting(5)), 4, "1 of the waiting writes are judged", State.OK),
        (report(waiting(4), waiting(5)), 2, "judged up to 2, and the file begins", State.WARNING),
        (report(), 9, "has judged 9, and the file has not made 6", State.WARNING),
    ],
)
def test_the_numbers_of_file_and_server_are_compared(file, number, said, state) -> None:
    [found] = judge_both(file, DEVICE, (7, "h"), USER, number)
    assert found.state is state
    assert said in found.means


def test_a_file_of_another_device_or_account_is_told() -> None:
    [other] = judge_both(report(device=OTHER), DEVICE, (7, "h"), USER, 5)
    assert (other.check, other.state) == ("device", State.FAILED)
    assert other.remedy.endswith(f": serai doctor device h {OTHER} --file {report().path}")
    found = judge_both(report(account=f"7/{OTHER}"), DEVICE, (7, "h"), USER, 5)
    assert [f.check for f in found if f.state is State.FAILED] == ["account"]
    assert is_well(judge_both(report(account="the till"), DEVICE, (7, "h"), USER, 5))
    assert is_well(judge_both(report(), DEVICE, (7, "h"), None, 5))
