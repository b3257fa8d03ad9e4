"""The bus is down, slow, forgets; the epoch rises; the log is folded, pruned; somebody rewinds."""

from __future__ import annotations

import asyncio
import json

import pytest

from integration.moves.street import Fleet, House
from integration.outlet.consumer import read
from integration.outlet.desk import SECONDS, caught_up, heard, position, send_all, sending, stored
from serai.adapters.memory import MemoryBus
from serai.app.outlet_care import outlet_status, rewind_all, rewind_one
from serai.log.life_postgres import PostgresLifeStore
from serai.ports.outlet import BusDown

_LAST = (
    "DELETE FROM serai.{} x USING serai.org o"
    " WHERE o.org_id = %s AND (x.org_id, x.version) = (o.org_id, o.version)"
)


async def test_a_bus_that_is_down_is_waited_for_and_the_log_stays(fleet: Fleet, house: House):
    bus = MemoryBus()
    bus.down = True
    with pytest.raises(BusDown):
        await send_all(fleet, bus)
    async with sending(fleet, bus):
        await house.rest()
        bus.down = False
        await caught_up(bus, house)
    copy = heard(bus, house)
    assert copy.rows == stored(house)
    assert copy.order == [(1, n + 1) for n in range(copy.version)]


async def test_an_answer_that_is_lost_costs_a_repetition_under_the_same_id(
    fleet: Fleet, house: House
):
    bus = MemoryBus()
    bus.swallow = 3
    async with sending(fleet, bus):
        await caught_up(bus, house)
    ids = [m.id for m in bus.messages]
    assert len(ids) - len(set(ids)) == 3
    copy = heard(bus, house)
    assert copy.order == [(1, n + 1) for n in range(copy.version)]
    assert copy.rows == stored(house)


async def test_a_slow_bus_holds_one_message_of_an_organisation_and_no_more(
    fleet: Fleet, house: House
):
    bus = Counting()
    bus.open.clear()
    async with sending(fleet, bus):
        await house.pushed(200)
        async with asyncio.timeout(SECONDS):
            await bus.held.wait()
        await house.pushed(100)
        assert bus.waiting[house.org_id] == 1
        bus.open.set()
        await caught_up(bus, house)
    assert bus.most == 1
    assert heard(bus, house).rows == stored(house)


async def test_what_the_bus_lost_while_the_outlet_ran_is_sent_again_by_itself(
    fleet: Fleet, house: House
):
    bus = MemoryBus()
    async with sending(fleet, bus):
        await house.pushed(20)
        await caught_up(bus, house)
        bus.lose(12)
        await house.pushed(3)
        await caught_up(bus, house)
    copy = heard(bus, house)
    assert copy.gaps == []
    assert copy.order == [(1, n + 1) for n in range(copy.version)]
    assert copy.rows == stored(house)


async def test_what_was_lost_unseen_is_a_gap_for_readers_and_comes_after_a_rewind(
    fleet: Fleet, house: House
):
    bus = MemoryBus()
    await send_all(fleet, bus)
    lost = house.fleet.sql(house.home, "UPDATE serai.outlet_shard SET bus = '', bus_number = 0")
    assert lost == []
    bus.lose(5)
    await house.rest()
    await send_all(fleet, bus)
    copy = heard(bus, house)
    assert len(copy.gaps) == 1
    assert copy.rows != stored(house)
    assert await rewind_one(fleet.owner.settings, str(house.org_id), copy.version, reason="r")
    await send_all(fleet, bus)
    copy = heard(bus, house)
    assert copy.rows == stored(house)
    assert copy.order == [(1, n + 1) for n in range(copy.version)]
    again = [m.id for m in bus.messages if m.org_id == house.org_id][-5:]
    assert all(name.endswith("-r1") for name in again), again


async def test_a_rewind_of_all_reaches_every_shard_and_nobody_twice(fleet: Fleet, house: House):
    bus = MemoryBus()
    await send_all(fleet, bus)
    told: list[int] = []
    done = await rewind_all(fleet.owner.settings, 3, reason="r", progress=told.append)
    assert done >= 1
    assert told[-1] == done
    assert await rewind_all(fleet.owner.settings, 3, reason="r") == 0
    count = len(bus.messages)
    await send_all(fleet, bus)
    again = [json.loads(m.body) for m in bus.messages[count:] if m.org_id == house.org_id]
    assert [m["version"] for m in again] == list(range(4, position(house)[1] + 1))
    assert again[0]["previous"] == 3


