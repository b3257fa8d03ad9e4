"""The store of one shard: rows, the log, replies, in one transaction.

Owns the protocol between the write path and whatever keeps the data. PostgreSQL is the
implementation that runs; the one in memory is the reference that the conformance suite and the
simulation hold it against. Never decides anything about a write: rules and merge have run before;
the store checks that what they saw still holds, and makes the change durable.

Forms that are made for each row are msgspec structs: a frozen dataclass takes ten times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import UUID

from msgspec import Struct

from serai.core.channels import Channel
from serai.core.errors import Code
from serai.core.token import Position
from serai.ports.life import SegmentPage

RowKey = tuple[int, int, UUID]
"""(org_id, collection number, row id)."""
Op = Literal["insert", "update", "delete"]
Via = Literal["rest", "push", "import", "system", "transfer"]
"""The way by which a write came: `system` is Serai itself, on an operator's order."""


class StoredRow(Struct, frozen=True, gc=False):
    """A live row.

    Attributes:
        version: of the write that changed it last.
        scope: the scope of its channel.
        doc: its fields as finished JSON text, an object.
        field_versions: field -> version of its last change; a field that is not here has the
            version of the insert.
        created_version: of the insert.
    """

    version: int
    scope: UUID
    doc: str
    field_versions: dict[str, int]
    created_version: int


class RowOp(Struct, frozen=True, gc=False):
    """One row of a write.

    Attributes:
        collection: number.
        scope: the scope of its channel; fixed for the life of the row.
        doc: the whole row after, as JSON text; for a delete, the row before.
        changed: for an update, the names of the fields that differ.
        diff: for an update, these fields as JSON text: `{"field":[before,after]}`.
    """

    op: Op
    collection: int
    id: UUID
    scope: UUID
    doc: str
    changed: tuple[str, ...] = ()
    diff: str = ""


class ReadSetItem(Struct, frozen=True, gc=False):
    """A row that the decision rests on: `version` 0 means that there was no row."""

    collection: int
    id: UUID
    version: int


class IdempotencyKey(Struct, frozen=True, gc=False):
    """A caller's key: unique in the organisation and for the user."""

    user_id: UUID
    key: str


class MutationKey(Struct, frozen=True, gc=False):
    """A device's number: 1, 2, 3 ... without gaps."""

    user_id: UUID
    device_id: UUID
    number: int


class Refusal(Struct, frozen=True, gc=False):
    """A mutation that was not applied, kept for the people concerned.

    Attributes:
        outcome: `conflict` or `rejected`.
        code: the catalogue's or the vertical's word.
        reason: a sentence for a person.
        collection: number of the collection it was for.
        row_id: of the row it was for.
        scope: whose readers may see the refusal.
        body: the mutation as JSON text.
    """

    outcome: Literal["conflict", "rejected"]
    code: str
    reason: str
    collection: int
    row_id: UUID
    scope: UUID
    body: str


class Author(Struct, frozen=True, gc=False):
    """Who wrote, for the audit record.

    Attributes:
        user_id: a person, or a machine's API key.
        device_id: the device that pushed the write; else the session that it came by (the
            directory knows its device), or the machine's key again. None for Serai itself.
    """

    user_id: UUID
    device_id: UUID | None
    via: Via


class Denial(Struct, frozen=True, gc=False):
    """A request that was not allowed, for the audit record alone.

    Attributes:
        asked: what it wanted to do, such as `update`.
        code: the catalogue's or the vertical's word.
        reason: a sentence for a person.
        collection: number of the collection it was for, 0 if it was for none.
        row_id: of the row it was for; the nil id if it was for none.
        scope: whose readers may see the entry.
        more: denials of the organisation since the last entry that were only counted.
    """

    asked: str
    code: str
    reason: str
    collection: int
    row_id: UUID
    scope: UUID
    more: int = 0


class PlannedWrite(Struct, frozen=True, gc=False):
    """One atomic change of one organisation, decided and ready.

    Attributes:
        epoch: the epoch the caller believes in; the fence refuses another.
        ops: the rows; none for a refusal, which then gets the organisation's present version.
        reads: what must still hold.
        once: the key that makes it happen once, None only for work that is its own key (imports by
            row id).
        body_hash: 32 bytes over the request; the same key with another hash is refused.
        reply: JSON text kept for replays. `{version}` in it stands for the version the write got.
        refusal: recorded in the same transaction, for a mutation that is not applied.
        author: who did it, for the audit record.
        grants_change: the write changes who may see what; raises `grants_version`.
        denial: recorded, for a request that was not allowed.
    """

    org_id: int
    epoch: int
    ops: tuple[RowOp, ...]
    reads: tuple[ReadSetItem, ...]
    once: IdempotencyKey | MutationKey | None
    body_hash: bytes
    reply: str
    author: Author
    refusal: Refusal | None = None
    grants_change: bool = False
    denial: Denial | None = None


