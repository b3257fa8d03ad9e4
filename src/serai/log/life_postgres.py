"""The life of a shard's log on PostgreSQL, and the segments that a fill reads.

Owns the SQL of `life.sql`. Promises what `serai.ports.life.LifeStore` says; each change is one
function of the schema, so one transaction. Never decides what is due.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from serai.core.channels import Channel
from serai.core.limits import PAGE_BYTES_MAX, SEGMENT_BEHIND_MAX
from serai.core.token import Position
from serai.log.life import Sealed, page_of_blocks
from serai.ports.life import Block, Life, LogKey, Mark, Part, PartRows, RowText, SegmentPage
from serai.shard.connection import Record
from serai.shard.pools import PinnedPool
from serai.shard.queries import load_queries

_SQL: Final = load_queries("serai.log", "life.sql")
_NO_UUID: Final = UUID(int=0)


class PostgresLifeStore:
    """The logs of one shard.

    Args:
        pool: connections to the shard's database.
    """

    def __init__(self, pool: PinnedPool) -> None:
        """Keep the pool; nothing is asked of the database yet."""
        self._pool = pool

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncGenerator[bool]:
        """Yield whether this process is the one that does upkeep of the shard; it is while the body
        runs. Two at once would do no harm but the work twice.
        """
        async with self._pool.connection() as connection, connection.transaction():
            yield bool(await connection.fetchval(_SQL["only_keeper"]))

    async def thaw_restores(self) -> int:
        """Let organisations take writes again whose restore has died; return how many."""
        async with self._pool.connection() as connection:
            return int(await connection.fetchval(_SQL["thaw_restores"]))

    async def lives(
        self, after: int, *, scan: int, now: datetime, behind: int
    ) -> tuple[list[Life], int | None]:
        """Look at the next organisations; see `LifeStore.lives`."""
        async with self._pool.connection() as connection:
            records = await connection.fetch(_SQL["lives"], after, scan, now, behind)
        found = [_life(r) for r in records if r["due"]]
        return found, records[-1]["org_id"] if records else None

    async def begin(self, org_id: int) -> Life:
        """Begin a life, or begin it anew."""
        async with self._pool.connection() as connection:
            await connection.execute(_SQL["begin_life"], org_id)
            (record,) = await connection.fetch(_SQL["life"], org_id)
        return _life(record)

    async def life(self, org_id: int) -> Life | None:
        """Return where one organisation stands, None if it is not here."""
        async with self._pool.connection() as connection:
            records = await connection.fetch(_SQL["life"], org_id)
        return _life(records[0]) if records else None

    async def note(
        self, org_id: int, marks: Sequence[Mark], fold_from: int, due_at: datetime | None
    ) -> None:
        """End a look."""
        versions, times = [m.version for m in marks], [m.at for m in marks]
        async with self._pool.connection() as connection:
            await connection.execute(_SQL["note_life"], org_id, versions, times, fold_from, due_at)

    async def log_keys(self, org_id: int, after: int, *, limit: int) -> list[LogKey]:
        """Return the first changes above a version, without their texts."""
        async with self._pool.connection() as connection:
            records = await connection.fetch(_SQL["log_keys"], org_id, after, limit)
        return [
            LogKey(r["version"], r["collection"], r["scope"], r["id"], r["size"]) for r in records
        ]

    async def fold(self, org_id: int, first: int, last: int) -> int:
        """Make one version of several."""
        async with self._pool.connection() as connection:
            return int(await connection.fetchval(_SQL["fold_log"], org_id, first, last))

    async def raise_floor(self, org_id: int, floor: int) -> None:
        """Let deltas begin at this version."""
        async with self._pool.connection() as connection:
            await connection.execute(_SQL["raise_floor"], org_id, floor)

    async def prune(self, org_id: int, *, limit: int) -> int:
        """Delete changes at or below the floor."""
        async with self._pool.connection() as connection:
            return int(await connection.fetchval(_SQL["prune_log"], org_id, limit))

    async def channels(self, org_id: int) -> list[Channel]:
        """Return the channels that have rows."""
        async with self._pool.connection() as connection:
            records = await connection.fetch(_SQL["channels"], org_id)
        return [(r["scope"], r["collection"]) for r in records]

    async def rows_up_to(self, org_id: int, channel: Channel, limit: int) -> int:
        """Return the number of rows of a channel, at most `limit`."""
        scope, number = channel
        async with self._pool.connection() as connection:
            return int(await connection.fetchval(_SQL["rows_up_to"], org_id, number, scope, limit))

    async def open_channel(self, org_id: int, channel: Channel) -> None:
        """Begin the segments of a channel."""
        scope, number = channel
        async with self._pool.connection() as connection:
            await connection.execute(_SQL["open_channel"], org_id, number, scope)

    async def opened(self, org_id: int, channels: Sequence[Channel]) -> set[Channel]:
        """Return which of these channels have segments."""
        numbers, scopes = [n for _, n in channels], [s for s, _ in channels]
        async with self._pool.connection() as connection:
            records = await connection.fetch(_SQL["opened"], org_id, numbers, scopes)
        return {channels[r["n"] - 1] for r in records}

    async def advance(
        self, org_id: int, since: int, through: int, touched: Sequence[LogKey]
    ) -> bool:
        """Let segments be right as of `through`, but for what was touched."""
        arrays = (
            [t.collection for t in touched],
            [t.scope for t in touched],
            [t.id for t in touched],
            [t.version for t in touched],
        )
        async with self._pool.connection() as connection:
            return bool(
                await connection.fetchval(_SQL["advance_segments"], org_id, since, through, *arrays)
            )

    async def stale(self, org_id: int, *, limit: int) -> list[Part]:
        """Return parts that are behind or to be looked at again."""
        async with self._pool.connection() as connection:
            records = await connection.fetch(_SQL["stale"], org_id, limit)
        return [Part((r["scope"], r["collection"]), r["after"], r["last"]) for r in records]

    async def part_rows(self, org_id: int, part: Part, *, limit: int) -> PartRows | None:
        """Return the first rows of a part, with the position of that moment."""
        scope, number = part.channel
        async with self._pool.connection() as connection:
            records = await connection.fetch(
                _SQL["part_rows"], org_id, number, scope, part.after, part.last, limit
            )
        if not records:
            return None
        rows = [RowText(r["id"], r["change"]) for r in records if r["id"] is not None]
        return PartRows(records[0]["epoch"], records[0]["version"], rows)

    async def put(
        self, org_id: int, part: Part, at: PartRows, blocks: Sequence[Block], *, again: bool
    ) -> bool:
        """Put blocks in the place of a part."""
        scope, number = part.channel
        async with self._pool.connection() as connection:
            done = await connection.fetchval(
                _SQL["put_blocks"],
                org_id,
                number,
                scope,
                part.after,
                part.last,
                at.epoch,
                at.version,
                again,
                [b.last for b in blocks],
                [b.rows for b in blocks],
                [b.size for b in blocks],
                [b.body for b in blocks],
            )
        return bool(done)


async def segment_page(
    pool: PinnedPool,
    org_id: int,
    channel: Channel,
    after: UUID | None,
    at: Position,
    rows: int,
) -> SegmentPage | None:
    """Return a stretch of a channel from its segments; see `Store.segment_page`."""
    scope, number = channel
    cursor = after or _NO_UUID
    async with pool.connection() as connection:
        records = await connection.fetch(
            _SQL["segment_blocks"], org_id, number, scope, cursor, rows, PAGE_BYTES_MAX
        )
        chosen = page_of_blocks([_sealed(r) for r in records], cursor, at)
        if chosen is None:
            return None
        start, since, blocks = chosen
        stretch = (number, scope, start, blocks[-1].last)
        records = await connection.fetch(
            _SQL["segment_changes"], org_id, since, at.version, *stretch, SEGMENT_BEHIND_MAX
        )
    if not records or not _reaches(records[0], since, at):
        return None
    return SegmentPage(blocks, [*{e["id"]: e["change"] for e in records if e["id"]}.values()])


def _reaches(r: Record, since: int, at: Position) -> bool:
    """Tell whether the log has what changed from `since` to the position, no more and no less."""
    # A stretch that was folded stands at its end: it must not lie beyond the position.
    apart = r["folded"] <= max(since, at.version)
    below = r["floor"] <= since
    # A replica may not have come so far.
    there = r["head"] >= at.version
    return (
        there and apart and below and r["epoch"] == at.epoch and r["looked_at"] < SEGMENT_BEHIND_MAX
    )


def _sealed(r: Record) -> Sealed:
    block = Block(r["last"], r["rows"], r["size"], r["body"])
    return Sealed(r["after"], Position(r["epoch"], r["version"]), block)


def _life(r: Record) -> Life:
    if r["life_epoch"] != r["epoch"]:
        return Life(r["org_id"], r["epoch"], r["version"], r["floor"], known=False)
    marks = zip(r["marks"], r["times"], strict=True)
    return Life(
        org_id=r["org_id"],
        epoch=r["epoch"],
        version=r["version"],
        floor=r["floor"],
        known=True,
        marks=tuple(Mark(version, at) for version, at in marks),
        folded=r["folded"],
        fold_from=r["fold_from"],
        sealed=r["sealed"],
    )
