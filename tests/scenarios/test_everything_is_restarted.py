"""Everything is restarted in turn, as a new release is rolled out, while clients write.

Owns I1, I3 and I4 over orderly stops: SIGTERM to each `serai serve` and to the outlet, a fast
shutdown of each PostgreSQL, replicas that commits wait for among them. Promises that a server which
stops finishes what it has, that nobody notices but those whose shard is away, that these get
nothing but "later", and that who reads the bus has every change. Waits are for counts of
acknowledged writes. Never decides what is right but by the ledgers of the load and the devices.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from integration.app.programs import Running, Shell
from integration.outlet.consumer import read
from integration.outlet.nats_server import NatsServer, nats_server
from scenarios.fleet import Fleet
from scenarios.house import House
from scenarios.load import Load, under_load
from scenarios.town import SHARDS, phones

BETWEEN = 40
STREAM, SUBJECT = "SERAI", "serai.changes"


async def test_a_rolling_restart_of_everything_loses_nothing_and_doubles_nothing(
    fleet: Fleet, tmp_path: Path
):
    first, second = fleet.houses
    async with nats_server(tmp_path) as bus:
        shell = Shell(tmp_path, {"SERAI_DIRECTORY_URL": fleet.directory_url})
        shell.variables["SERAI_OUTLET_URL"] = f"{bus.url}/{STREAM}"
        async with (
            phones(tmp_path, first, second),
            under_load(first, desks=2, phones=1) as one,
            under_load(second, desks=2, phones=1) as other,
        ):
            both = (one, other)
            await progress(*both)
            await servers_restart(fleet, *both)
            await the_outlet_restarts(shell, bus, *both)
            assert one.refused == other.refused == {}, "nobody needs the bus for a write"
            await the_directory_restarts(fleet, *both)
            assert one.refused == other.refused == {}, "nobody needs the directory for a write"
            await databases_restart(fleet, *both)
            async with outlet(shell):
                await progress(*both)
        assert {*one.codes, *other.codes} <= {"unavailable", "timeout"}, "waits, and no refusals"
        await asyncio.to_thread(shell.ok, "outlet", "--once")
        for house in fleet.houses:
            await everything_is_on_the(bus, house)
    for server in fleet.servers:
        assert not [line for line in server.words if "Traceback" in line]


async def progress(*loads: Load) -> None:
    """Wait until each has more writes acknowledged."""
    for load in loads:
        await load.reached(BETWEEN)


async def servers_restart(fleet: Fleet, one: Load, other: Load) -> None:
    for server, elsewhere in zip(fleet.servers, (other, one), strict=True):
        assert await server.stop() == 0
        await progress(elsewhere)
        await server.start()
        await progress(one, other)
    assert one.replayed == other.replayed == 0, "a request under way got no answer"


async def the_outlet_restarts(shell: Shell, bus: NatsServer, one: Load, other: Load) -> None:
    async with outlet(shell):
        await progress(one, other)
    await progress(one, other)
    async with outlet(shell):
        await bus.stop()
        await progress(one, other)
        await bus.start()
        await progress(one, other)


@asynccontextmanager
async def outlet(shell: Shell) -> AsyncGenerator[None]:
    """Run one during the block; it ends when it is told to."""
    with shell.started("outlet") as running:
        await asyncio.to_thread(running.until, "The outlet runs")
        yield
        status, _ = await asyncio.to_thread(Running.stop, running, signal.SIGTERM)
        assert status == 0, running.heard


async def the_directory_restarts(fleet: Fleet, one: Load, other: Load) -> None:
    await fleet.directory.stop()
    await progress(one, other)
    await fleet.directory.start()
    await progress(one, other)


async def databases_restart(fleet: Fleet, one: Load, other: Load) -> None:
    """Each replica, without which its shard acknowledges nothing, then each primary."""
    for machines in (fleet.replicas, fleet.primaries):
        for name, here, elsewhere in zip(SHARDS, (one, other), (other, one), strict=True):
            refused = dict(elsewhere.refused)
            await machines[name].stop()
            await progress(elsewhere)
            await machines[name].start()
            await progress(here)
            assert elsewhere.refused == refused, "the other shard's organisations noticed"


async def everything_is_on_the(bus: NatsServer, house: House) -> None:
    """Who has read all messages of the organisation knows its rows, and has seen no gap."""
    messages = await bus.read(STREAM, f"{SUBJECT}.{house.org_id}")
    copy = read([body for _, body in messages], house.org_id)
    (head,) = house.sql("select epoch, version from serai.org where org_id = %s", house.org_id)
    assert (copy.epoch, copy.version) == head
    assert copy.gaps == []
    rows = house.sql("select id::text from serai.row where org_id = %s", house.org_id)
    assert sorted(row_id for _, row_id in copy.rows) == sorted(row_id for (row_id,) in rows)
