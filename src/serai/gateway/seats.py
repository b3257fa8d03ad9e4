"""Seats: the connections of one table, by organisation and audience.

Owns what a table remembers of a connection, and who may be written to. Promises that a listener at
the head who has credit is in one set of file descriptors, which a change goes over with one system
call each and nothing else; everything else is kept by those who are not there. Pure: never touches
a socket.

Credit is a number of frames. The set counts the frames that went over it; a listener leaves it at
the count that its credit ends at, found by that count and not by asking everyone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from serai.core.channels import ChannelSet
from serai.core.live_limits import (
    LIVE_CREDIT_MAX,
    LIVE_ORG_CONNECTIONS_MAX,
    LIVE_USER_CONNECTIONS_MAX,
)
from serai.gateway.framing import Parser
from serai.readers.live.room import Audience, Room

AT_HEAD: Final = -1
"""The cursor of a listener who holds what those at the head do."""


class Connection:
    """One listener.

    Attributes:
        fd: its socket.
        asked: the front looks at a new access token of it.
        since: the version of its last `ready` or `pull`: a since-token from before counts no more.
        serial: tells it from an earlier one with the same socket.
        cursor: the version that it holds, or `AT_HEAD`.
        credit: frames that it may be sent; while it is at the head, the count of its row's frames
            at which that ends.
        out: what the kernel did not take yet.
        complete: channels that its since-token holds whole; None: no token is made for it.
        grants_version: of the grant that its channels were read from; None: they do not change.
    """

    __slots__ = (
        "asked",
        "closing",
        "complete",
        "credit",
        "cursor",
        "expires_at",
        "fd",
        "grants_version",
        "out",
        "parser",
        "row",
        "serial",
        "session_id",
        "since",
        "user_id",
    )

    def __init__(self, fd: int, serial: int, row: Row, user_id: UUID, session_id: UUID) -> None:
        """A listener who holds nothing and may be sent nothing yet."""
        self.fd, self.serial, self.row = fd, serial, row
        self.user_id, self.session_id = user_id, session_id
        self.cursor = self.since = 0
        self.credit = 0
        self.out: bytes | None = None
        self.parser: Parser | None = None
        self.complete: ChannelSet | None = None
        self.expires_at: int | None = None
        self.grants_version: int | None = None
        self.asked = False
        self.closing = False


class Row:
    """The listeners of one audience.

    Attributes:
        ready: sockets of those at the head who have credit and took everything so far.
        sent: frames that went over `ready`.
    """

    __slots__ = ("_ends", "audience", "hall", "members", "ready", "sent")

    def __init__(self, hall: Hall, audience: Audience) -> None:
        """An audience in which nobody is."""
        self.hall, self.audience = hall, audience
        self.members: set[Connection] = set()
        self.ready: set[int] = set()
        self.sent = 0
        self._ends: dict[int, list[Connection]] = {}

    def seat(self, connection: Connection) -> None:
        """Put a listener who stands at the head among those who are written to."""
        connection.cursor = AT_HEAD
        connection.credit = min(connection.credit, LIVE_CREDIT_MAX) + self.sent
        self.ready.add(connection.fd)
        self._ends.setdefault(connection.credit, []).append(connection)

    def unseat(self, connection: Connection, cursor: int) -> None:
        """Take one out who holds everything up to `cursor`."""
        connection.cursor = cursor
        connection.credit = max(connection.credit - self.sent, 0)
        self.ready.discard(connection.fd)

    def allow(self, connection: Connection, frames: int) -> None:
        """Give credit."""
        if connection.cursor != AT_HEAD:
            connection.credit = min(connection.credit + frames, LIVE_CREDIT_MAX)
            return
        before = connection.credit
        connection.credit = min(connection.credit + frames, self.sent + LIVE_CREDIT_MAX)
        if connection.credit != before:
            self._ends.setdefault(connection.credit, []).append(connection)

    def counted(self) -> None:
        """A frame went over `ready`: unseat those whose credit ends with it."""
        self.sent += 1
        for connection in self._ends.pop(self.sent, ()):
            if connection.cursor == AT_HEAD and connection.credit == self.sent:
                self.unseat(connection, self.audience.told)

    def swept(self) -> None:
        """Forget ends of credit that were moved or whose listener has left."""
        ends: dict[int, list[Connection]] = {}
        for connection in self.members:
            if connection.cursor == AT_HEAD:
                ends.setdefault(connection.credit, []).append(connection)
        self._ends = ends

    @property
    def stale(self) -> bool:
        """Whether far more ends of credit are noted than there are listeners."""
        return len(self._ends) > 2 * len(self.members) + 16


class Hall:
    """An organisation's listeners.

    Attributes:
        room: what was heard of it.
        rows: by audience.
        admitted: listeners so far.
        grants_version: the newest that was heard of.
    """

    __slots__ = ("_users", "admitted", "grants_version", "org_id", "room", "rows", "size")

    def __init__(self, org_id: int, room: Room, grants_version: int) -> None:
        """An organisation to which nobody listens."""
        self.org_id, self.room, self.grants_version = org_id, room, grants_version
        self.rows: dict[Audience, Row] = {}
        self._users: dict[UUID, int] = {}
        self.size = 0
        self.admitted = 0

    def full_for(self, user_id: UUID) -> str | None:
        """Return why one more of this user is too many, None if it is not."""
        if self._users.get(user_id, 0) >= LIVE_USER_CONNECTIONS_MAX:
            return f"A user has {LIVE_USER_CONNECTIONS_MAX} connections at most."
        if self.size >= LIVE_ORG_CONNECTIONS_MAX:
            return f"An organisation has {LIVE_ORG_CONNECTIONS_MAX} connections at most."
        return None

    def row(self, channels: ChannelSet) -> Row:
        """Return where listeners of these channels sit."""
        audience = self.room.audience(channels)
        found = self.rows.get(audience)
        if found is None:
            found = self.rows[audience] = Row(self, audience)
        return found

    def enter(self, connection: Connection) -> None:
        """Count a listener."""
        self._users[connection.user_id] = self._users.get(connection.user_id, 0) + 1
        self.size += 1
        connection.row.members.add(connection)

    def leave(self, connection: Connection) -> None:
        """Forget a listener, and its row if it was the last there."""
        row = connection.row
        row.members.discard(connection)
        if connection.cursor == AT_HEAD:
            # Its end of credit must not take out another that has its descriptor by then.
            row.unseat(connection, row.audience.told)
        if row.stale:
            row.swept()
        if not row.members:
            self.rows.pop(row.audience, None)
            self.room.forget(row.audience)
        self.size -= 1
        left = self._users[connection.user_id] - 1
        if left:
            self._users[connection.user_id] = left
        else:
            del self._users[connection.user_id]

    @property
    def connections(self) -> Iterator[Connection]:
        """All listeners."""
        return (connection for row in self.rows.values() for connection in row.members)
