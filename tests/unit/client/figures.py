"""Figures of the client alone, for docs/decisions/0004: answers are made beforehand or in memory.

Run it from the root: `PYTHONPATH=tests python tests/unit/client/figures.py`. Prints one line a
figure; asserts only that nothing was lost. Never part of the suite: it measures time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from serai.client import Answer, SyncClient
from serai.client.transport import Transport
from serai.wire.sync import ChangesRequest, MutationsRequest
from unit.client.fake_server import HOTEL, FakeServer
from unit.client.fake_transport import FakeTransport

ROW = {"property_id": str(HOTEL), "guest": "Ada", "note": "n" * 150}
PAGES, PAGE_ROWS = 50, 2_000
WRITES = 50_000


class Prepared:
    """Answers made beforehand: what remains is the client."""

    def __init__(self) -> None:
        self.pages = [self._page(number) for number in range(PAGES)]

    def _page(self, number: int) -> bytes:
        first, more = number * PAGE_ROWS + 1, number < PAGES - 1
        changes = [
            {"id": str(UUID(int=n)), "action": "insert", "version": n, "data": ROW}
            for n in range(first, first + PAGE_ROWS)
        ]
        part = {"name": "stays", "changes": changes, "nextToken": f"t{number}"}
        part |= {"hasMore": more, "filling": more}
        answer = {"collections": [part], "serverTime": "", "epoch": 1, "version": PAGES * PAGE_ROWS}
        return json.dumps(answer, separators=(",", ":")).encode()

    async def account(self) -> str:
        return "1/ada"

    async def changes(self, request: ChangesRequest, etag: str | None) -> Answer:  # noqa: ARG002 - the form of a transport
        return Answer(self.pages.pop(0))

    async def mutations(self, request: MutationsRequest) -> Answer:
        raise NotImplementedError


def say(what: str, value: float, unit: str) -> None:
    sys.stdout.write(f"{what}: {value:,.2f} {unit}\n")


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def memory_mb() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4 / 1024


async def opened(path: Path, transport: Transport) -> SyncClient:
    return await SyncClient.open(path, transport=transport, collections=["stays"])


async def fill(folder: Path) -> None:
    client = await opened(folder / "fill.db", Prepared())
    started = time.perf_counter()
    await client.sync_once()
    say("100,000 rows of 315 B applied in 50 pages", time.perf_counter() - started, "s")
    assert client.count("stays") == PAGES * PAGE_ROWS
    took = sorted(
        seconds(lambda n=n: client.update("stays", UUID(int=n), {"note": "x"}))
        for n in range(1, 1_001)
    )
    say("a local write, median", took[500] * 1e3, "ms")
    say("a local write, 99th of 100", took[990] * 1e3, "ms")
    read = seconds(lambda: [client.get("stays", UUID(int=n)) for n in range(2_000, 12_000)])
    say("a row read by id", read / 10_000 * 1e6, "us")
    client.close()


async def queue(folder: Path) -> None:
    server = FakeServer()
    client = await opened(folder / "queue.db", FakeTransport(server))
    before = memory_mb()
    for number in range(1, WRITES // 2 + 1):
        row_id = client.insert("stays", ROW, UUID(int=number))
        client.update("stays", row_id, {"note": f"{number}"})
    say("memory that 50,000 waiting writes take", memory_mb() - before, "MB")
    client.close()
    started = time.perf_counter()
    client = await opened(folder / "queue.db", FakeTransport(server))
    say("opened again with 50,000 waiting", (time.perf_counter() - started) * 1e3, "ms")
    say("its status", seconds(lambda: client.status) * 1e3, "ms")
    started = time.perf_counter()
    await client.sync_once()
    say("sent in 500 requests, server in memory", time.perf_counter() - started, "s")
    assert client.status.pending == 0
    assert len(server.applied) == WRITES
    client.close()


async def main() -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        await fill(Path(folder))
        await queue(Path(folder))


if __name__ == "__main__":
    asyncio.run(main())
