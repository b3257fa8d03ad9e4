"""The two ends of a move in memory: the reference for `serai.readers.move.ports`.

Owns the simplest code that gives their guarantees: what is copied and what is followed are parts of
an organisation's state, by the same numbers as in PostgreSQL (the log by version, the audit record
by its own, rows by what the log names, replies by what is noted during a move). What PostgreSQL
finds by transaction (`xmin`) is taken whole here, so the count that it compares is always right. A
lock that would be waited for is an error at once. Never awaits, so each call is atomic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date

import psycopg

from serai.adapters.memory.store import MemoryStore, Organisation
from serai.ports.store import Head
from serai.readers.move import LostTurn, Unmovable
from serai.readers.move.ends import RETURN_EPOCHS
from serai.readers.move.link import Changes, Mark


@dataclass(frozen=True, slots=True)
class Copied:
    """Organisations as of one moment, and up to where that is."""

    mark: Mark
    orgs: dict[int, Organisation]


@dataclass(frozen=True, slots=True)
class MemoryChanges(Changes):
    """What changed after a mark, as `part`: the state with what is newer in log and record."""

    part: dict[int, Organisation] = field(default_factory=dict[int, Organisation])


class MemoryEnd:
    """One shard of a move.

    Args:
        store: the shard.
        held: how many movers hold an organisation there; one for all ends of the shard.
    """

    def __init__(self, store: MemoryStore, held: Counter[int]) -> None:
        """Keep the parts."""
        self.store = store
        self._held = held

    def states(self, orgs: Sequence[int]) -> dict[int, str]:
        """Return organisation -> state, of those that have a row here."""
        known = self.store.organisations
        return {org: known[org].head.state for org in orgs if org in known}

    def months(self) -> set[tuple[str, date]]:
        """Return no partitions: there are none here."""
        return set()

    def claim(self, orgs: Sequence[int], term: int, *, home: bool) -> dict[int, tuple[str, bool]]:
        """Take the organisations for a term."""
        self._wait(orgs)
        known = self.store.organisations
        new = [org for org in orgs if org not in known]
        for org in new:
            known[org] = Organisation(Head(1, 0, 0, 0, "active" if home else "moved"))
            known[org].partial = not home
        lost = [org for org in orgs if known[org].term >= term]
        for org in orgs:
            if org not in lost:
                known[org].term = term
                known[org].noted = (known[org].noted or set()) if home else None
        if lost:
            raise LostTurn(term)
        return {org: (known[org].head.state, org in new) for org in orgs}

    def change(self, orgs: Sequence[int], term: int, before: Sequence[str], after: str) -> None:
        """Change the state of all of them."""
        self._wait(orgs)
        found = self._mine(orgs, term, before)
        if len(found) != len(orgs):
            raise LostTurn(term)
        for org in found:
            org.head = replace(org.head, state=after)
            org.noted = org.noted if after == "frozen" else None

    def sweep(self, orgs: Sequence[int], term: int) -> None:
        """Remove what is here of organisations that live elsewhere."""
        self._wait(orgs)
        gone = self._mine(orgs, term, ("moved",))
        for org in gone:
            org.partial = True
            org.rows, org.gone, org.log, org.audit, org.refusals = {}, set(), [], [], []
            org.replies, org.devices, org.past, org.life = {}, {}, {}, None
            org.left, org.departures, org.noted = {}, set(), None

    def open_since(self, orgs: Sequence[int], term: int) -> set[int]:
        """Return those that live here since this term or a later one."""
        return {
            org_id
            for org_id, org in self.store.organisations.items()
            if org_id in orgs and org.head.state != "moved" and org.term >= term
        }

    def _mine(self, orgs: Sequence[int], term: int, states: Sequence[str]) -> list[Organisation]:
        found = [self.store.organisations[org] for org in orgs if org in self.store.organisations]
        return [org for org in found if org.term == term and org.head.state in states]

    def _wait(self, orgs: Sequence[int]) -> None:
        if any(self._held[org] for org in orgs):
            raise psycopg.errors.LockNotAvailable("somebody holds the organisations")


class MemorySource(MemoryEnd):
    """Where organisations come from."""

    def snapshot(self, orgs: Sequence[int]) -> Copied:
        """Return everything as of now."""
        found = {org: self.store.organisations[org].copied() for org in orgs}
        versions = {org: each.head.version for org, each in found.items()}
        return Copied(Mark(versions, {o: len(each.audit) for o, each in found.items()}, "0"), found)

    def changes(self, mark: Mark, *, limit: int) -> MemoryChanges:
        """Return what changed after the mark, about `limit` versions of each organisation."""
        part: dict[int, Organisation] = {}
        versions, numbers, behind = dict(mark.versions), dict(mark.numbers), 0
        for org_id in mark.versions:
            org = self.store.organisations[org_id].copied()
            after, number = mark.versions[org_id], mark.numbers[org_id]
            if org.head.floor > after:
                raise Unmovable(f"The log of organisation {org_id} was pruned during its move.")
            versions[org_id] = min(org.head.version, after + limit)
            numbers[org_id] = min(len(org.audit), number + limit)
            behind += org.head.version - versions[org_id] + len(org.audit) - numbers[org_id]
            org.log = [e for e in org.log if after < e.version <= versions[org_id]]
            org.audit = org.audit[number : numbers[org_id]]
            named = {(e.collection, e.id) for e in org.log}
            org.rows = {key: row for key, row in org.rows.items() if key in named}
            org.gone = {key for key in org.gone if key in named}
            noted = org.noted or set()
            org.replies = {once: reply for once, reply in org.replies.items() if once in noted}
            part[org_id] = org
        return MemoryChanges({}, {}, "", Mark(versions, numbers, "0"), behind, part)

    def rest(self, orgs: Sequence[int], term: int) -> None:
        """Note nothing any more, where it is this term's turn."""
        for org in self._mine(orgs, term, ("active", "frozen", "moved")):
            org.noted = None


