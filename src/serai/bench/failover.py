"""The primary of a shard killed under load, its synchronous replica promoted.

Owns `failover`. Clients write to two shards, in process, each write until it is acknowledged and
under one key; the first shard's primary is killed with signal 9 and the replica takes its place as
`serai shard promote` does it. Afterwards every acknowledged write is looked for on the new primary.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import psycopg

from serai.app.fleet import ORGS_PER_SHARD, prepare_fleet
from serai.app.promotion import promote
from serai.app.runtime import Runtime, open_runtime
from serai.app.settings import Settings
from serai.bench.cpu import family
from serai.bench.figure import Figure, Load, rounded
from serai.bench.floors import SQL
from serai.bench.rows import Rows
from serai.core.errors import SeraiError
from serai.embedded.postgres import EmbeddedPostgres, EmbeddedReplica, Follows, set_synchronous
from serai.log.intent import WriteIntent
from serai.shard.connection import PostgresError
from serai.shard.directory import Directory
from serai.shard.enrol import add_replica

_SHARDS: Final = ("shard-1", "shard-2")
_CLIENTS: Final = 16
_WRITES_MIN: Final = 200
"""Acknowledged before the kill, and again after it."""


@dataclass(slots=True)
class _Client:
    """Writes to one organisation, one row after another."""

    org_id: int
    acknowledged: list[UUID] = field(default_factory=list[UUID])
    moments: list[float] = field(default_factory=list[float])
    errors: int = 0

    async def run(self, runtime: Runtime, rows: Rows, done: asyncio.Event) -> None:
        while not done.is_set():
            wish = rows.insert(self.org_id)
            while not await self._written(runtime, wish):
                self.errors += 1
                await asyncio.sleep(0.01)
            self.acknowledged.append(wish.rows[0].id)
            self.moments.append(time.perf_counter())

    async def _written(self, runtime: Runtime, wish: WriteIntent) -> bool:
        try:
            await runtime.homes.at_home(self.org_id, lambda _, writes: writes.submit(wish))
        except (SeraiError, PostgresError, OSError):
            # Unknown: asked again under the same key.
            return False
        return True


async def failover(_: Load) -> list[Figure]:
    """Kill the primary, promote, look for what was acknowledged."""
    async with _fleet() as (settings, primary, replica):
        async with open_runtime(settings) as runtime:
            rows, done = Rows(runtime.vertical), asyncio.Event()
            here = [_Client(1 + n) for n in range(_CLIENTS)]
            there = [_Client(1 + ORGS_PER_SHARD + n) for n in range(_CLIENTS)]
            for each in (*here, *there):
                await (await runtime.shard_for(each.org_id)).store.create_org(each.org_id)
            tasks = [asyncio.create_task(c.run(runtime, rows, done)) for c in (*here, *there)]
            await _until(here, _WRITES_MIN)
            killed = time.perf_counter()
            _kill(primary)
            await promote(
                settings,
                _SHARDS[0],
                "copy-1",
                synchronous=True,
                primary_is_down=True,
                reason="serai bench",
            )
            promoted = time.perf_counter()
            await _until(here, sum(len(c.acknowledged) for c in here) + _WRITES_MIN)
            done.set()
            await asyncio.gather(*tasks)
        return _figures(here, there, _kept(replica), killed, promoted)


async def _until(clients: list[_Client], count: int) -> None:
    """Wait until so many writes are acknowledged."""
    while True:
        if sum(len(each.acknowledged) for each in clients) >= count:
            return
        await asyncio.sleep(0.005)


def _kill(server: EmbeddedPostgres) -> None:
    """End every process of the server with signal 9."""
    for pid in family(server.pid):
        # Those whose parent has died end by themselves.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _kept(replica: EmbeddedReplica) -> list[UUID]:
    """Return the id of every row that the new primary's log has inserted."""
    with psycopg.connect(replica.url(_SHARDS[0]), autocommit=True) as connection:
        return [row[0] for row in connection.execute(SQL["inserted"].encode()).fetchall()]


def _figures(
    here: list[_Client], there: list[_Client], kept: list[UUID], killed: float, promoted: float
) -> list[Figure]:
    acknowledged = {each for client in here for each in client.acknowledged}
    back = min(m for client in here for m in client.moments if m > promoted)
    doubled = len(kept) - len(set(kept))
    words = (
        f"{len(acknowledged)} writes acknowledged by {len(here)} clients, {doubled} doubled;"
        f" {sum(each.errors for each in there)} errors on the other shard"
    )
    return [
        Figure(
            figure="failover_lost",
            value=float(len(acknowledged - set(kept)) + doubled),
            unit="writes",
            conditions=words,
        ),
        Figure(
            figure="failover_seconds",
            value=rounded(back - killed),
            unit="s",
            conditions="from kill -9 of the primary to the first acknowledged write on its replica,"
            f" {promoted - killed:.2f} s of it the promotion, begun at once",
        ),
    ]


@contextlib.asynccontextmanager
async def _fleet() -> AsyncGenerator[tuple[Settings, EmbeddedPostgres, EmbeddedReplica]]:
    """Start a directory, two shards and a synchronous replica of the first."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(EmbeddedPostgres()) for _ in range(3)]
        directory, first, second = servers
        await directory.create_database("directory")
        for name, each in zip(_SHARDS, (first, second), strict=True):
            await each.create_database(name)
        settings = Settings(directory_url=directory.url("directory"), pool_min=1)
        shards = [(n, s.url(n)) for n, s in zip(_SHARDS, (first, second), strict=True)]
        await prepare_fleet(settings, shards)
        follows = Follows(first.url(), "copy_1")
        replica = await stack.enter_async_context(EmbeddedReplica(follows))
        await set_synchronous(first.url(), ["copy_1"])
        async with await Directory.open(settings.directory_url) as known:
            url, shard_id = replica.url(_SHARDS[0]), known.shards[0].id
            await add_replica(known, shard_id, "copy-1", url, actor="bench", reason="bench")
        yield settings, first, replica
