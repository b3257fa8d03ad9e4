"""The outlet on real shards, with a bus that keeps everything: nothing lost, in order, no gap.

What a system knows is worked out by `consumer.py`, from the messages alone, and compared with the
rows in the database.
"""

from __future__ import annotations

from integration.moves.street import Fleet, House
from integration.outlet.desk import heard, position, send_all, stored
from serai.adapters.memory import MemoryBus


async def test_a_system_that_reads_the_bus_knows_what_the_database_has(fleet: Fleet, house: House):
    bus = MemoryBus()
    await send_all(fleet, bus)
    copy = heard(bus, house)
    assert copy.rows == stored(house)
    assert (copy.epoch, copy.version) == position(house)
    assert copy.order == [(1, n + 1) for n in range(copy.version)], "a message for each version"
    assert copy.gaps == []
    assert copy.begun == []


async def test_what_was_sent_is_not_sent_again_and_what_is_new_is(fleet: Fleet, house: House):
    bus = MemoryBus()
    await send_all(fleet, bus)
    count = len(bus.messages)
    again = await send_all(fleet, bus)
    assert (again.messages, len(bus.messages)) == (0, count)
    await house.rest()
    assert (await send_all(fleet, bus)).messages == 1
    assert heard(bus, house).rows == stored(house)
