"""The queue against kill -9, on a real process and a real file.

Owns I3 on the device: whatever `insert` returned for is there after the process is killed in the
middle of writing.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

from unit.client.fake_server import HOTEL, FakeServer
from unit.client.fake_transport import FakeTransport, open_client, run

WRITER = """
import asyncio, sys
from serai.client import SyncClient

class Nowhere:
    async def account(self):
        return "1/ada"

async def main():
    kept = ["stays", "expenses"]
    client = await SyncClient.open(sys.argv[1], transport=Nowhere(), collections=kept)
    while True:
        stay = client.insert("stays", {"property_id": sys.argv[2], "note": "x" * 500})
        client.update("stays", stay, {"note": "confirmed"})
        sys.stdout.write(f"{stay}\\n")
        sys.stdout.flush()

asyncio.run(main())
"""


def write_until_killed(path: Path, rows: int) -> list[UUID]:
    """Let a child write, kill it after so many rows, and return those that it said were written."""
    command = [sys.executable, "-c", WRITER, str(path), str(HOTEL)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(rows)]
        child.send_signal(signal.SIGKILL)
        said += child.stdout.readlines()
        assert child.wait() == -signal.SIGKILL
    return [UUID(line) for line in (text.strip() for text in said) if len(line) == 36]


def test_every_write_that_returned_survives_kill_9(tmp_path):
    path = tmp_path / "device.db"
    said = [row for rows in (1, 40, 17) for row in write_until_killed(path, rows)]
    assert len(said) >= 58

    async def scene():
        server = FakeServer()
        async with await open_client(tmp_path, FakeTransport(server)) as client:
            held = {row.id: row.data["note"] for row in client.rows("stays")}
            assert all(held[stay] == "confirmed" for stay in said)
            # A child may be killed between its two writes, or before it says so: one row each at
            # most.
            assert len(held) <= len(said) + 3
            numbers = [row[0] for row in client._file.run("queue_head", 10_000).fetchall()]
            assert numbers == [*range(1, len(numbers) + 1)]
            await client.sync_once()
            assert client.status.pending == 0
            assert {n for _, n in server.applied} == set(numbers)
            assert server.docs("stays").keys() == held.keys()

    run(scene())
