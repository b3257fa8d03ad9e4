"""What every process knows of the directory's identity: the signing keys, and the sessions that
have ended.

Owns the one read every few seconds that lets access tokens be checked without asking anyone, and
still ends a session within 5 seconds of its sign-out. Promises to go on with what it knows while
the directory is away: no token can be issued then, so none outlives the last issue by more than 15
minutes. Never asks per request, and never in the background: a process that serves nobody asks
nothing.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from serai.core.clock import Clock
from serai.core.errors import SeraiError
from serai.core.limits import ACCESS_SECONDS, CLOCK_SKEW_SECONDS_MAX, IDENTITY_STALE_SECONDS_MAX
from serai.gate.keys import KeyRing, ensure_signing_key, read_signing_keys
from serai.shard.connection import Connection
from serai.shard.queries import load_queries

_SQL = load_queries("serai.gate", "mirror.sql")
_OVERLAP: Final = timedelta(seconds=60)
"""Read again each time: a transaction that ended a session may have committed after a later one."""
_KEPT: Final = timedelta(seconds=ACCESS_SECONDS + CLOCK_SKEW_SECONDS_MAX)
_RETRY_SECONDS: Final = 1.0
_READ_SECONDS_MAX: Final = 1.0
_log = logging.getLogger(__name__)


class Connections(Protocol):
    """Where connections to the directory come from; `serai.shard.pools.PinnedPool` is one."""

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Return a context manager for one connection."""
        ...


class DirectoryMirror:
    """The copy. `fresh` first, then `ring` and `has_ended`.

    Attributes:
        reads: of the directory so far.
        failures: reads that failed.
    """

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        self._lock = asyncio.Lock()
        self._ring: KeyRing | None = None
        self._ended: dict[UUID, datetime] = {}
        self._as_of: datetime | None = None
        self._tried_at: datetime | None = None
        self.reads = 0
        self.failures = 0

    async def start(self) -> KeyRing:
        """Make the first signing key if there is none, read everything, and return the keys.

        Raises:
            SeraiError: `unavailable` and its kin: without the directory a process cannot start.
        """
        async with self._connections.connection() as directory:
            await ensure_signing_key(directory, self._clock.now())
        async with self._lock:
            return await self._read(self._clock.now())

    async def fresh(self) -> KeyRing:
        """Return the keys, after a read of the directory if the last one is 5 seconds old."""
        ring = self._ring
        if ring is not None and self._recent(self._as_of, IDENTITY_STALE_SECONDS_MAX):
            return ring
        async with self._lock:
            ring = self._ring
            if ring is None:
                return await self._read(self._clock.now())
            if self._recent(self._as_of, IDENTITY_STALE_SECONDS_MAX) or self._recent(
                self._tried_at, _RETRY_SECONDS
            ):
                return ring
            try:
                async with asyncio.timeout(_READ_SECONDS_MAX):
                    return await self._read(self._clock.now())
            except (SeraiError, TimeoutError) as error:
                self.failures += 1
                _log.warning("directory not read, going on with the last copy: %s", error)
                return ring

    def has_ended(self, session_id: UUID) -> bool:
        """Tell whether the session was signed out, revoked, or taken over."""
        return session_id in self._ended

    @property
    def ended(self) -> frozenset[UUID]:
        """Sessions that have ended since the last token that may still be used was issued."""
        return frozenset(self._ended)

    def end(self, session_id: UUID) -> None:
        """Note a session that this process has just ended."""
        self._ended[session_id] = self._clock.now()

    def _recent(self, at: datetime | None, seconds: float) -> bool:
        return at is not None and 0 <= (self._clock.now() - at).total_seconds() < seconds

    async def _read(self, now: datetime) -> KeyRing:
        self._tried_at = now
        self.reads += 1
        since = now - _KEPT if self._as_of is None else max(self._as_of - _OVERLAP, now - _KEPT)
        async with self._connections.connection() as directory:
            keys = await read_signing_keys(directory)
            ended = await directory.fetch(_SQL["sessions_ended"], since)
        self._ended = {i: at for i, at in self._ended.items() if at > now - _KEPT}
        self._ended.update((row["session_id"], row["revoked_at"]) for row in ended)
        self._ring = KeyRing.of(keys, now)
        self._as_of = now
        return self._ring
