"""How records of statements that read become the store's forms.

Owns what the primary's store (`serai.log.postgres`) and reads of replicas (`serai.log.copies`) do
alike: the arguments of a page of the log, and the cut of a page at a whole version. Promises that a
page holds whole versions. Never asks by itself whether a copy is new enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from serai.core.ids import ORG_SCOPE
from serai.core.limits import FOLD_ROWS_MAX
from serai.ports.store import Head, LogEntry, LogPage, SnapshotPage, SnapshotRow, StoredRow
from serai.shard.connection import Record
from serai.shard.pools import PinnedPool
from serai.shard.queries import load_queries

_SQL: Final = load_queries("serai.log", "postgres.sql")
_decode_versions = msgspec.json.Decoder(dict[str, int]).decode


async def read_heads(pool: PinnedPool, org_ids: Sequence[int]) -> list[Head | None]:
    """Return where the organisations stand, in their order."""
    async with pool.connection() as connection:
        records = await connection.fetch(_SQL["heads"], org_ids)
    found = {
        r["org_id"]: Head(r["epoch"], r["version"], r["floor"], r["grants_version"], r["state"])
        for r in records
    }
    return [found.get(org_id) for org_id in org_ids]


async def read_log_page(
    pool: PinnedPool,
    org_id: int,
    after: int,
    *,
    scan: int,
    scopes: Sequence[UUID] | None,
    collections: int,
) -> LogPage | None:
    """Return the log after a version, with the head of that snapshot; None if the organisation is
    not there. More than `scan` entries are looked at, so that one whole version always fits.
    """
    limit = scan + FOLD_ROWS_MAX
    visible = None if scopes is None else [ORG_SCOPE, *scopes]
    async with pool.connection() as connection:
        records = await connection.fetch(
            _SQL["log_page"], org_id, after, limit, collections, visible
        )
    return _log_page_of(records, limit)


def _log_page_of(records: Sequence[Record], limit: int) -> LogPage | None:
    """Return the page, None if the organisation is not there."""
    if not records:
        return None
    r = records[0]
    head = Head(r["epoch"], r["head"], r["floor"], r["grants_version"], r["state"])
    entries = [
        LogEntry(r["version"], r["scope"], r["collection"], r["id"], r["change"])
        for r in records
        if r["version"] is not None
    ]
    if len(entries) < limit:
        return LogPage(head, entries, head.version)
    cut = entries[-1].version
    return LogPage(head, [e for e in entries if e.version < cut], cut - 1)


def snapshot_page_of(
    records: Sequence[Record], channels: int, *, rows: int, max_bytes: int
) -> SnapshotPage:
    """Return the page: records of `channels` channels, of which `rows` were asked for."""
    found: list[SnapshotRow] = []
    size = 0
    for r in records:
        size += len(r["change"])
        found.append(SnapshotRow(r["version"], r["scope"], r["collection"], r["id"], r["change"]))
        if size >= max_bytes:
            return SnapshotPage(found, r["n"] - 1)
    return SnapshotPage(found, channels if len(records) < rows else records[-1]["n"] - 1)


def stored_row(record: Record) -> StoredRow:
    """Return the row of a record that has one."""
    versions = record["field_versions"]
    return StoredRow(
        version=record["version"],
        scope=record["scope"],
        doc=record["doc"],
        field_versions={} if versions is None else _decode_versions(versions),
        created_version=record["created_version"],
    )
