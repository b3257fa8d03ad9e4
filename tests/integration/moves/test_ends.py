"""The ends of a move and its record do the same in memory and in PostgreSQL.

Owns the suite that holds `serai.adapters.memory.moves` and `directory`, on which the simulation
runs, to the functions of the schema. Promises that each test runs on both. Never looks at a table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from integration.moves.street import Fleet, House
from integration.moves.test_every_table_moves import other
from serai.adapters.memory import MemoryStore
from serai.adapters.memory.directory import MemoryDirectory, MemoryRecords
from serai.adapters.memory.moves import MemorySource, MemoryTarget
from serai.readers.move import LostTurn, Mover, Places, Records, Step
from serai.readers.move.link import Mark, connect
from serai.shard.placement import ShardRef
from serai.testing.simulation.hotel import HOTEL


def content(source: Any, org: int) -> Any:
    """Return what there is to be moved: tables with rows, or numbers of devices."""
    changes = source.changes(Mark({org: 0}, {org: 0}, "0"), limit=100)
    part = getattr(changes, "part", {})
    return sorted(changes.rows), [each.devices for each in part.values()]


class InMemory:
    """`serai.readers.move.reach.Places`, for two stores."""

    def __init__(self, records: MemoryRecords, source: MemorySource, target: MemoryTarget) -> None:
        self.records, self.source, self.target = records, source, target

    def copy(self, orgs: Sequence[int], term: int, on_table: Callable[[str], None]) -> Mark:
        copied = self.source.snapshot(orgs)
        with self.target.hold(orgs, term):
            on_table("all")
            self.target.put(copied)
        return copied.mark


@dataclass
class Ground:
    """Two shards, a record of moves whose leases lapse at once, and an organisation."""

    places: Any
    org: int
    target: int

    def claim(self) -> Any:
        (claim,) = self.places.records.claim([self.org], self.target, actor="test", reason="-")
        return claim


@pytest.fixture(params=["memory", "postgres"])
async def ground(request: pytest.FixtureRequest, fleet: Fleet, house: House):
    if request.param == "memory":
        source, target = MemoryStore(HOTEL), MemoryStore(HOTEL)
        await source.create_org(7)
        source.organisations[7].devices[UUID(int=1)] = (UUID(int=2), 1)
        refs, ticks = [ShardRef(1, "a", "a"), ShardRef(2, "b", "b")], iter(range(1_000))
        directory = MemoryDirectory(refs, [(1, 100, 1)], lambda: next(ticks))
        records = MemoryRecords(directory, lease_seconds=0)
        held: Counter[int] = Counter()
        ends = MemorySource(source, held), MemoryTarget(target, Counter())
        yield Ground(InMemory(records, *ends), 7, 2)
        return
    there = other(house.home)
    shard_ids = dict(fleet.sql("directory", "SELECT name, shard_id FROM serai_directory.shard"))
    places = Places(fleet.directory, fleet.url(house.home), fleet.url(there))
    with connect(fleet.directory) as conn:
        records = Records(conn, lease_seconds=0)
        ends = {"source": places.source, "target": places.target, "copy": places.copy}
        yield Ground(SimpleNamespace(records=records, **ends), house.org_id, shard_ids[there])
    places.close()


def test_who_comes_later_fences_who_came_first(ground: Ground) -> None:
    source, org = ground.places.source, [ground.org]
    first, second = ground.claim().term, None
    assert source.claim(org, first, home=True) == {ground.org: ("active", False)}
    with pytest.raises(LostTurn):
        source.claim(org, first, home=True)
    (taken,) = ground.places.records.take_over(org)
    second = taken.term
    assert second > first
    source.claim(org, second, home=True)
    with pytest.raises(LostTurn):
        source.change(org, first, ("active",), "frozen")
    source.change(org, second, ("active",), "frozen")
    with pytest.raises(LostTurn):
        source.change(org, second, ("active",), "frozen")
    assert source.states(org) == {ground.org: "frozen"}


def test_an_end_that_did_not_know_it_makes_it_as_somebody_elses(ground: Ground) -> None:
    target, org = ground.places.target, [ground.org]
    term = ground.claim().term
    assert target.states(org) == {}
    assert target.claim(org, term, home=False) == {ground.org: ("moved", True)}
    (taken,) = ground.places.records.take_over(org)
    assert target.claim(org, taken.term, home=False) == {ground.org: ("moved", False)}


def test_only_what_lives_elsewhere_is_swept_and_only_under_its_term(ground: Ground) -> None:
    source, org = ground.places.source, [ground.org]
    term = ground.claim().term
    source.claim(org, term, home=True)
    source.sweep(org, term)
    source.change(org, term, ("active",), "frozen")
    before = content(source, ground.org)
    source.change(org, term, ("frozen",), "moved")
    source.sweep(org, term - 1)
    assert content(source, ground.org) == before
    source.sweep(org, term)
    assert content(source, ground.org) != before
    assert source.states(org) == {ground.org: "moved"}


def test_the_record_lets_one_mover_at_it_and_flips_once(ground: Ground) -> None:
    records, org = ground.places.records, [ground.org]
    claim = ground.claim()
    assert records.claim(org, ground.target, actor="another", reason="-") == []
    assert records.step(claim) is Step.COPYING
    (taken,) = records.take_over(org)
    for change in (records.flip, records.step):
        with pytest.raises(LostTurn):
            change(claim)
    with pytest.raises(LostTurn):
        records.advance(claim, (Step.COPYING,), Step.UNDOING)
    records.flip(taken)
    assert [(o, step) for o, step, *_ in records.under_way(org)] == [(ground.org, Step.FLIPPED)]
    with pytest.raises(LostTurn):
        records.flip(taken)
    with pytest.raises(LostTurn):
        records.advance(taken, (Step.COPYING, Step.UNDOING), Step.UNDOING)
    records.advance(taken, (Step.FLIPPED,), Step.MOVED)
    assert records.under_way(org) == []
    assert records.take_over(org) == []


def test_a_move_ends_with_one_home_and_an_old_copy_to_be_swept(ground: Ground) -> None:
    places, org = ground.places, [ground.org]
    claim = ground.claim()
    Mover(places).move(claim)
    assert places.source.states(org) == {ground.org: "moved"}
    assert places.target.states(org) == {ground.org: "active"}
    assert places.records.claim(org, ground.target, actor="again", reason="-") == []
    mine = [each.claim for each in places.records.to_sweep(0) if each.claim.term == claim.term]
    assert [each.orgs for each in mine] == [(ground.org,)]
    Mover(places).sweep(mine[0])
    assert claim.term not in [each.claim.term for each in places.records.to_sweep(0)]
