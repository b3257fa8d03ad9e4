"""A hotel for the tests of the sync client: the server that ships on a real socket, people who sign
in, and a network that can be cut.

Owns the set-up. What the server holds is read from PostgreSQL by hand-written SQL, past everything
under test. Never asserts a promise of the client.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import psycopg

from serai.app.asgi import Application
from serai.app.organisations import create_organisation, insert_missing
from serai.app.people import ensure_user, new_password_for
from serai.app.runtime import Runtime, open_runtime
from serai.app.serving import served
from serai.app.settings import Settings
from serai.app.system_actor import SystemActor
from serai.client import AccessToken, HttpTransport, Pace, SyncClient
from serai.core.ids import uuid7
from serai.embedded.ports import free_port
from serai.log.intent import RowIntent, WriteIntent

HELD = ("properties", "guests", "stays")
NUMBERS = {"properties": 1, "guests": 5, "stays": 6}
Rows = dict[tuple[str, UUID], tuple[int, dict[str, Any]]]
PATIENT = Pace(foreground_poll=3600.0, fill_rows=500)


@dataclass
class Hotel:
    """One organisation with one house, on a server that can be stopped and started."""

    runtime: Runtime
    shard_url: str
    org_id: int
    house: UUID
    settings: Settings
    password: str
    email: str
    _serving: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def url(self) -> str:
        return f"http://{self.settings.host}:{self.settings.port}"

    async def start(self) -> None:
        """Start the server, on the same port each time."""
        server = served(Application(self.settings), self.settings.host, self.settings.port)
        await self._serving.enter_async_context(server)

    async def stop(self) -> None:
        """Stop it."""
        await self._serving.aclose()

    async def sign_in(self) -> str:
        """Return an access token, from the API like anyone's."""
        form = {"email": self.email, "password": self.password, "organisation": self.org_id}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/v1/auth/token", json=form) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return (await answer.json())["accessToken"]

    async def add_guests(self, count: int) -> list[UUID]:
        """Let the office enter guests, past the API; their notes do not pack well."""
        shard = await self.runtime.shard_for(self.org_id)
        ids = [uuid7() for _ in range(count)]
        fields = self.runtime.vertical.by_name["guests"].fields
        blank = dict.fromkeys(fields)
        rows = [
            ("guests", i, {**blank, **guest(self, f"G {n}", note=secrets.token_hex(100))})
            for n, i in enumerate(ids)
        ]
        await asyncio.gather(
            *(insert_missing(self.runtime, shard, self.org_id, rows[n::50]) for n in range(50))
        )
        return ids

    async def rename(self, row_id: str, name: str, **more: str) -> None:
        """Let the office change a guest, past the API."""
        shard = await self.runtime.shard_for(self.org_id)
        wish = RowIntent(
            self.runtime.vertical.by_name["guests"], "update", UUID(row_id), {"name": name, **more}
        )
        actor = SystemActor(self.runtime.vertical)
        digest = secrets.token_bytes(32)
        await shard.coalescer.submit(WriteIntent(self.org_id, actor, (wish,), None, digest))

    def rows(self) -> Rows:
        """Return the rows that the server holds, of the collections that the phones keep."""
        names = {number: name for name, number in NUMBERS.items()}
        found = self.sql(
            "select collection, id, version, doc from serai.row"
            " where org_id = %s and collection = any(%s)",
            self.org_id,
            [*names],
        )
        return {
            (names[number], row_id): (version, json.loads(doc))
            for number, row_id, version, doc in found
        }

    def effects(self, ids: Iterable[UUID]) -> dict[UUID, int]:
        """Return how many entries the log has for each of these rows."""
        found = self.sql(
            "select id, count(*) from serai.log where org_id = %s and id = any(%s) group by id",
            self.org_id,
            [*ids],
        )
        return dict(found)

    def sql(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.shard_url) as connection:
            return connection.execute(text.encode(), values).fetchall()