class MemoryTarget(MemoryEnd):
    """Where organisations go."""

    def make_months(self, months: Iterable[tuple[str, date]]) -> None:
        """Make no partitions."""

    @contextmanager
    def hold(self, orgs: Sequence[int], term: int) -> Generator[None]:
        """Keep everybody else from the organisations."""
        if len(self._mine(orgs, term, ("moved",))) != len(orgs):
            raise LostTurn(term)
        self._held.update(orgs)
        try:
            yield
        finally:
            self._held.subtract(orgs)

    def reopen(self, orgs: Sequence[int], term: int) -> set[int]:
        """Make kept copies ready to be opened in a new epoch; return those that are whole."""
        self._wait(orgs)
        for org in self._mine(orgs, term, ("moved", "frozen")):
            if not org.partial:
                epoch = org.head.epoch + RETURN_EPOCHS
                org.head = replace(org.head, state="frozen", epoch=epoch)
        return self.open_since(orgs, term)

    def put(self, copied: Copied) -> None:
        """Take a copy, within `hold`."""
        for org_id, each in copied.orgs.items():
            org = self.store.organisations[org_id]
            if org.rows or org.log or org.audit:
                raise psycopg.errors.UniqueViolation("what a broken copy left is here")
            org.rows, org.gone, org.log, org.audit = each.rows, each.gone, each.log, each.audit
            org.replies = each.replies
            _rest(org, each)

    def take(self, orgs: Sequence[int], term: int, changes: Changes) -> None:
        """Take changes of a copy that is not complete yet."""
        assert isinstance(changes, MemoryChanges), "of a source in memory"
        with self.hold(orgs, term):
            for org_id, each in changes.part.items():
                org = self.store.organisations[org_id]
                for key in each.gone | each.rows.keys():
                    org.rows.pop(key, None)
                org.rows |= each.rows
                org.gone |= each.gone
                org.log += each.log
                org.audit += each.audit
                org.replies |= each.replies
                _rest(org, each)

    def complete(
        self, orgs: Sequence[int], term: int, changes: Changes, *, anew: bool = False
    ) -> bool:
        """Take the last changes, after which everything is here."""
        del anew
        assert isinstance(changes, MemoryChanges), "of a source in memory"
        self.take(orgs, term, changes)
        for org_id, each in changes.part.items():
            org = self.store.organisations[org_id]
            org.head = replace(each.head, state="frozen")
            org.partial = False
        return True


def _rest(org: Organisation, each: Organisation) -> None:
    """Take what is not followed by number."""
    org.devices, org.past, org.refusals = each.devices, each.past, each.refusals
    org.life, org.left, org.departures = each.life, each.left, each.departures
