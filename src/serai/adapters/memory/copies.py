"""Reads of a replica in memory: the reference for `serai.log.copy_reads.CopyReads`.

Owns the comparison with the position that a read names, in the same step as the read. Never brings
the copy forward: whoever owns it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from serai.adapters.memory.store import MemoryStore
from serai.core.channels import Channel
from serai.core.token import Position
from serai.ports.life import SegmentPage
from serai.ports.store import Head, ListQuery, LogPage, RowKey, SnapshotPage, StoredRow


class MemoryCopyReads:
    """Reads of a copy. `store`: its state."""

    def __init__(self, store: MemoryStore) -> None:
        """Keep the state."""
        self._store = store

    async def heads(self, org_ids: Sequence[int], /) -> Sequence[Head | None]:
        """Return where organisations stand there."""
        return [await self._store.head(org_id) for org_id in org_ids]

    async def log_page(
        self, org_id: int, after: int, *, scan: int, scopes: Sequence[UUID] | None, collections: int
    ) -> LogPage | None:
        """Return a page of the log, with the head of that moment."""
        return await self._store.log_page(
            org_id, after, scan=scan, scopes=scopes, collections=collections
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
        if not self._reached(org_id, since):
            return None
        return await self._store.snapshot_page(
            org_id, channels, after, rows=rows, max_bytes=max_bytes
        )

    async def segment_page(
        self, org_id: int, channel: Channel, after: UUID | None, *, at: Position, rows: int
    ) -> SegmentPage | None:
        """Return a page of sealed blocks as of a position, None if there is none."""
        org = self._store.organisations.get(org_id)
        if org is None or org.head.version < at.version:
            return None
        return await self._store.segment_page(org_id, channel, after, at=at, rows=rows)

    async def row(self, key: RowKey, since: Position) -> tuple[StoredRow | None] | None:
        """Return (the row, None if there is none)."""
        if not self._reached(key[0], since):
            return None
        return ((await self._store.read([key]))[0],)

    async def rows(self, query: ListQuery, since: Position) -> list[tuple[UUID, StoredRow]] | None:
        """Return a page of live rows."""
        if not self._reached(query.org_id, since):
            return None
        return await self._store.list_rows(query)

    def _reached(self, org_id: int, since: Position) -> bool:
        org = self._store.organisations.get(org_id)
        if org is None or org.head.state != "active" or org.head.epoch != since.epoch:
            return False
        return org.head.version >= since.version