@asynccontextmanager
async def a_hotel(
    directory_url: str, shard_url: str, key: str, *, doorbell: str = ""
) -> AsyncGenerator[Hotel]:
    """Make an organisation with a house and an owner, and serve it."""
    settings = Settings(
        directory_url=directory_url,
        port=free_port(),
        live_port=free_port(),
        doorbell_url=doorbell,
        pool_min=2,
        pool_max=8,
    )
    async with open_runtime(settings, as_owner=True) as runtime:
        email = f"{key}@example.com"
        owner = await ensure_user(runtime, email)
        password = await new_password_for(runtime, owner.user_id)
        org_id = await create_organisation(runtime, key, name=key, owner=owner.user_id)
        house = uuid7()
        blank = dict.fromkeys(runtime.vertical.by_name["properties"].fields)
        place = {"name": "Casa", "kind": "hotel", "timezone": "Europe/Madrid", "currency": "EUR"}
        shard = await runtime.shard_for(org_id)
        row = {**blank, **place, "active": True}
        await insert_missing(runtime, shard, org_id, [("properties", house, row)])
        hotel = Hotel(runtime, shard_url, org_id, house, settings, password, email)
        await hotel.start()
        try:
            yield hotel
        finally:
            await hotel.stop()


def always(token: str) -> AccessToken:
    async def access_token(_: bool) -> str:
        return token

    return access_token


class Counted(HttpTransport):
    """The transport that ships, counting answers and what they unpack to."""

    answers = 0
    plain_bytes = 0

    async def _post(self, path: str, body: bytes, etag: str | None) -> Any:
        answer = await super()._post(path, body, etag)
        self.answers += 1
        self.plain_bytes += len(answer.body)
        return answer


@asynccontextmanager
async def a_phone(
    path: Path, url: str, token: str | AccessToken, *, pace: Pace = PATIENT
) -> AsyncGenerator[SyncClient]:
    """Open a phone's file against the server at `url`."""
    transport = HttpTransport(url, always(token) if isinstance(token, str) else token)
    try:
        async with await SyncClient.open(
            path, transport=transport, collections=HELD, pace=pace
        ) as client:
            yield client
    finally:
        await transport.close()


def held(phone: SyncClient) -> Rows:
    """Return the rows that the phone shows."""
    return {(n, row.id): (row.version, dict(row.data)) for n in HELD for row in phone.rows(n)}


def guest(hotel: Hotel, name: str, **more: str) -> dict[str, Any]:
    return {"property_id": str(hotel.house), "name": name, **more}


class Line:
    """A TCP line to the server that breaks after so many bytes of an answer.

    Attributes:
        cut_after: bytes that still come down before the next break; None: it holds.
        bound: every answer longer than this breaks off; None: none does.
        down: bytes that came down so far.
        breaks: how often it broke.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = free_port()
        self.cut_after: int | None = None
        self.bound: int | None = None
        self.down = 0
        self.breaks = 0
        self.heads: list[bytes] = []
        self._carrying: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Line]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        async with server:
            yield self
            for each in self._carrying:
                each.cancel()
            await asyncio.gather(*self._carrying, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._carrying.add(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to)
        up = asyncio.create_task(_copy(reader, to_writer))
        try:
            await self._down(to_reader, writer)
        finally:
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)
            to_writer.close()
            writer.close()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1_000):
            if piece.startswith(b"HTTP/1.1"):
                if self.bound is not None:
                    self.cut_after = self.bound
                self.heads.append(piece.split(b"\r\n\r\n")[0].lower())
            if self.cut_after is not None:
                if len(piece) >= self.cut_after:
                    writer.write(piece[: self.cut_after])
                    await writer.drain()
                    self.cut_after = None
                    self.breaks += 1
                    writer.transport.abort()
                    return
                self.cut_after -= len(piece)
            self.down += len(piece)
            writer.write(piece)
            await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65_536):
        writer.write(piece)
        await writer.drain()
