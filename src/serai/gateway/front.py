"""The front: takes connections, asks who it is, and hands each to the table of its organisation.

Owns the listening socket, the tables' processes, the feed. Promises that an organisation is at one
table for as long as somebody listens; that a change goes to that table once; and that a table which
ends is begun anew, with nobody in it: its clients come back. Never writes to a listener after it
was handed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.core.token import TokenSealer
from serai.gate.caller import Caller
from serai.gateway.admission import admission, wanted
from serai.gateway.channel import Channel
from serai.gateway.door import Guest, refused, welcomed
from serai.gateway.feed import Feed, Known, ReadHead, ReadLog
from serai.gateway.hosting import Tables
from serai.gateway.messages import (
    Asked,
    Counted,
    Ended,
    Forgotten,
    Heard,
    Left,
    Opened,
    Renewed,
    Restarted,
    ToFront,
)
from serai.model import Vertical

_log = logging.getLogger(__name__)
_BACKLOG: Final = 4_096
_STOP_SECONDS: Final = 5.0
_ACCEPT_AGAIN_SECONDS: Final = 0.1
_AT_THE_DOOR_MAX: Final = 500
"""Connections that have not been handed over yet; more wait in the kernel's queue."""
_GRANT_READS_MAX: Final = 8
"""Someone's roles may change again between two reads of them."""

Who = Callable[[str], Awaitable[tuple[Caller, int | None]]]
"""Credential -> (caller, the second since 1970 at which it expires, or None).

Raises SeraiError."""


@dataclass(frozen=True)
class FrontParts:
    """What a front needs.

    Attributes:
        host, port: where it listens; port 0 for any.
        tables: processes that hold sockets.
        origins: pages from there may connect.
        who: resolves credentials.
        head, log: read an organisation at its home.
        noticed: is told (organisation, grants_version), so that `who` knows an old grant.
        vertical: whose collections are heard.
        token_keys: key id -> secret of since-tokens.
    """

    host: str
    port: int
    tables: int
    origins: Sequence[str]
    who: Who
    head: ReadHead
    log: ReadLog
    noticed: Callable[[int, int], None]
    vertical: Vertical
    token_keys: Mapping[int, bytes]


class Front:
    """One gateway. Use `async with opened(parts) as front`.

    Attributes:
        feed: rings go to it.
        connections, deliveries: of all tables, as they last told.
    """

    def __init__(self, parts: FrontParts) -> None:
        """Keep the parts."""
        self._parts = parts
        self._sealer = TokenSealer(parts.token_keys)
        self.feed = Feed(parts.head, parts.log, self._pass_on, parts.noticed)
        names = {c.number: c.name for c in parts.vertical.collections}
        self._tables = Tables(names, parts.token_keys, self._said, self._lost)
        self._counts: dict[Channel, Counted] = {}
        self._listening: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_AT_THE_DOOR_MAX)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._listening is not None, "it is open"
        return int(self._listening.getsockname()[1])

    @property
    def connections(self) -> int:
        """Sockets that are open, as the tables last said."""
        return sum(count.connections for count in self._counts.values())

    @property
    def deliveries(self) -> int:
        """Frames with changes that were sent so far."""
        return sum(count.deliveries for count in self._counts.values())

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        listening = socket.create_server(
            (self._parts.host, self._parts.port), backlog=_BACKLOG, reuse_port=False
        )
        listening.setblocking(False)  # noqa: FBT003 - the form of a socket
        self._listening = listening
        self._tables.start(self._parts.tables)
        for work in (self._accept(), self.feed.poll()):
            self._keep(asyncio.create_task(work))

    def ended(self, sessions: list[UUID]) -> None:
        """Close the connections of sessions that have ended."""
        for channel in self._tables.channels:
            channel.send(Ended(sessions))

    async def close(self) -> None:
        """Close every socket, and wait until the tables have ended."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.feed.close()
        if self._listening is not None:
            self._listening.close()
        await self._tables.close()

    # --- tables ---

    def _lost(self, channel: Channel, org_ids: list[int]) -> None:
        """A table has ended, and with it every connection that it held."""
        self._counts.pop(channel, None)
        for org_id in org_ids:
            self.feed.known.pop(org_id, None)

    def _pass_on(self, message: Heard | Restarted) -> None:
        self._tables.of(message.org_id).send(message)

    def _said(self, channel: Channel, message: ToFront) -> None:
        match message:
            case Left():
                self._left(channel, message)
            case Counted():
                self._counts[channel] = message
            case Asked():
                self._keep(asyncio.create_task(self._renew(channel, message)))

    # --- connections ---

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._listening is not None, "it is open"
        while True:
            await self._room.acquire()
            try:
                connection, _ = await loop.sock_accept(self._listening)
            except OSError as error:
                self._room.release()
                _log.error("no connection was taken: %s", error)
                await asyncio.sleep(_ACCEPT_AGAIN_SECONDS)
                continue
            self._keep(asyncio.create_task(self._receive(connection)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the gateway failed: %s", error, exc_info=error)

    async def _receive(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._welcome(connection)
        finally:
            self._room.release()

    async def _welcome(self, connection: socket.socket) -> None:
        guest = await welcomed(connection, self._parts.origins)
        if guest is None:
            return
        try:
            await self._seat(guest)
        except SeraiError as error:
            await refused(connection, error)
        except BaseException:
            connection.close()
            raise

    async def _seat(self, guest: Guest) -> None:
        hello = guest.hello
        caller, expires_at = await self._parts.who(hello.access_token)
        wanted(caller, hello)
        token = (
            None
            if hello.since_token is None
            else self._sealer.open(hello.since_token, org_id=caller.org_id, user_id=caller.user_id)
        )
        for _ in range(_GRANT_READS_MAX):
            known = await self._opened(caller.org_id)
            if caller.machine or caller.grant.version >= known.grants_version:
                break
            # The roles were read before they changed.
            try:
                caller, expires_at = await self._parts.who(hello.access_token)
            except BaseException:
                self._left(self._tables.of(caller.org_id), Left(caller.org_id, 0))
                raise
        else:
            raise SeraiError(Code.CONTENDED, retry_after_seconds=1)
        known.admitted += 1
        message = admission(caller, hello, token, known.epoch, expires_at)
        self._tables.of(caller.org_id).send(message, guest.socket.detach())

    async def _opened(self, org_id: int) -> Known:
        """Begin to listen to an organisation, if nobody does yet."""
        known, new = await self.feed.opened(org_id)
        if new:
            opened = Opened(org_id, known.epoch, known.version, known.grants_version)
            self._tables.of(org_id).send(opened)
        return known

    def _left(self, channel: Channel, message: Left) -> None:
        if self.feed.left(message.org_id, message.admitted):
            channel.send(Forgotten(message.org_id))
            self._tables.forget(message.org_id)

    async def _renew(self, channel: Channel, asked: Asked) -> None:
        try:
            caller, expires_at = await self._parts.who(asked.token)
            same = (caller.org_id, caller.user_id) == (asked.org_id, asked.user_id)
            error = None if same else Code.UNAUTHENTICATED
        except SeraiError as refusal:
            error, expires_at = refusal.code, None
        channel.send(Renewed(asked.connection, expires_at, None if error is None else error.name))


@contextlib.asynccontextmanager
async def opened(parts: FrontParts) -> AsyncGenerator[Front]:
    """Start a gateway, yield it, and close every socket at the end.

    Raises:
        OSError: the port is taken.
    """
    front = Front(parts)
    try:
        await front.start()
        yield front
    finally:
        await front.close()
