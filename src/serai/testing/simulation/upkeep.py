"""Upkeep of the logs while everything else happens: the keeper that ships, at random moments.

Owns when it looks, and how old it takes the log to be: a day passes from one look to the next, so a
run of a minute is a life of months. Promises that what it draws changes nothing that others draw.
Never damages anything: whatever a reader misses afterwards is a defect of the keeper.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

from serai.core.errors import SeraiError
from serai.log.keeper import Keeper, packed
from serai.log.life import Policy
from serai.ports.life import LifeStore
from serai.testing.simulation.server import Server
from serai.testing.simulation.trace import Trace

_LOOKS_MAX = 4


class Upkeep:
    """The upkeep of one run."""

    def __init__(self, server: Server, trace: Trace, random: Random) -> None:
        """Choose how much there is of it in this run: often nothing of a kind."""
        self._server = server
        self._trace = trace
        self._random = random
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        self._policy = Policy(
            horizon=timedelta(days=random.choice((8, 30, 10_000))),
            fold_after=timedelta(days=random.choice((0, 1, 3, 10_000))),
            segment_rows=random.choice((0, 1, 1, 3)),
            block_rows=random.choice((1, 2, 3, 5)),
            behind=random.choice((1, 3, 9)),
        )
        self._pause = random.choice((0.5, 2.0, 8.0))
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look now and then, until `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._for_ever())

    def stop(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()

    async def _for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._random.expovariate(1.0) * self._pause)
            self._now += timedelta(days=self._random.choice((0, 1, 1, 2)))
            await self._server.upkeep(self._look)

    async def _look(self, logs: LifeStore) -> None:
        try:
            await self._some(logs)
        except SeraiError as error:
            # The shard is away, or an organisation has left: the next look finds what is due.
            self._trace.note("upkeep", error.code.text)

    async def _some(self, logs: LifeStore) -> None:
        keeper = Keeper(logs, self._policy, _pack)
        lives, _ = await keeper.some(self._now, scan=10)
        for life in lives:
            found = life
            for _ in range(_LOOKS_MAX):
                done = await keeper.look(found, self._now)
                self._trace.branch("folded", bool(done.folded))
                self._trace.branch("pruned", bool(done.pruned))
                self._trace.branch("sealed", bool(done.sealed))
                what = f"{life.org_id}: {done.folded} {done.pruned} {done.sealed}"
                self._trace.note("upkeep", what)
                again = await keeper.again(life.org_id) if done.more else None
                if again is None:
                    break
                found = again


async def _pack(text: bytes) -> bytes:
    """Pack at once: a thread would not be in virtual time."""
    return packed(text)
