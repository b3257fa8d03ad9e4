"""The ends of a transfer and its record do the same in memory and in PostgreSQL.

Owns the suite that holds `serai.testing.simulation.fleet.transfer_shard`, `transfer_records` and
what `serai.adapters.memory.store` knows of properties that are handed over, on which the simulation
runs, to the functions of the schema. Promises that each test runs on both. Never looks at a table.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest

from integration.moves.street import Fleet
from integration.transfers.estate import Estate, make_estate
from serai.adapters.memory import MemoryStore
from serai.adapters.memory.directory import MemoryDirectory
from serai.app.transfer.hands import Connections
from serai.app.transfer.reasons import Untransferable, reasons_against
from serai.app.transfer.records import Claim, Records
from serai.app.transfer.saga import Saga
from serai.app.transfer.shape import Shape
from serai.app.transfer.states import Step
from serai.core.errors import Code
from serai.core.ids import ORG_SCOPE
from serai.log.departures import Departed, departed_of
from serai.model import Scope, Vertical
from serai.ports.store import Author, Fenced, PlannedWrite, ReadSetItem, RowOp
from serai.readers.move.link import LostTurn, connect
from serai.shard.placement import ShardRef
from serai.testing.simulation.fleet.transfer_records import MemoryTransfers
from serai.testing.simulation.fleet.transfer_shard import MemoryShard
from serai.testing.simulation.hotel import HOTEL, till_of

PLACE, GUEST = UUID(int=0x1000), UUID(int=0x3000)
ROOT = Author(UUID(int=1), None, "system")


class InMemory:
    """`serai.app.transfer.hands.Connections`, for two stores."""

    def __init__(self, stores: list[MemoryStore], records: MemoryTransfers) -> None:
        self.records = records
        self._stores, self._arrivals = stores, ({}, {})

    @property
    def giver(self) -> MemoryShard:
        return MemoryShard(self._stores[0], self._arrivals[0])

    @property
    def taker(self) -> MemoryShard:
        return MemoryShard(self._stores[1], self._arrivals[1])

    def close(self) -> None:
        """There is nothing to close."""


class Turned:
    """The same way, from the other side."""

    def __init__(self, ways: Any) -> None:
        self.ways = ways

    @property
    def records(self) -> Any:
        return self.ways.records

    @property
    def giver(self) -> Any:
        return self.ways.taker

    @property
    def taker(self) -> Any:
        return self.ways.giver

    def close(self) -> None:
        """Whoever opened it closes it."""


@dataclass
class Ground:
    """Two organisations on two shards, a property of the one, a record whose leases lapse at
    once.
    """

    vertical: Vertical
    reach: Callable[[], Any]
    records: Any
    store: Any
    departed: Departed
    place: UUID
    orgs: tuple[int, int]

    async def asked(self, *asked: Any) -> Code | None:
        """Return what is told of one row."""
        return (await self.departed([asked])).get(0)

    def claim(self) -> Claim:
        claim = self.records.claim(self.place, *self.orgs, actor="test", reason="-")
        assert isinstance(claim, Claim)
        return claim

    def saga(self) -> Saga:
        return Saga(self.vertical, self.reach())

    def rows(self, number: int) -> dict[tuple[str, UUID], str]:
        """Return what one of them has of the property."""
        shape = Shape.of(self.vertical)
        ways = self.reach()
        with closing(ways), Saga(self.vertical, Turned(ways) if number else ways) as saga:
            claim = Claim(0, self.place, self.orgs[number], self.orgs[number], 0, "", "")
            giver = saga.giver(claim)
            return {
                (collection.name, row_id): doc
                for collection in shape.own
                for page in giver.pages(collection, self.place)
                for row_id, _, doc in page
            }

    async def deletes(self, row: tuple[str, UUID], scope: UUID) -> Any:
        """Delete a row as anybody does."""
        number = self.vertical.by_name[row[0]].number
        (stored,) = await self.store.read([(self.orgs[0], number, row[1])])
        write = PlannedWrite(
            org_id=self.orgs[0],
            epoch=1,
            ops=(RowOp("delete", number, row[1], scope, stored.doc),),
            reads=(ReadSetItem(number, row[1], stored.version),),
            once=None,
            body_hash=b"",
            reply="",
            author=ROOT,
        )
        (outcome,) = await self.store.commit([write])
        return outcome


async def in_memory() -> Ground:
    stores = [MemoryStore(HOTEL), MemoryStore(HOTEL)]
    for store, org in zip(stores, (7, 8), strict=True):
        await store.create_org(org)
    stay = f'{{"property_id":"{PLACE}","guest_id":"{GUEST}","room":"a","note":null,"paid":0,'
    rows = [
        ("properties", PLACE, PLACE, '{"name":"a"}'),
        ("guests", GUEST, ORG_SCOPE, '{"name":"b","note":null}'),
        ("guests", UUID(int=0x3001), ORG_SCOPE, '{"name":"c","note":null}'),
        ("stays", UUID(int=0x5000), PLACE, stay + '"amount_minor":null,"amount_currency":null}'),
        (
            *("tills", till_of(PLACE), PLACE),
            f'{{"property_id":"{PLACE}","payments":0,"taken_minor":0,"taken_currency":"EUR"}}',
        ),
        (
            *("memberships", UUID(int=0x4000), ORG_SCOPE),
            f'{{"user_id":"{UUID(int=1)}","role":"desk","property_id":"{PLACE}"}}',
        ),
    ]
    for name, row_id, scope, doc in rows:
        op = RowOp("insert", HOTEL.by_name[name].number, row_id, scope, doc)
        write = PlannedWrite(7, 1, (op,), (), None, b"", "", ROOT)
        await stores[0].commit([write])
    ticks = iter(range(1_000))
    refs = [ShardRef(1, "a", "a"), ShardRef(2, "b", "b")]
    directory = MemoryDirectory(refs, [(1, 8, 1), (8, 100, 2)], lambda: next(ticks))
    records = MemoryTransfers(directory, lease_seconds=0)
    reach = InMemory(stores, records)
    return Ground(HOTEL, lambda: reach, records, stores[0], stores[0].departed, PLACE, (7, 8))


async def on_postgres(estate: Estate, conn: Any) -> Ground:
    fleet = estate.fleet
    homes = fleet.url(estate.giver.home), fleet.url(estate.taker.home)
    vertical = fleet.runtime.vertical
    shard = await fleet.runtime.shard_for(estate.giver.org_id)
    return Ground(
        vertical,
        lambda: Connections(vertical.name, fleet.directory, *homes),
        Records(conn, lease_seconds=0),
        shard.store,
        departed_of(shard.pool),
        estate.hotel,
        (estate.giver.org_id, estate.taker.org_id),
    )


@pytest.fixture(params=["memory", "postgres"])
async def ground(request: pytest.FixtureRequest, fleet: Fleet):
    if request.param == "memory":
        yield await in_memory()
        return
    estate = await make_estate(fleet, "b")
    with connect(estate.fleet.directory) as conn:
        yield await on_postgres(estate, conn)


def test_the_record_lets_one_process_at_it(ground: Ground) -> None:
    records, claim = ground.records, ground.claim()
    assert records.claim(ground.place, *ground.orgs, actor="b", reason="-") == "transferring"
    assert records.busy([ground.orgs[1]]) == "transferring"
    assert records.step(claim) is Step.COPYING
    taken = records.take_over()
    assert (taken.transfer_id, taken.step) == (claim.transfer_id, Step.COPYING)
    assert taken.term > claim.term
    for change in (records.step, lambda c: records.advance(c, (Step.COPYING,), Step.DECIDED)):
        with pytest.raises(LostTurn):
            change(claim)
    records.advance(taken, (Step.COPYING,), Step.DECIDED, rows=3)
    with pytest.raises(LostTurn):
        records.advance(taken, (Step.COPYING, Step.UNDOING), Step.UNDOING)
    records.advance(taken, (Step.DECIDED,), Step.DONE)
    assert records.busy([ground.orgs[0]]) is None
    assert records.take_over() is None


def test_who_comes_later_fences_who_came_first(ground: Ground) -> None:
    first = ground.claim()
    with ground.saga() as saga:
        giver, taker = saga.giver(first), saga.taker(first)
        giver.claim(first.term)
        taker.claim(first.term)
        giver.hold(first.term, ground.place)
        assert giver.standing().held == ground.place
        second = ground.records.take_over()
        with pytest.raises(LostTurn):
            giver.claim(first.term)
        giver.claim(second.term)
        taker.claim(second.term)
        with pytest.raises(LostTurn):
            giver.hold(first.term, None)
        with pytest.raises(LostTurn):
            taker.change(first.term, "active", "frozen")
        page = next(giver.pages(Shape.of(ground.vertical).place, ground.place))
        with pytest.raises(LostTurn):
            giver.remove(Shape.of(ground.vertical).place, ground.place, page, first.term)
        with pytest.raises(LostTurn):
            taker.change(second.term, "frozen", "active")
        saga.undo(second)
    ground.records.advance(second, (Step.UNDONE,), Step.UNDONE)


async def test_a_property_that_is_held_takes_no_writes_and_the_others_do(ground: Ground) -> None:
    claim = ground.claim()
    row = next(row for row in ground.rows(0) if row[0] == "stays")
    with ground.saga() as saga:
        giver = saga.giver(claim)
        giver.claim(claim.term)
        giver.hold(claim.term, ground.place)
        held = await ground.deletes(row, ground.place)
        assert held == Fenced(Code.PROPERTY_HELD, 0)
        about = (ground.orgs[0], ground.vertical.by_name["stays"].number)
        assert await ground.asked(*about, row[1], []) is Code.PROPERTY_HELD
        assert await ground.asked(*about, UUID(int=77), [ground.place]) is Code.PROPERTY_HELD
        assert await ground.asked(*about, UUID(int=77), [UUID(int=78)]) is None
        giver.hold(claim.term, None)
        assert not isinstance(await ground.deletes(row, ground.place), Fenced)
        saga.undo(claim)


def test_an_arrival_is_seen_when_it_ends_and_a_successor_ends_it(ground: Ground) -> None:
    claim = ground.claim()
    shape = Shape.of(ground.vertical)
    with ground.saga() as saga:
        giver = saga.giver(claim)
        assert giver.count_grants(ground.place) == len(giver.grants(ground.place)) == 1
    (page,) = (page for page in [*_pages(ground, claim)] if page)
    rows = [(row_id, doc) for row_id, _, doc in page]
    second = claim
    with ground.saga() as saga, ground.saga() as other:
        taker = saga.taker(claim)
        taker.claim(claim.term)
        taker.change(claim.term, "active", "frozen")
        with pytest.raises(psycopg.OperationalError), taker.arrival() as arrival:  # noqa: PT012 - its end fails
            arrival.add(shape.place, ground.place, rows)
            assert ground.rows(1) == {}
            second = ground.records.take_over()
            other.taker(second).claim(second.term)
            arrival.end(ground.place, claim.term, "{}")
    assert ground.rows(1) == {}
    with ground.saga() as saga:
        saga.giver(second).claim(ground.records.take_over().term)
    third = ground.records.take_over()
    with ground.saga() as saga:
        assert not saga.end(third)


def _pages(ground: Ground, claim: Claim) -> list[Any]:
    with ground.saga() as saga:
        return list(saga.giver(claim).pages(Shape.of(ground.vertical).place, ground.place))


async def test_a_property_goes_whole_leaves_its_name_behind_and_may_come_back(
    ground: Ground,
) -> None:
    before, shape = ground.rows(0), Shape.of(ground.vertical)
    claim = ground.claim()
    with ground.saga() as saga:
        stats = saga.carry(claim)
    assert ground.rows(1) == before
    assert ground.rows(0) == {}
    assert (stats.rows, stats.removed) == (len(before), len(before))
    org = ground.orgs[0]
    for name, row_id in before:
        number = ground.vertical.by_name[name].number
        assert await ground.asked(org, number, row_id, []) is Code.PROPERTY_TRANSFERRED
    stays = ground.vertical.by_name["stays"].number
    named = await ground.asked(org, stays, UUID(int=77), [ground.place])
    assert named is Code.PROPERTY_TRANSFERRED
    assert await ground.asked(org, stays, UUID(int=77), [UUID(int=78)]) is None
    with ground.saga() as saga:
        own = next(c for c in shape.own if c.scope is not Scope.SELF)
        gone = [row_id for name, row_id in before if name == own.name]
        left = saga.giver(claim).buried(own, gone)
        assert left == dict.fromkeys(gone, ground.place)
        assert saga.giver(claim).standing().held is None
    back = ground.records.claim(ground.place, *reversed(ground.orgs), actor="a", reason="-")
    ways = ground.reach()
    with closing(ways):
        turned = Turned(ways)
        with Saga(ground.vertical, turned) as saga:
            saga.carry(back)
    assert ground.rows(0) == before
    assert ground.rows(1) == {}
    assert await ground.asked(org, stays, UUID(int=77), [ground.place]) is None


def test_what_speaks_against_it_is_told_before_anything_changes(ground: Ground) -> None:
    claim = ground.claim()
    shape = Shape.of(ground.vertical)
    nowhere = Claim(0, UUID(int=5), *ground.orgs, claim.term, "", "")
    with ground.saga() as saga:
        ends = saga.giver(claim), saga.taker(claim)
        assert reasons_against(shape, *ends, claim) == []
        (why,) = reasons_against(shape, *ends, nowhere)
        assert "has no property" in why
        for end in ends:
            end.claim(claim.term)
        saga.undo(claim)
    again = ground.claim()
    with ground.saga() as saga:
        saga.taker(again).claim(again.term)
        saga.taker(again).change(again.term, "active", "frozen")
    taken = ground.records.take_over()
    with ground.saga() as saga, pytest.raises(Untransferable, match="is frozen"):
        saga.carry(taken)
