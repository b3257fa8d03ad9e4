"""Pinned connections to one database.

Owns 5 to 50 connections and who has which. Promises that one is had within 250 ms or the caller is
told to come back, that those who wait are served in their order, that a connection is handed on
only when its last query is over and no transaction is open, and that no cancellation at any await
loses one. Never resets a session: callers do not change session state (SET LOCAL is fine).

The last connection returned is the first given out: it is the one whose plans and pages are in the
processor's caches, and the ones that load no longer needs grow cold and are closed. `asyncpg.Pool`
runs a reset query at each release: 8.5k reads a second against 33.1k.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from serai.core.errors import Code, SeraiError
from serai.core.limits import POOL_CONNECTIONS_MAX, POOL_CONNECTIONS_MIN, POOL_WAIT_MS_MAX
from serai.shard.connection import (
    Connection,
    close_gently,
    connect,
    settled,
    translated,
    unavailable,
)

CONNECTING_MAX: Final = 8
"""Connections being opened at once: a burst must not become a storm of forks on the server."""
MEND_SECONDS_MAX: Final = 2.0
IDLE_SECONDS_DEFAULT: Final = 60.0
RETRY_SECONDS_MIN: Final = 0.05
RETRY_SECONDS_MAX: Final = 1.0
TICK_SECONDS: Final = 1.0

Connect = Callable[[], Awaitable[Connection]]


@dataclass(slots=True)
class PoolStats:
    """Counters since the pool was made."""

    opened: int = 0
    connect_failures: int = 0
    discarded: int = 0
    mended: int = 0
    shrunk: int = 0
    waited: int = 0
    refused: int = 0


class PinnedPool:
    """A pool for one database.

    Use `async with PinnedPool(url) as pool`, or `open()` and `close()`, on one event loop.

    Args:
        url: of the database; kept out of every message.
        size_min: connections kept open.
        size_max: connections at most.
        wait_seconds: how long `connection()` waits for one.
        idle_seconds: after which a connection above `size_min` is closed.
        application_name: as PostgreSQL shows it.
        opener: makes a connection; the default is `serai.shard.connection.connect`.
    """

    def __init__(
        self,
        url: str,
        *,
        size_min: int = POOL_CONNECTIONS_MIN,
        size_max: int = POOL_CONNECTIONS_MAX,
        wait_seconds: float = POOL_WAIT_MS_MAX / 1000,
        idle_seconds: float = IDLE_SECONDS_DEFAULT,
        application_name: str = "serai",
        opener: Connect | None = None,
    ) -> None:
        if not 0 <= size_min <= size_max <= POOL_CONNECTIONS_MAX or size_max < 1:
            raise ValueError(f"a pool has from 1 to {POOL_CONNECTIONS_MAX} connections")
        self._size_min, self._size_max = size_min, size_max
        self._wait_seconds, self._idle_seconds = wait_seconds, idle_seconds
        self._opener = opener or (lambda: connect(url, application_name=application_name))
        self._free: list[tuple[Connection, float]] = []
        self._waiters: OrderedDict[asyncio.Future[Connection], None] = OrderedDict()
        self._live: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._connect_after = 0.0
        self._retry_seconds = RETRY_SECONDS_MIN
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._suspended = False
        self.stats = PoolStats()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def size(self) -> int:
        """Connections that exist or are being opened."""
        return len(self._live) + len(self._opening)

    @property
    def free(self) -> int:
        """Connections that nobody uses."""
        return len(self._free)

    @property
    def opening(self) -> int:
        """Connections that are being opened."""
        return len(self._opening)

    async def open(self) -> None:
        """Open `size_min` connections (at least one), so that a wrong address is found out at the
        start.

        Raises:
            SeraiError: `unavailable`.
        """
        for task in [self._spawn_connect() for _ in range(max(self._size_min, 1))]:
            await task
        if not self._live:
            raise unavailable()
        self._spawn(self._tend())

    def start(self) -> None:
        """Begin to open `size_min` connections (at least one), and do not wait for them: what asks
        meanwhile waits in line, and is told if there are none to be had.
        """
        for _ in range(max(self._size_min, 1)):
            self._spawn_connect()
        self._spawn(self._tend())

    def suspend(self) -> None:
        """End every connection at once, used ones as well, and refuse everybody until `resume`: the
        database does not answer, and what waits for it would wait for nothing.
        """
        self._suspended = True
        for task in list(self._opening):
            task.cancel()
        self._refuse_all(unavailable())
        for connection in list(self._live):
            # Who uses it is told, and brings it back closed.
            connection.terminate()
        for connection, _ in self._free:
            self._live.discard(connection)
            self.stats.discarded += 1
        self._free.clear()

    def resume(self) -> None:
        """Let callers in again, after `suspend`."""
        self._suspended = False
        self._retry_seconds, self._connect_after = RETRY_SECONDS_MIN, 0.0

    async def close(self) -> None:
        """Close every connection, used ones as well; those who wait are refused. May be called
        twice.
        """
        self._closed = True
        for waiter in self._waiters:
            _fail(waiter, unavailable())
        self._waiters.clear()
        for task in (tasks := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        free = [connection for connection, _ in self._free]
        self._free.clear()
        await asyncio.gather(*(close_gently(connection) for connection in free))
        for connection in self._live:
            connection.terminate()
        self._live.clear()

    def connection(self) -> Lease:
        """Return a context manager for one connection.

        Raises (on entry):
            SeraiError: `overloaded` if none is free in time, `unavailable` if none can be opened.
        Raises (on exit):
            SeraiError: `unavailable` in place of the error of a lost connection, `deadline` in
            place of a
                statement timeout.
        """
        return Lease(self)

    def acquire_now(self) -> Connection | None:
        """Return a free connection, None if there is none. For `Lease`."""
        while self._free:
            connection, _ = self._free.pop()
            if not connection.is_closed():
                return connection
            self._forget(connection)
        return None

    async def acquire_later(self) -> Connection:
        """Wait in line for a connection. For `Lease`."""
        loop = asyncio.get_running_loop()
        # While the database refuses us, callers learn it at once instead of waiting for nothing.
        refused = not self.size and loop.time() < self._connect_after
        if self._closed or self._suspended or refused:
            raise unavailable()
        waiter: asyncio.Future[Connection] = loop.create_future()
        self._waiters[waiter] = None
        self.stats.waited += 1
        self._grow()
        timer = loop.call_later(self._wait_seconds, self._expire, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            # The connection may have been given in the same turn of the loop in which the caller
            # was cancelled.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give(waiter.result())
            raise
        finally:
            timer.cancel()
            self._waiters.pop(waiter, None)

    def release(self, connection: Connection, error: BaseException | None, *, lost: bool) -> None:
        """Take a connection back. For `Lease`. Never waits, so it cannot be cancelled."""
        if connection.is_closed():
            self._forget(connection)
        elif error is None and connection.is_idle():
            self._give(connection)
        elif lost or self._closed:
            self._discard(connection)
        else:
            self._spawn(self._mend(connection))

    def _give(self, connection: Connection) -> None:
        if self._closed or self._suspended or connection.is_closed():
            self._discard(connection)
            return
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._free.append((connection, asyncio.get_running_loop().time()))

    async def _mend(self, connection: Connection) -> None:
        usable = False
        try:
            usable = await settled(connection, MEND_SECONDS_MAX)
        finally:
            if usable:
                self.stats.mended += 1
                self._give(connection)
            else:
                self._discard(connection)

    def _discard(self, connection: Connection) -> None:
        connection.terminate()
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self._live.discard(connection)
        self.stats.discarded += 1
        self._grow()

    def _expire(self, waiter: asyncio.Future[Connection]) -> None:
        self.stats.refused += 1
        busy = SeraiError(
            Code.OVERLOADED, "No connection to the database was free.", retry_after_seconds=1
        )
        _fail(waiter, busy if self._live else unavailable())

    def _grow(self) -> None:
        """Open connections for those who wait, within the bounds."""
        pause = asyncio.get_running_loop().time() < self._connect_after
        if self._closed or self._suspended or pause:
            return
        room = min(self._size_max - self.size, CONNECTING_MAX - len(self._opening))
        for _ in range(min(room, len(self._waiters) - len(self._opening))):
            self._spawn_connect()

    def _spawn_connect(self) -> asyncio.Task[None]:
        task = self._spawn(self._connect())
        self._opening.add(task)
        # Also for a task that is cancelled before its first step, which runs no line of its own.
        task.add_done_callback(self._opened)
        return task

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        self._grow()

    async def _connect(self) -> None:
        try:
            connection = await self._opener()
        except SeraiError as error:
            self._connect_failed(error)
            return
        finally:
            # Here and not in the callback: a caller that is told now counts the connections now.
            self._opening -= {asyncio.current_task()}
        self._retry_seconds, self._connect_after = RETRY_SECONDS_MIN, 0.0
        self.stats.opened += 1
        self._live.add(connection)
        self._give(connection)

    def _connect_failed(self, error: SeraiError) -> None:
        self.stats.connect_failures += 1
        self._connect_after = asyncio.get_running_loop().time() + self._retry_seconds
        self._retry_seconds = min(self._retry_seconds * 2, RETRY_SECONDS_MAX)
        if not self._live:
            self._refuse_all(error)

    def _refuse_all(self, error: SeraiError) -> None:
        waiters = list(self._waiters)
        self._waiters.clear()
        for waiter in waiters:
            failure = unavailable()
            failure.__cause__ = error.__cause__
            _fail(waiter, failure)

    async def _tend(self) -> None:
        """Close what is idle, replace what broke while idle."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self.tend()

    async def tend(self) -> None:
        """Do one round of upkeep; the pool does so each second."""
        for entry in [entry for entry in self._free if entry[0].is_closed()]:
            self._free.remove(entry)
            self._forget(entry[0])
        oldest = asyncio.get_running_loop().time() - self._idle_seconds
        idle: list[Connection] = []
        while self._free and self._free[0][1] <= oldest and self.size - len(idle) > self._size_min:
            idle.append(self._free.pop(0)[0])
        for connection in idle:
            self._live.discard(connection)
            self.stats.shrunk += 1
            await close_gently(connection)
        few = 0 if self._suspended else self._size_min - self.size
        for _ in range(min(few, CONNECTING_MAX - len(self._opening))):
            self._spawn_connect()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class Lease:
    """One use of a connection: `async with pool.connection() as c`."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: PinnedPool) -> None:
        self._pool = pool
        self._connection: Connection | None = None

    async def __aenter__(self) -> Connection:
        # No await on the common path: the whole of it costs about a microsecond.
        connection = self._pool.acquire_now() or await self._pool.acquire_later()
        self._connection = connection
        return connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None, "a lease is used once"
        meaning = None if error is None else translated(error, connection)
        lost = meaning is not None and meaning.code is Code.UNAVAILABLE
        self._pool.release(connection, error, lost=lost)
        if meaning is not None:
            raise meaning from error


def _fail(waiter: asyncio.Future[Connection], error: SeraiError) -> None:
    if not waiter.done():
        waiter.set_exception(error)
