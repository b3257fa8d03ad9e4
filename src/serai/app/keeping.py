"""Upkeep of the logs of all shards, for as long as the process lives.

Owns the rhythm: who looks, how often, for how long. Promises that of all processes one at a time
looks after a shard, that a round takes a bounded time of it, and that a shard or an organisation
with which something is wrong holds up no other. Never is needed to serve a request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from functools import partial
from typing import Final

from serai.app.runtime import Runtime, Shard
from serai.app.settings import Settings
from serai.core.errors import SeraiError
from serai.log.keeper import Keeper
from serai.log.life import Policy
from serai.log.life_postgres import PostgresLifeStore
from serai.ports.life import Life
from serai.shard.connection import PostgresError
from serai.telemetry.recorder import SILENT, Recorder

_log = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 30.0
_ROUND_SECONDS_MAX: Final = 3.0
"""A tenth of one core at most, and only while there is something to do."""
_SCAN: Final = 2_000
_LOOKS_MAX: Final = 50
"""At one organisation in a row."""


def policy_of(settings: Settings) -> Policy:
    """Return what the settings say about the life of logs."""
    return Policy(
        horizon=timedelta(days=settings.tombstone_days), segment_rows=settings.segment_rows
    )


async def keep_logs(runtime: Runtime, recorder: Recorder) -> None:
    """Look after the logs of every shard, again and again, for ever."""
    keepers: dict[int, tuple[Shard, Keeper]] = {}
    passes: dict[int, Passes] = {}
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        for ref in runtime.directory.shards:
            told = passes.setdefault(ref.id, Passes(recorder))
            try:
                shard = await runtime.shard(ref)
                if ref.id not in keepers or keepers[ref.id][0] is not shard:
                    # New, or at another address than before.
                    keepers[ref.id] = (shard, keeper_of(shard, runtime.settings))
                store, keeper = PostgresLifeStore(shard.pool), keepers[ref.id][1]
                await shard.guard.run(store.thaw_restores)
                await shard.guard.run(partial(keep_round, keeper, store, runtime, told=told))
                recorder.upkeep("logs", done=True)
            except (SeraiError, PostgresError, OSError) as error:
                told.left()
                recorder.upkeep("logs", done=False)
                _log.warning("upkeep of logs of %s waits for the next round: %s", ref.name, error)
            recorder.logs_wait(ref.name, told.waits())


class Passes:
    """Passes over the organisations of one shard by this process, for metrics.

    Everything that was due when a pass began has been done when it ends, unless something was left:
    so nothing waits longer than since the last whole pass began.

    Args:
        recorder: is told what looks did.

    Attributes:
        since: a moment (monotonic) of which nothing is left that was due then.
    """

    def __init__(self, recorder: Recorder = SILENT) -> None:
        """Nothing is known of what was before now."""
        self.recorder = recorder
        self.since = self._began = time.monotonic()
        self._whole = False

    def began(self) -> None:
        """Note that the first organisation comes next."""
        self._began, self._whole = time.monotonic(), True

    def left(self) -> None:
        """Note that something due was left for another pass."""
        self._whole = False

    def ended(self) -> None:
        """Note that the last organisation was looked at."""
        self.recorder.logs_passed()
        if self._whole:
            self.since = self._began

    def waits(self) -> float:
        """Return for how many seconds at most something has waited."""
        return time.monotonic() - self.since


def keeper_of(shard: Shard, settings: Settings) -> Keeper:
    """Return the keeper of a shard."""
    return Keeper(PostgresLifeStore(shard.pool), policy_of(settings))


async def keep_round(
    keeper: Keeper,
    store: PostgresLifeStore,
    runtime: Runtime,
    *,
    seconds: float | None = None,
    told: Passes | None = None,
) -> bool:
    """Look at organisations until each was looked at once, or the time is over. Return whether
    nothing was to do. Does nothing while another process does it.
    """
    end = time.monotonic() + (_ROUND_SECONDS_MAX if seconds is None else seconds)
    told = told or Passes()
    async with store.alone() as alone:
        last, nothing = not alone, alone
        while not last:
            if time.monotonic() >= end:
                return False
            if keeper.at_start:
                told.began()
            lives, last = await keeper.some(runtime.clock.now(), scan=_SCAN)
            for life in lives:
                nothing = False
                await _look(keeper, life, runtime, end, told)
            if last:
                told.ended()
    return nothing


async def _look(keeper: Keeper, life: Life, runtime: Runtime, end: float, told: Passes) -> None:
    """Look at one organisation until nothing is left to do there, or the time is over."""
    found: Life | None = life
    for _ in range(_LOOKS_MAX):
        if found is None:
            return
        if time.monotonic() >= end:
            break
        try:
            done = await keeper.look(found, runtime.clock.now())
        except PostgresError as error:
            # Its neighbours are not to wait for it.
            told.recorder.log_look_failed()
            _log.warning("upkeep of the log of organisation %s: %s", life.org_id, error)
            break
        told.recorder.log_looked(done.folded, done.pruned, done.sealed, done.blocks)
        if not done.more:
            return
        found = await keeper.again(life.org_id)
    told.left()
