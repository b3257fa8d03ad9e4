"""One run of moves: a queue of batches, movers that take them, signs of life.

Owns the order of a run. Promises that a batch which fails is halved until the
organisation that it fails on is alone, and that an interrupt undoes what has not flipped. Never
changes a row of an organisation.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import psycopg

from serai.app.move_leftovers import SWEEP_GRACE_SECONDS, Leftovers, in_turn
from serai.readers.move import Claim, LostTurn, Mover, MoveStats, Unmovable
from serai.readers.move.ports import MoveEnd, MoveReach, MoveRecords
from serai.readers.move.records import LEASE_SECONDS
from serai.shard.placement import ShardRef

T = TypeVar("T")
BATCH_DEFAULT: Final = 100
WORKERS_DEFAULT: Final = 2
_INTERRUPTIBLE: Final = ("claim source", "claim target", "months", "copy", "follow", "freeze")
"""Steps before which an interrupt ends the move; afterwards it is a matter of milliseconds."""


class Interrupted(Exception):
    """The operator has interrupted the run."""


@dataclass(frozen=True, slots=True)
class MoveOptions:
    """How a run goes about it.

    Attributes:
        batch: organisations that move together.
        workers: batches at a time.
        rate: organisations a second at most; None for as fast as it goes.
        grace_seconds: before an old copy is removed.
    """

    batch: int = BATCH_DEFAULT
    workers: int = WORKERS_DEFAULT
    rate: float | None = None
    grace_seconds: float = SWEEP_GRACE_SECONDS


@dataclass(slots=True)
class MoveReport:
    """What a run did.

    Attributes:
        asked: organisations; moved: now; present: at the target already.
        failed: organisation -> why it did not move. It is where it was.
        ended: moves of a dead mover that were finished; undone: those that were undone.
        stuck: organisation -> why the move that a dead mover left could not be ended now.
        pauses: seconds in which writes of a batch waited, one a batch.
    """

    asked: int = 0
    moved: int = 0
    present: int = 0
    failed: dict[int, str] = field(default_factory=dict[int, str])
    ended: int = 0
    undone: int = 0
    stuck: dict[int, str] = field(default_factory=dict[int, str])
    swept: int = 0
    seconds: float = 0.0
    pauses: list[float] = field(default_factory=list[float])

    @property
    def done(self) -> int:
        """Organisations that are accounted for."""
        return self.moved + self.present + len(self.failed)


Progress = Callable[[MoveReport], None]


class Hands(MoveReach, Protocol):
    """Those who do the work of a run; `serai.app.move_hands.ThreadHands` are the ones that run."""

    async def call(self, work: Callable[..., T], *args: object) -> T:
        """Run `work` where the calls of a mover may wait."""
        ...

    async def close(self) -> None:
        """Wait for what is under way."""
        ...


class MoveRun:
    """One run: hands that take batches, each with a mover of its own.

    Attributes:
        report: what it has done so far.
        refs: shards by id.
        actor, reason: for the record of moves and the audit of placement.
        options, progress: as given.
        left: what movers that are gone have left.
        lock: of the report, which threads write.
    """

    def __init__(
        self,
        hands: Hands,
        shards: Sequence[ShardRef],
        options: MoveOptions,
        progress: Progress,
    ) -> None:
        """Start nothing yet."""
        self.report = MoveReport()
        self.refs = {ref.id: ref for ref in shards}
        self.actor = self.reason = "not given"
        self._hands = hands
        self.options, self.progress = options, progress
        self.left = Leftovers(self)
        self._stop = threading.Event()
        self.lock = threading.Lock()
        self._active: set[Claim] = set()
        self._began = time.monotonic()

    @contextlib.asynccontextmanager
    async def alive(self) -> AsyncGenerator[None]:
        """Give signs of life meanwhile; interrupt the threads if this is cancelled."""
        beat = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            self._stop.set()
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
            await self._hands.close()
            self.report.seconds = time.monotonic() - self._began

    async def move(self, orgs: Sequence[int], target: ShardRef) -> None:
        """Move batch after batch, `workers` at a time."""
        size = self.options.batch
        waiting = deque(orgs[first : first + size] for first in range(0, len(orgs), size))
        began, given = time.monotonic(), 0

        async def work() -> None:
            nonlocal given
            while waiting:
                batch = waiting.popleft()
                if self.options.rate:
                    due = began + given / self.options.rate
                    given += len(batch)
                    await asyncio.sleep(max(due - time.monotonic(), 0))
                waiting.extendleft(await self.call(self._move, batch, target))
                self.progress(self.report)

        await in_turn(work, min(self.options.workers, len(waiting)))

    async def call(self, work: Callable[..., T], *args: object) -> T:
        """Run `work` in a hand of the run."""
        return await self._hands.call(work, *args)

    # ------------------------------------------------------------ in hands

    def _move(self, batch: Sequence[int], target: ShardRef) -> list[Sequence[int]]:
        """Move a batch; return its halves if it failed as a whole."""
        with self.records() as records:
            claims = records.claim(batch, target.id, actor=self.actor, reason=self.reason)
            claimed = {org for claim in claims for org in claim.orgs}
            busy = {org for org, *_ in records.under_way(batch)} - claimed
            failed = dict.fromkeys(busy, "somebody else moves it")
            failed |= dict.fromkeys(
                records.transferring(batch), "a property is being transferred: wait for its end"
            )
            busy = set(failed)
        with self.lock:
            self.report.failed |= failed
            self.report.present += len(set(batch) - claimed - busy)
        again: list[Sequence[int]] = []
        for claim in claims:
            try:
                with self.held(claim):
                    stats = self.mover(claim.source, claim.target).move(claim)
            except LostTurn as error:
                self._fail(claim, error)
            except (Unmovable, psycopg.Error) as error:
                half = len(claim.orgs) // 2
                if half == 0 or isinstance(error, psycopg.OperationalError):
                    self._fail(claim, error)
                else:
                    again += [claim.orgs[:half], claim.orgs[half:]]
            else:
                self._moved(claim, stats)
        return again

    def _renew(self) -> None:
        with self.lock:
            claims = list(self._active)
        with self.records() as records:
            for claim in claims:
                records.renew(claim)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            # The next one may come through; without one, at worst a successor takes over.
            with contextlib.suppress(psycopg.OperationalError):
                await self.call(self._renew)

    @contextlib.contextmanager
    def held(self, claim: Claim) -> Generator[None]:
        """Give signs of life for a claim meanwhile."""
        with self.lock:
            self._active.add(claim)
        try:
            yield
        finally:
            with self.lock:
                self._active.discard(claim)

    def records(self) -> contextlib.AbstractContextManager[MoveRecords]:
        """Lend this hand's way to the record of moves."""
        return self._hands.records()

    def server(self, url: str) -> contextlib.AbstractContextManager[MoveEnd]:
        """Lend a way to one server of a shard."""
        return self._hands.server(url)

    def mover(self, source: int, target: int) -> Mover:
        """Return this hand's mover between the two shards."""
        return Mover(self._hands.places(source, target), step=self._step)

    def _step(self, name: str) -> None:
        if self._stop.is_set() and name.startswith(_INTERRUPTIBLE):
            raise Interrupted

    def _moved(self, claim: Claim, stats: MoveStats) -> None:
        with self.lock:
            self.report.moved += len(claim.orgs)
            self.report.pauses.append(stats.pause)

    def _fail(self, claim: Claim, error: Exception) -> None:
        with self.lock:
            self.report.failed |= dict.fromkeys(claim.orgs, str(error).partition("\n")[0])