async def test_a_risen_epoch_begins_again_aloud(fleet: Fleet, house: House):
    bus = MemoryBus()
    await send_all(fleet, bus)
    # As after a promotion that lost the tail: the last version never was.
    for statement in (
        _LAST.format("row"),
        _LAST.format("log"),
        "UPDATE serai.org SET epoch = epoch + 1, version = version - 1 WHERE org_id = %s",
    ):
        fleet.sql(house.home, statement, house.org_id)
    await send_all(fleet, bus)
    copy = heard(bus, house)
    assert copy.begun == ["epoch"]
    assert (copy.epoch, copy.version) == position(house)
    assert copy.rows == stored(house)
    assert copy.gaps == []


async def test_one_that_fell_behind_the_floor_begins_again_and_then_goes_on(
    fleet: Fleet, house: House
):
    bus = MemoryBus()
    await send_all(fleet, bus)
    sent = position(house)[1]
    await house.pushed(6)
    home = await fleet.owner.shard_for(house.org_id)
    life = PostgresLifeStore(home.pool)
    await life.raise_floor(house.org_id, sent + 3)
    await life.prune(house.org_id, limit=1000)
    await send_all(fleet, bus)
    await house.rest()
    await send_all(fleet, bus)
    copy = heard(bus, house)
    assert copy.begun == ["floor"]
    assert copy.order[-1] == position(house)
    assert copy.gaps == []
    assert copy.rows == stored(house)


async def test_folded_versions_are_told_as_one_and_are_no_gap(fleet: Fleet, house: House):
    bus = MemoryBus()
    await send_all(fleet, bus)
    sent = position(house)[1]
    changed = await house.rest()
    for name in ("One", "Two", "Three"):
        await house.write("update", "vendors", changed, {"name": name})
    life = PostgresLifeStore((await fleet.owner.shard_for(house.org_id)).pool)
    await life.begin(house.org_id)
    # The stretch begins before what was sent: two versions of a row before, three of one after.
    assert await life.fold(house.org_id, sent - 1, sent + 3) == 3
    await send_all(fleet, bus)
    copy = heard(bus, house)
    assert copy.rows == stored(house)
    assert (copy.gaps, copy.begun) == ([], [])
    assert copy.order[-2:] == [(1, sent + 3), (1, sent + 4)]


async def test_a_large_organisation_is_sent_anew_in_pages_and_goes_on_where_it_was(
    fleet: Fleet, house: House
):
    await house.pushed(400)
    await house.pushed(400)
    bus = MemoryBus()
    await send_all(fleet, bus)
    fleet.sql(house.home, "UPDATE serai.org SET epoch = 2 WHERE org_id = %s", house.org_id)
    bus.swallow = 2
    async with sending(fleet, bus):
        async with asyncio.timeout(SECONDS):
            while heard(bus, house).fill is not None or heard(bus, house).epoch < 2:
                bus.taken.clear()
                await bus.taken.wait()
    kinds = [json.loads(m.body)["kind"] for m in bus.messages if m.org_id == house.org_id]
    assert kinds.count("rows") >= 2
    copy = heard(bus, house)
    assert copy.rows == stored(house)


async def test_the_status_tells_who_sends_and_how_far_behind(fleet: Fleet, house: House):
    bus = MemoryBus()
    async with sending(fleet, bus):
        await caught_up(bus, house)
        found = {each.shard: each for each in await outlet_status(fleet.owner.settings)}
        assert {each.state for each in found.values()} == {"sends"}
    await house.pushed(7)
    found = {each.shard: each for each in await outlet_status(fleet.owner.settings)}
    behind = found[house.home]
    assert (behind.state, behind.versions) == ("stopped", 7)
    assert behind.orgs >= 1


async def test_a_system_that_takes_only_what_it_was_told_misses_nothing_it_was_sent():
    """The reader of the tests finds what it is there to find."""
    bodies = [
        {
            "kind": "changes",
            "org": 1,
            "epoch": 1,
            "version": v,
            "previous": p,
            "part": 1,
            "parts": 1,
            "changes": [],
        }
        for v, p in ((1, 0), (2, 1), (4, 3), (2, 1), (3, 2), (4, 3))
    ]
    copy = read([json.dumps(b).encode() for b in bodies], 1)
    assert copy.gaps == [(3, 2)]
    assert copy.repeated == 1
    assert copy.order == [(1, 1), (1, 2), (1, 3), (1, 4)]


class Counting(MemoryBus):
    """Counts messages that wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[int, int] = {}
        self.most = 0
        self.held = asyncio.Event()

    async def publish(self, message):
        self.waiting[message.org_id] = self.waiting.get(message.org_id, 0) + 1
        self.most = max(self.most, *self.waiting.values())
        self.held.set()
        try:
            return await super().publish(message)
        finally:
            self.waiting[message.org_id] -= 1
