"""What is measured on: a PostgreSQL, a shard with the vertical's tables, organisations, a server.

Owns their life. Promises that every figure has a PostgreSQL of its own, with fsync on and the
settings that `serai dev` uses, in a directory that is removed, and that the server over HTTP is
`serai serve` in processes of its own. Never measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import aiohttp

from serai.app.fleet import prepare_fleet
from serai.app.organisations import insert_missing
from serai.app.partitions import ensure_partitions
from serai.app.runtime import Runtime, Shard, open_runtime
from serai.app.settings import Settings
from serai.core.ids import uuid7
from serai.embedded.ports import free_port
from serai.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresSettings
from serai.gate.access import AccessTokens
from serai.gate.keys import KeyRing, ensure_signing_key, read_signing_keys
from serai.model import Row
from serai.shard.connection import connect
from serai.shard.queries import load_queries

_SQL: Final = load_queries("serai.bench", "bench.sql")
DIRECTORY: Final = "serai_directory"
SHARD: Final = "serai_shard_1"
_COUNTED: Final = {"shared_preload_libraries": "pg_stat_statements"}
_POLL_SECONDS: Final = 0.02
CONNECTIONS_MAX: Final = 200
"""What two workers may take of shard and directory, and the process that measures."""
WORKERS: Final = 2
"""Of the server: one for each core of the machine that the targets are for."""


@dataclass(frozen=True, slots=True)
class Member:
    """Someone who may do everything in an organisation, and their access token."""

    org_id: int
    user_id: UUID
    token: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A shard to measure on.

    Attributes:
        postgres: the first process of its PostgreSQL.
        url: of the shard's database, as its owner.
    """

    postgres: int
    url: str
    settings: Settings
    runtime: Runtime
    shard: Shard

    async def organisations(self, count: int) -> range:
        """Make organisations 1 to `count`, empty; return their numbers."""
        owner = await connect(self.url)
        try:
            await owner.execute(_SQL["organisations"], count)
        finally:
            await owner.close()
        return range(1, count + 1)

    async def members(self, organisations: Iterable[int]) -> list[Member]:
        """Give each organisation an owner with an access token."""
        settings, clock = self.settings, self.runtime.clock
        async with self.runtime.directory.pool.connection() as directory:
            await ensure_signing_key(directory, clock.now())
            ring = KeyRing.of(await read_signing_keys(directory), clock.now())
        tokens = AccessTokens(settings.issuer, settings.issuer, clock, ring)
        made: list[Member] = []
        for org_id in organisations:
            user_id = uuid4()
            await self._own(org_id, user_id)
            token, _ = tokens.sign(user_id=user_id, org_id=org_id, session_id=uuid4())
            made.append(Member(org_id, user_id, token))
        return made

    async def _own(self, org_id: int, user_id: UUID) -> None:
        vertical = self.runtime.vertical
        source = vertical.grants
        row: Row = dict.fromkeys(vertical.by_name[source.collection].fields)
        row |= {source.user_field: str(user_id), source.role_field: vertical.owner_role}
        rows = [(source.collection, uuid7(), row)]
        await insert_missing(self.runtime, self.shard, org_id, rows)

    @contextlib.asynccontextmanager
    async def served(self, **more: str) -> AsyncGenerator[Served]:
        """Run `serai serve` over this stage; `more`: variables of its environment."""
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from serai.cli import main; main()", "serve"),
            *("--port", str(port), "--workers", str(WORKERS)),
            env=environment(
                SERAI_DIRECTORY_URL=self.settings.directory_url,
                SERAI_LOG_LEVEL="error",
                **more,
            ),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        served = Served(process.pid, port)
        try:
            await answers(f"{served.url}/readyz", process)
            yield served
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


@dataclass(frozen=True, slots=True)
class Served:
    """A server over HTTP. `pid`: of its first process; the workers are below it."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def open_stage(
    *, count_statements: bool = False, data_dir: Path | None = None
) -> AsyncGenerator[Stage]:
    """Start a PostgreSQL, make directory and shard, and yield; nothing is left afterwards.

    Args:
        data_dir: start it on what this holds, and leave it there.
    """
    counted = _COUNTED if count_statements else {}
    settings = EmbeddedPostgresSettings(
        data_dir=data_dir, settings=counted, max_connections=CONNECTIONS_MAX
    )
    async with EmbeddedPostgres(settings) as postgres:
        for name in (DIRECTORY, SHARD):
            await postgres.create_database(name)
        chosen = Settings(directory_url=postgres.url(DIRECTORY))
        url = postgres.url(SHARD)
        await prepare_fleet(chosen, [("shard-1", url)])
        async with open_runtime(chosen) as runtime:
            shard = await runtime.shard(runtime.directory.shards[0])
            await ensure_partitions(shard.pool, runtime.vertical, runtime.clock.now())
            yield Stage(postgres.pid, url, chosen, runtime, shard)


async def answers(url: str, process: asyncio.subprocess.Process) -> None:
    """Wait until the program answers there with 200.

    Raises:
        OSError: it ended first.
    """
    async with aiohttp.ClientSession() as session:
        while process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    if answer.ok:
                        return
            await asyncio.sleep(_POLL_SECONDS)
    raise OSError(f"the server ended with status {process.returncode} before it answered")


def environment(**more: str) -> dict[str, str]:
    """Return the environment without settings that the user has for a Serai of their own."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith("SERAI_")}
    return {**plain, **more}
