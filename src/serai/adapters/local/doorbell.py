"""Doorbells over Unix datagrams: a socket for each listener, in a folder that all know.

Owns the sockets. Promises what `serai.ports.doorbell` does: a listener whose socket is full or gone
misses a ring. Who may write to the folder may ring; the folder's owner alone may by default. Never
waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import struct
from pathlib import Path
from time import monotonic
from typing import Final

from serai.ports.doorbell import Heard

_RING: Final = struct.Struct(">qIQ")
_LOOK_SECONDS: Final = 1.0
"""Between two looks at who listens."""
_READ_BYTES: Final = 64
_RINGS_A_TURN: Final = 1_000
_BUFFER_BYTES: Final = 1 << 20


class LocalBell:
    """Rings for everyone who listens in a folder."""

    def __init__(self, folder: Path) -> None:
        """Look for nobody yet."""
        self._folder = folder
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)  # noqa: FBT003 - the form of a socket
        self._listeners: list[str] = []
        self._looked_at = -_LOOK_SECONDS

    def ring(self, org_id: int, epoch: int, version: int) -> None:
        """Send a datagram to each listener."""
        now = monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._listeners = self._present()
        data = _RING.pack(org_id, epoch, version)
        for listener in self._listeners:
            # Gone, or it has more to read than it reads: it polls.
            with contextlib.suppress(OSError):
                self._socket.sendto(data, listener)

    async def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _present(self) -> list[str]:
        try:
            return [str(found) for found in self._folder.glob("*.ear")]
        except OSError:
            return []


class LocalEar:
    """One listener."""

    def __init__(self, folder: Path, heard: Heard) -> None:
        """Make the socket, and the folder if it is not there."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"{os.getpid()}-{secrets.token_hex(4)}.ear"
        self._heard = heard
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)  # noqa: FBT003 - the form of a socket
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        try:
            self._socket.bind(str(self._path))
        except OSError:
            self._socket.close()
            raise
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def _read(self) -> None:
        for _ in range(_RINGS_A_TURN):
            try:
                data = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                return
            if len(data) == _RING.size:
                self._heard(*_RING.unpack(data))

    async def close(self) -> None:
        """Take the socket away."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._path.unlink(missing_ok=True)


async def listen_locally(folder: Path, heard: Heard) -> LocalEar:
    """Listen for rings in a folder.

    Raises:
        OSError: the folder cannot be made or written, or its path is too long for a socket.
    """
    return LocalEar(folder, heard)
