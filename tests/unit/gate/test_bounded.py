"""What the gate remembers stays within its bound, and what is in use stays longest."""

from __future__ import annotations

import pytest

from serai.gate.bounded import Bounded


def test_a_flood_of_strangers_does_not_fill_the_memory():
    known: Bounded[int, str] = Bounded(3)
    for n in range(1000):
        known.put(n, "x")
    assert len(known) == 3
    assert [n for n in range(1000) if known.get(n)] == [997, 998, 999]


def test_what_is_in_use_is_not_pushed_out_by_newcomers():
    known: Bounded[str, int] = Bounded(2)
    known.put("ana", 1)
    known.put("ben", 2)
    assert known.get("ana") == 1
    known.put("cleo", 3)
    assert (known.get("ana"), known.get("ben"), known.get("cleo")) == (1, None, 3)


def test_what_is_dropped_is_gone_and_dropping_it_again_is_nothing():
    known: Bounded[str, int] = Bounded(2)
    known.put("ana", 1)
    known.drop("ana")
    known.drop("ana")
    assert known.get("ana") is None
    known.put("ben", 2)
    known.clear()
    assert len(known) == 0


def test_a_bound_of_nothing_is_a_mistake():
    with pytest.raises(ValueError, match="at least 1"):
        Bounded(0)
