"""The tables of a front: their processes, and which organisation is at which.

Owns the processes and the channels to them. Promises that an organisation is at the same table for
as long as there are these tables, and that one which ends is begun anew in its place, with nobody
in it. Never knows what is said.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from serai.gateway.channel import Channel
from serai.gateway.messages import ToFront
from serai.gateway.tables import Told

_log = logging.getLogger(__name__)
_STOP_SECONDS: Final = 5.0


class Tables:
    """So many processes that hold sockets.

    Args:
        names: collection number -> name.
        token_keys: key id -> secret of since-tokens.
        said: takes what a table says.
        lost: is told which table has ended, and the organisations that were there, when another
            stands in its place.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        token_keys: Mapping[int, bytes],
        said: Callable[[Channel, ToFront], None],
        lost: Callable[[Channel, list[int]], None],
    ) -> None:
        """Start none yet."""
        keys = {number: base64.b64encode(key).decode() for number, key in token_keys.items()}
        self._told = msgspec.json.encode(Told(dict(names), keys))
        self._said, self._lost = said, lost
        self._channels: list[Channel] = []
        self._places: dict[int, Channel] = {}
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def channels(self) -> list[Channel]:
        """One to each table."""
        return self._channels

    def start(self, count: int) -> None:
        """Start so many more, forked from one process."""
        pairs = [socket.socketpair() for _ in range(count)]
        theirs = [end.fileno() for _, end in pairs]
        process = subprocess.Popen(  # noqa: S603 - this package's own module
            [sys.executable, "-m", "serai.gateway.tables", *map(str, theirs)],
            stdin=subprocess.PIPE,
            pass_fds=theirs,
        )
        assert process.stdin is not None, "it was asked for"
        with process.stdin as told:
            told.write(self._told)
        self._processes.append(process)
        for mine, end in pairs:
            end.close()
            self._channels.append(Channel(mine, self._said, self._ended))

    def of(self, org_id: int) -> Channel:
        """Return the table of an organisation.

        Rendezvous hashing (Thaler and Ravishankar, 1998): the table whose hash with it is highest.
        """
        found = self._places.get(org_id)
        if found is None:
            best = max(range(len(self._channels)), key=lambda table: _weight(org_id, table))
            found = self._places[org_id] = self._channels[best]
        return found

    def forget(self, org_id: int) -> None:
        """Nobody listens to an organisation any more."""
        self._places.pop(org_id, None)

    def _ended(self, channel: Channel) -> None:
        _log.error("a table has ended: its clients come back, to a new one")
        place = self._channels.index(channel)
        self.start(1)
        self._channels[place] = self._channels.pop()
        gone = [org_id for org_id, at in self._places.items() if at is channel]
        for org_id in gone:
            del self._places[org_id]
        self._lost(channel, gone)

    async def close(self) -> None:
        """End them, and wait until they have ended."""
        for channel in self._channels:
            channel.close()
        for process in self._processes:
            await asyncio.to_thread(process.wait, _STOP_SECONDS)


def _weight(org_id: int, table: int) -> bytes:
    return hashlib.blake2b(org_id.to_bytes(8, "big"), salt=table.to_bytes(4, "big")).digest()
