"""The sockets of a table: what is written to them, and how they end.

Owns the connections and what the kernel does not take of what is written. Promises that one
listener who does not read costs the others nothing: its rest waits here, as a cursor into the ring
and the end of one frame; that whoever cannot be brought forward is told to pull; and that a
connection that ends is told why. Never blocks, and never decides what is told.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Callable
from time import time
from typing import Final

import msgspec

from serai.core.errors import Code
from serai.core.live_limits import LIVE_FRAME_BYTES_MAX, LIVE_SEND_BUFFER_BYTES
from serai.gateway.codes import close_code
from serai.gateway.framing import close_frame, framed
from serai.gateway.seats import AT_HEAD, Connection, Hall, Row
from serai.wire.live import Failed, Pull, PullReason, ServerFrame

_FAREWELL_SECONDS: Final = 5
_OUT_BYTES_MAX: Final = LIVE_FRAME_BYTES_MAX + 65_536
"""That wait for one listener: the rest of a frame, and answers. Who lets more wait is dropped."""
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 3))
"""A peer that is gone without a word is found in two minutes, by the kernel."""

_encode: Final = msgspec.json.Encoder().encode


class Sockets:
    """The connections of one process.

    Args:
        epoll: in which each socket is.
        emptied: is told of an organisation whose last listener has left.

    Attributes:
        connections: by socket.
        by_serial: the same, by serial number.
        deliveries, bytes_sent: frames with changes, so far.
    """

    def __init__(self, epoll: select.epoll, emptied: Callable[[Hall], None]) -> None:
        """Start with nobody."""
        self._epoll, self._emptied = epoll, emptied
        self.connections: dict[int, Connection] = {}
        self.by_serial: dict[int, Connection] = {}
        self.deliveries = self.bytes_sent = 0

    def enter(self, connection: Connection) -> None:
        """Take a connection over."""
        fd = connection.fd
        connection.row.hall.enter(connection)
        self.connections[fd] = self.by_serial[connection.serial] = connection
        _tuned(fd)
        self._epoll.register(fd, select.EPOLLIN)

    def leave(self, connection: Connection) -> None:
        """Take a listener out of its hall: it hears nothing more, and makes room for others."""
        hall = connection.row.hall
        connection.closing = True
        hall.leave(connection)
        if hall.size == 0:
            self._emptied(hall)

    def drop(self, connection: Connection) -> None:
        """Forget a connection and close its socket, once."""
        if self.connections.get(connection.fd) is not connection:
            return
        if not connection.closing:
            self.leave(connection)
        del self.connections[connection.fd]
        del self.by_serial[connection.serial]
        os.close(connection.fd)

    def close(self, connection: Connection, code: int, reason: str = "") -> None:
        """Send a close frame, and give the client a moment to answer it: a socket that is closed at
        once may take the frame with it.
        """
        if connection.closing:
            return
        self.write(connection, close_frame(code, reason))
        if connection.closing:
            return
        self.leave(connection)
        connection.expires_at = int(time()) + _FAREWELL_SECONDS

    def fail(self, connection: Connection, code: Code, detail: str | None = None) -> None:
        """End a connection with a line of the catalogue of errors."""
        kind = code.kind
        name = code.name.lower()
        self.send(connection, Failed(name, kind.title, kind.remedy, kind.retry.value, detail))
        if not connection.closing:
            self.close(connection, close_code(code), name)

    def deliver(self, row: Row, frame: bytes, after: int) -> None:
        """Write one frame, which follows on `after`, to everyone at the head."""
        size, write = len(frame), os.write
        short: list[tuple[int, int]] = []
        gone: list[int] = []
        for fd in row.ready:
            try:
                sent = write(fd, frame)
            except BlockingIOError:
                sent = 0
            except OSError:
                gone.append(fd)
                continue
            if sent != size:
                short.append((fd, sent))
        self.deliveries += len(row.ready) - len(gone)
        self.bytes_sent += size * (len(row.ready) - len(gone))
        for fd, sent in short:
            self._short(self.connections[fd], frame, sent, after)
        for fd in gone:
            self.drop(self.connections[fd])
        row.counted()

    def _short(self, connection: Connection, frame: bytes, sent: int, after: int) -> None:
        """Take one out of the row that did not take the frame which goes over it now, or not
        all of it. A frame that was begun is ended; one that was not becomes part of a later one.
        """
        row = connection.row
        row.unseat(connection, row.audience.told if sent else after)
        if sent:
            connection.credit = max(connection.credit - 1, 0)
        connection.out = frame[sent:] if sent else b""
        self._epoll.modify(connection.fd, select.EPOLLIN | select.EPOLLOUT)

    def forward(self, connection: Connection) -> None:
        """Bring a listener to the head, if it may be sent what it lacks and takes it."""
        row = connection.row
        if connection.closing or connection.out is not None or connection.cursor == AT_HEAD:
            return
        told = row.hall.room.caught_up(row.audience, connection.cursor)
        if told is None:
            if connection.credit:
                row.seat(connection)
        elif told.text is None:
            self.must_pull(connection, "behind")
        elif connection.credit:
            connection.credit -= 1
            connection.cursor = told.version
            self.deliveries += 1
            self.bytes_sent += len(told.text)
            self.write(connection, framed(told.text))
            self.forward(connection)

    def must_pull(self, connection: Connection, reason: PullReason) -> None:
        """Tell a listener to pull; what it is told from now on follows on the head."""
        room = connection.row.hall.room
        if connection.cursor == AT_HEAD:
            connection.row.unseat(connection, room.head)
        connection.cursor = connection.since = room.head
        # What it says that it has seen may be of before: a token comes of its pull first.
        connection.complete = None
        self.send(connection, Pull(reason, room.epoch, room.head))
        self.forward(connection)

    def send(self, connection: Connection, frame: ServerFrame) -> None:
        if not connection.closing:
            self.write(connection, framed(_encode(frame)))

    def write(self, connection: Connection, data: bytes) -> None:
        """Write, or keep what the kernel does not take."""
        if connection.out is not None:
            connection.out += data
            if len(connection.out) > _OUT_BYTES_MAX:
                self.drop(connection)
            return
        try:
            sent = os.write(connection.fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.drop(connection)
            return
        if sent != len(data):
            if connection.cursor == AT_HEAD:
                connection.row.unseat(connection, connection.row.audience.told)
            connection.out = data[sent:]
            self._epoll.modify(connection.fd, select.EPOLLIN | select.EPOLLOUT)

    def flush(self, connection: Connection) -> None:
        """Write what was kept, and then what has come since."""
        rest, connection.out = connection.out, None
        self._epoll.modify(connection.fd, select.EPOLLIN)
        if rest:
            self.write(connection, rest)
        self.forward(connection)


def _tuned(fd: int) -> None:
    """Set what a socket of a table needs. The descriptor stays the caller's."""
    held = socket.socket(fileno=fd)
    try:
        held.setblocking(False)  # noqa: FBT003 - the form of a socket
        with contextlib.suppress(OSError):
            held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LIVE_SEND_BUFFER_BYTES)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                held.setsockopt(socket.IPPROTO_TCP, option, value)
    finally:
        held.detach()
