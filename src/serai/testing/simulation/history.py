"""What was committed: the record against which everything else is judged.

Owns the list of committed writes, taken at the durable store in the step that commits them, and two
readings of it: the rows as of a version, and who could see what at a version. Promises to share no
code with what it judges: it does not look into the log, the rows or the tokens of the product, and
roles are read from the vertical's table by rules of its own. Never changes anything.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from serai.adapters.memory.store import Organisation
from serai.core.ids import ORG_SCOPE
from serai.model import Scope, Vertical
from serai.ports.store import (
    Committed,
    Failed,
    Fenced,
    Gap,
    MutationKey,
    Outcome,
    PlannedWrite,
    Replayed,
    RowOp,
    Stale,
)
from serai.testing.simulation.outcomes import is_kept, name_of, said
from serai.testing.simulation.payments import Payments
from serai.testing.simulation.trace import Trace

Doc = dict[str, str | int | bool | None]
RowId = tuple[int, UUID]
"""(collection number, row id)."""
_UUID_CHARS = 36
Channel = tuple[UUID | None, int]
"""(property or None for the organisation, collection number)."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row as of a version; `doc` None: it was deleted.

    Attributes:
        author: the device, None for anybody else.
        changed: the fields that differ from the change before; all of them for an insert.
        text: the row as it was committed; equal texts are equal rows.
    """

    version: int
    scope: UUID
    doc: Doc | None
    author: UUID | None
    changed: frozenset[str]
    text: str


@dataclass(slots=True)
class History:
    """The record of one organisation.

    Attributes:
        version: the last.
        restored: the versions at which a new epoch began.
        live: the rows that exist now.
        written: of each version, the rows that it wrote.
        rows: each row's changes, oldest first.
        done: how often each mutation and each idempotency key was carried out.
        writes: of each mutation that was carried out, what it did and under which version.
        lost: mutations and keys that were carried out and lost with a tail.
        left: deleted rows that went with their property, and the property.
        departed: properties that have gone, or go: the first row or role has.
        payments: what was put into tills.
        sure_since: the epoch from which on nothing was lost; a token of an earlier one may stand
            for rows that nobody has.
    """

    vertical: Vertical
    trace: Trace
    org_id: int
    version: int = 0
    restored: list[int] = field(default_factory=list[int])
    rows: dict[RowId, list[Change]] = field(default_factory=dict["RowId", "list[Change]"])
    done: dict[object, int] = field(default_factory=dict[object, int])
    live: dict[RowId, Change] = field(default_factory=dict["RowId", "Change"])
    written: dict[int, list[RowId]] = field(default_factory=dict[int, "list[RowId]"])
    writes: dict[tuple[UUID, int], tuple[int, PlannedWrite]] = field(
        default_factory=dict[tuple[UUID, int], tuple[int, PlannedWrite]]
    )
    lost: set[object] = field(default_factory=set[object])
    left: dict[RowId, UUID] = field(default_factory=dict["RowId", UUID])
    departed: set[UUID] = field(default_factory=set[UUID])
    payments: Payments = field(default_factory=Payments)
    sure_since: int = 0

    def lose(self, kept: Organisation) -> None:
        """Forget what the server has lost with a tail: it goes on from `kept`, in a new epoch."""
        version = kept.head.version
        for once in list(self.done):
            if not is_kept(kept, once):
                del self.done[once]
                self.lost.add(once)
                if isinstance(once, MutationKey):
                    self.lost.add((once.device_id, once.number))
                    self.writes.pop((once.device_id, once.number), None)
        for row, changes in list(self.rows.items()):
            stay = [each for each in changes if each.version <= version]
            if len(stay) < len(changes):
                self.live.pop(row, None)
                self.rows[row] = stay
                if not stay:
                    del self.rows[row]
                elif stay[-1].doc is not None:
                    self.live[row] = stay[-1]
        self.written = {at: rows for at, rows in self.written.items() if at <= version}
        self.version = version
        self.payments.lose(version)
        self.restored.append(version)
        self.sure_since = kept.head.epoch + 1

    def record(self, writes: Sequence[PlannedWrite], outcomes: Sequence[Outcome]) -> None:
        """Take in what a call of `commit` did."""
        for write, outcome in zip(writes, outcomes, strict=True):
            if write.org_id != self.org_id:
                continue
            once = write.once
            match outcome:
                case Committed(version):
                    self._commit(write, version)
                case Replayed():
                    self.trace.branch("replayed")
                case Stale():
                    self.trace.branch("stale")
                case Gap():
                    self.trace.branch("gap")
                case Failed(code):
                    self.trace.branch(f"failed_{code.text}")
                case Fenced():
                    self.trace.branch("fenced")
            name = name_of(once)
            self.trace.note("store", f"{name} {said(outcome)}")

    def _commit(self, write: PlannedWrite, version: int) -> None:
        once = write.once
        require = self.trace.require
        require(
            write.epoch >= self.sure_since or self.trace.broken,
            f"I8: version {version} of epoch {write.epoch} was another write, in a lost tail",
        )
        require(
            version == self.version + bool(write.ops),
            f"I3: version {version} after {self.version}: versions have no gaps and no two writes",
        )
        self.version = version
        if once is not None:
            self.done[once] = self.done.get(once, 0) + 1
            require(self.done[once] == 1, f"I4: {name_of(once)} was carried out twice")
        author = once.device_id if isinstance(once, MutationKey) else None
        if isinstance(once, MutationKey):
            self.writes[once.device_id, once.number] = (version, write)
        goes = write.author.via == "transfer"
        for op in write.ops:
            change = self._change(op, version, author)
            if goes:
                self.left[op.collection, op.id] = op.scope
                self.departed.add(self._property(op))
            stay = op.collection == self.vertical.by_name["stays"].number
            if change is not None and stay and change["paid"] == 1:
                price = change["amount_minor"]
                self.payments.paid(version, op.scope, price if isinstance(price, int) else 0)

    def _property(self, op: RowOp) -> UUID:
        """Return the property with which a row goes: its own, or that at which it gives a role."""
        if op.scope != ORG_SCOPE:
            return op.scope
        return UUID(msgspec.json.decode(op.doc)[self.vertical.grants.property_field])

    def _change(
        self, op: RowOp, version: int, author: UUID | None, *, back: bool = False
    ) -> Doc | None:
        """Take in a change of a row; return the row then. `back`: a deleted row may come back."""
        require = self.trace.require
        changes = self.rows.setdefault((op.collection, op.id), [])
        before = changes[-1].doc if changes else None
        gone = bool(changes) and before is None
        require(back or not gone, f"I10: deleted row {op.id} came back")
        require((before is None) == (op.op == "insert"), f"I3: {op.op} of {op.id} on {before}")
        doc = None if op.op == "delete" else self._read(op)
        changed = frozenset(n for n, v in (doc or {}).items() if before is None or before[n] != v)
        changes.append(Change(version, op.scope, doc, author, changed, op.doc))
        self.written.setdefault(version, []).append((op.collection, op.id))
        if doc is None:
            self.live.pop((op.collection, op.id), None)
        else:
            self.live[op.collection, op.id] = changes[-1]
        return doc if doc is not None and "paid" in changed else None

    def _take(self, ops: Mapping[int, Sequence[RowOp]], back: Callable[[RowOp], bool]) -> None:
        """Take in versions that came past the write path."""
        for version, each in sorted(ops.items()):
            gapless = version == self.version + 1
            self.trace.require(gapless, f"I3: version {version} after {self.version}")
            self.version = version
            for op in each:
                self._change(op, version, None, back=back(op))

    def arrive(self, scope: UUID, ops: Mapping[int, Sequence[RowOp]]) -> None:
        """Take in a property that came from another organisation."""
        self._take(ops, lambda op: self.left.pop((op.collection, op.id), None) is not None)
        self.departed.discard(scope)
        tills = self.vertical.by_name["tills"].number
        for (number, _), each in self.live.items():
            if number == tills and each.scope == scope and each.doc is not None:
                holds = (int(each.doc[name] or 0) for name in ("payments", "taken_minor"))
                self.payments.arrived(self.version, scope, *holds)

    def has_gone(self, row: RowId, fields: Mapping[str, object]) -> bool:
        """Tell whether a row went with its property, or a property that is named has gone."""
        named = {UUID(v) for v in fields.values() if isinstance(v, str) and len(v) == _UUID_CHARS}
        scope = self.live[row].scope if row in self.live else row[1]
        return not self.departed.isdisjoint({*named, row[1], scope, self.left.get(row)})

    def _read(self, op: RowOp) -> Doc:
        """Return a row as it was committed; a fraction in it is a broken promise."""
        doc = msgspec.json.decode(op.doc)
        fractions = [name for name, value in doc.items() if isinstance(value, float)]
        self.trace.require(not fractions, f"I14: {op.id} has fractions in {fractions}")
        for name, declared in self.vertical.by_number[op.collection].fields.items():
            if declared.money and name.endswith("_minor"):
                currency = doc[name.removesuffix("_minor") + "_currency"]
                whole = (doc[name] is None) == (currency is None)
                self.trace.require(whole, f"I14: {op.id} has {doc[name]} of {currency}")
        return doc

    def row_at(self, row: RowId, version: int) -> Change | None:
        """Return the row as of a version, None if it did not exist yet."""
        changes = self.rows.get(row, [])
        position = bisect_right(changes, version, key=lambda each: each.version)
        return changes[position - 1] if position else None

    def live_at(self, version: int) -> dict[RowId, Change]:
        """Return the rows that existed at a version."""
        if version >= self.version:
            return dict(self.live)
        found = ((row, self.row_at(row, version)) for row in self.rows)
        return {
            row: change for row, change in found if change is not None and change.doc is not None
        }

    def gone(self, name: str) -> list[UUID]:
        """Return the ids of rows of a collection that were deleted."""
        number = self.vertical.by_name[name].number
        return [row[1] for row in self.rows if row[0] == number and row not in self.live]

    def scope(self, name: str, row_id: UUID) -> UUID:
        """Return where a row was."""
        return self.rows[self.vertical.by_name[name].number, row_id][-1].scope

    def between(self, row: RowId, after: int, before: int) -> list[Change]:
        """Return the changes of a row above one version and below another, in its present life:
        an id may come back when its tombstone is forgotten.
        """
        found = [each for each in self.rows.get(row, []) if each.version < before]
        ends = [n for n, each in enumerate(found[:-1]) if each.doc is None]
        return [each for each in found[ends[-1] + 1 if ends else 0 :] if each.version > after]

    def channels(self, user: UUID, version: int) -> set[Channel]:
        """Return what a user could see at a version; property None is the organisation's own."""
        source = self.vertical.grants
        number = self.vertical.by_name[source.collection].number
        places = [i for (n, i) in self.rows if n == self.vertical.collections[0].number]
        seen: set[Channel] = set()
        for row in [row for row in self.rows if row[0] == number]:
            change = self.row_at(row, version)
            doc = None if change is None else change.doc
            if doc is None or doc[source.user_field] != str(user):
                continue
            where = doc[source.property_field]
            for (role, name), actions in self.vertical.permissions.items():
                if role != doc[source.role_field] or "read" not in actions:
                    continue
                each = self.vertical.by_name[name]
                if each.scope is Scope.ORGANISATION:
                    seen.add((None, each.number))
                else:
                    wide = places if where is None else [UUID(str(where))]
                    seen.update((place, each.number) for place in wide)
        return seen

    def channel_of(self, row: RowId) -> Channel:
        """Return the channel of a row."""
        declared = self.vertical.by_number[row[0]]
        if declared.scope is Scope.ORGANISATION:
            return None, row[0]
        return (row[1] if declared.scope is Scope.SELF else self.rows[row][0].scope), row[0]
