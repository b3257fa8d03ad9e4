"""How a log grows old: marks, stretches, blocks, as decisions on values.

Owns cases with answers by hand, and the properties that hold for any log. Never touches a store.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai.core.limits import FOLD_BYTES_MAX, FOLD_ROWS_MAX, MARKS_MAX
from serai.core.token import Position
from serai.log.life import (
    Policy,
    Sealed,
    aged,
    due_next,
    last_changes,
    marked,
    next_fold,
    page_of_blocks,
    pieces,
    still_needed,
    stretches,
    whole_versions,
)
from serai.ports.life import Block, LogKey, Mark, Part, RowText

DAY = timedelta(days=1)
NOW = datetime(2026, 3, 14, tzinfo=UTC)
POLICY = Policy(horizon=30 * DAY, fold_after=DAY)


def key(version: int, row: int, size: int = 100) -> LogKey:
    return LogKey(version, 3, ORG_SCOPE, UUID(int=row), size)


def test_the_version_is_noted_once_a_day_and_only_if_it_rose() -> None:
    first = marked((), 5, NOW)
    assert first == (Mark(5, NOW),)
    assert marked(first, 9, NOW + DAY - timedelta(seconds=1)) == first
    assert marked(first, 5, NOW + 9 * DAY) == first
    assert marked(first, 9, NOW + DAY) == (Mark(5, NOW), Mark(9, NOW + DAY))


def test_a_clock_that_was_ahead_leaves_no_mark_that_makes_versions_look_old() -> None:
    ahead = (Mark(5, NOW), Mark(9, NOW + 300 * DAY))
    assert marked(ahead, 12, NOW + 2 * DAY) == (Mark(5, NOW), Mark(12, NOW + 2 * DAY))


def test_of_too_many_marks_the_oldest_but_one_goes() -> None:
    marks: tuple[Mark, ...] = ()
    for n in range(MARKS_MAX + 5):
        marks = marked(marks, n + 1, NOW + n * DAY)
    assert len(marks) == MARKS_MAX
    assert (marks[0].version, marks[1].version) == (1, 7)


def test_a_version_is_known_to_be_old_only_by_a_mark() -> None:
    marks = (Mark(5, NOW), Mark(9, NOW + DAY))
    assert aged(marks, NOW + 30 * DAY, POLICY.horizon) == 5
    assert aged(marks, NOW + 31 * DAY, POLICY.horizon) == 9
    assert aged(marks, NOW + 29 * DAY, POLICY.horizon) == 0
    assert still_needed(marks, 5) == (marks[1],)
    assert still_needed(marks, 9) == (marks[1],)


def test_an_organisation_that_is_quiet_is_left_alone_in_the_end() -> None:
    marks = (Mark(5, NOW),)
    assert due_next(marks, 0, NOW, POLICY) == NOW + DAY
    assert due_next(marks, 0, NOW + DAY, POLICY) == NOW + 30 * DAY
    assert due_next(marks, 5, NOW + 30 * DAY, POLICY) is None


def test_a_row_that_changes_all_day_becomes_one_change() -> None:
    keys = [key(v, 1) for v in range(1, 41)]
    (only,) = stretches(keys, 40)
    assert (only.first, only.last, only.before, only.after, only.open) == (1, 40, 40, 1, True)
    assert only.worth
    assert next_fold([only], 0) == 0, "more may join it"


def test_versions_that_supersede_nothing_stay_as_they_are() -> None:
    (only,) = stretches([key(v, v) for v in range(1, 41)], 40)
    assert not only.worth


def test_nothing_newer_than_asked_for_is_folded() -> None:
    (only,) = stretches([key(v, 1) for v in range(1, 41)], 25)
    assert (only.first, only.last) == (1, 25)
    assert stretches([key(30, 1)], 25) == []


def test_one_write_larger_than_a_stretch_stands_alone() -> None:
    wide = [key(2, n, FOLD_BYTES_MAX // 50) for n in range(100)]
    cut = stretches([key(1, 1), *wide, key(3, 1)], 9)
    assert [(c.first, c.last) for c in cut] == [(1, 1), (2, 2), (3, 3)]


@given(
    st.lists(
        st.lists(st.integers(0, 3_000), min_size=1, max_size=200, unique=True), max_size=60
    ).map(lambda writes: [key(v, row) for v, rows in enumerate(writes, 1) for row in rows])
)
def test_stretches_hold_every_version_once_and_are_bounded(keys: list[LogKey]) -> None:
    through = keys[-1].version if keys else 0
    cut = stretches(keys, through)
    versions = [v for each in cut for v in range(each.first, each.last + 1)]
    assert versions == [*range(1, through + 1)]
    for each in cut:
        inside = [k for k in keys if each.first <= k.version <= each.last]
        rows = {k.id for k in inside}
        assert (each.before, each.after) == (len(inside), len(rows))
        assert len(rows) <= FOLD_ROWS_MAX
    assert not any(each.open for each in cut[:-1])


def test_a_write_that_was_read_in_part_waits_for_the_next_look() -> None:
    keys = [key(1, 1), key(1, 2), key(2, 1), key(2, 2)]
    assert whole_versions(keys, 9) == keys
    assert whole_versions(keys, 4) == keys[:2]
    assert whole_versions(keys[:2], 2) == keys[:2], "one write alone was read whole"
    assert last_changes(keys) == keys[2:]


def rows(count: int, size: int = 10) -> list[RowText]:
    return [RowText(UUID(int=n), "x" * size) for n in range(1, count + 1)]


MIDDLE = Part((ORG_SCOPE, 3), UUID(int=0), UUID(int=1_000))
TAIL = Part((ORG_SCOPE, 3), UUID(int=0), ALL_SCOPES)


def test_the_end_of_a_channel_is_sealed_in_full_blocks_only() -> None:
    cut = pieces(TAIL, rows(11), 4, whole=True)
    assert [(last.int, len(inside)) for last, inside in cut] == [(4, 4), (8, 4)]
    assert pieces(TAIL, rows(3), 4, whole=True) == []


def test_a_block_made_anew_ends_where_it_did() -> None:
    cut = pieces(MIDDLE, rows(11), 4, whole=True)
    assert [(last.int, len(inside)) for last, inside in cut] == [(4, 4), (8, 4), (1_000, 3)]
    cut = pieces(MIDDLE, rows(9), 4, whole=True)
    assert [(last.int, len(inside)) for last, inside in cut] == [(4, 4), (1_000, 5)]
    assert pieces(MIDDLE, [], 4, whole=True) == [(MIDDLE.last, [])]


def test_a_part_that_was_read_in_part_is_sealed_as_far_as_it_was_read() -> None:
    for part in (MIDDLE, TAIL):
        cut = pieces(part, rows(8), 4, whole=False)
        assert [last.int for last, _ in cut] == [4, 8]
        cut = pieces(part, rows(7), 4, whole=False)
        assert [last.int for last, _ in cut] == [4]


def test_long_rows_make_short_blocks() -> None:
    cut = pieces(TAIL, rows(100, 60_000), 500, whole=True)
    assert all(len(inside) < 12 for _, inside in cut)
    assert len(cut) > 9


def sealed(after: int, last: int, version: int = 5, epoch: int = 1) -> Sealed:
    return Sealed(UUID(int=after), Position(epoch, version), Block(UUID(int=last), 1, 1, b"x"))


def test_a_page_takes_blocks_only_while_they_follow_each_other() -> None:
    found = [sealed(0, 4), sealed(4, 8, 3), sealed(9, 12)]
    chosen = page_of_blocks(found, UUID(int=0), Position(1, 5))
    assert chosen is not None
    start, since, blocks = chosen
    assert (start.int, since, [b.last.int for b in blocks]) == (0, 3, [4, 8])
    chosen = page_of_blocks(found, UUID(int=2), Position(1, 5))
    assert chosen is not None
    assert chosen[0].int == 0, "the block that holds the cursor comes whole"
    assert page_of_blocks([sealed(4, 8)], UUID(int=2), Position(1, 5)) is None


def test_a_block_of_a_later_version_or_another_epoch_is_not_served() -> None:
    for wrong in (sealed(0, 4, 6), sealed(0, 4, epoch=2)):
        assert page_of_blocks([wrong], UUID(int=0), Position(1, 5)) is None
