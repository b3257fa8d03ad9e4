"""An outlet process in this one, and what is compared with what other systems know.

Owns how a run is begun and ended. Promises that what is stored is read by SQL of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from integration.moves.street import Fleet, House
from integration.outlet.consumer import Copy, Key, read
from serai.adapters.memory import MemoryBus
from serai.app.outlet import OutletProcess, Sent, open_outlet
from serai.ports.outlet import Bus

SECONDS = 60.0
"""A bound for everything that is waited for."""


async def send_all(fleet: Fleet, bus: Bus) -> Sent:
    """Send until nothing is due, as `serai outlet --once` does."""
    async with open_outlet(fleet.owner.settings, bus=bus) as process:
        return await process.run_once()


@asynccontextmanager
async def sending(fleet: Fleet, bus: Bus) -> AsyncGenerator[OutletProcess]:
    """Let an outlet run while the body does."""
    async with open_outlet(fleet.owner.settings, bus=bus) as process:
        task = asyncio.create_task(process.run())
        try:
            yield process
        finally:
            process.stop()
            await task


def heard(bus: MemoryBus, house: House) -> Copy:
    """Return what a system knows that has read everything."""
    return read([m.body for m in bus.messages], house.org_id)


def stored(house: House) -> dict[Key, Any]:
    """Return the rows of the organisation at its home."""
    names = {c.number: c.name for c in house.fleet.owner.vertical.collections}
    rows = house.fleet.sql(
        house.home,
        "SELECT collection, id::text, doc FROM serai.row WHERE org_id = %s",
        house.org_id,
    )
    return {(names[number], row_id): json.loads(doc) for number, row_id, doc in rows}


def position(house: House) -> tuple[int, int]:
    """Return (epoch, version) at its home."""
    return house.fleet.sql(
        house.home, "SELECT epoch, version FROM serai.org WHERE org_id = %s", house.org_id
    )[0]


async def caught_up(bus: MemoryBus, house: House) -> None:
    """Wait until a message of the newest version was accepted, whatever came before it."""
    async with asyncio.timeout(SECONDS):
        while heard(bus, house).version < position(house)[1]:
            bus.taken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await bus.taken.wait()
