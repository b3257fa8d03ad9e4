"""A user who changes the password, on a real directory: who may, what ends, and who wins a race."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from uuid import UUID

import pytest

from integration.gate.conftest import INN, MILL, PASSWORD, House, open_service
from serai.app.told_identity import ToldIdentity
from serai.core.errors import Code, SeraiError
from serai.gate import people
from serai.gate.caller import Caller
from serai.shard.pools import PinnedPool
from serai.shard.role import RequestRole
from serai.telemetry.recorder import Recorder
from serai.wire.identity import (
    ApiKeyRequest,
    PasswordRequest,
    RefreshRequest,
    RoleForm,
    SignOutRequest,
    TokenAnswer,
)

PHONE = UUID("0198c0de-0000-7000-8000-00000000000d")
NEW = "another long password"
OTHER = "yet another password"


async def code_of(attempt: Awaitable[object]) -> Code:
    with pytest.raises(SeraiError) as refused:
        await attempt
    return refused.value.code


def change(
    house: House, caller: Caller, old: str = PASSWORD, new: str = NEW, address: str = "192.0.2.1"
) -> Awaitable[TokenAnswer]:
    request = PasswordRequest(old_password=old, new_password=new)
    return house.service.change_password(caller, request, address=address)


async def signed_in(
    house: House,
    email: str = "ana@example.org",
    organisation: int | None = None,
    device_id: UUID | None = None,
) -> tuple[TokenAnswer, Caller]:
    answer = await house.sign_in(email, organisation=organisation, device_id=device_id)
    return answer, await house.caller(answer.access_token)


async def ends(house: House) -> list[tuple[object, bool]]:
    """(why it ended, has a device) of each session, the oldest first."""
    rows = await house.sql(
        "SELECT revoke_reason, device_id FROM serai_directory.session"
        " ORDER BY revoked_at NULLS LAST"
    )
    return [(row["revoke_reason"], row["device_id"] is not None) for row in rows]


async def test_the_new_password_opens_and_the_old_one_does_not(house: House):
    _, ana = await signed_in(house)
    house.clock.advance(60)
    await change(house, ana)
    assert await code_of(house.sign_in()) is Code.CREDENTIALS
    assert (await house.sign_in(password=NEW)).access_token is not None
    [row] = await house.sql(
        "SELECT password_changed_at FROM serai_directory.users WHERE user_id = $1", house.ana
    )
    assert row["password_changed_at"] == house.clock.now()


async def test_this_device_goes_on_with_new_tokens_and_every_other_one_is_out(house: House):
    other, _ = await signed_in(house)
    mine, ana = await signed_in(house, device_id=PHONE)
    answer = await change(house, ana)
    # In this process at once, elsewhere within five seconds.
    for old in (other, mine):
        assert await code_of(house.caller(old.access_token)) is Code.UNAUTHENTICATED
        refresh = RefreshRequest(refresh_token=old.refresh_token)
        assert await code_of(house.service.refresh(refresh)) is Code.REFRESH_INVALID
    caller = await house.caller(answer.access_token)
    assert (caller.user_id, caller.org_id) == (house.ana, INN)
    assert await ends(house) == [("password", False), ("password", True), (None, True)]
    again = await house.service.refresh(RefreshRequest(refresh_token=answer.refresh_token))
    assert (await house.caller(again.access_token)).user_id == house.ana


async def test_another_process_refuses_the_old_access_tokens_within_five_seconds(house: House):
    before, ana = await signed_in(house)
    elsewhere = await open_service(house.pool, house.clock, house.memberships)
    header = f"Bearer {before.access_token}"
    assert (await elsewhere.identity.resolve(header)).user_id == house.ana
    await change(house, ana)
    house.clock.advance(5)
    assert await code_of(elsewhere.identity.resolve(header)) is Code.UNAUTHENTICATED
    elsewhere.close()


async def test_the_new_session_stays_in_the_organisation_of_the_caller(house: House):
    _, ben = await signed_in(house, "ben@example.org", organisation=MILL)
    answer = await change(house, ben)
    assert answer.organisation is not None
    assert answer.organisation.key == "mill"
    assert [o.key for o in answer.organisations] == ["inn", "mill"]
    assert (await house.caller(answer.access_token)).org_id == MILL


async def test_a_wrong_old_password_changes_nothing_and_ends_nothing(house: House):
    before, ana = await signed_in(house)
    for wrong in ("", "a long enough onE", NEW, PASSWORD + " "):
        with pytest.raises(SeraiError) as refused:
            await change(house, ana, old=wrong)
        assert refused.value.code is Code.CREDENTIALS
        assert refused.value.detail == "The old password is wrong."
    assert (await house.caller(before.access_token)).user_id == house.ana
    assert (await house.sign_in()).access_token is not None


async def test_a_thief_with_an_access_token_guesses_as_often_as_at_the_sign_in(house: House):
    _, ana = await signed_in(house)
    for _ in range(9):
        assert await code_of(change(house, ana, old="guess")) is Code.CREDENTIALS
    checked = house.service.passwords.checked
    with pytest.raises(SeraiError) as refused:
        await change(house, ana, address="198.51.100.9")
    assert (refused.value.code, refused.value.retry_after_seconds) == (Code.RATE_LIMITED, 30)
    # Guesses here are attempts there too: the two doors have one lock.
    assert await code_of(house.sign_in()) is Code.RATE_LIMITED
    assert house.service.passwords.checked == checked
    house.clock.advance(30)
    assert (await change(house, ana)).access_token is not None


class Heard(Recorder):
    """What the recorder was told of sign-ins."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def signed_in(self, outcome: str) -> None:
        self.outcomes.append(outcome)


