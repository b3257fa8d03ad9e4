"""A table: one process that holds the sockets of its organisations and writes to them.

Owns the loop, the halls, and one channel to the front. Promises that it ends, and with it every
socket, when the front does. Never reads a database and never blocks on a socket.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Mapping
from time import monotonic, time
from typing import Final

from serai.core.errors import Code
from serai.core.token import Position, TokenSealer
from serai.gateway.framing import Close, framed
from serai.gateway.messages import (
    Admitted,
    Counted,
    Ended,
    Forgotten,
    Heard,
    Left,
    Opened,
    Receiver,
    Renewed,
    Restarted,
    ToFront,
    ToTable,
    packed,
    to_table,
)
from serai.gateway.seats import Connection, Hall
from serai.gateway.sockets import Sockets
from serai.gateway.speech import Speech
from serai.readers.live.room import Room
from serai.wire.live import PullReason, Ready, Refreshed

_TICK_SECONDS: Final = 1.0
_READ_BYTES: Final = 16_384


class Table:
    """The connections of one process.

    Args:
        channel: to the front; this end.
        names: collection number -> name.
        sealer: makes since-tokens.
    """

    def __init__(
        self, channel: socket.socket, names: Mapping[int, str], sealer: TokenSealer
    ) -> None:
        """Start with nobody."""
        self._channel, self._names = channel, names
        self._receiver = Receiver(channel, to_table)
        self._epoll = select.epoll()
        self._halls: dict[int, Hall] = {}
        self._sockets = Sockets(self._epoll, self._emptied)
        self._speech = Speech(self._sockets, sealer, self._say)
        self._serial = 0
        self._unsent = bytearray()

    def run(self) -> None:
        """Serve until the front has gone."""
        front = self._channel.fileno()
        self._channel.setblocking(False)  # noqa: FBT003 - the form of a socket
        self._epoll.register(front, select.EPOLLIN)
        tick = monotonic() + _TICK_SECONDS
        with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
            while True:
                for fd, event in self._epoll.poll(max(tick - monotonic(), 0.0)):
                    if fd == front:
                        self._front(event)
                    elif (connection := self._sockets.connections.get(fd)) is not None:
                        self._event(connection, event)
                if monotonic() >= tick:
                    tick = monotonic() + _TICK_SECONDS
                    self._tick()

    # --- the front ---

    def _front(self, event: int) -> None:
        if event & select.EPOLLOUT:
            self._say(None)
        if event & ~select.EPOLLOUT:
            with contextlib.suppress(BlockingIOError):
                for message, handed in self._receiver.receive():
                    self._told(message, handed)

    def _told(self, message: ToTable, handed: int | None) -> None:
        match message:
            case Opened():
                room = Room(Position(message.epoch, message.version), self._names)
                self._halls[message.org_id] = Hall(message.org_id, room, message.grants_version)
            case Admitted():
                assert handed is not None, "a socket comes with it"
                self._admit(message, handed)
            case Heard():
                self._heard(message)
            case Restarted():
                self._restarted(message)
            case Forgotten():
                self._halls.pop(message.org_id, None)
            case Ended():
                self._ended(set(message.sessions))
            case Renewed():
                self._renewed(message)

    def _say(self, message: ToFront | None) -> None:
        """Send to the front, and what of earlier messages did not go yet."""
        waited = bool(self._unsent)
        if message is not None:
            self._unsent += packed(message)
        with contextlib.suppress(BlockingIOError):
            sent = self._channel.send(self._unsent)
            del self._unsent[:sent]
        if bool(self._unsent) != waited:
            out = select.EPOLLOUT if self._unsent else 0
            self._epoll.modify(self._channel.fileno(), select.EPOLLIN | out)

    # --- listeners come and go ---

    def _admit(self, message: Admitted, fd: int) -> None:
        hall = self._halls.get(message.org_id)
        if hall is None:
            # It was opened at a table that has ended since: the client comes back.
            os.close(fd)
            return
        hall.admitted += 1
        self._serial += 1
        row = hall.row(dict(message.channels))
        connection = Connection(fd, self._serial, row, message.user_id, message.session_id)
        full = hall.full_for(message.user_id)
        self._sockets.enter(connection)
        if full is not None:
            self._sockets.fail(connection, Code.RATE_LIMITED, full)
            return
        connection.expires_at = message.expires_at
        connection.grants_version = message.grants_version
        connection.credit = message.credit
        if message.complete is not None:
            connection.complete = dict(message.complete)
        self._greet(connection, message)
        if not connection.closing and _outdated(connection, hall.grants_version):
            self._sockets.close(connection, Close.GOING_AWAY, "grants")

    def _greet(self, connection: Connection, message: Admitted) -> None:
        """Say where the listener stands, and seat it or tell it to pull."""
        room = connection.row.hall.room
        lives = None if message.expires_at is None else max(message.expires_at - int(time()), 0)
        held = room.head if message.version is None else message.version
        self._sockets.send(connection, Ready(room.epoch, held, lives))
        if message.version is not None and message.epoch != room.epoch:
            self._sockets.must_pull(connection, "epoch")
        elif message.pull is not None:
            self._sockets.must_pull(connection, message.pull)
        else:
            connection.cursor = connection.since = held
            self._sockets.forward(connection)

    # --- the log ---

    def _heard(self, message: Heard) -> None:
        hall = self._halls.get(message.org_id)
        if hall is None:
            return
        if hall.room.epoch != message.epoch or message.after > hall.room.head:
            self._restart(hall, message.epoch, message.through, "epoch")
            return
        for audience, told in hall.room.heard(message.after, message.through, message.entries):
            row = hall.rows[audience]
            if told.text is None:
                for connection in list(row.members):
                    self._sockets.must_pull(connection, "behind")
            else:
                self._sockets.deliver(row, framed(told.text), told.after)
        self._granted(hall, message.grants_version)

    def _restarted(self, message: Restarted) -> None:
        hall = self._halls.get(message.org_id)
        if hall is not None:
            reason = "behind" if message.epoch == hall.room.epoch else "epoch"
            anew = message.epoch != hall.room.epoch
            self._restart(hall, message.epoch, message.version, reason)
            if anew:
                # After a restore or a failover the number may have gone back: below what is known.
                hall.grants_version = -1
            self._granted(hall, message.grants_version)

    def _restart(self, hall: Hall, epoch: int, version: int, reason: PullReason) -> None:
        hall.room.restart(Position(epoch, version))
        for connection in list(hall.connections):
            self._sockets.must_pull(connection, reason)

    def _granted(self, hall: Hall, version: int) -> None:
        """End connections whose channels were read from older grants: they come back, and it is
        asked anew what they may hear.
        """
        if version > hall.grants_version:
            hall.grants_version = version
            for connection in list(hall.connections):
                if _outdated(connection, version):
                    self._sockets.close(connection, Close.GOING_AWAY, "grants")

    # --- listeners ---

    def _event(self, connection: Connection, event: int) -> None:
        if event & select.EPOLLOUT:
            self._sockets.flush(connection)
        if event & ~select.EPOLLOUT and connection.fd in self._sockets.connections:
            try:
                data = os.read(connection.fd, _READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if data:
                self._speech.read(connection, data)
            else:
                self._sockets.drop(connection)

    def _renewed(self, message: Renewed) -> None:
        connection = self._sockets.by_serial.get(message.connection)
        if connection is None or connection.closing:
            return
        connection.asked = False
        if message.error is not None:
            self._sockets.fail(connection, Code[message.error])
            return
        connection.expires_at = message.expires_at
        if message.expires_at is not None:
            self._sockets.send(connection, Refreshed(max(message.expires_at - int(time()), 0)))

    def _tick(self) -> None:
        """Once a second: tokens that have expired, and a word to the front."""
        now = int(time())
        for connection in list(self._sockets.connections.values()):
            if connection.expires_at is None or connection.expires_at > now:
                continue
            if connection.closing:
                self._sockets.drop(connection)
            else:
                self._sockets.fail(connection, Code.ACCESS_EXPIRED)
        sockets = self._sockets
        self._say(Counted(len(sockets.connections), sockets.deliveries, sockets.bytes_sent))

    def _ended(self, sessions: set[object]) -> None:
        for connection in list(self._sockets.connections.values()):
            if connection.session_id in sessions and not connection.closing:
                self._sockets.fail(connection, Code.UNAUTHENTICATED)

    def _emptied(self, hall: Hall) -> None:
        # Another may be on its way here: the front knows.
        self._say(Left(hall.org_id, hall.admitted))


def _outdated(connection: Connection, grants_version: int) -> bool:
    own = connection.grants_version
    return own is not None and own < grants_version
