"""What was committed: the record against which everything else is judged.

Owns the list of committed writes, taken at the durable store in the step that commits them, and two
readings of it: the rows as of a version, and who could see what at a version. Promises to share no
code with what it judges: it does not look into the log, the rows or the tokens of the product, and
roles are read from the vertical's table by rules of its own. Never changes anything.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from serai.adapters.memory.store import Organisation
from serai.model import Scope, Vertical
from serai.ports.store import (
    Committed,
    Failed,
    Fenced,
    Gap,
    IdempotencyKey,
    MutationKey,
    Outcome,
    PlannedWrite,
    Replayed,
    RowOp,
    Stale,
)
from serai.testing.simulation.trace import Trace

Doc = dict[str, str | int | bool | None]
RowId = tuple[int, UUID]
"""(collection number, row id)."""
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
    sure_since: int = 0

    def lose(self, kept: Organisation) -> None:
        """Forget what the server has lost with a tail: it goes on from `kept`, in a new epoch."""
        version = kept.head.version
        for once in list(self.done):
            if not _is_kept(kept, once):
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
            name = _name(once)
            self.trace.note("store", f"{name} {_said(outcome)}")

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
            require(self.done[once] == 1, f"I4: {_name(once)} was carried out twice")
        author = once.device_id if isinstance(once, MutationKey) else None
        if isinstance(once, MutationKey):
            self.writes[once.device_id, once.number] = (version, write)
        for op in write.ops:
            changes = self.rows.setdefault((op.collection, op.id), [])
            before = changes[-1].doc if changes else None
            gone = bool(changes) and before is None
            require(not gone, f"I10: deleted row {op.id} came back")
            require((before is None) == (op.op == "insert"), f"I3: {op.op} of {op.id} on {before}")
            doc = None if op.op == "delete" else self._read(op)
            changed = frozenset(
                n for n, v in (doc or {}).items() if before is None or before[n] != v
            )
            changes.append(Change(version, op.scope, doc, author, changed, op.doc))
            self.written.setdefault(version, []).append((op.collection, op.id))
            if doc is None:
                self.live.pop((op.collection, op.id), None)
            else:
                self.live[op.collection, op.id] = changes[-1]

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


def _is_kept(kept: Organisation, once: object) -> bool:
    """Tell whether a server still knows that something was carried out."""
    if isinstance(once, MutationKey):
        return once.number <= kept.devices.get(once.device_id, (once.user_id, 0))[1]
    return once in kept.replies


def _name(once: MutationKey | IdempotencyKey | None) -> str:
    match once:
        case MutationKey():
            return f"mutation {once.device_id.int % 1000}/{once.number}"
        case IdempotencyKey():
            return f"key {once.key}"
        case None:
            return "import"


def _said(outcome: Outcome) -> str:
    match outcome:
        case Committed(version):
            return f"committed {version}"
        case Failed(code):
            return f"failed {code.text}"
        case Gap(expected):
            return f"gap, expected {expected}"
        case _:
            return type(outcome).__name__.lower()
