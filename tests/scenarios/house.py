"""A house for the scenarios: PostgreSQL and `serai serve` as processes of their own, that can be
killed and started again on the same port and the same data.

Owns both processes, and the one organisation on them. Promises that "up" is an event that the
server's first answer sets, and that what is stored is read by SQL written here, past everything
under test. Never kills a process that it did not start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import threading
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import psutil
import psycopg

from integration.app.programs import SERAI, wait_for_end
from serai.app.fleet import prepare_fleet
from serai.app.organisations import create_organisation, insert_missing
from serai.app.people import ensure_user, new_password_for
from serai.app.runtime import open_runtime
from serai.app.settings import Settings
from serai.core.ids import uuid7
from serai.embedded.ports import free_port
from serai.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresSettings

SECONDS = 120.0
"""A bound for everything that is waited for: the machine may be busy."""


@dataclass
class Server:
    """`serai serve`, through all its lives.

    Attributes:
        up: it takes requests.
        words: what it said.
        more: variables, beside where the directory is and its port.
    """

    port: int
    home: Path
    directory_url: str
    more: dict[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    up: asyncio.Event = field(default_factory=asyncio.Event)
    words: list[str] = field(default_factory=list)
    _spoke: asyncio.Event = field(default_factory=asyncio.Event)
    _process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        """Start, and wait until it takes requests."""
        plain = {n: v for n, v in os.environ.items() if not n.startswith("SERAI_")}
        more = {"SERAI_DIRECTORY_URL": self.directory_url, "SERAI_PORT": str(self.port)}
        self._process = subprocess.Popen(  # noqa: ASYNC220 - it is read by a thread
            [SERAI, "serve"],
            env={**plain, **more, **self.more, "HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(self._process, loop), daemon=True).start()
        async with asyncio.timeout(SECONDS):
            await self.up.wait()

    def _listen(self, process: subprocess.Popen[str], loop: asyncio.AbstractEventLoop) -> None:
        assert process.stdout is not None
        threading.Thread(target=self._look, args=(process, loop), daemon=True).start()
        with process.stdout as said:
            for line in said:
                self.words.append(line)
                # The last lines may come when nobody listens any more.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._spoke.set)

    def _look(self, process: subprocess.Popen[str], loop: asyncio.AbstractEventLoop) -> None:
        """Set `up` when it answers; until then wait for its end, a moment at a time."""
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/readyz", timeout=5).close()  # noqa: S310 - the server under test
            except OSError:
                try:
                    process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
                return
            loop.call_soon_threadsafe(self.up.set)
            return

    async def said(self, words: str, times: int = 1) -> None:
        """Wait until so many of its lines have these words."""
        async with asyncio.timeout(SECONDS):
            while sum(words in line for line in self.words) < times:
                self._spoke.clear()
                await self._spoke.wait()

    async def kill(self) -> None:
        """Kill every process of it with signal 9."""
        family = self._family()
        self.up.clear()
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        await asyncio.to_thread(self._ended, family)

    async def stop(self) -> int:
        """Ask it to stop, as a deployment does; return its exit code."""
        assert self._process is not None
        family = self._family()
        self.up.clear()
        self._process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self._ended, family)
        return self._process.returncode

    def _family(self) -> list[psutil.Process]:
        assert self._process is not None
        me = psutil.Process(self._process.pid)
        return [me, *me.children(recursive=True)]

    def _ended(self, family: list[psutil.Process]) -> None:
        assert self._process is not None
        self._process.wait(SECONDS)
        wait_for_end([each for each in family if each.pid != self._process.pid])


@dataclass
class House:
    """One organisation with one property, its database and its server. `shard`: the name of the
    database.
    """

    postgres: EmbeddedPostgres
    server: Server
    org_id: int
    place: UUID
    token: str
    shard: str = "shard"

    def database_processes(self) -> list[psutil.Process]:
        """The first process of PostgreSQL, and everything that it has started."""
        first = psutil.Process(self.postgres.pid)
        return [first, *first.children(recursive=True)]

    async def kill_database(self) -> None:
        """Kill every process of PostgreSQL with signal 9."""
        family = self.database_processes()
        for each in family:
            # Those whose parent has died end by themselves.
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        await asyncio.to_thread(wait_for_end, family)
        await self.postgres.stop()

    def kill_one_connection(self) -> int:
        """Kill the process behind one connection of the server with signal 9; PostgreSQL then ends
        all of them and recovers. Return how many there were.
        """
        found = self.sql(
            "select pid from pg_stat_activity where datname = 'shard' and pid <> pg_backend_pid()"
            " and backend_type = 'client backend'"
        )
        os.kill(found[0][0], signal.SIGKILL)
        return len(found)

    def sql(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.postgres.url(self.shard)) as connection:
            return connection.execute(text.encode(), values).fetchall()

    async def sql_when_up(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask again until PostgreSQL has recovered and answers."""
        async with asyncio.timeout(SECONDS):
            while True:
                # Not in a thread: an older one may be at another place of a network.
                with contextlib.suppress(psycopg.OperationalError):
                    async with await psycopg.AsyncConnection.connect(
                        self.postgres.url(self.shard)
                    ) as connection:
                        found = await connection.execute(text.encode(), values)
                        return await found.fetchall()


@asynccontextmanager
async def a_house(
    folder: Path, *, shard_on: EmbeddedPostgres | None = None, **variables: str
) -> AsyncGenerator[House]:
    """Make the organisation, and serve it.

    Args:
        shard_on: the running server of the shard; None: the directory's.
        variables: of `serai serve`.
    """
    settings = EmbeddedPostgresSettings(data_dir=folder / "data", port=free_port())
    postgres = EmbeddedPostgres(settings)
    await postgres.start()
    try:
        shards = shard_on or postgres
        await postgres.create_database("directory")
        await shards.create_database("shard")
        directory, shard = postgres.url("directory"), shards.url("shard")
        await prepare_fleet(Settings(directory_url=directory), [("shard-1", shard)])
        chosen = Settings(directory_url=directory, pool_min=1)
        async with open_runtime(chosen, as_owner=True) as runtime:
            owner = await ensure_user(runtime, "owner@example.com")
            password = await new_password_for(runtime, owner.user_id)
            org_id = await create_organisation(runtime, "h", name="h", owner=owner.user_id)
            place = uuid7()
            blank = dict.fromkeys(runtime.vertical.by_name["properties"].fields)
            more = {"kind": "hotel", "timezone": "Europe/Madrid", "currency": "EUR"}
            row = {**blank, **more, "name": "Casa", "active": True}
            home = await runtime.shard_for(org_id)
            await insert_missing(runtime, home, org_id, [("properties", place, row)])
        server = Server(free_port(), folder, directory, variables)
        await server.start()
        token = await _sign_in(server.url, password, org_id)
        try:
            yield House(shards, server, org_id, place, token)
        finally:
            if server.up.is_set():
                await server.kill()
    finally:
        await postgres.stop()


async def _sign_in(url: str, password: str, org_id: int) -> str:
    form = {"email": "owner@example.com", "password": password, "organisation": org_id}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/auth/token", json=form) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return (await answer.json())["accessToken"]


def a_name() -> str:
    """Return a name that nobody else has."""
    return secrets.token_hex(8)
