"""A fleet of real processes on one network: any of them may be stopped and started again.

Owns a directory, two shards with a synchronous replica each, two processes of `serai serve`, and an
organisation on each shard, the first served by the first process, the second by the second.
Promises that every process comes back on the same port with the same data. Never decides what is
right.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from integration.http.house import Inn, make_inn
from scenarios.clock import WallClock
from scenarios.house import SECONDS, House, Server
from scenarios.town import SHARDS, house_of
from serai.app.fleet import prepare_fleet
from serai.app.settings import Settings
from serai.embedded.ports import free_port
from serai.embedded.postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresSettings,
    EmbeddedReplica,
    Follows,
    set_synchronous,
)
from serai.shard.directory import Directory
from serai.shard.enrol import add_replica


@dataclass
class Fleet:
    """Everything. `servers`, `houses`, `inns`: in the order of `SHARDS`; `replicas`: by shard."""

    directory: EmbeddedPostgres
    primaries: dict[str, EmbeddedPostgres]
    replicas: dict[str, EmbeddedReplica]
    servers: list[Server]
    houses: list[House]
    inns: list[Inn]

    @property
    def directory_url(self) -> str:
        return self.directory.url("directory")


@asynccontextmanager
async def a_fleet(
    folder: Path, *, replicas: bool = True, clock: WallClock | None = None
) -> AsyncGenerator[Fleet]:
    """Build it, with replicas or without, and serve it.

    Args:
        clock: by which the first shard's primary and both processes that serve go.
    """
    async with AsyncExitStack() as stack:
        directory = await _started(stack, EmbeddedPostgres(_at(folder / "directory")))
        await directory.create_database("directory")
        primaries: dict[str, EmbeddedPostgres] = {}
        for name in SHARDS:
            with clock.of_postgres() if clock and name == SHARDS[0] else nullcontext():
                primaries[name] = await _started(stack, EmbeddedPostgres(_at(folder / name)))
            await primaries[name].create_database(name)
        url = directory.url("directory")
        shards = [(name, each.url(name)) for name, each in primaries.items()]
        await prepare_fleet(Settings(directory_url=url), shards)
        copies = {
            name: await _followed(stack, folder, url, name, primary)
            for name, primary in primaries.items()
            if replicas
        }
        inns = [await make_inn(url, f"inn-{n}") for n in range(2)]
        more = clock.environment if clock else {}
        servers = [Server(free_port(), folder, url, dict(more)) for _ in SHARDS]
        for server in servers:
            stack.push_async_callback(_ended, server)
            await server.start()
        houses = [await house_of(primaries, servers[0], inn) for inn in inns]
        assert [house.shard for house in houses] == list(SHARDS)
        for house, server in zip(houses, servers, strict=True):
            house.server = server
        yield Fleet(directory, primaries, copies, servers, houses, inns)


def _at(folder: Path) -> EmbeddedPostgresSettings:
    """Settings of a server that comes back on the same port, however busy the machine is."""
    return EmbeddedPostgresSettings(
        data_dir=folder, port=free_port(), start_seconds_max=SECONDS, stop_seconds_max=SECONDS
    )


async def _started(stack: AsyncExitStack, server: EmbeddedPostgres) -> EmbeddedPostgres:
    stack.push_async_callback(server.stop)
    await server.start()
    return server


async def _followed(
    stack: AsyncExitStack, folder: Path, directory: str, shard: str, primary: EmbeddedPostgres
) -> EmbeddedReplica:
    """Give a shard a replica that its commits wait for."""
    name = f"copy_{shard[-1]}"
    replica = EmbeddedReplica(Follows(primary.url(), name), _at(folder / name))
    stack.push_async_callback(replica.stop)
    await replica.start()
    await set_synchronous(primary.url(), [name], seconds=SECONDS)
    async with await Directory.open(directory) as known:
        shard_id = next(each.id for each in known.shards if each.name == shard)
        url = replica.url(shard)
        await add_replica(known, shard_id, f"copy-{shard[-1]}", url, actor="t", reason="t")
    return replica


async def _ended(server: Server) -> None:
    if server.up.is_set():
        await server.kill()
