"""Floors: what the same rows cost with the plainest statements, measured in the same run.

Owns the tables `public.floor_*` of a stage and the few statements on them. A floor versions
nothing, keeps no log, no reply and no second index; it is durable (fsync on, commit waits) where
the figure is. Promises the same width of row as the figure beside it. Never is a figure itself.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from serai.bench.cpu import Meter, Spent
from serai.bench.rows import Rows
from serai.bench.stage import Stage
from serai.core.ids import uuid7
from serai.core.limits import COALESCE_WRITES_MAX
from serai.shard.connection import Connection, connect
from serai.shard.queries import load_queries

SQL: Final = load_queries("serai.bench", "bench.sql")
LANES: Final = 4
WRITES: Final = (
    f"prepared single-row INSERTs into one table with one key, {COALESCE_WRITES_MAX} a transaction,"
    f" {LANES} connections"
)
KEYS: Final = f"prepared SELECT of one row by its key, {LANES} connections, no HTTP"
PAGES: Final = f"prepared SELECT of as many texts in key order, {LANES} connections, no HTTP"


async def plain_writes(stage: Stage, count: int, organisations: Sequence[int]) -> Spent:
    """Insert rows with plain statements; return what it took."""
    rows = Rows(stage.runtime.vertical)
    given = [(organisations[n % len(organisations)], uuid7(), rows.text()) for n in range(count)]
    size = COALESCE_WRITES_MAX
    groups = [given[start : start + size] for start in range(0, count, size)]
    connections = [await connect(stage.url) for _ in range(LANES)]
    try:
        await connections[0].execute(SQL["floor_table"])
        with Meter(stage.postgres) as spent:
            await asyncio.gather(
                *(_insert(c, groups[lane::LANES]) for lane, c in enumerate(connections))
            )
    finally:
        for connection in connections:
            await connection.close()
    return spent


async def _insert(
    connection: Connection, groups: Sequence[Sequence[tuple[int, UUID, str]]]
) -> None:
    for group in groups:
        await connection.executemany(SQL["floor_insert"], group)  # one transaction


async def reads_by_key(stage: Stage, count: int, organisations: Sequence[int]) -> Spent:
    """Read one row by its key, again and again, on a few pinned connections."""
    connections = [await connect(stage.url) for _ in range(LANES)]
    try:

        async def read(connection: Connection, lane: int) -> None:
            statement = await connection.prepare(SQL["floor_by_key"])
            for n in range(lane, count, LANES):
                await statement.fetchrow(organisations[n % len(organisations)])

        with Meter(stage.postgres) as spent:
            await asyncio.gather(*(read(c, lane) for lane, c in enumerate(connections)))
    finally:
        for connection in connections:
            await connection.close()
    return spent


async def reads_of_rows(stage: Stage, pages: int, rows: int) -> Spent:
    """Read pages of `rows` texts from a plain table, again and again; no server in between."""
    made = Rows(stage.runtime.vertical)
    connections = [await connect(stage.url) for _ in range(LANES)]
    try:
        await connections[0].execute(SQL["floor_table"])
        given = [(1, uuid7(), made.text()) for _ in range(rows)]
        await connections[0].executemany(SQL["floor_insert"], given)

        async def read(connection: Connection) -> None:
            statement = await connection.prepare(SQL["floor_texts"])
            for _ in range(max(pages // LANES, 1)):
                await statement.fetch(1, rows)

        with Meter(stage.postgres) as spent:
            await asyncio.gather(*map(read, connections))
    finally:
        for connection in connections:
            await connection.close()
    return spent


def sqlite_seconds(texts: Sequence[str]) -> float:
    """Return the seconds that SQLite needs to insert the texts into an empty table, durably."""
    rows = [(str(uuid7()), text) for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "floor.db")
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute(SQL["sqlite_table"])
        started = time.perf_counter()
        with connection:
            connection.executemany(SQL["sqlite_insert"], rows)
        seconds = time.perf_counter() - started
        connection.close()
    return seconds
