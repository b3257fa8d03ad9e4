"""What a request reads of an organisation, and from whom.

Owns the part of the store that replicas may answer. Promises nothing beside `serai.ports.store`: a
`Store` is a `Reader` too. Never writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

from serai.core.channels import Channel
from serai.core.token import Position
from serai.ports.life import SegmentPage
from serai.ports.store import Head, ListQuery, LogPage, RowKey, SnapshotPage, StoredRow


class Reader(Protocol):
    """What a request reads of an organisation: all of it may come from a replica. The meaning of
    each is that of `Store`.
    """

    async def head(self, org_id: int) -> Head | None: ...

    async def log_page(
        self, org_id: int, after: int, *, scan: int, scopes: Sequence[UUID] | None, collections: int
    ) -> LogPage | None: ...

    async def snapshot_page(
        self,
        org_id: int,
        channels: Sequence[Channel],
        after: UUID | None,
        *,
        rows: int,
        max_bytes: int,
    ) -> SnapshotPage: ...

    async def segment_page(
        self, org_id: int, channel: Channel, after: UUID | None, *, at: Position, rows: int
    ) -> SegmentPage | None: ...

    async def read(self, keys: Sequence[RowKey]) -> list[StoredRow | None]: ...

    async def list_rows(self, query: ListQuery) -> list[tuple[UUID, StoredRow]]: ...


Since = Callable[[Position | None], Reader]
"""Returns who answers at this position of an organisation or a later one; None: at the newest."""
