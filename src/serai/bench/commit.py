"""The write path in process: many organisations, and one.

Owns `commit` and `commit --hot`. What is timed starts with a validated wish and ends with the
answer of a durable write: queue, decision, transaction, reply. Never goes over HTTP.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from serai.bench import floors
from serai.bench.cpu import Meter, Spent
from serai.bench.figure import Figure, Load, percentile, rounded
from serai.bench.rows import ROW_BYTES, Rows
from serai.bench.stage import Stage, open_stage
from serai.log.coalesce import Coalescer
from serai.log.decide import decide
from serai.log.intent import WriteIntent
from serai.log.postgres import PostgresStore
from serai.ports.store import Committed
from serai.shard.pools import PinnedPool

PLAIN_CONNECTIONS: Final = 32
_HOT: Final = 1
_WARM_PART: Final = 10
_PLAIN_PART: Final = 20
"""The comparison without coalescing is that much slower: it gets fewer rows to take as long."""
_ROW: Final = f"rows of {ROW_BYTES} B under idempotency keys, into typed table, row, log and reply"


async def commit(load: Load) -> list[Figure]:
    """Writes to many organisations."""
    async with open_stage() as stage:
        organisations = await stage.organisations(load.organisations)
        rows = Rows(stage.runtime.vertical)
        writer = _Writer(stage.shard.coalescer, load.in_flight)
        # Every organisation once: the first write to one asks for its epoch.
        await writer.write([rows.insert(org_id) for org_id in organisations])
        spent = await _timed(stage, writer, rows.spread(organisations, load.writes))
        p99 = percentile(writer.seconds, 0.99) * 1_000
        floor = await floors.plain_writes(stage, load.writes, organisations)
        said = (
            f"{load.writes} {_ROW}; {load.in_flight} in flight, {load.organisations}"
            f" organisations, in process; p50 {percentile(writer.seconds, 0.5) * 1_000:.1f} ms;"
            f" floor: {floors.WRITES}, PostgreSQL {floor.postgres_us(load.writes)} us a row"
        )
        cpu = _cpu(spent, load.writes)
        rate, least = load.writes / spent.seconds, load.writes / floor.seconds
        return [
            Figure(
                figure="commit_rows_per_second",
                value=rounded(rate),
                unit="rows/s",
                floor=rounded(least),
                conditions=said,
                **cpu,
            ),
            Figure(
                figure="commit_p99_ms",
                value=rounded(p99),
                unit="ms",
                conditions="of the run for commit_rows_per_second",
                **cpu,
            ),
        ]


async def hot(load: Load) -> list[Figure]:
    """Writes to one organisation: coalesced, then each in a transaction of its own."""
    async with open_stage() as stage:
        organisations = await stage.organisations(_HOT)
        rows = Rows(stage.runtime.vertical)
        writer = _Writer(stage.shard.coalescer, load.in_flight)
        await writer.write(rows.spread(organisations, load.writes // _WARM_PART))
        spent = await _timed(stage, writer, rows.spread(organisations, load.writes))
        rate = load.writes / spent.seconds
        singles = max(load.writes // _PLAIN_PART, PLAIN_CONNECTIONS)
        plain = await _uncoalesced(stage, rows.spread(organisations, singles))
        plain_rate = singles / plain.seconds
        floor = await floors.plain_writes(stage, load.writes, organisations)
        p99 = percentile(writer.seconds, 0.99) * 1_000
        return [
            Figure(
                figure="hot_rows_per_second",
                value=rounded(rate),
                unit="rows/s",
                floor=rounded(load.writes / floor.seconds),
                conditions=f"{load.writes} {_ROW}; {load.in_flight} in flight, one organisation, in"
                f" process; p99 {p99:.1f} ms; floor: {floors.WRITES}",
                **_cpu(spent, load.writes),
            ),
            Figure(
                figure="hot_plain_ratio",
                value=rounded(rate / plain_rate),
                unit="times",
                conditions=f"hot_rows_per_second over the same write, {PLAIN_CONNECTIONS}"
                f" connections with one write a transaction: {plain_rate:.0f} rows/s, PostgreSQL"
                f" {plain.postgres_us(singles)} us a row",
            ),
        ]


def _cpu(spent: Spent, rows: int) -> dict[str, float]:
    return {
        "python_us_per_row": spent.python_us(rows),
        "postgres_us_per_row": spent.postgres_us(rows),
    }


class _Writer:
    """Keeps some writes in flight. `seconds`: how long each one took, of the last call."""

    def __init__(self, coalescer: Coalescer, in_flight: int) -> None:
        self._coalescer = coalescer
        self._in_flight = in_flight
        self.seconds: list[float] = []

    async def write(self, intents: Sequence[WriteIntent]) -> None:
        """Write all of them, in their order."""
        self.seconds = []
        waiting = deque(intents)
        await asyncio.gather(*(self._one_by_one(waiting) for _ in range(self._in_flight)))

    async def _one_by_one(self, waiting: deque[WriteIntent]) -> None:
        submit, took, now = self._coalescer.submit, self.seconds.append, time.perf_counter
        while waiting:
            intent, started = waiting.popleft(), now()
            await submit(intent)
            took(now() - started)


async def _timed(stage: Stage, writer: _Writer, intents: Sequence[WriteIntent]) -> Spent:
    # A server does not hold a hundred thousand wishes for the collector to walk over.
    gc.collect()
    gc.freeze()
    try:
        with Meter(stage.postgres) as spent:
            await writer.write(intents)
    finally:
        gc.unfreeze()
    return spent


async def _uncoalesced(stage: Stage, intents: Sequence[WriteIntent]) -> Spent:
    """Commit each write by itself, as a server without a coalescer would."""
    waiting = deque(intents)
    size = PLAIN_CONNECTIONS
    async with PinnedPool(stage.url, size_min=size, size_max=size, wait_seconds=60) as pool:
        store = PostgresStore(pool, stage.runtime.vertical)
        with Meter(stage.postgres) as spent:
            await asyncio.gather(*(_alone(store, stage, waiting) for _ in range(size)))
    return spent


async def _alone(store: PostgresStore, stage: Stage, waiting: deque[WriteIntent]) -> None:
    vertical, clock = stage.runtime.vertical, stage.runtime.clock
    while waiting:
        intent = waiting.popleft()
        plan = decide(vertical, intent, {}, epoch=1, now=clock.now(), new_ids=True)
        (outcome,) = await store.commit([plan])
        assert isinstance(outcome, Committed), f"a plain write became {outcome}"
