"""Top organisations: bounded, never too high, and too low by no more than they say."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from serai.telemetry.top import HeavyHitters, TopOrganisations, merged

ADDS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 1000)), max_size=300)


def test_few_organisations_are_counted_exactly() -> None:
    top = HeavyHitters(kept=3)
    for org, amount in ((7, 1), (8, 5), (7, 2), (9, 3)):
        top.add(org, amount)
    assert top.top(2) == [(8, 5), (7, 3)]
    assert top.error == 0
    assert top.total == 11


def test_the_smallest_go_when_there_are_too_many() -> None:
    top = HeavyHitters(kept=1)
    for org, amount in ((1, 10), (2, 4), (3, 1)):
        top.add(org, amount)
    # Three counters are more than twice one: the second largest, 4, is taken from all.
    assert top.counts == {1: 6}
    assert top.error == 4


@given(ADDS, st.integers(1, 10))
def test_an_estimate_is_never_too_high_and_too_low_by_at_most_its_error(
    adds: list[tuple[int, int]], kept: int
) -> None:
    top, truth = HeavyHitters(kept=kept), Counter[int]()
    for org, amount in adds:
        top.add(org, amount)
        truth[org] += amount
        assert len(top.counts) <= 2 * kept
    for org, amount in truth.items():
        assert amount - top.error <= top.counts.get(org, 0) <= amount
    assert top.error * (kept + 1) <= sum(truth.values())


@given(ADDS, ADDS, st.integers(1, 10))
def test_two_processes_together_keep_the_same_promise(
    one: list[tuple[int, int]], other: list[tuple[int, int]], kept: int
) -> None:
    truth = Counter[int]()
    sketches: list[HeavyHitters] = []
    for adds in (one, other):
        sketch = HeavyHitters(kept=kept)
        for org, amount in adds:
            sketch.add(org, amount)
            truth[org] += amount
        sketches.append(sketch)
    together = sketches[0]
    together.merge(sketches[1])
    assert len(together.counts) <= 2 * kept
    assert together.total == sum(truth.values())
    for org, amount in truth.items():
        assert amount - together.error <= together.counts.get(org, 0) <= amount


def test_old_traffic_is_forgotten_after_two_windows() -> None:
    top = TopOrganisations(now=0.0)
    top.request(5, 100)
    top.rows(5, 3)
    top.turn(299.0)
    top.turn(300.0)
    top.request(6, 50)
    assert merged([top.state()], 10)["bytes"] == {
        "total": 150,
        "too_low_by_at_most": 0,
        "organisations": [{"org_id": 5, "at_least": 100}, {"org_id": 6, "at_least": 50}],
    }
    top.turn(601.0)
    assert merged([top.state()], 10)["requests"] == {
        "total": 1,
        "too_low_by_at_most": 0,
        "organisations": [{"org_id": 6, "at_least": 1}],
    }
    assert merged([top.state()], 10)["rows"] == {
        "total": 0,
        "too_low_by_at_most": 0,
        "organisations": [],
    }


def test_after_a_long_pause_nothing_is_left() -> None:
    top = TopOrganisations(now=0.0)
    top.request(5, 100)
    top.turn(10_000.0)
    assert merged([top.state()], 10)["requests"] == {
        "total": 0,
        "too_low_by_at_most": 0,
        "organisations": [],
    }


def test_workers_are_added_up() -> None:
    one, other = TopOrganisations(now=0.0), TopOrganisations(now=0.0)
    one.request(1, 10)
    other.request(1, 20)
    other.request(2, 25)
    page = merged([one.state(), other.state()], 1)
    assert page["window_seconds"] == 600
    assert page["bytes"] == {
        "total": 55,
        "too_low_by_at_most": 0,
        "organisations": [{"org_id": 1, "at_least": 30}],
    }
