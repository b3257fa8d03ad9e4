"""The load client as seen from here: a process, told how long to send, asked what came back.

Owns its life and the measurement of one stretch of load. Promises that warming up is not measured
and that an answer with another status than expected fails the figure.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from serai.bench.cpu import Meter, Spent, cpu_seconds
from serai.bench.figure import Load
from serai.bench.load import Outcome, Plan, Script
from serai.bench.stage import WORKERS, Served, Stage

WARM_SECONDS_MAX: Final = 2.0
_LINE_BYTES_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Measured:
    """One stretch of load: what came back, what it took, and what the load itself took."""

    outcome: Outcome
    spent: Spent
    load_us: float

    @property
    def per_second(self) -> float:
        return self.outcome.requests / self.outcome.seconds

    def words(self, connections: int) -> str:
        """Return what is to be said of the load."""
        return (
            f"{connections} connections, {WORKERS} workers, p50 {self.outcome.p50_ms:.1f} ms, p99"
            f" {self.outcome.p99_ms:.1f} ms, load client {self.load_us:.0f} us a request"
        )


async def loaded(
    stage: Stage, server: Served, scripts: list[Script], load: Load, *, expected: str
) -> Measured:
    """Run the load, warmed up; every answer has the status expected."""
    async with load_client(server, scripts) as (pid, stretch):
        await stretch(min(load.seconds, WARM_SECONDS_MAX))
        before = cpu_seconds(pid)
        with Meter(stage.postgres, server.pid) as spent:
            outcome = await stretch(load.seconds)
        own = cpu_seconds(pid) - before
    assert outcome.statuses.keys() == {expected}, f"statuses {outcome.statuses}, not {expected}"
    return Measured(outcome, spent, own / outcome.requests * 1e6)


@contextlib.asynccontextmanager
async def load_client(
    server: Served, scripts: list[Script]
) -> AsyncGenerator[tuple[int, Callable[[float], Awaitable[Outcome]]]]:
    """Run the load client; yield its process and the way to ask for a stretch of load."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "serai.bench.load"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES_MAX,
    )
    assert process.stdin is not None, "asked for above"
    assert process.stdout is not None, "asked for above"
    say, hear = process.stdin, process.stdout

    async def stretch(seconds: float) -> Outcome:
        say.write(f"{seconds}\n".encode())
        return msgspec.json.decode(await hear.readline(), type=Outcome)

    try:
        plan = Plan(host="127.0.0.1", port=server.port, scripts=scripts)
        say.write(msgspec.json.encode(plan) + b"\n")
        await say.drain()
        assert await hear.readline() == b"ready\n", "the load client did not connect"
        yield process.pid, stretch
    finally:
        say.close()
        await process.wait()
