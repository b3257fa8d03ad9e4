"""A shard with many organisations: what a fleet's machine holds after years, made in minutes.

Owns the databases under the figures of scale. Promises that what it makes is what the write path
and the migrator would have made: the same rows in `serai.row` and the typed tables, every index and
constraint, valid; and that a run that was ended goes on with the table it was at. Tables are filled
by COPY into empty ones, two at a time, without indexes and without WAL; afterwards the server runs
with the settings that it always has. Never for data that anybody needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from serai.app.fleet import prepare_fleet
from serai.app.partitions import ensure_partitions
from serai.app.runtime import open_runtime
from serai.app.settings import Settings
from serai.bench.portfolio import Blocks, Portfolio
from serai.bench.stage import DIRECTORY, SHARD
from serai.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresSettings
from serai.model import Vertical
from serai.shard.queries import load_queries

Say = Callable[[str, float], None]
"""Is told a step and how much of all is done, from 0 to 1."""
_SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.bench", "seed.sql").items()
}
_Rows = list[tuple[Any, ...]]
_BULK: Final = {
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "max_wal_size": "16GB",
    "maintenance_work_mem": "2GB",
    "max_parallel_maintenance_workers": 0,
    "work_mem": "512MB",
}
_ORGS_PER_WRITE: Final = 500
_ROWS_PART: Final = 0.45
_INDEX_PART: Final = 0.55
ORG_ID_MAX: Final = 2**32 - 1
"""Ids of rows hold the organisation in eight hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Seeded:
    """What was made. `seconds`: of this run, schema and restart included; `bytes`: of the shard's
    database on disk; `went_on`: tables that an earlier run had filled.
    """

    organisations: int
    properties: int
    rows: int
    seconds: float
    bytes: int
    went_on: int


async def seed(data_dir: Path, organisations: int, say: Say = lambda _step, _part: None) -> Seeded:
    """Make organisations 1 to `organisations` in a PostgreSQL of its own under `data_dir`.

    Raises:
        ValueError: more organisations than there are ids, or the directory holds another number of
            them.
    """
    if not 1 <= organisations <= ORG_ID_MAX:
        raise ValueError(f"The number of organisations is from 1 to {ORG_ID_MAX}.")
    started = time.perf_counter()
    settings = EmbeddedPostgresSettings(data_dir=data_dir, settings=_BULK)
    async with EmbeddedPostgres(settings) as postgres:
        for name in (DIRECTORY, SHARD):
            await postgres.create_database(name)
        say("schema", 0.0)
        chosen = Settings(directory_url=postgres.url(DIRECTORY))
        await prepare_fleet(chosen, [("shard-1", postgres.url(SHARD))])
        async with open_runtime(chosen, as_owner=True) as runtime:
            shard = await runtime.shard(runtime.directory.shards[0])
            await ensure_partitions(shard.pool, runtime.vertical, runtime.clock.now())
            vertical, day = runtime.vertical, runtime.clock.now().date().isoformat()
        package = chosen.vertical.partition(":")[0]
        work = _Work(postgres, vertical, Blocks(vertical, day), Portfolio(package), organisations)
        went_on = await work.run(say)
        size = await work.size()
    properties = sum(map(work.portfolio.properties_of, range(1, organisations + 1)))
    rows = organisations * 2 + properties * 3
    spent = time.perf_counter() - started
    return Seeded(organisations, properties, rows, spent, size, went_on)


