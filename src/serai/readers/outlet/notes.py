"""What the outlet asks of a shard, and notes there.

Owns the statements of `outlet.sql`. Promises that each is one transaction, and that a note never
says more than the bus accepted. Never decides what is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from serai.core.limits import (
    FOLD_ROWS_MAX,
    OUTLET_PAGE_BYTES_MAX,
    SEGMENT_BLOCK_ROWS,
    WRITE_ROWS_MAX,
)
from serai.ports.outlet import BusState
from serai.readers.outlet.messages import Entry
from serai.readers.outlet.plan import Page, Sent
from serai.shard.connection import Connection, Record
from serai.shard.pools import PinnedPool
from serai.shard.queries import load_queries

_SQL: Final = load_queries("serai.readers.outlet", "outlet.sql")
_SCAN: Final = FOLD_ROWS_MAX + WRITE_ROWS_MAX
"""Changes looked at: more than any version has, so that one whole version always fits."""
_LOOK_ORGS: Final = 500
"""Organisations locked at once while those are looked through that wrote before."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a shard is behind: organisations that wait, versions of the one that is furthest
    behind, and seconds of the one that waits longest.
    """

    orgs: int
    versions: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ShardNotes:
    """What is noted of a shard.

    Attributes:
        since: when organisations began to be noted that write, None if they are not.
        looking: those that wrote before are being looked through.
        served: some process is its outlet.
        bus, bus_number: what the bus was when it was noted last.
    """

    since: datetime | None
    looking: bool
    served: bool
    bus: str
    bus_number: int


async def alone(connection: Connection) -> bool:
    """Become the outlet of the shard for as long as the connection lives; tell whether it is so.

    Two at once would do no harm but send everything twice.
    """
    return bool(await connection.fetchval(_SQL["alone"]))


class Notes:
    """The notes of one shard.

    Args:
        pool: connections to it, as its owner.
    """

    def __init__(self, pool: PinnedPool) -> None:
        """Keep the pool; nothing is asked of the database yet."""
        self._pool = pool

    async def switch_on(self) -> bool:
        """Let organisations be noted that write; tell whether they were not before."""
        async with self._pool.connection() as connection:
            return bool(await connection.fetchval(_SQL["switch_on"]))

    async def look_through(self) -> bool:
        """Note the next ones that wrote before; tell whether there may be more."""
        async with self._pool.connection() as connection:
            return bool(await connection.fetchval(_SQL["look_through"], _LOOK_ORGS))

    async def due(self, after: int, limit: int) -> list[tuple[int, float]]:
        """Return the next organisations with something new, and for how many seconds they have had
        it at most.
        """
        async with self._pool.connection() as connection:
            records = await connection.fetch(_SQL["due"], after, limit)
        return [(r["org"], r["waited"]) for r in records]

    async def page(self, org_id: int) -> tuple[Page, datetime] | None:
        """Return where an organisation stands, and when that was. None if it is not at home here,
        or takes no writes at this moment.
        """
        async with self._pool.connection() as connection:
            records = await connection.fetch(_SQL["page"], org_id, _SCAN, OUTLET_PAGE_BYTES_MAX)
        if not records:
            return None
        r = records[0]
        entries = [_entry(each) for each in records if each["version"] is not None]
        through: int = r["head"]
        if entries and r["looked"] == _SCAN:
            # The last version that was looked at need not be whole.
            entries = [e for e in entries if e.version < r["last"]]
            through = r["last"] - 1
        if entries and entries[-1].version < (r["last"] or 0):
            through = min(through, entries[-1].version)
        sent = _sent(r)
        return Page(r["epoch"], r["head"], r["floor"], sent, entries, through), r["at"]

    async def rows(
        self, org_id: int, epoch: int, after: tuple[int, UUID]
    ) -> tuple[list[Entry], tuple[int, UUID], bool] | None:
        """Return rows after one, the last of them, and whether there are no more. None if it is not
        in this epoch any more, or not at home here.
        """
        async with self._pool.connection() as connection:
            records = await connection.fetch(
                _SQL["rows"], org_id, epoch, *after, SEGMENT_BLOCK_ROWS, OUTLET_PAGE_BYTES_MAX
            )
        if not records:
            return None
        if records[0]["id"] is None:
            return [], after, True
        looked, last = records[0]["looked"], records[-1]
        over = len(records) == looked < SEGMENT_BLOCK_ROWS
        found = [Entry(0, r["collection"], r["scope"], r["change"]) for r in records]
        return found, (last["collection"], last["id"]), over

    async def note(
        self, org_id: int, sent: Sent, *, read_at: datetime | None = None, begins: bool = False
    ) -> tuple[bool, bool]:
        """Note that everything up to here was accepted. Return whether it was noted (not, if
        somebody rewound it or it left), and whether nothing is due any more.

        Args:
            read_at: if that was all there was at that moment.
            begins: it begins again, perhaps below what was noted.
        """
        collection, row_id = sent.fill or (None, None)
        async with self._pool.connection() as connection:
            r = await connection.fetchrow(
                _SQL["note_sent"],
                org_id,
                sent.epoch,
                sent.version,
                collection,
                row_id,
                sent.term,
                read_at,
                begins,
            )
        assert r is not None, "it tells in any case"
        return r["noted"], r["over"]

    async def leave(self, org_id: int) -> None:
        """Forget that an organisation is due if it lives elsewhere."""
        async with self._pool.connection() as connection:
            await connection.execute(_SQL["leave"], org_id)

    async def bus(self) -> BusState:
        """Return how far the bus was when it was noted last."""
        async with self._pool.connection() as connection:
            r = await connection.fetchrow(_SQL["bus"])
        assert r is not None, "the row is made with its table"
        return BusState(r["bus"], r["bus_number"])

    async def note_bus(self, state: BusState) -> None:
        """Note how far the bus is."""
        async with self._pool.connection() as connection:
            await connection.execute(_SQL["note_bus"], state.store, state.number)

    async def lag(self, limit: int) -> Lag:
        """Return how far behind it is, as far as the first `limit` organisations show."""
        async with self._pool.connection() as connection:
            r = await connection.fetchrow(_SQL["lag"], limit)
        assert r is not None, "an aggregate has a row"
        return Lag(r["orgs"], r["versions"], r["seconds"])

    async def shard(self) -> ShardNotes:
        """Return what is noted of the shard itself."""
        async with self._pool.connection() as connection:
            r = await connection.fetchrow(_SQL["shard"])
        assert r is not None, "the row is made with its table"
        return ShardNotes(r["since"], r["looking"], r["served"], r["bus"], r["bus_number"])

    async def sent_after(self, after: int, version: int, limit: int) -> list[int]:
        """Return the next organisations that were sent beyond a version."""
        async with self._pool.connection() as connection:
            records = await connection.fetch(_SQL["sent_after"], after, version, limit)
        return [r["org_id"] for r in records]

    async def rewind(self, org_ids: Sequence[int], version: int) -> int:
        """Let organisations be sent again from after a version on; return how many were sent
        beyond it.
        """
        async with self._pool.connection() as connection:
            return int(await connection.fetchval(_SQL["rewind"], org_ids, version))

    async def switch_off(self) -> bool:
        """Let nobody be noted any more; tell whether somebody was."""
        async with self._pool.connection() as connection:
            return bool(await connection.fetchval(_SQL["switch_off"]))


def _entry(r: Record) -> Entry:
    return Entry(r["version"], r["collection"], r["scope"], r["change"])


def _sent(r: Record) -> Sent | None:
    if r["sent_epoch"] is None:
        return None
    fill = None if r["fill_id"] is None else (r["fill_collection"], r["fill_id"])
    return Sent(r["sent_epoch"], r["sent"], r["term"], fill)
