"""Two shards on servers of their own, the first with an asynchronous replica, and tills that write.

Owns the servers, the API in front of them, and what tills were told. Never promotes anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import psutil
import psycopg

from integration.app.programs import Ended, Shell
from integration.http.house import Api, Inn, make_inn, new_row, token_for
from serai.app.asgi import http_app
from serai.app.fleet import prepare_fleet
from serai.app.runtime import open_runtime
from serai.app.serving import served
from serai.app.settings import Settings
from serai.core.ids import uuid7
from serai.embedded.ports import free_port
from serai.embedded.postgres import EmbeddedPostgres, EmbeddedReplica, Follows
from serai.shard.directory import Directory
from serai.shard.enrol import add_replica

SECONDS = 60.0
SHARDS = ("shard-1", "shard-2")


@dataclass
class Till:
    """Writes rows one after another, each until it is acknowledged, under one key."""

    api: Api
    acknowledged: list[str] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    progress: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def run(self, done: asyncio.Event) -> None:
        while not done.is_set():
            row_id, key = str(uuid7()), secrets.token_hex(8)
            row = {"id": row_id, **new_row("properties", {}, row_id)}
            while (status := await self._try(row, key)) != 201:
                self.errors.append(status)
                await asyncio.sleep(0)
            self.acknowledged.append(row_id)
            self.progress.release()

    async def _try(self, row: object, key: str) -> int:
        answer = await self.api("POST", "/v1/properties", row, Idempotency_Key=key)
        assert answer.status in {201, 503, 504}, answer
        return answer.status

    async def more(self, count: int) -> None:
        """Wait until so many more are acknowledged."""
        async with asyncio.timeout(SECONDS):
            for _ in range(count):
                await self.progress.acquire()


@dataclass
class Pair:
    """Two shards on servers of their own, the directory on a third; the first has a replica."""

    primary: EmbeddedPostgres
    replica: EmbeddedReplica
    settings: Settings
    inns: list[Inn]
    url: str
    second_url: str

    def kill_primary(self) -> None:
        """End every process of it with signal 9."""
        first = psutil.Process(self.primary.pid)
        for each in [first, *first.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()

    @asynccontextmanager
    async def tills(self) -> AsyncGenerator[list[Till]]:
        """Yield a till of each organisation."""
        async with aiohttp.ClientSession(auto_decompress=True) as session:
            yield [
                Till(Api(session, self.url, await token_for(session, self.url, inn)))
                for inn in self.inns
            ]

    def asked(self, text: str, *values: object) -> list[tuple[object, ...]]:
        """Ask the replica's server by SQL, past everything under test."""
        with psycopg.connect(self.replica.url("shard"), autocommit=True) as connection:
            return connection.execute(text.encode(), values).fetchall()


@asynccontextmanager
async def a_pair() -> AsyncGenerator[Pair]:
    """Yield it, served over HTTP, with an organisation on each shard."""
    async with AsyncExitStack() as stack:
        directory, primary, other = [
            await stack.enter_async_context(EmbeddedPostgres()) for _ in range(3)
        ]
        await directory.create_database("directory")
        for each in (primary, other):
            await each.create_database("shard")
        settings = Settings(directory_url=directory.url("directory"), pool_min=1, pool_max=8)
        urls = [each.url("shard") for each in (primary, other)]
        await prepare_fleet(settings, list(zip(SHARDS, urls, strict=True)))
        follows = Follows(primary.url(), "copy_1")
        replica = await stack.enter_async_context(EmbeddedReplica(follows))
        async with await Directory.open(settings.directory_url) as known:
            url, shard_id = replica.url("shard"), known.shards[0].id
            await add_replica(known, shard_id, "copy-1", url, actor="t", reason="t")
        inns = [await make_inn(settings.directory_url, f"inn-{n}") for n in range(2)]
        port = free_port()
        runtime = await stack.enter_async_context(open_runtime(settings))
        assert {runtime.directory.resolve(inn.org_id).name for inn in inns} == set(SHARDS)
        inns.sort(key=lambda inn: runtime.directory.resolve(inn.org_id).name)
        app = await stack.enter_async_context(http_app(runtime))
        await stack.enter_async_context(served(app, "127.0.0.1", port))
        yield Pair(primary, replica, settings, inns, f"http://127.0.0.1:{port}", urls[1])


async def typed(shell: Shell, *words: str) -> Ended:
    """Type a command of `serai shard` while everything else goes on."""
    return await asyncio.to_thread(shell.run, "shard", *words)


async def pulled(api: Api, token: str | None) -> dict[str, object]:
    wanted = {"name": "properties"} | ({"sinceToken": token} if token else {})
    body = {"collections": [wanted]}
    answer = await api("POST", "/v1/sync/changes", body, Idempotency_Key=None)
    return answer.json["collections"][0] if answer.status == 200 else {}


async def token_of(api: Api) -> str:
    return str((await pulled(api, None))["nextToken"])
