"""Moves under writes: the pause that a writer sees, a large organisation, many small ones.

Owns `move`, `move-large` and `move-many`. The mover is a process of its own, as an operator's
command is; writes go through this process as through one that serves. Every write that was answered
is looked for afterwards: one that is lost or there twice, a version that is missing, a device that
would download again, or an error ends the run instead of making a figure. Never goes over HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from uuid import UUID

import msgspec

from serai.bench.figure import Figure, Load, percentile, rounded
from serai.bench.rows import ROW_BYTES, Rows
from serai.bench.street import Street, open_street
from serai.log.coalesce import Coalescer
from serai.log.intent import WriteAnswer, WriteIntent
from serai.ports.store import Store

MOVES: Final = 100
"""Of one organisation, to and fro: so that a 99th percentile is one of them."""
_WRITERS: Final = 4
_THINKING_SECONDS: Final = 0.02
"""Between two writes of each of them: two hundred a second, and two cores that are not full, where
a pause would be the wait for a core.
"""
_LARGE_ROWS: Final = 100_000
_SMALL: Final = 6_000
_BATCH: Final = 100
_WORKERS: Final = 3
_SMALL_WRITERS: Final = 8


class Told(msgspec.Struct):
    """What a mover's process prints for each order."""

    moved: int
    failed: dict[str, str]
    seconds: float
    pauses: list[float]


async def pause(load: Load) -> list[Figure]:
    """One organisation goes to and fro while it is written to."""
    moves = max(load.writes * MOVES // Load().writes, 4)
    longest: list[float] = []
    pauses: list[float] = []
    async with open_street(1) as street, mover(street) as order:
        writers = Writers(street, [1], _WRITERS, _THINKING_SECONDS)
        async with writers.at_work():
            for number in range(moves):
                writers.longest = 0.0
                done = await order([1], "ba"[number % 2])
                await writers.each_again()
                longest.append(writers.longest)
                pauses += done.pauses
        await writers.check()
    said = (
        f"the longest that any write took around each of {moves} moves of one organisation, median"
        f" {_ms(longest, 0.5)}; {_WRITERS} writers, {_THINKING_SECONDS * 1_000:g} ms between two"
        f" writes of each, {writers.words()}; from freeze"
        f" to open {_ms(pauses, 0.5)}, p99 {_ms(pauses, 0.99)}"
    )
    p99 = rounded(percentile(longest, 0.99) * 1_000)
    return [Figure(figure="move_pause_p99_ms", value=p99, unit="ms", conditions=said)]


async def large(load: Load) -> list[Figure]:
    """An organisation of 100,000 rows moves while it is written to."""
    count = max(_LARGE_ROWS * load.writes // Load().writes, 100)
    async with open_street(1) as street, mover(street) as order:
        await street.fill(1, count)
        writers = Writers(street, [1], 1)
        async with writers.at_work():
            done = await order([1], "b")
            await writers.each_again()
        await writers.check()
    said = (
        f"{count} rows of {ROW_BYTES} B (as many in the typed table, the log and the audit record),"
        f" from the order to the end of the move, one writer, {writers.words()}; from freeze to"
        f" open {_ms(done.pauses, 1.0)}"
    )
    seconds = rounded(done.seconds)
    return [Figure(figure="move_100k_seconds", value=seconds, unit="s", conditions=said)]


async def many(load: Load) -> list[Figure]:
    """Small organisations move while some of them are written to."""
    count = max(_SMALL * load.writes // Load().writes, 20)
    orgs = range(1, count + 1)
    async with open_street(count) as street, mover(street) as order:
        rows = await street.furnish(orgs)
        tokens = await street.tokens(orgs[:: max(count // 50, 1)])
        writers = Writers(street, orgs, _SMALL_WRITERS)
        async with writers.at_work():
            done = await order(orgs, "b")
        await writers.check()
        again = await street.fetched_again(tokens)
    if again:
        raise RuntimeError(f"devices of {again} would begin again")
    said = (
        f"{count} organisations of {rows // count} rows in each of four tables, batches of"
        f" {_BATCH}, {_WORKERS} at a time; {_SMALL_WRITERS} writers, {writers.words()};"
        f" {len(tokens)} devices looked at, none begins again; from freeze to open p99"
        f" {_ms(done.pauses, 0.99)} a batch;"
        " the removal of old copies comes after and is not timed"
    )
    rate = rounded(count / done.seconds)
    return [Figure(figure="moves_per_second", value=rate, unit="moves/s", conditions=said)]


def _ms(seconds: list[float], part: float) -> str:
    return f"{percentile(seconds, part) * 1_000:.1f} ms"


@dataclass(slots=True)
class Writers:
    """Writers. `thinking`: seconds between two writes of one; `seconds`: of each write; `longest`:
    since it was set to 0.
    """

    street: Street
    orgs: Sequence[int]
    count: int
    thinking: float = 0.0
    seconds: list[float] = field(default_factory=list[float])
    longest: float = 0.0
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    told: list[tuple[int, UUID, int]] = field(default_factory=list[tuple[int, UUID, int]])

    def words(self) -> str:
        """Return what they did."""
        return (
            f"{len(self.told)} writes, none lost, doubled or refused, p50 {_ms(self.seconds, 0.5)},"
            f" p99 {_ms(self.seconds, 0.99)}, longest {_ms(self.seconds, 1.0)}"
        )

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncGenerator[None]:
        """Write meanwhile; a write that fails ends it."""
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number in range(self.count):
                group.create_task(self._write(over, number))
            yield
            over.set()

    async def each_again(self) -> None:
        """Wait until every writer has had another answer."""
        enough = len(self.told) + 2 * self.count
        while len(self.told) < enough:
            self.answered.clear()
            await self.answered.wait()

    async def check(self) -> None:
        """Raise RuntimeError for a write that is lost, or there twice, or a version that is not."""
        await self.street.check(self.told)

    async def _write(self, over: asyncio.Event, number: int) -> None:
        rows = Rows(self.street.runtime.vertical)
        chance = random.Random(number)  # noqa: S311 - whose turn it is in a load
        homes = self.street.runtime.homes
        while not over.is_set():
            org_id = chance.choice(self.orgs)
            wish = rows.insert(org_id)
            began = time.perf_counter()
            answer: WriteAnswer = await homes.at_home(org_id, partial(_submitted, wish))
            took = time.perf_counter() - began
            self.seconds.append(took)
            self.longest = max(self.longest, took)
            self.answered.set()
            self.told.append((org_id, wish.rows[0].id, answer.version))
            if self.thinking:
                await asyncio.sleep(self.thinking)


async def _submitted(wish: WriteIntent, _: Store, writes: Coalescer) -> WriteAnswer:
    return await writes.submit(wish)


class Order:
    """Orders to a mover's process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def __call__(self, orgs: Sequence[int], target: str) -> Told:
        """Let organisations move; return what it took."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode({"orgs": list(orgs), "to": target}) + b"\n")
        line = await process.stdout.readline()
        told = msgspec.json.decode(line, type=Told)
        if told.failed or told.moved != len(orgs):
            raise RuntimeError(f"{told.moved} of {len(orgs)} moved: {told.failed}")
        return told


@contextlib.asynccontextmanager
async def mover(street: Street) -> AsyncGenerator[Order]:
    """Start a mover's process; it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "serai.bench.mover"),
        *(street.settings.directory_url, str(_BATCH), str(_WORKERS)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        yield Order(process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