class Committed(Struct, frozen=True, gc=False):
    """The write is durable under this version (for a write without rows: the organisation's present
    version).
    """

    version: int


class Replayed(Struct, frozen=True, gc=False):
    """The key was used before. `reply` is the stored text, None when only the number and a hash are
    left of a mutation; when its hash is gone too, `same_body` is true.
    """

    version: int
    reply: str | None
    same_body: bool


class Stale(Struct, frozen=True, gc=False):
    """A row of the read set, or an earlier mutation of the same batch, has moved: decide again."""


class Gap(Struct, frozen=True, gc=False):
    """Mutations before this one are missing; `expected` is the next number of the device."""

    expected: int


class Fenced(Struct, frozen=True, gc=False):
    """The organisation is not here, is frozen, or has another epoch (`epoch` is the present one, 0
    if unknown).
    """

    code: Code
    epoch: int


class Failed(Struct, frozen=True, gc=False):
    """The database refused the write by a constraint; it alone, not its neighbours."""

    code: Code
    detail: str
    fields: tuple[str, ...] = ()


Outcome = Committed | Replayed | Stale | Gap | Fenced | Failed


@dataclass(frozen=True, slots=True)
class Head:
    """Where an organisation stands. `floor`: deltas from below this version are not complete any
    more.
    """

    epoch: int
    version: int
    floor: int
    grants_version: int
    state: str


class LogEntry(Struct, frozen=True, gc=False):
    """One change of the log. `change` is the finished JSON text of the wire, an object."""

    version: int
    scope: UUID
    collection: int
    id: UUID
    change: str


@dataclass(frozen=True, slots=True)
class LogPage:
    """A part of the log.

    Attributes:
        head: of the organisation, in the same snapshot of the database.
        entries: in order of (version, position in the write), whole versions only.
        through: every version up to this one is in the page; `head.version` when nothing more is
            there.
    """

    head: Head
    entries: list[LogEntry]
    through: int


class SnapshotRow(Struct, frozen=True, gc=False):
    """A live row for a fill. `change` is finished JSON text with action `insert`."""

    version: int
    scope: UUID
    collection: int
    id: UUID
    change: str


@dataclass(frozen=True, slots=True)
class SnapshotPage:
    """Rows in order of (channel as asked, id). `done`: number of channels of the request that were
    read to their end.
    """

    rows: list[SnapshotRow]
    done: int


@dataclass(frozen=True, slots=True)
class StoredRefusal:
    """A kept refusal, for lists."""

    id: int
    user_id: UUID
    device_id: UUID
    number: int
    refusal: Refusal
    at: str


class AuditEntry(Struct, frozen=True, gc=False):
    """One entry of an organisation's audit record: who did what to which row.

    Attributes:
        number: 1, 2, 3 ... without gaps.
        at: the moment, as `timestamp_text` says it; tells people, orders nothing.
        version: of the write; of the organisation at that moment for a refusal.
        op: `insert`, `update`, `delete`; `refuse` for what was not done; `restore` for an
            operator's order, whose entries follow.
        collection: number, 0 for none.
        content: JSON text: the row after an insert, the row before a delete, `{"field":[before,
            after]}` of an update, what was asked and why not of a refusal, which version was asked
            for, by whom and why of a restore.
        hash: SHA-256 over the hash of the entry before and this one's canonical text.
    """

    org_id: int
    number: int
    at: str
    version: int
    user_id: UUID
    device_id: UUID | None
    via: str
    op: str
    collection: int
    row_id: UUID
    scope: UUID
    content: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A part of the audit record, with where the record stands, of one snapshot of the database.

    Attributes:
        head: of the organisation.
        number: of the last entry; hash: its hash (32 zero bytes before the first).
        anchor: (number, hash) of the last entry that retention has dropped; (0, zero bytes) if
            none was.
        entries: in order of their numbers.
        changes: for each entry, the log's change of the same row and version while the log has it.
        folded: the log need not have it up to this version.
    """

    head: Head
    number: int
    hash: bytes
    anchor: tuple[int, bytes]
    entries: list[AuditEntry]
    changes: list[str | None]
    folded: int = 0


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A list of one collection.

    Attributes:
        scopes: visible scopes, None for all.
        filters: (field, operator, value) with operator one of eq, ne, lt, le, gt, ge, null.
        order: field to sort by, None for the id; ties break by id.
        after: (value of the order field, id) of the last row of the page before.
    """

    org_id: int
    collection: int
    scopes: tuple[UUID, ...] | None
    filters: tuple[tuple[str, str, object], ...] = ()
    order: str | None = None
    descending: bool = False
    after: tuple[object, UUID] | None = None
    limit: int = field(default=50)


