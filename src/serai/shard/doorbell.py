"""The directory's doorbell: a connection that hears when placement changes.

Owns the connection and its repair. Promises that `rung` returns at once after a change while the
connection holds, that a connection which was lost or has gone silent is replaced, and that a new
one rings once, for whatever changed while nobody listened. Never carries what changed, and nothing
depends on it: who waits for the bell also polls (a pooler between may swallow it for ever).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from serai.core.errors import SeraiError
from serai.shard.connection import Connection, hear

RETRY_SECONDS_MIN: Final = 0.1
RETRY_SECONDS_MAX: Final = 5.0
SILENCE_SECONDS: Final = 10.0
"""After so long without a word the connection is asked whether it is there: a cut network closes
nothing by itself."""


class Doorbell:
    """Hears one channel.

    Args:
        connect: makes a connection.
        channel: of NOTIFY.
        silence_seconds: see SILENCE_SECONDS.

    Attributes:
        listening: whether the bell would be heard now.
        connections: made so far.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        channel: str,
        *,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        """Keep the parts; nothing is heard before `listen`."""
        self._connect, self._channel = connect, channel
        self._silence_seconds = silence_seconds
        self._rung = asyncio.Event()
        self.listening = False
        self.connections = 0

    def ring(self) -> None:
        """Let `rung` return."""
        self._rung.set()

    async def rung(self, seconds: float) -> bool:
        """Wait for the bell, so long at most; tell whether it rang. Rings that nobody waited for
        are one.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True

    async def answers(self, seconds: float) -> bool:
        """Tell whether a new connection is to be had within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                connection = await self._connect()
        except (SeraiError, TimeoutError):
            return False
        connection.terminate()
        return True

    async def listen(self) -> None:
        """Listen for ever."""
        pause = RETRY_SECONDS_MIN
        while True:
            try:
                connection = await self._connect()
            except SeraiError:
                # The directory is down, which the poll counts and tells.
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_SECONDS_MAX)
                continue
            pause = RETRY_SECONDS_MIN
            self.connections += 1
            try:
                await hear(connection, self._channel, self._heard, self._silence_seconds)
            finally:
                self.listening = False
                connection.terminate()
            await asyncio.sleep(pause)

    def _heard(self) -> None:
        self.listening = True
        self.ring()
