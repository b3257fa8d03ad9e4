"""Order and completeness while people write, while the organisation moves, and with two outlets."""

from __future__ import annotations

import asyncio
import json

from integration.moves.street import Fleet, House
from integration.outlet.desk import SECONDS, caught_up, heard, position, sending, stored
from serai.adapters.memory import MemoryBus
from serai.app.outlet import open_outlet
from serai.ports.outlet import Message


async def test_versions_come_in_order_while_many_write(fleet: Fleet, house: House):
    bus = MemoryBus()
    async with sending(fleet, bus):
        async with house.busy(writers=5):
            await house.told_more(60)
        await caught_up(bus, house)
    copy = heard(bus, house)
    assert copy.order == [(1, n + 1) for n in range(copy.version)]
    assert (copy.gaps, copy.begun, copy.repeated) == ([], [], 0)
    assert copy.rows == stored(house)


async def test_an_organisation_that_moves_to_and_fro_is_sent_without_a_gap(
    fleet: Fleet, house: House
):
    bus = MemoryBus()
    async with sending(fleet, bus):
        async with house.busy():
            for home in ("b", "a", "b"):
                await house.told_more(10)
                await fleet.move(house.org_id, to=home)
            await house.told_more(10)
        await fleet.owner.directory.refresh()
        await fleet.runtime.directory.refresh()
        await caught_up(bus, house)
    await house.check("b")
    copy = heard(bus, house)
    assert copy.order == [(1, n + 1) for n in range(copy.version)]
    assert (copy.gaps, copy.begun) == ([], [])
    assert copy.rows == stored(house)


async def test_a_plain_move_makes_nobody_begin_again_and_the_note_goes_along(
    fleet: Fleet, house: House
):
    bus = MemoryBus()
    async with sending(fleet, bus):
        await caught_up(bus, house)
    count = len(bus.messages)
    await fleet.move(house.org_id, to="b")
    await fleet.runtime.directory.refresh()
    note = fleet.sql("b", "SELECT version FROM serai.outlet WHERE org_id = %s", house.org_id)
    assert note == [(position(house)[1],)]
    await house.rest()
    async with sending(fleet, bus):
        await caught_up(bus, house)
    mine = [m for m in bus.messages[count:] if m.org_id == house.org_id]
    assert len(mine) == 1, "one version was written since"


async def test_two_outlets_at_one_shard_take_turns(fleet: Fleet, house: House):
    one, other = MemoryBus(), MemoryBus()
    async with sending(fleet, one):
        await caught_up(one, house)
        async with open_outlet(fleet.owner.settings, bus=other) as second:
            sent = await second.run_once()
        assert sorted(sent.elsewhere) == ["a", "b"]
        assert (sent.messages, other.messages) == (0, [])


async def test_two_that_send_at_once_repeat_each_other_and_never_swap(
    fleet: Fleet, house: House, no_turns: None
):
    """As a process that lost its turn and does not know it does."""
    bus = Jittery(house.org_id)
    async with sending(fleet, bus), sending(fleet, bus):
        async with house.busy(writers=5):
            await house.told_more(60)
        await caught_up(bus, house)
    copy = heard(bus, house)
    assert copy.repeated > 0, "both sent"
    assert copy.order == [(1, n + 1) for n in range(copy.version)]
    assert copy.gaps == []
    assert copy.rows == stored(house)


class Jittery(MemoryBus):
    """Takes messages of several senders in whatever order they come to it; the first of one
    organisation only when two senders have brought it.
    """

    def __init__(self, org_id: int) -> None:
        super().__init__()
        self._org_id, self._first = org_id, asyncio.Barrier(2)
        self._met = 0

    async def publish(self, message: Message) -> int:
        if message.org_id == self._org_id and self._met < 2:
            self._met += 1
            async with asyncio.timeout(SECONDS):
                await self._first.wait()
        # Another number of turns of the loop for each, by the message alone.
        for _ in range(sum(message.body) % 7):
            await asyncio.sleep(0)
        return await super().publish(message)


async def test_a_version_that_commits_late_is_not_passed_over(fleet: Fleet, house: House):
    """A write whose organisation was due before it, and whose row was on its way out."""
    bus = MemoryBus()
    async with sending(fleet, bus):
        for _ in range(40):
            await house.rest()
            await caught_up(bus, house)
    versions = [json.loads(m.body)["version"] for m in bus.messages if m.org_id == house.org_id]
    assert versions == list(range(1, position(house)[1] + 1))