class Store(Protocol):
    """One shard's data.

    Guarantees, held by the conformance suite:
    - `commit` applies every write of the batch that it answers with `Committed`, in order of the
      batch within an organisation, each under its own next version, all of it durable when the call
      returns. When it raises, the outcome is unknown: the key of each write tells it.
    - Versions of an organisation are gap-free and in order of commit; a reader that sees version n
    sees all up to n.
    - A write whose read set does not hold is `Stale` and changes nothing. After a mutation that was
      not taken, for whatever reason, all later ones of its device in the batch are `Stale`.
    - No two writes of a batch touch or read one row that the other changes: the caller sees to
    that. Neither do two carry one key or one mutation number. If one refers to a row that another
    inserts or deletes, the batch may be taken as if they had come in the order that suits.
    - A write with a key is applied once; the key's reply is stored with it. Of a
      mutation whose reply was dropped, the number is known for good and the hash for long.
    - The audit record has an entry for each row of a committed write and for each refusal, in the
    same transaction, chained as `serai.log.audit` says; nobody can change or remove one.
    """

    async def read(self, keys: Sequence[RowKey]) -> list[StoredRow | None]:
        """Return the live rows for the keys, in their order."""
        ...

    async def commit(self, writes: Sequence[PlannedWrite]) -> list[Outcome]:
        """Apply the writes in one transaction; an outcome for each, in their order."""
        ...

    async def replayed(
        self, org_id: int, once: IdempotencyKey, body_hash: bytes
    ) -> Replayed | None:
        """Return what is stored under the key, None if nothing is."""
        ...

    async def head(self, org_id: int) -> Head | None:
        """Return where the organisation stands, None if it is not on this shard."""
        ...

    async def log_page(
        self, org_id: int, after: int, *, scan: int, scopes: Sequence[UUID] | None, collections: int
    ) -> LogPage | None:
        """Return the log after version `after`: at least one whole version if there is one, about
        `scan` entries.

        Entries outside `scopes` (None: all; the organisation's own scope must be named) and outside
        the bit mask `collections` may be left out. None if the organisation is not here.
        """
        ...

    async def snapshot_page(
        self,
        org_id: int,
        channels: Sequence[Channel],
        after: UUID | None,
        *,
        rows: int,
        max_bytes: int,
    ) -> SnapshotPage:
        """Return live rows of the channels, one channel after the other, each in order of id.

        `after` holds for the first channel only. Ends after `rows` rows or when `max_bytes` of
        change text are passed; at least one row if there is one. The scope `ALL_SCOPES` reads every
        scope but the organisation's.
        """
        ...

    async def segment_page(
        self, org_id: int, channel: Channel, after: UUID | None, *, at: Position, rows: int
    ) -> SegmentPage | None:
        """Return the rows of a channel after `after` as of a position, from sealed blocks: `rows`
        rows and about `PAGE_BYTES_MAX` of text at most. None where there is no block, or it cannot
        be told what has changed since.
        """
        ...

    async def grants(self, org_id: int, user_id: UUID) -> tuple[int, list[tuple[str, UUID | None]]]:
        """Return (grants_version, [(role, property or None for all)]) of a user."""
        ...

    async def list_rows(self, query: ListQuery) -> list[tuple[UUID, StoredRow]]:
        """Return a page of live rows."""
        ...

    async def refusals(
        self, org_id: int, *, user_id: UUID | None, after: int, limit: int
    ) -> list[StoredRefusal]:
        """Return kept refusals with id > `after`, of one user or of all, oldest first."""
        ...

    async def refusal(self, org_id: int, device_id: UUID, number: int) -> StoredRefusal | None:
        """Return the kept refusal of one mutation, None if it was not refused."""
        ...

    async def create_org(self, org_id: int) -> None:
        """Make an empty organisation: epoch 1, version 0, active. Does nothing if it exists."""
        ...


class AuditReader(Protocol):
    """The audit record of one shard's organisations, which `Store.commit` writes."""

    async def audit_page(self, org_id: int, after: int, *, limit: int) -> AuditPage | None:
        """Return the entries of the audit record with number > `after`, oldest first. None if the
        organisation is not here.
        """
        ...

    async def audit_list(
        self,
        org_id: int,
        *,
        before: int | None,
        row_id: UUID | None = None,
        user_id: UUID | None = None,
        limit: int,
    ) -> list[AuditEntry]:
        """Return entries with number < `before` (None: from the last), newest first, of one row or
        user or of all.
        """
        ...


class AuditedStore(Store, AuditReader, Protocol):
    """A store whose record can be read: what adapters are."""