@dataclass(slots=True)
class _Work:
    postgres: EmbeddedPostgres
    vertical: Vertical
    blocks: Blocks
    portfolio: Portfolio
    organisations: int
    done: float = 0.0

    async def run(self, say: Say) -> int:
        """Fill, index and check; return how many tables were full already."""
        async with self._connection(SHARD) as shard:
            await shard.execute(_SQL["progress"])
            begun: int = await _value(shard, _SQL["begin"], [self.organisations])
            if begun != self.organisations:
                raise ValueError(
                    f"The directory holds {begun} organisations; take another, or --orgs {begun}."
                )
            full = {name for (name,) in await _rows(shard, _SQL["full"])}
            tables = list(self.blocks.columns())
            if len(full) < len(tables):
                await shard.execute(_SQL["take"], [tables])
        typed = [table for table in tables if table != "serai.row" and table not in full]
        await asyncio.gather(
            self._fill_all([t for t in ("serai.row",) if t not in full], say),
            self._fill_all(typed, say),
            self._fill_directory(),
        )
        await self._give_back(say)
        return len(full)

    async def _fill_all(self, tables: Sequence[str], say: Say) -> None:
        for table in tables:
            async with self._connection(SHARD) as c:
                await self._fill(c, table, say)

    async def _fill(self, c: psycopg.AsyncConnection, table: str, say: Say) -> None:
        """Fill one table in one transaction: it was emptied there, so nothing goes through WAL."""
        columns = self.blocks.columns()[table]
        # Most rows are in two tables: this one, and the one that has them all.
        weight = _ROWS_PART / (2 if table == "serai.row" else 2 * (len(self.blocks.columns()) - 1))
        async with c.transaction():
            await c.execute("SET LOCAL session_replication_role = replica")
            target: str = await _value(c, _SQL["target"], [table, self.blocks.day])
            name = sql.Identifier(*target.split("."))
            # no org_id: the whole table, which nobody uses yet
            await c.execute(sql.SQL("TRUNCATE {}").format(name))
            statement = sql.SQL("COPY {} ({}) FROM STDIN (FREEZE)").format(
                name, sql.SQL(", ").join(map(sql.Identifier, columns))
            )
            async with c.cursor().copy(statement) as copy:
                for text, part in self._texts(table):
                    await copy.write(text)
                    self.done += part * weight
                    say(f"filling {table}", self.done)
            await c.execute(_SQL["filled"], [table])

    def _texts(self, table: str) -> Iterator[tuple[bytes, float]]:
        """Yield (lines, part of the table) of a few hundred organisations at a time."""
        size_of, block = self.portfolio.properties_of, self.blocks.block
        for first in range(1, self.organisations + 1, _ORGS_PER_WRITE):
            stop = min(first + _ORGS_PER_WRITE, self.organisations + 1)
            lines = [block(size_of(n)).of(n, table) for n in range(first, stop)]
            yield "".join(lines).encode(), (stop - first) / self.organisations

    async def _fill_directory(self) -> None:
        async with self._connection(DIRECTORY) as c, c.transaction():
            await c.execute(_SQL["name_organisations"], [self.organisations])
            await c.execute(_SQL["go_on_after"], [self.organisations])

    async def _give_back(self, say: Say) -> None:
        """Make indexes and constraints as they were, two at a time; then count the tables."""
        async with self._connection(SHARD) as c:
            waiting = await _rows(c, _SQL["taken"])
        total = len(waiting)

        async def lane(steps: deque[tuple[str, str]]) -> None:
            async with self._connection(SHARD) as c:
                while steps:
                    name, statement = steps.popleft()
                    async with c.transaction():
                        await c.execute(statement.encode())
                        await c.execute(_SQL["given_back"], [name])
                    self.done += _INDEX_PART / total
                    say(f"made {name}", self.done)

        # Keys, then other indexes, then references, which need both.
        for stage in (1, 2, 3):
            steps = deque((name, made) for name, made, at in waiting if at == stage)
            await asyncio.gather(lane(steps), lane(steps))
        async with self._connection(SHARD) as c:
            await c.execute("ANALYZE")

    async def size(self) -> int:
        """Return the bytes of the shard's database on disk."""
        async with self._connection(SHARD) as c:
            size: int = await _value(c, _SQL["size"])
            return size

    @contextlib.asynccontextmanager
    async def _connection(self, database: str) -> AsyncGenerator[psycopg.AsyncConnection]:
        async with await psycopg.AsyncConnection.connect(
            self.postgres.url(database), autocommit=True
        ) as c:
            yield c


async def _rows(c: psycopg.AsyncConnection, query: bytes) -> _Rows:
    return await (await c.execute(query)).fetchall()


async def _value(c: psycopg.AsyncConnection, query: bytes, arguments: Sequence[object] = ()) -> Any:
    found = await (await c.execute(query, arguments)).fetchone()
    assert found is not None, "the statement gives a row"
    return found[0]
