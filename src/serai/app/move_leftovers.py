"""What movers that are gone have left: moves without an end, and old copies.

Owns the order in which they are ended. Promises that a move which cannot be ended now holds up no
other one: a batch is halved until the organisation that it fails on is alone, and a shard that does
not answer is asked once; and that an old copy goes only when every server of the new home has the
organisation, so that no promotion can lose it. Never begins a move.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import psycopg

from serai.readers.move import Claim, LostTurn, OldCopy, Unmovable

if TYPE_CHECKING:
    from serai.app.move_run import MoveRun

_log = logging.getLogger(__name__)
SWEEP_GRACE_SECONDS: Final = 5.0
"""How long the old copy stays after a move: a process that has not heard of it answers a read from
there, and every process asks the directory each second."""
_PASSING: Final = ("40", "55")
"""Classes of errors that say that somebody else was in the way, not that the server is gone."""


class Leftovers:
    """The leftovers that a run finds.

    Args:
        run: its threads, connections and report.
    """

    def __init__(self, run: MoveRun) -> None:
        self._run = run
        self._away: set[tuple[int, int]] = set()

    async def end(
        self, *, batches: int | None = None, orgs: Sequence[int] | None = None
    ) -> dict[int, list[int]]:
        """End moves whose mover is gone; return target -> organisations that were to go there.

        Args:
            batches: of moves that are taken over at most; None for all there are.
            orgs: of these alone.
        """
        undone: dict[int, list[int]] = {}
        while batches is None or batches > 0:
            batches = None if batches is None else batches - 1
            waiting = deque(await self._run.call(self._take_over, orgs))
            if not waiting:
                break

            async def work(waiting: deque[Claim] = waiting) -> None:
                while waiting:
                    claim = waiting.popleft()
                    moved, again = await self._run.call(self._end, claim)
                    waiting.extendleft(again)
                    if moved is False:
                        undone.setdefault(claim.target, []).extend(claim.orgs)
                    self._run.progress(self._run.report)

            # One shard that answers slowly holds up one of them.
            await in_turn(work, self._run.options.workers)
        return undone

    async def sweep(self, *, batches: int | None = None) -> None:
        """Remove old copies whose time is over; those of this run included, for which it waits.

        Args:
            batches: of copies that are removed at most; None for all there are.
        """
        run = self._run
        await asyncio.sleep(run.options.grace_seconds if run.report.moved else 0)
        away: set[int] = set()
        unsafe: set[int] = set()
        silent: set[str] = set()
        while batches is None or batches > 0:
            batches = None if batches is None else batches - 1
            copies = await run.call(self._to_sweep, sorted(away), sorted(unsafe))
            if not copies:
                break
            for copy in copies:
                spare = await run.call(self._spare, copy, silent)
                if len(spare) < len(copy.claim.orgs):
                    unsafe.add(copy.home)
                if not spare or copy.claim.source in away:
                    continue
                if await run.call(self._sweep, replace(copy.claim, orgs=spare)):
                    run.report.swept += len(spare)
                    run.progress(run.report)
                else:
                    away.add(copy.claim.source)

    # ------------------------------------------------------------ in threads

    def _end(self, claim: Claim) -> tuple[bool | None, Sequence[Claim]]:
        """End a move that was taken over. Return whether its organisations moved, None if it has
        no end yet; and what is to be done instead.
        """
        run, ends = self._run, (claim.source, claim.target)
        if ends in self._away:
            return self._stuck(claim, "a shard does not answer")
        try:
            with run.held(claim):
                moved = run.mover(*ends).end(claim)
        except LostTurn:
            # Somebody else ends it.
            return None, ()
        except (Unmovable, psycopg.Error) as error:
            if isinstance(error, psycopg.Error) and is_gone(error):
                self._away.add(ends)
            elif len(claim.orgs) > 1:
                return None, self._halves(claim)
            return self._stuck(claim, str(error))
        with run.lock:
            if moved:
                run.report.ended += len(claim.orgs)
            else:
                run.report.undone += len(claim.orgs)
            for org in claim.orgs:
                run.report.stuck.pop(org, None)
        return moved, ()

    def _halves(self, claim: Claim) -> list[Claim]:
        """Return the halves of a claim, each under a term of its own: both ends have seen the old
        one.
        """
        half = len(claim.orgs) // 2
        with self._run.records() as records:
            return [
                each
                for part in (claim.orgs[:half], claim.orgs[half:])
                for each in records.renew_term(claim, part)
            ]

    def _stuck(self, claim: Claim, why: str) -> tuple[None, Sequence[Claim]]:
        with self._run.lock:
            self._run.report.stuck |= dict.fromkeys(claim.orgs, why.partition("\n")[0])
        return None, ()

    def _sweep(self, claim: Claim) -> bool:
        """Remove old copies; False if somebody else is at them, or their shard is away: they stay
        until the next time.
        """
        try:
            # A target is not asked for anything.
            self._run.mover(claim.source, claim.source).sweep(claim)
        except psycopg.Error as error:
            # Also of a server that takes no writes any more.
            _log.warning("old copies on shard %s stay for now: %s", claim.source, error)
            return False
        return True

    def _take_over(self, orgs: Sequence[int] | None) -> list[Claim]:
        with self._run.records() as records:
            return records.take_over(orgs)

    def _to_sweep(self, away: Sequence[int], unsafe: Sequence[int]) -> list[OldCopy]:
        with self._run.records() as records:
            grace = self._run.options.grace_seconds
            return records.to_sweep(grace, away=away, unsafe=unsafe)

    def _spare(self, copy: OldCopy, silent: set[str]) -> tuple[int, ...]:
        """Return those whose old copy is not needed any more: every server that may be their home's
        primary one day has them. `silent`: servers that do not answer, asked once.
        """
        spare = {*copy.claim.orgs}
        if not silent.isdisjoint(copy.servers):
            return ()
        for url in copy.servers:
            try:
                with self._run.server(url) as server:
                    spare &= server.open_since(sorted(spare), copy.since)
            except psycopg.Error as error:
                silent.add(url)
                _log.warning(
                    "old copies of organisations that live on shard %s stay until each of its "
                    "servers has them, and one does not answer: %s",
                    copy.home,
                    error,
                )
                return ()
        return tuple(sorted(spare))


async def in_turn(work: Callable[[], Coroutine[Any, Any, None]], workers: int) -> None:
    """Let so many do the same work side by side; raise what the first one that failed did."""
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
    except BaseExceptionGroup as failed:
        # Not `except*`: some versions of Python put what is raised there into a new group.
        raise failed.exceptions[0] from None


def is_gone(error: psycopg.Error) -> bool:
    """Tell whether the server is gone, and not only one thing on it in somebody's hands."""
    state = error.sqlstate or ""
    return isinstance(error, psycopg.OperationalError) and not state.startswith(_PASSING)
