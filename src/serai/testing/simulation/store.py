"""The store as a server sees it: every call takes time, may fail, and may be the server's last.

Owns the faults between a server and its database, and the record of what was committed. Promises
that the durable state changes only inside one call of the reference store, which is atomic; that a
server which has died changes nothing any more; that the record is complete and in order of commit,
because it is taken in the same step. Never changes what a call asks or answers, but for the size of
a log page, which is the store's to choose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any
from uuid import UUID

from serai.adapters.memory import MemoryStore
from serai.adapters.memory.life import MemoryLifeStore
from serai.core.channels import Channel
from serai.core.errors import Code, SeraiError
from serai.core.token import Position
from serai.ports.life import SegmentPage
from serai.ports.store import (
    Head,
    IdempotencyKey,
    ListQuery,
    LogPage,
    Outcome,
    PlannedWrite,
    Replayed,
    RowKey,
    SnapshotPage,
    StoredRefusal,
    StoredRow,
)
from serai.testing.simulation.trace import Trace
from serai.testing.simulation.weather import Weather

DEADLINE_SECONDS = 4.0
Record = Callable[[Sequence[PlannedWrite], Sequence[Outcome]], None]


class ShardConnection:
    """One server's way to the durable store. A server that starts again gets a new one.

    Attributes:
        weather: the chances of faults.
        gone: the server has died.
        die: called when the server is to die at this call.
    """

    def __init__(self, store: MemoryStore, trace: Trace, random: Random, record: Record) -> None:
        """Connect."""
        self._store = store
        self._trace = trace
        self._random = random
        self._record = record
        self.weather: Weather
        self.gone = False
        self.die: Callable[[str], None]

    async def pause(self, where: str = "read") -> None:
        """Let time pass, as long as a database takes; here the server may die or be too slow."""
        if self._happens(self.weather.slow):
            self._trace.fault("store", "slow")
            await asyncio.sleep(DEADLINE_SECONDS * 1.25)
        else:
            await asyncio.sleep(self._random.random() * 0.01)
        if not self.gone and self._happens(self.weather.restart):
            self.die(where)
        if self.gone:
            raise asyncio.CancelledError

    def _happens(self, chance: float) -> bool:
        return chance > 0.0 and self._random.random() < chance

    async def read(self, keys: Sequence[RowKey]) -> list[StoredRow | None]:
        """See `Store.read`."""
        await self.pause()
        found = await self._store.read(keys)
        await self.pause()
        return found

    async def commit(self, writes: Sequence[PlannedWrite]) -> list[Outcome]:
        """See `Store.commit`; the connection may be lost before or after."""
        await self.pause("commit_before")
        if self._happens(self.weather.store_before):
            self._trace.fault("store", "store_before")
            raise SeraiError(Code.UNAVAILABLE)
        outcomes = await self._taken(writes)
        await self.pause("commit_after")
        if self._happens(self.weather.store_after):
            self._trace.fault("store", "store_after")
            raise SeraiError(Code.UNAVAILABLE)
        return outcomes

    async def _taken(self, writes: Sequence[PlannedWrite]) -> list[Outcome]:
        outcomes = await self._store.commit(writes)
        self._record(writes, outcomes)
        return outcomes

    async def replayed(
        self, org_id: int, once: IdempotencyKey, body_hash: bytes
    ) -> Replayed | None:
        """See `Store.replayed`."""
        await self.pause()
        return await self._store.replayed(org_id, once, body_hash)

    async def head(self, org_id: int) -> Head | None:
        """See `Store.head`."""
        await self.pause()
        return await self._store.head(org_id)

    async def log_page(
        self, org_id: int, after: int, *, scan: int, scopes: Sequence[UUID] | None, collections: int
    ) -> LogPage | None:
        """See `Store.log_page`."""
        await self.pause()
        few = min(scan, self.weather.scan or scan)
        found = await self._store.log_page(
            org_id, after, scan=few, scopes=scopes, collections=collections
        )
        await self.pause()
        return found

    async def snapshot_page(
        self,
        org_id: int,
        channels: Sequence[Channel],
        after: UUID | None,
        *,
        rows: int,
        max_bytes: int,
    ) -> SnapshotPage:
        """See `Store.snapshot_page`."""
        await self.pause()
        found = await self._store.snapshot_page(
            org_id, channels, after, rows=rows, max_bytes=max_bytes
        )
        await self.pause()
        return found

    async def segment_page(
        self, org_id: int, channel: Channel, after: UUID | None, *, at: Position, rows: int
    ) -> SegmentPage | None:
        """See `Store.segment_page`."""
        await self.pause()
        found = await self._store.segment_page(org_id, channel, after, at=at, rows=rows)
        self._trace.branch("blocks", found is not None)
        self._trace.branch("blocks_behind", found is not None and bool(found.changes))
        await self.pause()
        return found

    async def grants(self, org_id: int, user_id: UUID) -> tuple[int, list[tuple[str, UUID | None]]]:
        """See `Store.grants`."""
        await self.pause()
        found = await self._store.grants(org_id, user_id)
        await self.pause()
        return found

    async def list_rows(self, query: ListQuery) -> list[tuple[UUID, StoredRow]]:
        """See `Store.list_rows`."""
        await self.pause()
        return await self._store.list_rows(query)

    async def refusals(
        self, org_id: int, *, user_id: UUID | None, after: int, limit: int
    ) -> list[StoredRefusal]:
        """See `Store.refusals`."""
        await self.pause()
        return await self._store.refusals(org_id, user_id=user_id, after=after, limit=limit)

    async def refusal(self, org_id: int, device_id: UUID, number: int) -> StoredRefusal | None:
        """See `Store.refusal`."""
        await self.pause()
        return await self._store.refusal(org_id, device_id, number)

    async def create_org(self, org_id: int) -> None:
        """See `Store.create_org`."""
        await self._store.create_org(org_id)


class KeptLogs:
    """The same way to the logs, for upkeep: each step takes time, and may be the process's last."""

    def __init__(self, connection: ShardConnection, lives: MemoryLifeStore) -> None:
        """Go by the connection of a process."""
        self._connection = connection
        self._lives = lives

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """Return a step of `LifeStore`."""
        step = getattr(self._lives, name)

        async def taken(*args: Any, **named: Any) -> Any:
            await self._connection.pause("upkeep_before")
            found = await step(*args, **named)
            await self._connection.pause("upkeep_after")
            return found

        return taken