async def test_guesses_at_the_old_password_are_told_as_sign_ins_that_failed(house: House):
    _, ana = await signed_in(house)
    heard = Heard()
    told = ToldIdentity(house.service, heard)
    for old, new in [(PASSWORD, "short"), *((f"guess {n}", NEW) for n in range(10))]:
        request = PasswordRequest(old_password=old, new_password=new)
        with pytest.raises(SeraiError):
            await told.change_password(ana, request, address="192.0.2.1")
    # A weak new password is no guess; the sign-in of the test itself was the first of ten tries.
    assert heard.outcomes == ["credentials"] * 9 + ["rate_limited"]


@pytest.mark.parametrize(
    ("new", "code"),
    [
        ("short", Code.PASSWORD_WEAK),
        ("elevenchars", Code.PASSWORD_WEAK),
        ("e\u0301" * 6, Code.PASSWORD_WEAK),
        ("\u0958" * 129, Code.FIELDS_INVALID),
        ("x" * 257, Code.FIELDS_INVALID),
        (PASSWORD, Code.FIELDS_INVALID),
        (PASSWORD.replace(" ", "\u00a0"), Code.FIELDS_INVALID),
    ],
)
async def test_an_unfit_new_password_is_refused_and_the_old_one_stays(
    house: House, new: str, code: Code
):
    _, ana = await signed_in(house)
    assert await code_of(change(house, ana, new=new)) is code
    assert (await house.sign_in()).access_token is not None


async def test_an_unfit_new_password_costs_no_attempt(house: House):
    _, ana = await signed_in(house)
    for _ in range(20):
        assert await code_of(change(house, ana, new="short")) is Code.PASSWORD_WEAK
    assert (await change(house, ana)).access_token is not None


async def test_a_machine_has_no_password_whatever_its_roles(house: House):
    _, ana = await signed_in(house)
    request = ApiKeyRequest(name="Till", roles=[RoleForm("owner")])
    key = await house.service.create_api_key(ana, request)
    machine = await house.caller(key.secret)
    assert await code_of(change(house, machine)) is Code.FORBIDDEN
    assert (await house.sign_in()).access_token is not None


async def test_the_password_of_another_user_opens_no_change(house: House):
    async with house.pool.connection() as directory:
        await people.set_password(
            directory,
            user_id=house.ben,
            password_hash=await house.service.passwords.hash(OTHER),
            now=house.clock.now(),
        )
    _, ana = await signed_in(house)
    assert await code_of(change(house, ana, old=OTHER)) is Code.CREDENTIALS
    ben = await house.sign_in("ben@example.org", OTHER, organisation=INN)
    assert (await house.caller(ben.access_token)).user_id == house.ben


