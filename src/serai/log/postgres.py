"""The store on PostgreSQL: one shard's rows, log and replies.

Owns the SQL of the write path and of reading the log (`postgres.sql`). A batch is one statement, so
one transaction and one round trip; `serai.commit` in the schema does the work. Promises what
`serai.ports.store.Store` says. A batch that violates a constraint is halved until the write that
does it is alone; the others are applied. Never decides about a write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from serai.core.channels import Channel
from serai.core.clock import Clock, SystemClock, timestamp_text
from serai.core.errors import Code
from serai.core.token import Position
from serai.log.admit import device_of
from serai.log.arguments import commit_arguments, key_text
from serai.log.heads import Heads
from serai.log.life_postgres import segment_page
from serai.log.listing import FOR_ORG, list_statement
from serai.log.pages import (
    read_heads,
    read_log_page,
    snapshot_page_of,
    stored_row,
)
from serai.model import Vertical
from serai.ports.life import SegmentPage
from serai.ports.store import (
    AuditEntry,
    AuditPage,
    Committed,
    Failed,
    Fenced,
    Gap,
    Head,
    IdempotencyKey,
    ListQuery,
    LogPage,
    Outcome,
    PlannedWrite,
    Refusal,
    Replayed,
    RowKey,
    SnapshotPage,
    Stale,
    StoredRefusal,
    StoredRow,
)
from serai.schema.collections import Constraint, constraints, named
from serai.shard.connection import PostgresError, Record, sqlstate
from serai.shard.pools import PinnedPool
from serai.shard.queries import load_queries

_SQL: Final = load_queries("serai.log", "postgres.sql")
_REFUSALS: Final = ("22", "23")
"""Classes of errors that put the data at fault: data exception, constraint violation."""
_NOT_NULL: Final = "23502"
_NO_UUID: Final = UUID(int=0)


class PostgresStore:
    """One shard.

    Args:
        pool: connections to the shard's database.
        vertical: whose tables it holds.
        clock: of the audit record.
    """

    def __init__(self, pool: PinnedPool, vertical: Vertical, clock: Clock | None = None) -> None:
        """Keep the pool; nothing is asked of the database yet."""
        self._pool = pool
        self._clock = clock or SystemClock()
        self._vertical = vertical
        self._constraints = constraints(vertical)
        self._grants_sql = _grants_statement(vertical)
        self._heads = Heads(self._read_heads)

    async def read(self, keys: Sequence[RowKey]) -> list[StoredRow | None]:
        """Return the live rows for the keys, in their order."""
        found: list[StoredRow | None] = [None] * len(keys)
        if not keys:
            return found
        async with self._pool.connection() as connection:
            records = await connection.fetch(
                _SQL["read"], [k[0] for k in keys], [k[1] for k in keys], [k[2] for k in keys]
            )
        for r in records:
            found[r["n"] - 1] = stored_row(r)
        return found

    async def commit(self, writes: Sequence[PlannedWrite]) -> list[Outcome]:
        """Apply the writes in one transaction; an outcome for each, in their order."""
        if not writes:
            return []
        order = sorted(range(len(writes)), key=lambda n: writes[n].org_id)
        ordered = [writes[n] for n in order]
        try:
            try:
                records = await self._call(ordered, trusting=True)
            except PostgresError as error:
                if not self._exists(error):
                    raise
                # Some row that is to be inserted is there already: now the read sets tell whose.
                records = await self._call(ordered, trusting=False)
        except PostgresError as error:
            if sqlstate(error)[:2] not in _REFUSALS:
                raise
            return await self._halve(writes, error)
        outcomes = dict(zip(order, records, strict=True))
        return [_outcome(outcomes[n]) for n in range(len(writes))]

    async def _call(self, writes: Sequence[PlannedWrite], *, trusting: bool) -> list[Record]:
        """Commit writes that are in order of organisation.

        Args:
            trusting: leave it to the primary keys that a row to insert is new.
        """
        arguments = commit_arguments(writes, trusting=trusting)
        async with self._pool.connection() as connection:
            return await connection.fetch(
                _SQL["commit"], timestamp_text(self._clock.now()), *arguments
            )

    def _exists(self, error: PostgresError) -> bool:
        """Tell whether a row that was to be inserted is there already."""
        # The typed table, or its month, is written before `serai.row`.
        typed = getattr(error, "schema_name", None) == self._vertical.name
        name = getattr(error, "constraint_name", None) or ""
        return name == "row_pkey" or (typed and name.endswith("_pkey"))

    async def _halve(self, writes: Sequence[PlannedWrite], error: PostgresError) -> list[Outcome]:
        if len(writes) > 1:
            middle = len(writes) // 2
            first = await self.commit(writes[:middle])
            # The other half must not take what follows, in its device, on one that was not taken.
            halted = {device_of(w) for w, o in zip(writes, first, strict=False) if _halts(o)} - {
                None
            }
            rest = [w for w in writes[middle:] if device_of(w) not in halted]
            taken = iter(await self.commit(rest) if rest else [])
            second = (Stale() if device_of(w) in halted else next(taken) for w in writes[middle:])
            return [*first, *second]
        return [_failed(self._constraints, self._vertical, writes[0], error)]

    async def replayed(
        self, org_id: int, once: IdempotencyKey, body_hash: bytes
    ) -> Replayed | None:
        """Return what is stored under the key, None if nothing is."""
        async with self._pool.connection() as connection:
            r = await connection.fetchrow(_SQL["replayed"], org_id, key_text(once), body_hash)
        return None if r is None else Replayed(r["version"], r["reply"], r["same_body"])

    async def head(self, org_id: int) -> Head | None:
        """Return where the organisation stands, None if it is not on this shard."""
        return await self._heads.head(org_id)

    async def _read_heads(self, org_ids: Sequence[int]) -> list[Head | None]:
        return await read_heads(self._pool, org_ids)

    async def log_page(
        self, org_id: int, after: int, *, scan: int, scopes: Sequence[UUID] | None, collections: int
    ) -> LogPage | None:
        """Return the log after version `after`: whole versions, about `scan` entries."""
        return await read_log_page(
            self._pool, org_id, after, scan=scan, scopes=scopes, collections=collections
        )

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
        async with self._pool.connection() as connection:
            records = await connection.fetch(
                _SQL["snapshot_page"],
                org_id,
                [number for _, number in channels],
                [scope for scope, _ in channels],
                after or _NO_UUID,
                rows,
            )
        return snapshot_page_of(records, len(channels), rows=rows, max_bytes=max_bytes)

    async def segment_page(
        self, org_id: int, channel: Channel, after: UUID | None, *, at: Position, rows: int
    ) -> SegmentPage | None:
        """Return the rows of a channel as of a position, from sealed blocks."""
        return await segment_page(self._pool, org_id, channel, after, at, rows)

    async def grants(self, org_id: int, user_id: UUID) -> tuple[int, list[tuple[str, UUID | None]]]:
        """Return (grants_version, [(role, property or None for all)]) of a user."""
        async with self._pool.connection() as connection:
            records = await connection.fetch(self._grants_sql, org_id, user_id)
        version = records[0]["grants_version"] if records else 0
        return version, [(r["role"], r["property_id"]) for r in records if r["role"] is not None]

    async def list_rows(self, query: ListQuery) -> list[tuple[UUID, StoredRow]]:
        """Return a page of live rows."""
        sql, arguments = list_statement(self._vertical, query)
        async with self._pool.connection() as connection:
            records = await connection.fetch(sql, *arguments)
        return [(r["id"], stored_row(r)) for r in records]

    async def refusals(
        self, org_id: int, *, user_id: UUID | None, after: int, limit: int
    ) -> list[StoredRefusal]:
        """Return kept refusals with id > `after`, of one user or of all, oldest first."""
        async with self._pool.connection() as connection:
            if user_id is None:
                records = await connection.fetch(_SQL["refusals"], org_id, after, limit)
            else:
                records = await connection.fetch(_SQL["refusals_of"], org_id, user_id, after, limit)
        return [_refusal(r) for r in records]

    async def refusal(self, org_id: int, device_id: UUID, number: int) -> StoredRefusal | None:
        """Return the kept refusal of one mutation, None if it was not refused."""
        async with self._pool.connection() as connection:
            r = await connection.fetchrow(_SQL["refusal"], org_id, device_id, number)
        return None if r is None else _refusal(r)

    async def audit_page(self, org_id: int, after: int, *, limit: int) -> AuditPage | None:
        """Return the entries of the audit record with number > `after`, oldest first."""
        async with self._pool.connection() as connection:
            records = await connection.fetch(_SQL["audit_page"], org_id, after, limit)
        if not records:
            return None
        r = records[0]
        return AuditPage(
            head=Head(r["epoch"], r["head"], r["floor"], r["grants_version"], r["state"]),
            number=r["audit_number"],
            hash=r["audit_hash"],
            anchor=(r["anchor_number"], r["anchor_hash"]),
            entries=[_entry(r) for r in records if r["number"] is not None],
            changes=[r["change"] for r in records if r["number"] is not None],
            folded=r["folded"],
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
        async with self._pool.connection() as connection:
            records = await connection.fetch(
                _SQL["audit_list"], org_id, before, row_id, user_id, limit
            )
        return [_entry(r) for r in records]

    async def create_org(self, org_id: int) -> None:
        """Make an empty organisation: epoch 1, version 0, active. Does nothing if it exists."""
        async with self._pool.connection() as connection:
            await connection.execute(_SQL["create_org"], org_id)


def _halts(outcome: Outcome) -> bool:
    if isinstance(outcome, Replayed):
        return not outcome.same_body
    return not isinstance(outcome, Committed)


def _outcome(record: Record) -> Outcome:
    match record["outcome"]:
        case "committed":
            return Committed(record["version"])
        case "replayed":
            return Replayed(record["version"], record["reply"], record["same_body"])
        case "stale":
            return Stale()
        case "gap":
            return Gap(record["version"])
        case "fenced":
            code = Code.ORG_FROZEN if record["reply"] == "frozen" else Code.ORG_MOVED
            return Fenced(code, record["version"] if record["reply"] == "active" else 0)
        case "held":
            return Fenced(Code.PROPERTY_HELD, 0)
        case "device":
            return Failed(Code.DEVICE_UNKNOWN, Code.DEVICE_UNKNOWN.kind.remedy)
        case "gone":
            return Failed(Code.ROW_GONE, Code.ROW_GONE.kind.remedy)
        case other:
            raise AssertionError(f"serai.commit answered {other!r}")


def _failed(
    known: Mapping[str, Constraint],
    vertical: Vertical,
    write: PlannedWrite,
    error: PostgresError,
) -> Failed:
    """Return what the violated constraint means to the one write that violates it."""
    name = getattr(error, "constraint_name", None) or ""
    typed = getattr(error, "schema_name", None) == vertical.name and name.endswith("_pkey")
    if name == "row_pkey" or typed:
        # The typed table, or its month, is written before `serai.row`.
        return Failed(Code.ROW_EXISTS, Code.ROW_EXISTS.kind.remedy)
    meaning = known.get(name)
    if meaning is None:
        column = getattr(error, "column_name", None)
        # A missing value in the column by which a table is cut into months has no named constraint.
        code = Code.FIELDS_INVALID if sqlstate(error) == _NOT_NULL else Code.CONSTRAINT
        return Failed(code, str(error).partition("\n")[0], (column,) if column else ())
    if meaning.referenced_by is not None:
        number = vertical.by_name[meaning.referenced_by].number
        if not any(op.collection == number and op.op != "delete" for op in write.ops):
            return Failed(Code.REFERENCED, f"Rows of {meaning.referenced_by} refer to it.")
    return Failed(meaning.code, meaning.detail, meaning.fields)


def _refusal(record: Record) -> StoredRefusal:
    refusal = Refusal(
        outcome=record["outcome"],
        code=record["code"],
        reason=record["reason"],
        collection=record["collection"],
        row_id=record["row_id"],
        scope=record["scope"],
        body=record["body"],
    )
    return StoredRefusal(
        record["refusal_id"],
        record["user_id"],
        record["device_id"],
        record["number"],
        refusal,
        record["at"],
    )


def _entry(record: Record) -> AuditEntry:
    return AuditEntry(
        org_id=record["org_id"],
        number=record["number"],
        at=timestamp_text(record["at"]),
        version=record["version"],
        user_id=record["user_id"],
        device_id=record["device_id"],
        via=record["via"],
        op=record["op"],
        collection=record["collection"],
        row_id=record["row_id"],
        scope=record["scope"],
        content=record["content"],
        hash=record["hash"],
    )


def _grants_statement(vertical: Vertical) -> str:
    source = vertical.grants
    # SQL here: the table of grants is the vertical's
    return f"""
        WITH me AS MATERIALIZED ({FOR_ORG} AS org_id)
        SELECT g.grants_version, g.role, g.property_id
        FROM me CROSS JOIN LATERAL (
            SELECT o.grants_version, m.{named(source.role_field)} AS role,
                   m.{named(source.property_field)} AS property_id
            FROM serai.org o
            LEFT JOIN {vertical.name}.{source.collection} m
                ON m.org_id = o.org_id AND m.{named(source.user_field)} = $2
            WHERE o.org_id = me.org_id
            OFFSET 0
        ) g
    """  # noqa: S608 - names come from the checked declaration
