"""One mover: takes a batch of organisations through a move, or a broken move to its end.

Owns the order of steps: claim both ends, copy at a position, follow the log, freeze, last changes,
flip, open, close. Promises that whatever fails before the flip is undone, and whatever fails after
it is finished, by this mover or by a successor; and that writes are held up only between freeze and
open. Never decides who may move what.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import psycopg

from serai.readers.move.link import LostTurn, Mark, Unmovable
from serai.readers.move.ports import MoveEnd, MovePlaces
from serai.readers.move.records import Claim
from serai.readers.move.states import Course, Step, course

_log = logging.getLogger(__name__)
FOLLOW_LIMIT: Final = 2_000
"""Versions of an organisation that are followed at once."""
FOLLOW_FEW: Final = 10
"""Versions of a batch that may be left for the pause without another round."""
FOLLOW_ROUNDS_MAX: Final = 40
"""Rounds after which writes are found to be faster than the mover."""
_LAST_LIMIT: Final = 1 << 40
"""No limit: while an organisation is frozen all that is left goes over."""


@dataclass(slots=True)
class MoveStats:
    """What one move took, in seconds. `pause`: in which writes waited."""

    copy: float = 0.0
    follow: float = 0.0
    pause: float = 0.0
    rounds: int = 0


class Mover:
    """Moves between two shards. Use as a context manager; one thread at a time.

    Args:
        places: the two shards and the record of moves.
        step: is called with the name of each step before it begins.
    """

    def __init__(self, places: MovePlaces, *, step: Callable[[str], None] = lambda _: None) -> None:
        """Keep the parts; nothing is asked yet."""
        self._at = places
        self._step = step

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._at.close()

    def move(self, claim: Claim) -> MoveStats:
        """Move a claimed batch. After an error it is undone, unless somebody else has it or nobody
        can reach what is needed for that: then a successor ends it.

        Raises:
            LostTurn: somebody has taken it over. Unmovable: see its message. psycopg.Error.
        """
        stats = MoveStats()
        try:
            began = self._until_complete(claim, stats)
        except LostTurn:
            raise
        except Exception:
            self.undo(claim)
            raise
        self._flip(claim)
        self._finish(claim, lambda: setattr(stats, "pause", time.perf_counter() - began))
        return stats

    def end(self, claim: Claim) -> bool:
        """Bring a move that was taken over to its end; tell whether the organisations moved.

        Raises:
            LostTurn: somebody else has taken it over. psycopg.OperationalError: an end is away.
            Unmovable: the copy that was kept is not there.
        """
        ahead = course(claim.step)
        self._step("claim ends")
        # One that has flipped is nobody's home: a source that lost all it knew of it makes none.
        self._at.source.claim(claim.orgs, claim.term, home=ahead is Course.UNDO)
        self._at.target.claim(claim.orgs, claim.term, home=False)
        match ahead:
            case Course.UNDO:
                self.undo(claim)
                return False
            case Course.FINISH:
                if claim.returns:
                    self._reopen(claim)
                self._finish(claim)
                return True
            case Course.NOTHING:
                return claim.step is Step.MOVED

    def undo(self, claim: Claim) -> None:
        """Undo a move that has not flipped: the source takes writes again, first of all.

        Raises:
            LostTurn: it has flipped, or somebody has taken it over.
        """
        orgs, term = claim.orgs, claim.term
        self._step("undo")
        self._at.records.advance(claim, (Step.COPYING, Step.UNDOING), Step.UNDOING)
        self._step("thaw")
        self._change_those(self._at.source, claim, "frozen", "active")
        self._at.source.rest(orgs, term)
        self._step("clear")
        self._change_those(self._at.target, claim, "frozen", "moved")
        self._at.target.sweep(orgs, term)
        self._step("undone")
        self._at.records.advance(claim, (Step.UNDOING,), Step.UNDONE)

    def sweep(self, claim: Claim) -> None:
        """Remove the copy that a move left behind. An organisation that has come back meanwhile
        keeps what it has: it is there under another term.
        """
        self._step("sweep")
        self._at.source.sweep(claim.orgs, claim.term)
        self._at.records.swept(claim)

    def _until_complete(self, claim: Claim, stats: MoveStats) -> float:
        """Take the batch to where only the flip is left; return when the pause began."""
        orgs, term = claim.orgs, claim.term
        began = time.perf_counter()
        self._step("claim source")
        here = self._at.source.claim(orgs, term, home=True)
        strange = [org for org, (state, _) in here.items() if state != "active"]
        if strange:
            raise Unmovable(f"Organisations {strange[:5]} are not active where they live.")
        self._step("claim target")
        there = self._at.target.claim(orgs, term, home=False)
        if any(state == "active" for state, _ in there.values()):
            raise Unmovable("An organisation takes writes at the target already.")
        known = [org for org, (_, new) in there.items() if not new]
        # Its home was lost while it was on its way here, and this copy was forgotten.
        left = [org for org, (state, _) in there.items() if state == "frozen"]
        if left:
            self._at.target.change(left, term, ("frozen",), "moved")
        if known:
            # It was here before, or a copy of it was broken off.
            self._at.target.sweep(known, term)
        self._make_months()
        self._step("copy")
        mark = self._at.copy(orgs, term, lambda name: self._step(f"copy {name}"))
        copied = time.perf_counter()
        stats.copy = copied - began
        mark = self._follow(claim, mark, stats)
        self._at.records.renew(claim)
        frozen = time.perf_counter()
        stats.follow = frozen - copied
        self._step("freeze")
        self._at.source.change(orgs, term, ("active",), "frozen")
        self._step("last changes")
        changes = self._at.source.changes(mark, limit=_LAST_LIMIT)
        if not self._at.target.complete(orgs, term, changes):
            all_there_is = Mark(mark.versions, mark.numbers, "0")
            whole = self._at.source.changes(all_there_is, limit=_LAST_LIMIT)
            self._at.target.complete(orgs, term, whole, anew=True)
        self._step("flip")
        return frozen

    def _make_months(self) -> None:
        """Make the months at the target that the source has, so that rows come into theirs."""
        self._step("months")
        source, target = self._at.source, self._at.target
        try:
            target.make_months(source.months() - target.months())
        except psycopg.errors.LockNotAvailable:
            # In the default partition they are right too; whoever moves next makes the months.
            _log.warning(
                "months of the target are in use and were not made; rows move all the same"
            )

    def _follow(self, claim: Claim, mark: Mark, stats: MoveStats) -> Mark:
        """Take over what is written meanwhile, until one round takes all there was."""
        before = FOLLOW_LIMIT
        while True:
            self._step("follow")
            changes = self._at.source.changes(mark, limit=FOLLOW_LIMIT)
            taken = sum(changes.after.versions.values()) - sum(mark.versions.values())
            self._at.target.take(claim.orgs, claim.term, changes)
            mark = changes.after
            # Another round would find as much as this one: what comes meanwhile.
            if changes.behind == 0 and (taken < FOLLOW_FEW or taken > before // 2):
                return mark
            before = taken
            stats.rounds += 1
            if stats.rounds > FOLLOW_ROUNDS_MAX:
                raise Unmovable("Writes come faster than they can be followed: try again later.")

    def _flip(self, claim: Claim) -> None:
        try:
            self._at.records.flip(claim)
        except psycopg.OperationalError:
            # It may have been committed, and only the answer was lost.
            if self._at.records.step(claim) is not Step.FLIPPED:
                self.undo(claim)
                raise

    def _finish(self, claim: Claim, opened: Callable[[], None] = lambda: None) -> None:
        self._step("open")
        self._at.target.change(claim.orgs, claim.term, ("frozen", "active"), "active")
        opened()
        self._step("close")
        self._at.source.change(claim.orgs, claim.term, ("frozen", "moved"), "moved")
        self._step("end")
        self._at.records.advance(claim, (Step.FLIPPED,), Step.MOVED)

    def _reopen(self, claim: Claim) -> None:
        self._step("reopen")
        lacking = {*claim.orgs} - self._at.target.reopen(claim.orgs, claim.term)
        if lacking:
            raise Unmovable(f"Its home has lost it, and shard {claim.target} has no whole copy.")

    def _change_those(self, end: MoveEnd, claim: Claim, before: str, after: str) -> None:
        """Change the state of those that are in `before`; the others were not that far."""
        states = end.states(claim.orgs)
        chosen: Sequence[int] = [org for org in claim.orgs if states.get(org) == before]
        if chosen:
            end.change(chosen, claim.term, (before,), after)