async def test_who_has_no_password_cannot_make_one_here(house: House):
    _, ana = await signed_in(house)
    await house.sql(
        "UPDATE serai_directory.users SET password_hash = NULL WHERE user_id = $1", house.ana
    )
    for old in ("", PASSWORD):
        assert await code_of(change(house, ana, old=old)) is Code.CREDENTIALS


async def test_a_session_that_was_signed_out_elsewhere_changes_nothing(house: House):
    mine, ana = await signed_in(house)
    elsewhere = await open_service(house.pool, house.clock, house.memberships)
    await elsewhere.sign_out(SignOutRequest(refresh_token=mine.refresh_token))
    elsewhere.close()
    # This process has not heard of it yet, and its access token runs.
    assert (await house.caller(mine.access_token)).user_id == house.ana
    assert await code_of(change(house, ana)) is Code.UNAUTHENTICATED
    assert (await house.sign_in()).access_token is not None


async def test_a_disabled_user_changes_nothing(house: House):
    _, ana = await signed_in(house)
    async with house.pool.connection() as directory:
        await people.disable_user(directory, user_id=house.ana, now=house.clock.now())
    assert await code_of(change(house, ana)) is Code.CREDENTIALS


async def test_of_two_changes_at_once_one_wins(house: House):
    _, first = await signed_in(house)
    _, second = await signed_in(house)
    results = await asyncio.gather(
        change(house, first, new=NEW), change(house, second, new=OTHER), return_exceptions=True
    )
    refused = [r for r in results if isinstance(r, SeraiError)]
    assert [r.code for r in refused] == [Code.CREDENTIALS]
    won, lost = (NEW, OTHER) if isinstance(results[0], TokenAnswer) else (OTHER, NEW)
    assert (await house.sign_in(password=won)).access_token is not None
    assert await code_of(house.sign_in(password=lost)) is Code.CREDENTIALS
    [row] = await house.sql(
        "SELECT count(*) AS n FROM serai_directory.session WHERE revoked_at IS NULL"
    )
    assert row["n"] == 2


async def test_a_change_that_verified_a_hash_which_is_gone_is_too_late(house: House):
    _, ana = await signed_in(house)
    async with house.pool.connection() as directory:
        stale = await people.password_hash_of(directory, house.ana)
        assert stale is not None
        await change(house, ana)
        ended = await people.replace_password(
            directory,
            user_id=house.ana,
            old=stale,
            new=await house.service.passwords.hash(OTHER),
            now=house.clock.now(),
        )
    assert ended is None
    assert (await house.sign_in(password=NEW)).access_token is not None


async def test_a_sign_in_with_the_old_password_during_the_change_opens_no_session(house: House):
    _, ana = await signed_in(house)
    results = await asyncio.gather(
        change(house, ana),
        *(house.sign_in(organisation=INN) for _ in range(4)),
        return_exceptions=True,
    )
    assert isinstance(results[0], TokenAnswer), results[0]
    rows = await house.sql(
        "SELECT count(*) FILTER (WHERE revoked_at IS NULL) AS live FROM serai_directory.session"
    )
    # Whoever signed in before the change is out, whoever came after was refused.
    assert rows == [{"live": 1}]


async def test_the_role_of_requests_may_do_all_of_it(
    house: House, migrated_database: str, request_role: RequestRole
):
    async with PinnedPool(request_role.url(migrated_database), size_min=1, size_max=2) as pool:
        served = await open_service(pool, house.clock, house.memberships)
        before = await house.sign_in(device_id=PHONE)
        ana = await served.identity.resolve(f"Bearer {before.access_token}")
        request = PasswordRequest(old_password=PASSWORD, new_password=NEW)
        answer = await served.change_password(ana, request, address="192.0.2.1")
        served.close()
    assert (await house.caller(answer.access_token)).user_id == house.ana
    assert (await house.sign_in(password=NEW)).access_token is not None
