"""A mover for the figures of moves: reads an order a line, prints what it took.

Owns a program of its own (`python -m serai.bench.mover DIRECTORY_URL BATCH WORKERS`), so that its
processor time is not that of the process that serves. Promises to time moves alone: the removal of
old copies comes after the clock has stopped. Never writes a row by itself.
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec

from serai.app.move_hands import ThreadHands
from serai.app.move_run import MoveOptions, MoveRun
from serai.shard.directory import Directory


class Order(msgspec.Struct):
    """Which organisations go where."""

    orgs: list[int]
    to: str


async def main(url: str, batch: int, workers: int) -> None:
    """Answer orders until there are no more."""
    options = MoveOptions(batch=batch, workers=workers, grace_seconds=0)
    async with await Directory.open(url) as directory:
        shards = {ref.name: ref for ref in directory.shards}
        hands = ThreadHands(url, directory.shards, workers)
        run = MoveRun(hands, directory.shards, options, lambda _: None)
        async with run.alive():
            print("ready", flush=True)  # noqa: T201 - its answer
            while line := await asyncio.to_thread(sys.stdin.readline):
                order = msgspec.json.decode(line, type=Order)
                run.report.moved, run.report.pauses = 0, []
                began = time.perf_counter()
                await run.move(order.orgs, shards[order.to])
                told = {
                    "moved": run.report.moved,
                    "failed": {str(org): why for org, why in run.report.failed.items()},
                    "seconds": time.perf_counter() - began,
                    "pauses": run.report.pauses,
                }
                print(msgspec.json.encode(told).decode(), flush=True)  # noqa: T201 - its answer
                await run.left.sweep()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
