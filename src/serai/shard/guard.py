"""A shard under guard: its breaker, fed by requests and probes, and what an open one does.

Owns the counting of requests at a shard and the task that asks a shard which seems to be gone.
Promises that while it is open a request is refused at once, that whoever was waiting for the shard
when it opened is refused then (a connection into a cut network would hold its request, and a lane
of writes, for hours), and that other shards notice nothing. A shard whose disk is full does answer:
its breaker stays closed and reads go on; the guard tells the log once, and looks every few seconds
whether there is room again. Never refuses because of what one organisation asks for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from serai.core.errors import Code, SeraiError
from serai.shard.breaker import Breaker, State
from serai.shard.connection import PostgresError
from serai.shard.pools import PinnedPool
from serai.shard.room import write_a_little

_log = logging.getLogger(__name__)

T = TypeVar("T")
TICK_SECONDS: Final = 0.1
PROBE_ANSWER_SECONDS_MAX: Final = 1.0
ROOM_SECONDS: Final = 5.0
"""Between two looks at a disk that was full."""
_GONE: Final = frozenset({Code.UNAVAILABLE, Code.DEADLINE})

Probe = Callable[[], Awaitable[None]]
"""Asks the shard something; raises whatever says that it cannot serve."""


class ShardGuard:
    """The guard of one shard in one process.

    Args:
        name: of the shard.
        pool: its connections, emptied when it opens.
        probe: asks the shard over a connection of its own.

    Attributes:
        breaker: its state.
        full_since: when a write found its disk full, None while it has room.
    """

    def __init__(self, name: str, pool: PinnedPool, probe: Probe) -> None:
        """Keep the parts; `start` begins to watch."""
        self._name, self._pool, self._probe = name, pool, probe
        self._now = asyncio.get_running_loop().time
        self.breaker = Breaker(self._now())
        self._waiting: dict[int, float] = {}
        self._number = 0
        self._task: asyncio.Task[None] | None = None
        self._fresh = False
        self.full_since: float | None = None
        self._room_at = 0.0

    def start(self) -> None:
        """Watch until `close`."""
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def suspect(self) -> None:
        """Let nothing be taken for granted: `ask` will tell."""
        self.breaker.suspect(self._now())
        self._fresh = True

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something at the shard, and learn from how it goes.

        Raises:
            SeraiError: `unavailable` at once while the breaker is open; whatever `work` raises.
        """
        if not self.breaker.passes:
            raise self._unavailable()
        self._number += 1
        number = self._number
        self._waiting[number] = self._now()
        try:
            result = await work()
        except SeraiError as error:
            self._hear(error)
            raise
        finally:
            del self._waiting[number]
        self.breaker.succeeded(self._now())
        return result

    def _hear(self, error: SeraiError) -> None:
        if error.code in _GONE:
            self.breaker.failed(self._now())
        elif error.code is Code.OVERLOADED:
            self.breaker.failed(self._now(), busy=True)
        else:
            if error.code is Code.DISK_FULL:
                self._fill()
            # The shard's own answer, or that of code which asked it.
            self.breaker.succeeded(self._now())

    def _unavailable(self) -> SeraiError:
        return SeraiError(Code.UNAVAILABLE, retry_after_seconds=1)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            oldest = next(iter(self._waiting.values()), None)
            if oldest is not None:
                self.breaker.waited(self._now(), oldest)
            if self.breaker.probe_due(self._now()):
                await self.ask()
            if self.full_since is not None and self.breaker.passes and self._now() >= self._room_at:
                await self._look_for_room()

    def _fill(self) -> None:
        """Note that the disk is full, and tell it once."""
        if self.full_since is not None:
            return
        self.full_since = self._now()
        self._room_at = self.full_since + ROOM_SECONDS
        _log.error(
            "the disk of shard %s is full: writes of its organisations get 503 until it has room;"
            " reads go on",
            self._name,
        )

    async def _look_for_room(self) -> None:
        """Ask whether the disk takes anything; no answer is no news."""
        self._room_at = self._now() + ROOM_SECONDS
        try:
            async with asyncio.timeout(PROBE_ANSWER_SECONDS_MAX), self._pool.connection() as c:
                await write_a_little(c)
        except (SeraiError, PostgresError, OSError):
            return
        if self.full_since is not None:
            _log.warning(
                "the disk of shard %s has room again after %.1f s",
                self._name,
                self._now() - self.full_since,
            )
        self.full_since = None

    async def ask(self) -> bool:
        """Probe the shard now, act on the answer, and tell it."""
        before, since = self.breaker.state, self.breaker.since
        why: Exception | None = None
        try:
            async with asyncio.timeout(PROBE_ANSWER_SECONDS_MAX):
                whole = before is State.OPEN or self._fresh
                await (self._probe() if whole else self._through_the_pool())
                self._fresh = False
        except Exception as error:  # noqa: BLE001 - whatever keeps the shard from serving is told in the log
            why = error
        self.breaker.probed(self._now(), answered=why is None)
        after = self.breaker.state
        if before is not State.OPEN and after is State.OPEN:
            _log.error(
                "shard %s does not answer (%s): its organisations get 503 until it does",
                self._name,
                _said(why),
            )
            self._pool.suspend()
        elif before is State.OPEN and after is State.CLOSED:
            self._pool.resume()
            _log.warning("shard %s answers again after %.1f s", self._name, self._now() - since)
        return why is None

    async def _through_the_pool(self) -> None:
        """Ask as requests do: a pool whose every connection is stuck is no answer either."""
        async with self._pool.connection() as c:
            await c.execute("SELECT 1")


def _said(why: Exception | None) -> str:
    """Return what is told of a probe's failure; never a text of a library, which may quote a
    URL.
    """
    if isinstance(why, SeraiError):
        return why.code.text
    return "no answer in time" if isinstance(why, TimeoutError) else type(why).__name__
