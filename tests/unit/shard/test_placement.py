"""Where an organisation lives, against a scan of the same ranges."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.shard.placement import Placement, ShardRef
from serai.shard.queries import load_queries

SHARDS = {n: ShardRef(n, f"shard-{n}", f"postgresql://secret@host/{n}") for n in range(1, 5)}


def test_an_organisation_is_on_the_shard_of_its_range():
    placement = Placement(1, SHARDS, [(100, 200, 2), (1, 100, 1)], {})
    homes = {n: placement.resolve(n) for n in (0, 1, 99, 100, 199, 200)}
    assert homes == {
        0: None,
        1: SHARDS[1],
        99: SHARDS[1],
        100: SHARDS[2],
        199: SHARDS[2],
        200: None,
    }


def test_a_gap_between_ranges_belongs_to_nobody():
    placement = Placement(1, SHARDS, [(1, 10, 1), (20, 30, 2)], {})
    assert placement.resolve(15) is None


def test_a_moved_organisation_is_found_where_it_went_and_back():
    placement = Placement(7, SHARDS, [(1, 100, 1)], {5: 2})
    assert placement.resolve(5) == SHARDS[2]
    placement.move(9, [(6, 3), (5, None)])
    assert [placement.resolve(n) for n in (5, 6)] == [SHARDS[1], SHARDS[3]]
    assert placement.version == 9


def test_overlapping_ranges_are_refused():
    with pytest.raises(ValueError, match="overlap"):
        Placement(1, SHARDS, [(1, 11, 1), (10, 20, 2)], {})


def test_a_password_in_a_shards_address_is_not_printed():
    assert "secret" not in repr(SHARDS[1])


@st.composite
def layouts(draw):
    edges = sorted(draw(st.sets(st.integers(1, 300), min_size=2, max_size=30)))
    ranges = [
        (first, stop, draw(st.sampled_from(sorted(SHARDS))))
        for first, stop in pairwise(edges)
        if draw(st.booleans())
    ]
    overrides = draw(st.dictionaries(st.integers(1, 300), st.sampled_from(sorted(SHARDS))))
    return draw(st.permutations(ranges)), overrides


@given(layouts(), st.integers(-5, 310))
def test_the_lookup_agrees_with_a_scan(layout, org_id):
    ranges, overrides = layout
    expected = overrides.get(org_id)
    if expected is None:
        expected = next((s for first, stop, s in ranges if first <= org_id < stop), None)
    home = Placement(1, SHARDS, ranges, overrides).resolve(org_id)
    assert (home and home.id) == expected


def test_every_statement_of_the_directory_has_its_name():
    queries = load_queries("serai.shard", "directory.sql")
    assert queries["version"] == "SELECT version FROM serai_directory.version"
    assert all(text and not text.endswith(";") for text in queries.values())
