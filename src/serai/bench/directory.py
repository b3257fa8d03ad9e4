"""What a process holds of the directory: how long a lookup takes and how much memory it needs.

Owns the figures `directory_lookup_us` and `directory_mb`. The copy is read from a real directory of
ten million organisations in ranges, a hundred thousand of them moved. The floor is a plain dict of
the moved ones, asked the same questions: it knows nothing of ranges. Never counts what is let go of
after the copy was read.
"""

from __future__ import annotations

import gc
import random
import time
import tracemalloc
from collections.abc import Callable
from typing import Final

from serai.bench.figure import Figure, Load, rounded
from serai.embedded.postgres import EmbeddedPostgres
from serai.schema.migrate import migrate_database
from serai.shard.connection import Connection, connect
from serai.shard.directory import KEYS_CACHED_MAX, Directory
from serai.shard.queries import load_queries

_SQL: Final = load_queries("serai.bench", "directory.sql")
_ORGANISATIONS: Final = 10_000_000
_MOVED: Final = 100_000
_SHARDS: Final = 64
_RANGES: Final = 1_000
_ASKED: Final = 1_000_000
_ROUNDS: Final = 5
_NEVER: Final = 3_600.0
_MIB: Final = 2**20


async def directory(load: Load) -> list[Figure]:
    """Measure both."""
    part = min(1.0, load.writes / Load().writes)
    organisations, moved = int(_ORGANISATIONS * part), int(_MOVED * part)
    async with EmbeddedPostgres() as postgres:
        await postgres.create_database("directory")
        url = postgres.url("directory")
        report = await migrate_database(url, "directory")
        assert report.error is None, report.error
        connection = await connect(url, statement_seconds=600)
        try:
            await _fill(connection, organisations, moved)
        finally:
            await connection.close()
        return await _measure(url, organisations, moved, int(_ASKED * part))


async def _fill(connection: Connection, organisations: int, moved: int) -> None:
    await connection.execute(_SQL["quietly"])
    await connection.execute(_SQL["shards"], _SHARDS)
    await connection.execute(_SQL["ranges"], _RANGES, organisations // _RANGES, _SHARDS)
    await connection.execute(_SQL["organisations"], moved, organisations // moved)
    await connection.execute(_SQL["overrides"], moved, organisations // moved, _SHARDS)


async def _measure(url: str, organisations: int, moved: int, asked: int) -> list[Figure]:
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    async with await Directory.open(url, poll_seconds=_NEVER) as copy:
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
        keys = min(moved, KEYS_CACHED_MAX)
        for n in range(1, keys + 1):
            # As `org_by_key` remembers, with a number and a text of its own each.
            copy.remember(f"hotel-{n}.example", n * (organisations // moved))
        with_keys, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        numbers = random.Random(1).choices(range(1, organisations + 1), k=asked)  # noqa: S311 - the same questions in each run
        lookup = _per_call(copy.resolve, numbers)
        step = organisations // moved
        plain = {n * step: copy.shards[n % _SHARDS] for n in range(1, moved + 1)}
        floor = _per_call(plain.get, numbers)
    said = (
        f"{organisations:,} organisations in {_RANGES:,} ranges on {_SHARDS} shards, "
        f"{moved:,} moved"
    )
    return [
        Figure(
            figure="directory_lookup_us",
            value=rounded(lookup),
            unit="us",
            floor=rounded(floor),
            conditions=f"{said}; {asked:,} lookups of any of them, best of {_ROUNDS} rounds",
        ),
        Figure(
            figure="directory_mb",
            value=rounded((with_keys - before) / _MIB),
            unit="MiB",
            conditions=(
                f"{said}; kept after the copy was read ({(after - before) / _MIB:.1f} MiB, "
                f"{(peak - before) / _MIB:.1f} while it is read) and {keys:,} keys were asked for"
            ),
        ),
    ]


def _per_call(ask: Callable[[int], object], numbers: list[int]) -> float:
    """Return microseconds a call, the loop included, of the best round."""
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for number in numbers:
            ask(number)
        best = min(best, time.perf_counter() - began)
    return best / len(numbers) * 1e6
