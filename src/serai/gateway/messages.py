"""What front and tables say to each other.

Owns the messages, their bytes, and the passing of sockets beside them. Promises that a message and
its socket arrive together and in order. Both ends are processes of one gateway of one release.
"""

from __future__ import annotations

import array
import socket
import struct
from collections import deque
from typing import Final, Generic, TypeVar
from uuid import UUID

import msgspec

from serai.ports.store import LogEntry
from serai.wire.live import PullReason

_SIZE: Final = struct.Struct(">IB")
_READ_BYTES: Final = 1 << 16
_SOCKETS_MAX: Final = 200
"""That one read may bring; the kernel passes 253 in a message at most."""


class Opened(msgspec.Struct, tag=True, array_like=True):
    """Somebody will listen to an organisation, which stands here."""

    org_id: int
    epoch: int
    version: int
    grants_version: int


class Admitted(msgspec.Struct, tag=True, array_like=True):
    """A socket beside this message is open, and said who it is.

    Attributes:
        channels: what it hears.
        complete: what its since-token says that it holds; None without one.
        version: what it holds; None: nothing that was before now.
        epoch: of that version.
        pull: why it must pull before it can be told anything; None if it need not.
        grants_version: of the grant that the channels were read from; None for an API key, whose
            roles are its own.
        expires_at: seconds since 1970; None: never.
    """

    org_id: int
    user_id: UUID
    session_id: UUID
    channels: list[tuple[UUID, int]]
    complete: list[tuple[UUID, int]] | None
    epoch: int
    version: int | None
    pull: PullReason | None
    grants_version: int | None
    expires_at: int | None
    credit: int


class Heard(msgspec.Struct, tag=True, array_like=True):
    """A part of an organisation's log: whole versions of (after, through]."""

    org_id: int
    epoch: int
    after: int
    through: int
    grants_version: int
    entries: list[LogEntry]


class Restarted(msgspec.Struct, tag=True, array_like=True):
    """What was heard of an organisation cannot be gone on with: everyone pulls."""

    org_id: int
    epoch: int
    version: int
    grants_version: int


class Forgotten(msgspec.Struct, tag=True, array_like=True):
    """Nobody listens to an organisation, and nobody is on the way."""

    org_id: int


class Ended(msgspec.Struct, tag=True, array_like=True):
    """Sessions that were signed out or revoked."""

    sessions: list[UUID]


class Renewed(msgspec.Struct, tag=True, array_like=True):
    """The answer to `Asked`: the new end of a connection's token, or the error that ends it."""

    connection: int
    expires_at: int | None
    error: str | None


class Asked(msgspec.Struct, tag=True, array_like=True):
    """A connection has a new access token, of whoever it was opened for."""

    connection: int
    org_id: int
    user_id: UUID
    session_id: UUID
    token: str


class Left(msgspec.Struct, tag=True, array_like=True):
    """Nobody listens to an organisation any more; `admitted`: how many were let in, all told, since
    it was opened.
    """

    org_id: int
    admitted: int


class Counted(msgspec.Struct, tag=True, array_like=True):
    """What a table has done since its last word."""

    connections: int
    deliveries: int
    bytes_sent: int


ToTable = Opened | Admitted | Heard | Restarted | Forgotten | Ended | Renewed
ToFront = Asked | Left | Counted

_encoder: Final = msgspec.msgpack.Encoder(uuid_format="bytes")


def packed(message: ToTable | ToFront, *, sockets: int = 0) -> bytes:
    """Return the bytes of a message that so many sockets go with."""
    body = _encoder.encode(message)
    return _SIZE.pack(len(body), sockets) + body


def send_with(channel: socket.socket, data: bytes, sockets: list[int]) -> int:
    """Send the beginning of `data` and, with its first byte, the sockets. Returns how much."""
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", sockets))
    return channel.sendmsg([data], [rights] if sockets else [])


to_table: Final[msgspec.msgpack.Decoder[ToTable]] = msgspec.msgpack.Decoder(ToTable)
to_front: Final[msgspec.msgpack.Decoder[ToFront]] = msgspec.msgpack.Decoder(ToFront)
T = TypeVar("T")


class Receiver(Generic[T]):
    """The reading end of a channel that does not block.

    Args:
        channel: a stream socket of the Unix domain.
        decoder: of what is said on it.
    """

    def __init__(self, channel: socket.socket, decoder: msgspec.msgpack.Decoder[T]) -> None:
        """Start with nothing."""
        self._channel, self._decoder = channel, decoder
        self._buffer = bytearray()
        self._sockets: deque[int] = deque()

    def receive(self) -> list[tuple[T, int | None]]:
        """Read once, and return the messages that end in it, each with its socket or None.

        Raises:
            EOFError: the other end has gone, or this process has no file left for a socket.
            BlockingIOError: there is nothing now.
        """
        room = socket.CMSG_SPACE(_SOCKETS_MAX * array.array("i").itemsize)
        data, ancillary, flags, _ = self._channel.recvmsg(_READ_BYTES, room)
        if flags & socket.MSG_CTRUNC:
            # A socket is lost, and which one cannot be told: the next might be taken for it.
            raise EOFError
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                sockets = array.array("i")
                sockets.frombytes(content[: len(content) - len(content) % sockets.itemsize])
                self._sockets.extend(sockets)
        if not data:
            raise EOFError
        self._buffer += data
        found: list[tuple[T, int | None]] = []
        start = 0
        while len(self._buffer) - start >= _SIZE.size:
            size, sockets_with = _SIZE.unpack_from(self._buffer, start)
            end = start + _SIZE.size + size
            if len(self._buffer) < end:
                break
            message = self._decoder.decode(memoryview(self._buffer)[start + _SIZE.size : end])
            found.append((message, self._sockets.popleft() if sockets_with else None))
            start = end
        if start:
            self._buffer = self._buffer[start:]
        return found
