"""A primary with two replicas, a directory that knows them, and workers that serve it.

Owns the set-up: real servers, real HTTP, two workers as two processes would be. Promises that what
was asked of a replica or of the primary is counted by the recorder of the product. Never asserts a
promise.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import aiohttp
import psutil
import psycopg

from integration.http.house import Api, Inn, make_inn, token_for
from integration.replicas.wire import Wire, wire
from serai.app.asgi import http_app
from serai.app.fleet import prepare_fleet
from serai.app.runtime import Runtime, open_runtime
from serai.app.serving import served
from serai.app.settings import Settings
from serai.embedded.ports import free_port
from serai.embedded.postgres import EmbeddedPostgres, EmbeddedReplica, Follows
from serai.shard.directory import Directory
from serai.shard.enrol import add_replica
from serai.telemetry.recorder import Recorder

DIRECTORY, SHARD = "directory", "shard"
SECONDS = 60.0


class Counts(Recorder):
    """Counts who answered reads, and the longest wait for a replica."""

    def __init__(self) -> None:
        self.by: Counter[str] = Counter()
        self.waits: list[float] = []

    def read_by(self, who: str, waited_seconds: float) -> None:
        self.by[who] += 1
        if waited_seconds:
            self.waits.append(waited_seconds)


@dataclass
class Copy:
    """A replica. `stream`: its line to the primary; `way`: the line from the workers to it."""

    name: str
    server: EmbeddedReplica
    stream: Wire
    way: Wire

    def sql(self, text: str) -> list[tuple[object, ...]]:
        """Ask it, past the line."""
        with psycopg.connect(self.server.url(SHARD), autocommit=True) as connection:
            return connection.execute(text.encode()).fetchall()

    def pause(self) -> None:
        """Replay nothing more until `resume`."""
        self.sql("select pg_wal_replay_pause()")

    def resume(self) -> None:
        """Replay what has come."""
        self.sql("select pg_wal_replay_resume()")

    def processes(self) -> list[psutil.Process]:
        """Every process of it, so that all can be stopped."""
        first = psutil.Process(self.server.pid)
        return [first, *first.children(recursive=True)]

    def freeze(self) -> None:
        """Stop every process, as a machine that hangs does: connections stay open."""
        for each in self.processes():
            each.suspend()

    def thaw(self) -> None:
        """Let them go on."""
        for each in self.processes():
            each.resume()


@dataclass
class Worker:
    """A server of the API, with connections and a memory of its own."""

    runtime: Runtime
    url: str
    counts: Counts


@dataclass
class Cluster:
    """Everything, and the people of one organisation."""

    primary: EmbeddedPostgres
    copies: list[Copy]
    settings: Settings
    workers: list[Worker] = field(default_factory=list)

    async def until(self, holds: Callable[[Worker], Awaitable[bool] | bool]) -> None:
        """Wait until it holds for every worker, by the looks that each of them takes."""
        async with asyncio.timeout(SECONDS):
            for worker in self.workers:
                replicas = (await worker.runtime.shard_for(1)).copies.replicas
                while True:
                    held = holds(worker)
                    if held if isinstance(held, bool) else await held:
                        break
                    await replicas.look()
                    await asyncio.sleep(0)

    async def until_used(self, *names: str) -> None:
        """Wait until exactly these replicas get reads, in every worker."""

        async def used(worker: Worker) -> bool:
            states = (await worker.runtime.shard_for(1)).copies.replicas.states()
            return {name for name, state in states.items() if state[0]} == set(names)

        await self.until(used)

    def sql(self, text: str, *values: object) -> list[tuple[object, ...]]:
        """Ask the primary."""
        with psycopg.connect(self.primary.url(SHARD), autocommit=True) as connection:
            return connection.execute(text.encode(), values).fetchall()

    async def inn(self) -> Inn:
        """Make an organisation."""
        return await make_inn(self.settings.directory_url, f"inn-{secrets.token_hex(4)}")

    @asynccontextmanager
    async def owners(self, inn: Inn) -> AsyncGenerator[list[Api]]:
        """Yield the requests of the owner through each worker."""
        async with aiohttp.ClientSession(auto_decompress=True) as session:
            token = await token_for(session, self.workers[0].url, inn)
            yield [Api(session, worker.url, token) for worker in self.workers]

    def answered(self) -> Counter[str]:
        """Return who answered reads that a replica could answer, of all workers; count anew."""
        found: Counter[str] = Counter()
        for worker in self.workers:
            found += worker.counts.by
            worker.counts.by = Counter()
        return found


@asynccontextmanager
async def a_cluster(copies: int = 2, workers: int = 2) -> AsyncGenerator[Cluster]:
    """Start everything."""
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(EmbeddedPostgres())
        for name in (DIRECTORY, SHARD):
            await primary.create_database(name)
        settings = Settings(directory_url=primary.url(DIRECTORY), pool_min=1, pool_max=8)
        await prepare_fleet(settings, [("shard-1", primary.url(SHARD))])
        made: list[Copy] = []
        for number in range(1, copies + 1):
            stream = await stack.enter_async_context(wire(primary.port))
            follows = Follows(stream.url(primary.url()), f"copy_{number}")
            server = await stack.enter_async_context(EmbeddedReplica(follows))
            way = await stack.enter_async_context(wire(server.port))
            made.append(Copy(f"copy-{number}", server, stream, way))
        cluster = Cluster(primary, made, settings)
        async with await Directory.open(settings.directory_url) as directory:
            (shard,) = directory.shards
            for copy in made:
                await add_replica(
                    directory,
                    shard.id,
                    copy.name,
                    copy.way.url(copy.server.url(SHARD)),
                    actor="test",
                    reason="test",
                )
        for _ in range(workers):
            cluster.workers.append(await stack.enter_async_context(_worker(settings)))
        yield cluster


@asynccontextmanager
async def _worker(settings: Settings) -> AsyncGenerator[Worker]:
    counts, port = Counts(), free_port()
    async with (
        open_runtime(settings, recorder=counts) as runtime,
        http_app(runtime, counts) as app,
        served(app, "127.0.0.1", port),
    ):
        yield Worker(runtime, f"http://127.0.0.1:{port}", counts)


def row_id(answer: object) -> UUID:
    """Return the id of a row in an answer."""
    assert isinstance(answer, dict), answer
    return UUID(answer["id"])
