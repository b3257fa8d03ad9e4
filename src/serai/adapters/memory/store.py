"""The reference store: dictionaries, and one write after the other.

Owns the simplest code that gives the guarantees of `serai.ports.store.Store`. The conformance suite
holds PostgreSQL against it and the simulation runs on it. References, uniqueness and required
fields are enforced as the database would; `Check.sql` is not, because nothing here speaks SQL.
Never does I/O; a call is atomic because it never awaits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

import msgspec

from serai.adapters.memory.constraints import violation
from serai.adapters.memory.life import KeptLife, MemoryLifeStore, change_text
from serai.adapters.memory.listing import listed
from serai.adapters.memory.segments import segment_page
from serai.core.channels import Channel, contains
from serai.core.clock import Clock, SystemClock, timestamp_text
from serai.core.errors import Code
from serai.core.ids import ORG_SCOPE
from serai.core.token import Position
from serai.log.audit import FIRST_HASH, Said, chained, entries_of
from serai.model import Vertical
from serai.ports.life import SegmentPage
from serai.ports.store import (
    AuditEntry,
    AuditPage,
    Author,
    Committed,
    Failed,
    Fenced,
    Gap,
    Head,
    IdempotencyKey,
    ListQuery,
    LogEntry,
    LogPage,
    MutationKey,
    Outcome,
    PlannedWrite,
    Replayed,
    RowKey,
    RowOp,
    SnapshotPage,
    SnapshotRow,
    Stale,
    StoredRefusal,
    StoredRow,
)

_HALTS: Final = (Stale, Gap, Fenced, Failed)
"""Outcomes after which the later mutations of a device in the batch are not taken."""


@dataclass(slots=True)
class Organisation:
    """All that is kept of one organisation.

    Attributes:
        term: of the mover, or of the transfer, whose turn it is.
        held: the property that is being handed over.
        left: deleted rows that left with their property -> where they were.
        departures: properties that were handed over.
        noted: replies since a move began; None: nobody moves it.
        partial: rows of a copy may be missing.
        restoring: a restore holds its writes up.
    """

    head: Head
    rows: dict[tuple[int, UUID], StoredRow] = field(
        default_factory=dict[tuple[int, UUID], StoredRow]
    )
    gone: set[tuple[int, UUID]] = field(default_factory=set[tuple[int, UUID]])
    log: list[LogEntry] = field(default_factory=list[LogEntry])
    replies: dict[object, tuple[int, bytes, str]] = field(
        default_factory=dict[object, tuple[int, bytes, str]]
    )
    devices: dict[UUID, tuple[UUID, int]] = field(default_factory=dict[UUID, tuple[UUID, int]])
    past: dict[tuple[UUID, int], bytes] = field(default_factory=dict[tuple[UUID, int], bytes])
    refusals: list[StoredRefusal] = field(default_factory=list[StoredRefusal])
    audit: list[AuditEntry] = field(default_factory=list[AuditEntry])
    life: KeptLife | None = None
    term: int = 0
    partial: bool = False
    held: UUID | None = None
    left: dict[tuple[int, UUID], UUID] = field(default_factory=dict[tuple[int, UUID], UUID])
    departures: set[UUID] = field(default_factory=set[UUID])
    noted: set[object] | None = None
    restoring: bool = False

    def copied(self) -> Organisation:
        """Return the same state in containers of its own; what is in them never changes."""
        return Organisation(
            head=self.head,
            rows=dict(self.rows),
            gone=set(self.gone),
            log=list(self.log),
            replies=dict(self.replies),
            devices=dict(self.devices),
            past=dict(self.past),
            refusals=list(self.refusals),
            audit=list(self.audit),
            life=None if self.life is None else self.life.copied(),
            term=self.term,
            partial=self.partial,
            held=self.held,
            left=dict(self.left),
            departures=set(self.departures),
            noted=None if self.noted is None else set(self.noted),
            restoring=self.restoring,
        )


class MemoryStore:
    """One shard in memory.

    Attributes:
        organisations: the durable state, for tests to look at and to damage.
    """

    def __init__(self, vertical: Vertical, clock: Clock | None = None) -> None:
        """Start empty."""
        self._vertical = vertical
        self._clock = clock or SystemClock()
        self.organisations: dict[int, Organisation] = {}

    async def create_org(self, org_id: int) -> None:
        """Make an empty organisation: epoch 1, version 0, active. Does nothing if it exists."""
        self.organisations.setdefault(org_id, Organisation(Head(1, 0, 0, 0, "active")))

    def snapshot(self) -> dict[int, Organisation]:
        """Return a copy of the durable state, for `restore`."""
        return {org_id: each.copied() for org_id, each in self.organisations.items()}

    def restore(self, state: dict[int, Organisation]) -> None:
        """Go back to a snapshot, as after a restore from a backup: the epoch rises."""
        self.organisations = {org_id: each.copied() for org_id, each in state.items()}
        for each in self.organisations.values():
            each.head = replace(each.head, epoch=each.head.epoch + 1)

    @property
    def lives(self) -> MemoryLifeStore:
        """The logs, for upkeep."""
        return MemoryLifeStore(self.organisations)

    @property
    def declared(self) -> Vertical:
        """What is stored here."""
        return self._vertical

    async def departed(self, asked: Sequence[tuple[int, int, UUID, list[UUID]]]) -> dict[int, Code]:
        """Tell what goes or went with its property; see `serai.log.departures`."""
        found = {place: self._departed(*each) for place, each in enumerate(asked)}
        return {place: code for place, code in found.items() if code is not None}

    def _departed(
        self, org_id: int, collection: int, row_id: UUID, named: Sequence[UUID]
    ) -> Code | None:
        org = self.organisations.get(org_id)
        if org is None:
            return None
        key = collection, row_id
        about = {*named, org.left.get(key)}
        if not org.departures.isdisjoint(about):
            return Code.PROPERTY_TRANSFERRED
        about |= {org.rows[key].scope} if key in org.rows else set()
        return Code.PROPERTY_HELD if org.held is not None and org.held in about else None

    def prune(self, org_id: int, floor: int) -> None:
        """Forget the log up to version `floor`, as the horizon does. Ids of deleted rows stay."""
        org = self.organisations[org_id]
        org.log = [e for e in org.log if e.version > floor]
        org.head = replace(org.head, floor=max(floor, org.head.floor))

    def forget_replies(self, org_id: int, *, keys: bool = True) -> None:
        """Forget the replies of mutations, and of keys too: of a mutation its hash is left."""
        org = self.organisations[org_id]
        for once, (_, body_hash, _) in list(org.replies.items()):
            if isinstance(once, MutationKey):
                org.past[once.device_id, once.number] = body_hash[:8]
            if keys or isinstance(once, MutationKey):
                del org.replies[once]

    async def read(self, keys: Sequence[RowKey]) -> list[StoredRow | None]:
        """Return the live rows for the keys, in their order."""
        return [
            self.organisations[org_id].rows.get((number, row_id))
            if org_id in self.organisations
            else None
            for org_id, number, row_id in keys
        ]

    async def commit(self, writes: Sequence[PlannedWrite]) -> list[Outcome]:
        """Apply the writes; an outcome for each, in their order."""
        return self.commit_now(writes)

    def commit_now(self, writes: Sequence[PlannedWrite]) -> list[Outcome]:
        """Do what `commit` does, for those who cannot await."""
        halted: set[tuple[int, UUID]] = set()
        outcomes: list[Outcome] = []
        for write in writes:
            once = write.once
            device = (write.org_id, once.device_id) if isinstance(once, MutationKey) else None
            outcome = Stale() if device in halted else self._commit_one(write)
            outcomes.append(outcome)
            reused = isinstance(outcome, Replayed) and not outcome.same_body
            if device is not None and (reused or isinstance(outcome, _HALTS)):
                halted.add(device)
        return outcomes

    def _commit_one(self, write: PlannedWrite) -> Outcome:
        org = self.organisations.get(write.org_id)
        if org is None:
            return Fenced(Code.ORG_MOVED, 0)
        earlier = _fence(org, write) or _earlier(org, write)
        if earlier is not None:
            return earlier
        versions = ((org.rows.get((r.collection, r.id)), r.version) for r in write.reads)
        if any((0 if row is None else row.version) != seen for row, seen in versions):
            return Stale()
        if any(op.op == "insert" and (op.collection, op.id) in org.gone for op in write.ops):
            return Failed(Code.ROW_GONE, Code.ROW_GONE.kind.remedy)
        rows = dict(org.rows)
        version = org.head.version + bool(write.ops)
        for op in write.ops:
            if op.op == "insert" and (op.collection, op.id) in rows:
                return Failed(Code.ROW_EXISTS, Code.ROW_EXISTS.kind.remedy)
            apply(rows, op, version)
        failed = violation(self._vertical, rows, write.ops)
        if failed is not None:
            return failed
        self._keep(org, write, rows, version)
        return Committed(version)

    def _keep(
        self,
        org: Organisation,
        write: PlannedWrite,
        rows: dict[tuple[int, UUID], StoredRow],
        version: int,
    ) -> None:
        """Make the write durable: rows, log, reply, number, refusal, audit record."""
        org.rows = rows
        for op in write.ops:
            if op.op == "delete":
                org.gone.add((op.collection, op.id))
                if write.author.via == "transfer":
                    org.left[op.collection, op.id] = op.scope
            org.log.append(LogEntry(version, op.scope, op.collection, op.id, logged(op, version)))
        granted = version if write.grants_change else org.head.grants_version
        org.head = replace(org.head, version=version, grants_version=granted)
        said, at = entries_of(write), timestamp_text(self._clock.now())
        record(org, write.org_id, version, said, write.author, at)
        once = write.once
        if once is not None:
            org.replies[once] = (version, write.body_hash, write.reply)
            if org.noted is not None:
                org.noted.add(once)
        if isinstance(once, MutationKey):
            org.devices[once.device_id] = (once.user_id, once.number)
            if write.refusal is not None:
                kept = StoredRefusal(
                    len(org.refusals) + 1,
                    once.user_id,
                    once.device_id,
                    once.number,
                    write.refusal,
                    at,
                )
                org.refusals.append(kept)

    async def replayed(
        self, org_id: int, once: IdempotencyKey, body_hash: bytes
    ) -> Replayed | None:
        """Return what is stored under the key, None if nothing is."""
        org = self.organisations.get(org_id)
        kept = None if org is None else org.replies.get(once)
        return None if kept is None else Replayed(kept[0], kept[2], kept[1] == body_hash)

    async def head(self, org_id: int) -> Head | None:
        """Return where the organisation stands, None if it is not on this shard."""
        org = self.organisations.get(org_id)
        return None if org is None else org.head

    async def log_page(
        self, org_id: int, after: int, *, scan: int, scopes: Sequence[UUID] | None, collections: int
    ) -> LogPage | None:
        """Return the log after version `after`: whole versions, about `scan` entries."""
        org = self.organisations.get(org_id)
        if org is None:
            return None
        visible = None if scopes is None else {ORG_SCOPE, *scopes}
        entries: list[LogEntry] = []
        for entry in org.log:
            if entry.version <= after or not collections >> entry.collection & 1:
                continue
            if visible is not None and entry.scope not in visible:
                continue
            if len(entries) >= scan and entry.version != entries[-1].version:
                return LogPage(org.head, entries, entries[-1].version)
            entries.append(entry)
        return LogPage(org.head, entries, org.head.version)

    async def snapshot_page(
        self,
        org_id: int,
        channels: Sequence[Channel],
        after: UUID | None,
        *,
        rows: int,
        max_bytes: int,
    ) -> SnapshotPage:
        """Return live rows of the channels, one channel after the other, each in order of id."""
        org = self.organisations.get(org_id)
        if org is None:
            return SnapshotPage([], len(channels))
        found: list[SnapshotRow] = []
        size = 0
        for done, (scope, number) in enumerate(channels):
            start = after if done == 0 else None
            for key, row in sorted(org.rows.items()):
                inside = key[0] == number and contains({scope: 1 << number}, row.scope, number)
                if not inside or (start is not None and key[1] <= start):
                    continue
                if len(found) >= rows or size >= max_bytes:
                    return SnapshotPage(found, done)
                change = change_text("insert", key[1], row.version, row.doc)
                size += len(change)
                found.append(SnapshotRow(row.version, row.scope, number, key[1], change))
        return SnapshotPage(found, len(channels))

    async def segment_page(
        self, org_id: int, channel: Channel, after: UUID | None, *, at: Position, rows: int
    ) -> SegmentPage | None:
        """Return the rows of a channel as of a position, from sealed blocks."""
        org = self.organisations.get(org_id)
        return None if org is None else segment_page(org, channel, after, at, rows)

    async def grants(self, org_id: int, user_id: UUID) -> tuple[int, list[tuple[str, UUID | None]]]:
        """Return (grants_version, [(role, property or None for all)]) of a user."""
        org = self.organisations.get(org_id)
        if org is None:
            return 0, []
        source = self._vertical.grants
        number = self._vertical.by_name[source.collection].number
        docs = [msgspec.json.decode(r.doc) for k, r in sorted(org.rows.items()) if k[0] == number]
        held: list[tuple[str, UUID | None]] = []
        for doc in docs:
            if doc[source.user_field] == str(user_id):
                place = doc[source.property_field]
                held.append((doc[source.role_field], None if place is None else UUID(place)))
        return org.head.grants_version, held

    async def list_rows(self, query: ListQuery) -> list[tuple[UUID, StoredRow]]:
        """Return a page of live rows."""
        org = self.organisations.get(query.org_id)
        rows = {} if org is None else org.rows
        return listed(self._vertical.by_number[query.collection], rows, query)

    async def refusals(
        self, org_id: int, *, user_id: UUID | None, after: int, limit: int
    ) -> list[StoredRefusal]:
        """Return kept refusals with id > `after`, of one user or of all, oldest first."""
        kept = self._refusals(org_id)
        wanted = [r for r in kept if r.id > after and user_id in (None, r.user_id)]
        return wanted[:limit]

    async def refusal(self, org_id: int, device_id: UUID, number: int) -> StoredRefusal | None:
        """Return the kept refusal of one mutation, None if it was not refused."""
        kept = self._refusals(org_id)
        return next((r for r in kept if (r.device_id, r.number) == (device_id, number)), None)

    async def audit_page(self, org_id: int, after: int, *, limit: int) -> AuditPage | None:
        """Return the entries of the audit record with number > `after`, oldest first."""
        org = self.organisations.get(org_id)
        if org is None:
            return None
        entries = org.audit[after : after + limit]
        changes = {(e.version, e.collection, e.id): e.change for e in org.log}
        return AuditPage(
            head=org.head,
            number=len(org.audit),
            hash=org.audit[-1].hash if org.audit else FIRST_HASH,
            anchor=(0, FIRST_HASH),
            entries=entries,
            changes=[
                None if e.op == "refuse" else changes.get((e.version, e.collection, e.row_id))
                for e in entries
            ],
            folded=0 if org.life is None else org.life.folded,
        )

    async def audit_list(
        self,
        org_id: int,
        *,
        before: int | None,
        row_id: UUID | None = None,
        user_id: UUID | None = None,
        limit: int,
    ) -> list[AuditEntry]:
        """Return entries of the audit record, newest first."""
        org = self.organisations.get(org_id)
        found = [
            each
            for each in reversed([] if org is None else org.audit)
            if (before is None or each.number < before)
            and row_id in (None, each.row_id)
            and user_id in (None, each.user_id)
        ]
        return found[:limit]

    def _refusals(self, org_id: int) -> list[StoredRefusal]:
        org = self.organisations.get(org_id)
        return [] if org is None else org.refusals


def record(
    org: Organisation, org_id: int, version: int, said: Iterable[Said], author: Author, at: str
) -> None:
    """Add entries to the audit record."""
    for op, collection, row_id, scope, content in said:
        before = org.audit[-1].hash if org.audit else FIRST_HASH
        entry = AuditEntry(
            org_id=org_id,
            number=len(org.audit) + 1,
            at=at,
            version=version,
            user_id=author.user_id,
            device_id=author.device_id,
            via=author.via,
            op=op,
            collection=collection,
            row_id=row_id,
            scope=scope,
            content=content,
            hash=b"",
        )
        org.audit.append(msgspec.structs.replace(entry, hash=chained(before, entry)))


def _fence(org: Organisation, write: PlannedWrite) -> Fenced | None:
    """Return why the organisation takes no such write now, None if it does."""
    if org.head.state != "active":
        return Fenced(Code.ORG_FROZEN if org.head.state == "frozen" else Code.ORG_MOVED, 0)
    if org.head.epoch != write.epoch:
        return Fenced(Code.ORG_MOVED, org.head.epoch)
    if org.held is not None and _is_held(org.held, write):
        return Fenced(Code.PROPERTY_HELD, 0)
    return None


def _is_held(held: UUID, write: PlannedWrite) -> bool:
    """Tell whether a write is one to a property that is being handed over, or names it."""
    return write.author.via != "transfer" and any(
        op.scope == held or (op.op != "delete" and str(held) in op.doc) for op in write.ops
    )


def _earlier(org: Organisation, write: PlannedWrite) -> Outcome | None:
    """Return the outcome of a write that happened before or must not happen yet."""
    once = write.once
    if once is None:
        return None
    kept = org.replies.get(once)
    if isinstance(once, MutationKey):
        user_id, last = org.devices.get(once.device_id, (once.user_id, 0))
        if user_id != once.user_id:
            return Failed(Code.DEVICE_UNKNOWN, Code.DEVICE_UNKNOWN.kind.remedy)
        if once.number <= last and kept is None:
            past = org.past.get((once.device_id, once.number), write.body_hash[:8])
            return Replayed(0, None, same_body=past == write.body_hash[:8])
        if once.number > last + 1:
            return Gap(last + 1)
    return None if kept is None else Replayed(kept[0], kept[2], kept[1] == write.body_hash)


def apply(rows: dict[tuple[int, UUID], StoredRow], op: RowOp, version: int) -> None:
    key = (op.collection, op.id)
    """Do one change to rows."""
    match op.op:
        case "insert":
            rows[key] = StoredRow(version, op.scope, op.doc, {}, version)
        case "update":
            old = rows[key]
            changed = {**old.field_versions, **dict.fromkeys(op.changed, version)}
            rows[key] = StoredRow(version, op.scope, op.doc, changed, old.created_version)
        case "delete":
            del rows[key]


def logged(op: RowOp, version: int) -> str:
    """Return a change as the log has it."""
    return change_text(op.op, op.id, version, None if op.op == "delete" else op.doc)
