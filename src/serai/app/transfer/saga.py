"""One transfer: takes a property from one organisation to another, or a broken transfer to its end.

Owns the order of steps: claim both ends, hold the property, freeze the taker, copy in a transaction
that nobody sees, decide, open, empty the giver, release. Promises that whatever fails before the
decision is undone, and that whatever fails after it is finished, by this process or by a successor:
the copy can be made again, because nothing that it was made of changes until it is there. Never
decides who may sell what.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import msgspec
import psycopg

from serai.app.transfer.giver import Giver
from serai.app.transfer.mapping import Mapping
from serai.app.transfer.ports import TransferReach, TransferRecords
from serai.app.transfer.reasons import Untransferable, reasons_against, refusals
from serai.app.transfer.records import Claim
from serai.app.transfer.shape import Shape
from serai.app.transfer.states import Step, course
from serai.app.transfer.taker import Arrival, Taker
from serai.core.clock import Clock, SystemClock
from serai.core.ids import ORG_SCOPE
from serai.core.limits import WRITE_ROWS_MAX
from serai.model import Vertical
from serai.readers.move.link import LostTurn
from serai.readers.move.states import Course

_STALE_MAX: Final = 20
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class TransferStats:
    """What a transfer did.

    Attributes:
        total: rows that the property has; rows: that have arrived; removed: that have left.
        matched, present, copied: rows of the organisation that the property leads to, by
            collection: the taker has the same thing, has it from an earlier transfer, gets a copy.
        grants: roles at the property that ended.
        pause: seconds in which writes of the taker waited.
    """

    total: int = 0
    rows: int = 0
    removed: int = 0
    matched: dict[str, int] = field(default_factory=dict[str, int])
    present: dict[str, int] = field(default_factory=dict[str, int])
    copied: dict[str, int] = field(default_factory=dict[str, int])
    grants: int = 0
    pause: float = 0.0


class Saga:
    """Transfers between two organisations. Use as a context manager; one thread at a time.

    Args:
        reach: the way to the two organisations and to the record; it is closed in the end.
        step: is called with the name of each step before it begins.
    """

    def __init__(
        self,
        vertical: Vertical,
        reach: TransferReach,
        *,
        step: Callable[[str], None] = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        """Keep the parts."""
        self.stats = TransferStats()
        self._shape = Shape.of(vertical)
        self._reach = reach
        self._step = step
        self._clock = clock or SystemClock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reach.close()

    def carry(self, claim: Claim) -> TransferStats:
        """Transfer a claimed property. After an error it is undone, unless it was decided, somebody
        else has it, or nobody can reach what is needed for that: then a successor ends it.

        Raises:
            LostTurn: somebody has taken it over. Untransferable: see its message. psycopg.Error.
        """
        try:
            self._prepare(claim)
            self._arrive(claim, decide=True)
        except LostTurn:
            raise
        except Exception as error:
            if self._decided(claim, error):
                raise
            self.undo(claim)
            raise
        self._depart(claim)
        return self.stats

    def end(self, claim: Claim) -> bool:
        """Bring a transfer that was taken over to its end; tell whether the property went over.

        Raises:
            LostTurn: somebody else has taken it over. psycopg.OperationalError: an end is away.
        """
        self._step("claim ends")
        giver, taker = self.giver(claim), self.taker(claim)
        giver.claim(claim.term)
        taker.claim(claim.term)
        match course(claim.step):
            case Course.UNDO:
                self.undo(claim)
                return False
            case Course.FINISH:
                if taker.standing().state == "frozen":
                    self._arrive(claim, decide=False)
                self._depart(claim)
                return True
            case Course.NOTHING:
                return claim.step is Step.DONE

    def undo(self, claim: Claim) -> None:
        """Undo a transfer that is not decided: the giver has its property back, first of all.

        Raises:
            LostTurn: it is decided, or somebody has taken it over.
        """
        self._step("undo")
        self._records.advance(claim, (Step.COPYING, Step.UNDOING), Step.UNDOING)
        self._step("let go")
        giver, taker = self.giver(claim), self.taker(claim)
        if giver.standing().held == claim.property_id:
            giver.hold(claim.term, None)
        self._step("thaw")
        if taker.standing().state == "frozen":
            taker.change(claim.term, "frozen", "active")
        self._step("undone")
        self._records.advance(claim, (Step.UNDOING,), Step.UNDONE)

    def giver(self, claim: Claim) -> Giver:
        """Return the organisation that the property leaves."""
        return Giver(self._reach.giver, self._shape, claim.from_org, self._clock)

    def taker(self, claim: Claim) -> Taker:
        """Return the organisation that gets it."""
        return Taker(self._reach.taker, self._shape, claim.to_org, self._clock)

    def _prepare(self, claim: Claim) -> None:
        """Take both ends to where nothing that is copied can change any more."""
        giver, taker = self.giver(claim), self.taker(claim)
        self._step("claim giver")
        giver.claim(claim.term)
        self._step("claim taker")
        taker.claim(claim.term)
        self._step("look")
        found = reasons_against(self._shape, giver, taker, claim)
        if found:
            raise Untransferable(" ".join(found))
        self._step("hold")
        giver.hold(claim.term, claim.property_id)
        self._records.renew(claim)
        self._step("freeze")
        taker.change(claim.term, "active", "frozen")

    def _arrive(self, claim: Claim, *, decide: bool) -> None:
        """Copy the property, decide if that is still to be done, and open it."""
        began = time.perf_counter()
        giver, taker = self.giver(claim), self.taker(claim)
        with taker.arrival() as arrival:
            with giver.snapshot():
                self._copy(claim, giver, taker, arrival)
            if decide:
                self._step("decide")
                self._decide(claim)
            self._step("open")
            arrival.end(claim.property_id, claim.term, self._said(claim))
        self.stats.pause = time.perf_counter() - began

    def _copy(self, claim: Claim, giver: Giver, taker: Taker, arrival: Arrival) -> None:
        scope, stats = claim.property_id, self.stats
        mapping = Mapping(self._shape, giver, taker)
        self._step("map")
        mapping.look(scope)
        if mapping.problems:
            raise Untransferable(" ".join(mapping.problems))
        stats.matched, stats.present = mapping.matched, mapping.present
        stats.copied = mapping.copied
        stats.total = sum(giver.count(c, scope) for c in self._shape.own)
        stats.rows = 0
        for collection, rows in mapping.copies():
            self._step(f"copy {collection.name}")
            with refusals(collection.name):
                arrival.add(collection, ORG_SCOPE, rows)
        for collection in self._shape.own:
            self._step(f"copy {collection.name}")
            for page in giver.pages(collection, scope):
                rows = [(row_id, mapping.translated(collection, doc)) for row_id, _, doc in page]
                with refusals(collection.name):
                    arrival.add(collection, scope, rows)
                stats.rows += len(rows)
                self._step("page")

    def _decide(self, claim: Claim) -> None:
        try:
            self._records.advance(claim, (Step.COPYING,), Step.DECIDED, rows=self.stats.rows)
        except psycopg.OperationalError:
            # It may have been committed, and only the answer was lost.
            if self._records.step(claim) is not Step.DECIDED:
                raise

    def _decided(self, claim: Claim, error: Exception) -> bool:
        """Tell whether what failed is not to be undone any more."""
        try:
            return self._records.step(claim) is Step.DECIDED
        except psycopg.OperationalError as away:
            # Nobody knows; a successor will.
            raise error from away

    def _depart(self, claim: Claim) -> None:
        """Take the property out of the organisation that gave it."""
        giver, scope = self.giver(claim), claim.property_id
        if giver.standing().held == scope:
            self._step("end grants")
            self._end_grants(claim, giver)
            for collection in reversed(self._shape.own):
                self._step(f"empty {collection.name}")
                for page in giver.pages(collection, scope, WRITE_ROWS_MAX):
                    removed = giver.remove(collection, scope, page, claim.term)
                    assert removed, "nobody changes a row of a property that is held"
                    self.stats.removed += len(page)
                    self._step("emptied")
            self._step("release")
            said = self._said(claim)
            giver.depart(claim.transfer_id, claim.to_org, scope, claim.term, said)
        self._step("end")
        self._records.advance(claim, (Step.DECIDED,), Step.DONE)

    def _end_grants(self, claim: Claim, giver: Giver) -> None:
        source, scope = self._shape.grants.source, claim.property_id
        for _ in range(_STALE_MAX):
            while rows := giver.grants(scope):
                if not giver.remove(source, scope, rows, claim.term):
                    # Somebody took one of these roles meanwhile: look again.
                    break
                self.stats.grants += len(rows)
            else:
                return
        raise Untransferable("Roles at the property change all the time: resume it later.")

    def _said(self, claim: Claim) -> str:
        """Return what the audit records say of the transfer."""
        told = {
            "transfer": claim.transfer_id,
            "from": claim.from_org,
            "to": claim.to_org,
            "actor": claim.actor,
            "reason": claim.reason,
        }
        return _encode(told).decode()

    @property
    def _records(self) -> TransferRecords:
        return self._reach.records
