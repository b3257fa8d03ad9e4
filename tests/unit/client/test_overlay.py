"""The view's arithmetic: rows under a queue, what a new write is based on, how bases move.

Tables of small cases, with results written by hand. Never opens a file.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.client.forms import Op
from serai.client.overlay import ServerRow, Written, based_on, orphaned, rebased, shown


def write(
    seq, op: Op = "update", base=1, after=None, version=0, answered=None, **fields
) -> Written:
    row = None if answered is None else json.dumps(answered)
    return Written(seq, op, base, after, json.dumps(fields), version, row)


def row(version, **fields) -> ServerRow:
    return ServerRow(version, json.dumps(fields))


@pytest.mark.parametrize(
    ("server", "writes", "expected"),
    [
        (None, [], None),
        (row(1, a=1), [], {"a": 1}),
        (row(1, a=1, b=1), [write(1, a=2)], {"a": 2, "b": 1}),
        (row(1, a=1), [write(1, a=2), write(2, a=3)], {"a": 3}),
        (row(1, a=1), [write(1, "delete")], None),
        (row(1, a=1), [write(1, "delete"), write(2, "insert", b=1)], {"b": 1}),
        (None, [write(1, "insert", a=1), write(2, b=2)], {"a": 1, "b": 2}),
        (None, [write(1, a=2)], None),
        # Answered, and the pull has not passed it: as the server said.
        (row(1, a=1), [write(1, version=5, answered={"a": 7}, a=2)], {"a": 7}),
        (row(1, a=1), [write(1, "delete", version=5)], None),
        # Answered without a row that the server still knows: as the device wrote it.
        (row(1, a=1, b=1), [write(1, version=5, a=2)], {"a": 2, "b": 1}),
        # The pull has passed it: as the row says, whatever was answered.
        (row(5, a=1), [write(1, version=5, answered={"a": 7}, a=2)], {"a": 1}),
        (row(6, a=1), [write(1, version=5, answered={"a": 7}), write(2, b=3)], {"a": 1, "b": 3}),
    ],
)
def test_a_row_looks_like_the_servers_with_the_queue_on_top(server, writes, expected):
    text = shown(server, writes)
    assert (None if text is None else json.loads(text)) == expected


@pytest.mark.parametrize(
    ("server", "answered", "waiting", "expected"),
    [
        (None, 0, None, (0, None)),
        (row(4), 0, None, (4, None)),
        (row(4), 0, 2, (4, 2)),
        (row(4), 9, None, (9, None)),
        (row(9), 4, None, (9, None)),
        (row(4), 9, 2, (9, 2)),
        (None, 0, 1, (0, 1)),
    ],
)
def test_a_write_is_based_on_what_the_user_saw(server, answered, waiting, expected):
    assert based_on(server, answered, waiting) == expected


FIRST = write(1, note="mine")


@pytest.mark.parametrize(
    ("later", "merged", "expected"),
    [
        # Applied as asked: the next write stands on it.
        (write(2, after=1, note="x"), [], (7, None)),
        (write(2, "delete", after=1), [], (7, None)),
        (write(3, after=2, note="x"), [], (7, 2)),
        # Merged: a write that touches what others changed does not.
        (write(2, after=1, guest="x"), ["guest"], (1, None)),
        (write(2, after=1, note="x"), ["guest"], (7, None)),
        (write(2, "delete", after=1), ["guest"], (1, None)),
        (write(3, after=2, guest="x"), ["guest"], (1, None)),
        # What was merged is not known any more: nothing stands on it.
        (write(2, after=1, note="x"), None, (1, None)),
    ],
)
def test_the_base_of_a_later_write_moves_only_over_what_was_seen(later, merged, expected):
    (moved,) = rebased(FIRST, [later], version=7, merged=merged)
    assert (moved.base, moved.after) == expected


def test_a_write_that_builds_on_nothing_waiting_keeps_its_base():
    assert rebased(FIRST, [write(2, base=5)], version=7, merged=[]) == []


def test_a_write_on_a_refused_one_builds_on_what_that_was_built_on():
    refused = write(2, after=1)
    later = [write(3, after=2), write(4, after=3)]
    assert [(w.seq, w.base, w.after) for w in orphaned(refused, later)] == [(3, 1, 1)]


VALUES = st.dictionaries(
    st.sampled_from("abc"), st.integers(0, 3) | st.none() | st.text(max_size=3)
)


@given(VALUES, st.lists(VALUES, max_size=5))
def test_updates_replayed_one_by_one_equal_one_merged_update(before, updates):
    writes = [write(n, **fields) for n, fields in enumerate(updates, 1)]
    merged: dict[str, object] = dict(before)
    for fields in updates:
        merged |= fields
    text = shown(ServerRow(1, json.dumps(before)), writes)
    assert text is not None
    assert json.loads(text) == merged
