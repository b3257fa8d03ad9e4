"""Transfers as an operator asks for them: one property, what it would take, what others left.

Owns the thread of a transfer and its signs of life. Promises that the homes of both organisations
are looked up after the claim, from when on neither can be moved; that an interrupt undoes what is
not decided; and that asking what a transfer would take changes nothing. Never touches a row.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar
from uuid import UUID

import psycopg

from serai.app.move_run import Interrupted
from serai.app.operator import operator
from serai.app.runtime import load_vertical
from serai.app.settings import Settings
from serai.app.shard_facts import ShardError, fleet_directory
from serai.app.transfer.hands import ThreadHands
from serai.app.transfer.mapping import Mapping
from serai.app.transfer.ports import Hands
from serai.app.transfer.reasons import Untransferable, reasons_against
from serai.app.transfer.records import BUSY, Claim, Past, Records
from serai.app.transfer.saga import Saga, TransferStats
from serai.app.transfer.shape import Shape
from serai.model import Vertical
from serai.readers.move.link import LostTurn, connect
from serai.readers.move.records import LEASE_SECONDS

_INTERRUPTIBLE: Final = ("claim ", "look", "hold", "freeze", "map", "copy", "page")
"""Steps before which an interrupt ends the transfer. What is decided goes on to its end, and so
does what is being undone: the taker would stay frozen."""
T = TypeVar("T")
Progress = Callable[[TransferStats], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """A transfer that is asked for: organisations by number."""

    property_id: UUID
    from_org: int
    to_org: int
    reason: str


@dataclass(slots=True)
class Foreseen:
    """What a transfer would take.

    Attributes:
        collections: rows of the property, by collection.
        matched, present, copied: as of `TransferStats`.
        grants: roles at the property that would end.
        against: why it could not be done as things are, a sentence each.
    """

    collections: dict[str, int] = field(default_factory=dict[str, int])
    matched: dict[str, int] = field(default_factory=dict[str, int])
    present: dict[str, int] = field(default_factory=dict[str, int])
    copied: dict[str, int] = field(default_factory=dict[str, int])
    grants: int = 0
    against: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Ended:
    """Transfers that were ended for others, by number. `stuck`: why one could not be."""

    finished: list[int] = field(default_factory=list[int])
    undone: list[int] = field(default_factory=list[int])
    stuck: dict[int, str] = field(default_factory=dict[int, str])


def _nothing(_: TransferStats) -> None:
    """Tell nobody."""


class Runner:
    """Runs sagas in hands. Use `async with runner(settings)`.

    Attributes:
        actor: for the record.
    """

    def __init__(self, hands: Hands, vertical: Vertical, actor: str) -> None:
        """Keep the parts."""
        self.actor = actor
        self._hands = hands
        self._vertical = vertical
        self._stop = threading.Event()

    async def transfer(self, asked: Asked, progress: Progress = _nothing) -> TransferStats:
        """Transfer a property.

        Raises:
            ShardError: it cannot begin now. Untransferable: it was undone; the message says why.
            LostTurn: somebody else ends it. psycopg.Error: it is undone, or somebody must resume.
        """
        claim = await self._hands.call(self._claim, asked)
        if isinstance(claim, str):
            raise ShardError(BUSY[claim])
        return await self._run(claim, lambda saga: saga.carry(claim), progress)

    async def end_stale(self, progress: Progress = _nothing, *, most: int | None = None) -> Ended:
        """End transfers whose process is gone: finish what is decided, undo the rest. One that
        cannot be ended now holds up no other, and is tried once.

        Args:
            progress: is told at each step.
            most: of them at most; None for all there are.
        """
        ended = Ended()
        tried: list[int] = []
        while most is None or len(tried) < most:
            claim = await self._hands.call(self._take_over, tried)
            if claim is None:
                break
            tried.append(claim.transfer_id)
            try:
                over = await self._run(claim, partial(_end, claim), progress)
            except LostTurn:
                # Somebody else ends it.
                continue
            except (psycopg.Error, Untransferable) as error:
                ended.stuck[claim.transfer_id] = str(error).partition("\n")[0]
            else:
                (ended.finished if over else ended.undone).append(claim.transfer_id)
        return ended

    async def foresee(self, asked: Asked) -> Foreseen:
        """Return what a transfer would take."""
        await self._hands.refresh()
        return await self._hands.call(self._foresee, asked)

    async def _run(self, claim: Claim, work: Callable[[Saga], T], progress: Progress) -> T:
        # From the claim on neither organisation can be moved.
        await self._hands.refresh()

        def threaded() -> T:
            with self._saga(claim, progress) as saga:
                return work(saga)

        beat = asyncio.create_task(self._beat(claim))
        task = asyncio.create_task(self._hands.call(threaded))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._stop.set()
            await asyncio.gather(task, return_exceptions=True)
            raise
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)

    async def _beat(self, claim: Claim) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            # The next one may come through; without one, at worst a successor takes over.
            with contextlib.suppress(psycopg.OperationalError):
                await self._hands.call(self._renew, claim)

    # ------------------------------------------------------------ in threads

    def _saga(self, claim: Claim, progress: Progress) -> Saga:
        saga: Saga = Saga(
            self._vertical,
            self._hands.reach(claim),
            step=lambda name: self._at(name, saga.stats, progress),
        )
        return saga

    def _at(self, name: str, stats: TransferStats, progress: Progress) -> None:
        progress(stats)
        if self._stop.is_set() and name.startswith(_INTERRUPTIBLE):
            raise Interrupted

    def _claim(self, asked: Asked) -> Claim | str:
        with self._hands.records() as records:
            orgs = asked.from_org, asked.to_org
            return records.claim(asked.property_id, *orgs, actor=self.actor, reason=asked.reason)

    def _take_over(self, without: list[int]) -> Claim | None:
        with self._hands.records() as records:
            return records.take_over(without)

    def _renew(self, claim: Claim) -> None:
        with self._hands.records() as records:
            records.renew(claim)

    def _foresee(self, asked: Asked) -> Foreseen:
        shape = Shape.of(self._vertical)
        claim = Claim(0, asked.property_id, asked.from_org, asked.to_org, 0, "", asked.reason)
        found = Foreseen()
        with self._hands.records() as records:
            busy = records.busy([asked.from_org, asked.to_org])
        found.against += [BUSY[busy]] if busy else []
        with self._saga(claim, _nothing) as saga:
            giver, taker, scope = saga.giver(claim), saga.taker(claim), asked.property_id
            found.against += reasons_against(shape, giver, taker, claim)
            if shape.problems:
                return found
            counted = {c.name: giver.count(c, scope) for c in shape.own}
            found.collections = {name: rows for name, rows in counted.items() if rows}
            mapping = Mapping(shape, giver, taker)
            mapping.look(scope)
            found.matched, found.present = mapping.matched, mapping.present
            found.copied = mapping.copied
            found.against += mapping.problems
            found.grants = giver.count_grants(scope)
        return found


def _end(claim: Claim, saga: Saga) -> bool:
    return saga.end(claim)


@contextlib.asynccontextmanager
async def runner(settings: Settings) -> AsyncGenerator[Runner]:
    """Open the directory, and give who runs transfers."""
    vertical = load_vertical(settings.vertical)
    async with fleet_directory(settings) as directory:
        hands = ThreadHands(vertical.name, settings.directory_url, directory)
        yield Runner(hands, vertical, operator())


async def past_transfers(settings: Settings, org_id: int | None, limit: int) -> list[Past]:
    """Return the last transfers, of an organisation or of all, newest first."""

    def listed() -> list[Past]:
        with connect(settings.directory_url, name="serai transfer") as conn:
            return Records(conn).past(org_id, limit)

    return await asyncio.to_thread(listed)
