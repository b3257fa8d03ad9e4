"""What is asked of one replica: each answer of one snapshot, which has reached the position or not.

Owns the statements of `copies.sql` and the form of such answers. Promises that a read which names a
position is answered from it or later, or not at all: the statement compares. Never waits, never
asks anybody else: `serai.log.copies` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

from serai.core.channels import Channel
from serai.core.token import Position
from serai.log.life_postgres import segment_page
from serai.log.listing import list_statement
from serai.log.pages import (
    read_heads,
    read_log_page,
    snapshot_page_of,
    stored_row,
)
from serai.model import Vertical
from serai.ports.life import SegmentPage
from serai.ports.store import Head, ListQuery, LogPage, RowKey, SnapshotPage, StoredRow
from serai.shard.pools import PinnedPool
from serai.shard.queries import load_queries

_SQL: Final = load_queries("serai.log", "copies.sql")
_NO_UUID: Final = UUID(int=0)


class CopyReads(Protocol):
    """Reads of one replica. `since`: the organisation must be active there, in this epoch, at this
    version or later; else the answer is None.
    """

    async def heads(self, org_ids: Sequence[int], /) -> Sequence[Head | None]:
        """Return where organisations stand there."""
        ...

    async def log_page(
        self, org_id: int, after: int, *, scan: int, scopes: Sequence[UUID] | None, collections: int
    ) -> LogPage | None:
        """Return a page of the log, with the head of that snapshot."""
        ...

    async def snapshot_page(
        self,
        org_id: int,
        channels: Sequence[Channel],
        after: UUID | None,
        since: Position,
        *,
        rows: int,
        max_bytes: int,
    ) -> SnapshotPage | None:
        """Return a page of rows."""
        ...

    async def segment_page(
        self, org_id: int, channel: Channel, after: UUID | None, *, at: Position, rows: int
    ) -> SegmentPage | None:
        """Return a page of sealed blocks as of a position, None if there is none."""
        ...

    async def row(self, key: RowKey, since: Position) -> tuple[StoredRow | None] | None:
        """Return (the row, None if there is none)."""
        ...

    async def rows(self, query: ListQuery, since: Position) -> list[tuple[UUID, StoredRow]] | None:
        """Return a page of live rows."""
        ...


class PostgresCopyReads:
    """See `CopyReads`."""

    def __init__(self, pool: PinnedPool, vertical: Vertical) -> None:
        """Keep the parts."""
        self._pool, self._vertical = pool, vertical

    async def heads(self, org_ids: Sequence[int], /) -> Sequence[Head | None]:
        """Return where organisations stand there."""
        return await read_heads(self._pool, org_ids)

    async def log_page(
        self, org_id: int, after: int, *, scan: int, scopes: Sequence[UUID] | None, collections: int
    ) -> LogPage | None:
        """Return a page of the log, with the head of that snapshot."""
        return await read_log_page(
            self._pool, org_id, after, scan=scan, scopes=scopes, collections=collections
        )

    async def snapshot_page(
        self,
        org_id: int,
        channels: Sequence[Channel],
        after: UUID | None,
        since: Position,
        *,
        rows: int,
        max_bytes: int,
    ) -> SnapshotPage | None:
        """Return a page of rows."""
        numbers, scopes = [number for _, number in channels], [scope for scope, _ in channels]
        position = (since.epoch, since.version)
        arguments = (org_id, numbers, scopes, after or _NO_UUID, rows, *position)
        async with self._pool.connection() as connection:
            records = await connection.fetch(_SQL["snapshot_page_since"], *arguments)
        if not records:
            return None
        found = [r for r in records if r["id"] is not None]
        return snapshot_page_of(found, len(channels), rows=rows, max_bytes=max_bytes)

    async def segment_page(
        self, org_id: int, channel: Channel, after: UUID | None, *, at: Position, rows: int
    ) -> SegmentPage | None:
        """Return a page of sealed blocks as of a position, None if there is none."""
        return await segment_page(self._pool, org_id, channel, after, at, rows)

    async def row(self, key: RowKey, since: Position) -> tuple[StoredRow | None] | None:
        """Return (the row, None if there is none)."""
        async with self._pool.connection() as connection:
            r = await connection.fetchrow(_SQL["row_since"], *key, since.epoch, since.version)
        if r is None:
            return None
        return (None if r["version"] is None else stored_row(r),)

    async def rows(self, query: ListQuery, since: Position) -> list[tuple[UUID, StoredRow]] | None:
        """Return a page of live rows."""
        sql, arguments = list_statement(self._vertical, query, since)
        async with self._pool.connection() as connection:
            records = await connection.fetch(sql, *arguments)
        if not records:
            return None
        return [(r["id"], stored_row(r)) for r in records if r["id"] is not None]
