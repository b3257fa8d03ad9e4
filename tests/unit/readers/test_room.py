"""What listeners are told: order, whole versions, channels, catching up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai.core.live_limits import LIVE_FRAME_BYTES_MAX, LIVE_RING_CHANGES
from serai.core.token import Position
from serai.ports.store import LogEntry
from serai.readers.live.room import Room

HOUSE, OTHER = UUID(int=1001), UUID(int=1002)
NAMES = {1: "properties", 5: "guests", 6: "stays"}
GUESTS, STAYS = 1 << 5, 1 << 6
EVERYTHING = {ORG_SCOPE: 1 << 1, ALL_SCOPES: GUESTS | STAYS}


def entry(version: int, row: int, *, scope: UUID = HOUSE, collection: int = 5) -> LogEntry:
    """A change of a row whose text names the row and the version."""
    change = json.dumps({"id": row, "version": version})
    return LogEntry(version, scope, collection, UUID(int=row), change)


def room(version: int = 10) -> Room:
    return Room(Position(1, version), NAMES)


def rows(text: bytes | None) -> dict[str, list[tuple[int, int]]]:
    """collection -> [(row, version)] of a frame."""
    assert text is not None
    return {
        part["name"]: [(change["id"], change["version"]) for change in part["changes"]]
        for part in json.loads(text)["collections"]
    }


def test_those_at_the_head_are_told_what_their_channels_have() -> None:
    heard = room()
    all_of_it, other_house = heard.audience(EVERYTHING), heard.audience({OTHER: GUESTS})
    told = heard.heard(10, 12, [entry(11, 1), entry(12, 2, scope=OTHER)])
    assert {id(audience): rows(t.text) for audience, t in told} == {
        id(all_of_it): {"guests": [(1, 11), (2, 12)]},
        id(other_house): {"guests": [(2, 12)]},
    }
    assert [(t.after, t.version) for _, t in told] == [(10, 12), (10, 12)]


def test_a_frame_names_the_versions_that_it_leads_from_and_to() -> None:
    heard = room()
    heard.audience(EVERYTHING)
    ((_, told),) = heard.heard(10, 11, [entry(11, 1)])
    frame = json.loads(told.text or b"")
    assert (frame["type"], frame["epoch"], frame["from"], frame["to"]) == ("changes", 1, 10, 11)


def test_an_audience_that_something_passes_by_is_told_nothing_and_misses_nothing() -> None:
    heard = room()
    mine = heard.audience({HOUSE: GUESTS})
    assert heard.heard(10, 11, [entry(11, 1, scope=OTHER)]) == []
    ((audience, told),) = heard.heard(11, 12, [entry(12, 2)])
    assert audience is mine
    assert (told.after, told.version) == (10, 12)


def test_of_a_row_that_changed_often_only_the_last_change_is_told() -> None:
    heard = room()
    heard.audience(EVERYTHING)
    ((_, told),) = heard.heard(10, 13, [entry(11, 1), entry(12, 2), entry(13, 1)])
    assert rows(told.text) == {"guests": [(2, 12), (1, 13)]}


def test_what_was_heard_already_is_told_once() -> None:
    heard = room()
    heard.audience(EVERYTHING)
    heard.heard(10, 12, [entry(11, 1), entry(12, 2)])
    assert heard.heard(10, 12, [entry(11, 1), entry(12, 2)]) == []
    ((_, told),) = heard.heard(11, 13, [entry(12, 2), entry(13, 3)])
    assert rows(told.text) == {"guests": [(3, 13)]}


def test_a_part_that_does_not_follow_is_refused() -> None:
    with pytest.raises(ValueError, match="heard up to 10, and then from 12"):
        room().heard(12, 13, [])


def test_a_listener_at_the_head_has_nothing_to_catch_up_with() -> None:
    heard = room()
    assert heard.caught_up(heard.audience(EVERYTHING), 10) is None


def test_one_whose_channels_had_nothing_since_stands_at_the_head() -> None:
    heard = room()
    mine = heard.audience({HOUSE: GUESTS})
    heard.audience(EVERYTHING)
    heard.heard(10, 11, [entry(11, 1, scope=OTHER)])
    assert heard.caught_up(mine, 10) is None


def test_one_who_is_behind_is_told_the_last_state_of_each_row_in_one_frame() -> None:
    heard = room()
    mine = heard.audience(EVERYTHING)
    for version in range(11, 31):
        heard.heard(version - 1, version, [entry(version, version % 2)])
    told = heard.caught_up(mine, 12)
    assert told is not None
    assert (told.after, told.version) == (12, 30)
    assert rows(told.text) == {"guests": [(1, 29), (0, 30)]}


def test_one_who_is_further_behind_than_the_ring_must_pull() -> None:
    heard = room()
    mine = heard.audience(EVERYTHING)
    last = 10 + LIVE_RING_CHANGES + 5
    for version in range(11, last + 1):
        heard.heard(version - 1, version, [entry(version, version)])
    assert heard.base == 15
    told = heard.caught_up(mine, 14)
    assert told is not None
    assert (told.version, told.text) == (last, None)
    assert heard.caught_up(mine, 15) is not None


def test_the_ring_lets_go_of_whole_versions_only() -> None:
    heard = room()
    mine = heard.audience(EVERYTHING)
    heard.heard(10, 11, [entry(11, n) for n in range(LIVE_RING_CHANGES)])
    heard.heard(11, 12, [entry(12, 1)])
    assert heard.base == 11
    told = heard.caught_up(mine, 10)
    assert told is not None
    assert told.text is None


def test_a_frame_that_would_be_too_large_is_a_pull() -> None:
    heard = room()
    heard.audience(EVERYTHING)
    large = LogEntry(11, HOUSE, 5, UUID(int=1), json.dumps("x" * LIVE_FRAME_BYTES_MAX))
    ((_, told),) = heard.heard(10, 11, [large])
    assert (told.version, told.text) == (11, None)


def test_after_a_restart_nothing_from_before_can_be_caught_up_with() -> None:
    heard = room()
    mine = heard.audience(EVERYTHING)
    heard.heard(10, 12, [entry(12, 1)])
    heard.restart(Position(2, 40))
    assert (heard.epoch, heard.head) == (2, 40)
    told = heard.caught_up(mine, 12)
    assert told is not None
    assert told.text is None
    ((_, after),) = heard.heard(40, 41, [entry(41, 1)])
    assert json.loads(after.text or b"")["epoch"] == 2


changes = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from([HOUSE, OTHER]), st.sampled_from([5, 6])),
    min_size=1,
    max_size=30,
)


def _state(frames: Sequence[bytes], held: dict[tuple[str, int], int]) -> dict[tuple[str, int], int]:
    """What a listener holds after frames: the newest version of each row."""
    state = dict(held)
    for frame in frames:
        for name, found in rows(frame).items():
            for row, version in found:
                state[name, row] = max(version, state.get((name, row), 0))
    return state


@given(changes, st.data())
def test_whoever_catches_up_at_any_version_holds_what_those_at_the_head_do(
    made: list[tuple[int, UUID, int]], data: st.DataObject
) -> None:
    heard = room(0)
    channels = data.draw(
        st.sampled_from([EVERYTHING, {HOUSE: GUESTS}, {HOUSE: STAYS, OTHER: GUESTS | STAYS}])
    )
    mine = heard.audience(channels)
    at_head: list[bytes] = []
    for version, (row, scope, collection) in enumerate(made, start=1):
        log = [entry(version, row, scope=scope, collection=collection)]
        at_head += [told.text or b"" for _, told in heard.heard(version - 1, version, log)]
    cursor = data.draw(st.integers(0, len(made)))
    before = [frame for frame in at_head if json.loads(frame)["to"] <= cursor]
    caught_up = heard.caught_up(mine, cursor)
    later = [] if caught_up is None else [caught_up.text or b""]
    assert _state(later, _state(before, {})) == _state(at_head, {})
