"""A shard of a transfer in memory: what stands for `schema/shard/0012_transfer.pre.sql`.

Owns the simplest code that gives the guarantees of `serai.app.transfer.ports.TransferShard`: one
session of a shard, whose transaction works on a copy and puts it in place in one step. Held to
PostgreSQL by `tests/integration/transfers/test_ends.py`. Never waits: a session whose arrival was
ended by another finds its connection gone.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
import psycopg

from serai.adapters.memory import MemoryStore
from serai.adapters.memory.constraints import violation
from serai.adapters.memory.store import Organisation, apply, logged, record
from serai.app.transfer.ends import AUTHOR
from serai.core.limits import WRITE_ROWS_MAX
from serai.ports.store import Committed, Head, LogEntry, Outcome, PlannedWrite, RowOp, Stale
from serai.readers.move import LostTurn
from serai.testing.simulation.fleet.refusals import GoneError, LostTurnError, refusal
from serai.testing.simulation.fleet.transfer_reading import ShardReading

_decode = msgspec.json.Decoder(dict[str, str | int | bool | None]).decode
_PARTS: Final = ("rows", "gone", "left", "log", "audit", "departures", "head")
"""Of an organisation, what an arrival changes."""


class Told(Protocol):
    """Hears what a session changes."""

    def took(self, writes: Sequence[PlannedWrite], outcomes: Sequence[Outcome]) -> None:
        """Hear of writes through the write path."""
        ...

    def arrived(self, org_id: int, scope: UUID, before: int) -> None:
        """Hear that a property has arrived, after a version."""
        ...


class MemoryShard(ShardReading):
    """One session of a shard; see `TransferShard`.

    Args:
        arrivals: organisation -> session with an arrival; one for all sessions of the shard.
        told: hears of what is changed.

    Attributes:
        arrived_at: the organisation in which the last transaction let something arrive.
    """

    def __init__(
        self, store: MemoryStore, arrivals: dict[int, MemoryShard], told: Told | None = None
    ) -> None:
        """Connect."""
        super().__init__(store)
        self._arrivals, self._told = arrivals, told
        self.arrived_at: int | None = None
        self._whole: UUID | None = None

    def query(self, name: str, /, **given: Any) -> list[tuple[Any, ...]]:
        """Run what stands for a named statement."""
        self._alive()
        found: list[tuple[Any, ...]] | None = getattr(self, f"_{name}")(**given)
        return found or []

    def commit(self, now: str, write: PlannedWrite) -> str:
        """Write through the write path."""
        del now
        self._alive()
        outcomes = self._store.commit_now([write])
        if self._told is not None:
            self._told.took([write], outcomes)
        match outcomes[0]:
            case Committed():
                return "committed"
            case Stale():
                return "stale"
            case other:
                return str(other)

    def change(self, org_id: int, term: int, before: str, after: str) -> None:
        """Change the state of an organisation."""
        self._alive()
        org = self._store.organisations.get(org_id)
        if org is None or (org.term, org.head.state) != (term, before):
            raise LostTurn(term)
        org.head = replace(org.head, state=after)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Begin a transaction; what arrives in it is put in place in the end."""
        self.arrived_at = None
        try:
            yield
            self._alive()
            if self._arriving is not None and self._whole is not None:
                self._put(*self._arriving, self._whole)
        finally:
            if self._arriving is not None and self._arrivals.get(self._arriving[0]) is self:
                del self._arrivals[self._arriving[0]]
            self._arriving = self._whole = None

    def _put(self, org_id: int, arrived: Organisation, scope: UUID) -> None:
        """Put in place what has arrived."""
        org = self._store.organisations[org_id]
        before, self.arrived_at = org.head.version, org_id
        for name in _PARTS:
            setattr(org, name, getattr(arrived, name))
        if self._told is not None:
            self._told.arrived(org_id, scope, before)

    def end(self) -> None:
        """End the session."""
        self.broken = True

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Hold one moment."""
        self._alive()
        self._seen = {o: each.copied() for o, each in self._store.organisations.items()}
        try:
            yield
        finally:
            self._seen = None

    # ------------------------------------------------------------ changing

    def _mine(self, org_id: int, term: int) -> Organisation:
        org = self._store.organisations.get(org_id)
        if org is None or org.term != term:
            raise LostTurnError
        return org

    def _claim(self, org: int, term: int) -> None:
        fresh = Organisation(Head(1, 0, 0, 0, "active"))
        found = self._store.organisations.setdefault(org, fresh)
        if found.term >= term:
            raise LostTurnError
        found.term = term

    def _hold(self, org: int, term: int, scope: UUID | None) -> None:
        found = self._mine(org, term)
        if found.head.state == "moved" or not (scope is None or found.held in (None, scope)):
            raise LostTurnError
        found.held = scope

    def _turn(self, org: int, term: int, scope: UUID) -> None:
        if self._mine(org, term).held != scope:
            raise LostTurnError

    def _end_arrivals(self, org: int) -> None:
        other = self._arrivals.pop(org, None)
        if other is not None and other is not self:
            other.broken = True

    def _begin_arrival(self, org: int) -> None:
        self._arriving = (org, self._store.organisations[org].copied())
        self._arrivals[org] = self

    def _arrive(self, org: int, **given: Any) -> list[tuple[Any, ...]]:
        arriving, number, scope = self._at(org), given["collection"], given["scope"]
        stands = given["number"], given["hash"]
        assert stands == self._standing(org)[0][3:5], "an arrival goes on where it stands"
        rows = zip(given["ids"], given["docs"], strict=True)
        ops = [RowOp("insert", number, row_id, scope, doc) for row_id, doc in rows]
        for op in ops:
            if arriving.left.pop((number, op.id), None) is not None:
                arriving.gone.discard((number, op.id))
            if (number, op.id) in arriving.gone:
                raise GoneError(f"rows of collection {number} were deleted there")
            if (number, op.id) in arriving.rows:
                raise psycopg.errors.UniqueViolation("there is such a row")
        for place, op in enumerate(ops):
            version = given["version"] + 1 + place // WRITE_ROWS_MAX
            apply(arriving.rows, op, version)
            said = ("insert", number, op.id, scope, op.doc)
            record(arriving, org, version, [said], AUTHOR, given["at"])
            arriving.log.append(LogEntry(version, scope, number, op.id, logged(op, version)))
        failed = violation(self._store.declared, arriving.rows, ops)
        if failed is not None:
            raise refusal(failed.code, failed.detail)
        last = given["version"] + 1 + (len(ops) - 1) // WRITE_ROWS_MAX
        return [(last, len(arriving.audit), arriving.audit[-1].hash)]

    def _arrived(self, org: int, **given: Any) -> None:
        found, version = self._mine(org, given["term"]), given["version"]
        if (found.head.state, found.head.version) != ("frozen", given["before"]):
            raise LostTurnError
        arriving = self._at(org)
        self._note(arriving, org, version, given)
        arriving.departures.discard(given["scope"])
        arriving.head = replace(arriving.head, state="active", version=version)
        self._whole = given["scope"]

    def _departed(self, org: int, **given: Any) -> None:
        self._turn(org, given["term"], given["scope"])
        found = self._mine(org, given["term"])
        self._note(found, org, found.head.version, given)
        found.departures.add(given["scope"])
        found.held = None

    def _note(self, org: Organisation, org_id: int, version: int, given: dict[str, Any]) -> None:
        said = ("transfer", given["collection"], given["scope"], given["scope"], given["content"])
        record(org, org_id, version, [said], AUTHOR, given["at"])
