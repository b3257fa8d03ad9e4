"""A phone's app dies with signal 9, in the middle of a push and of a first fill, on a server under
load.

Owns I3, I4 and I1 for the client that ships, in a process of its own with a file of its own:
whatever it said is on disk reaches the server once, and a fill goes on to the same rows. Never
decides what is right but by what the phone said and by what PostgreSQL holds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from integration.client.hotel import a_phone
from scenarios.house import SECONDS, House
from scenarios.load import under_load

PHONE = """
import asyncio, sys
from serai.client import HttpTransport, Pace, SyncClient

path, url, token, house, prefix, writes = sys.argv[1:]

async def access_token(renew):
    return token

async def main():
    transport = HttpTransport(url, access_token)
    kept = ["properties", "guests", "stays"]
    pace = Pace(fill_rows=20)
    client = await SyncClient.open(path, transport=transport, collections=kept, pace=pace)
    last = 0

    def looked(changes):
        nonlocal last
        status = client.status
        if status.version != last or status.filling:
            last = status.version
            print("page", len(client.rows("guests")), status.pending, flush=True)

    client.listen(looked)
    running = asyncio.create_task(client.run())
    for number in range(int(writes)):
        name = f"{prefix} {number}"
        client.insert("guests", {"property_id": house, "name": name})
        print("wrote", name, flush=True)
        await asyncio.sleep(0)
    await running

asyncio.run(main())
"""


class Phone:
    """The process, and what it said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.wrote: list[str] = []
        self.pages = 0

    async def until(self, *, wrote: int = 0, pages: int = 0) -> None:
        """Listen until it has said so much."""
        async with asyncio.timeout(SECONDS):
            while len(self.wrote) < wrote or self.pages < pages:
                self._heard(await self._line())

    async def _line(self) -> str:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, "the phone ended by itself"
        return line.decode()

    def _heard(self, line: str) -> None:
        kind, _, rest = line.strip().partition(" ")
        if kind == "wrote":
            self.wrote.append(rest)
        elif kind == "page":
            self.pages += 1

    async def kill(self) -> None:
        """Kill it, and take in what it had said."""
        self.process.send_signal(signal.SIGKILL)
        assert self.process.stdout is not None
        for line in (await self.process.stdout.read()).decode().splitlines(keepends=True):
            if line.endswith("\\n"):
                self._heard(line)
        assert await self.process.wait() == -signal.SIGKILL


@asynccontextmanager
async def switched_on(
    path: Path, house: House, prefix: str, writes: int, **variables: str
) -> AsyncGenerator[Phone]:
    """Run its app during the block. `variables`: of the process, beside those of the tests."""
    words = (str(path), house.server.url, house.token, str(house.place), prefix, str(writes))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PHONE, *words),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **variables},
    )
    phone = Phone(process)
    try:
        yield phone
    finally:
        if process.returncode is None:
            await phone.kill()


def names(house: House) -> list[str]:
    found = house.sql(
        "select doc::json ->> 'name' from serai.row where org_id = %s and collection = 5",
        house.org_id,
    )
    return [name for (name,) in found]


async def test_every_write_of_a_phone_that_dies_while_it_pushes_arrives_once(
    house: House, tmp_path: Path
):
    path, wrote, asked = tmp_path / "phone.db", [], 0
    for life in range(3):
        async with switched_on(path, house, f"life {life}", 400) as phone:
            # Its first page has come, so pushes are under way while it goes on to write.
            await phone.until(wrote=120, pages=1)
            await phone.kill()
        wrote += phone.wrote
        asked += 400
    async with a_phone(path, house.server.url, house.token) as phone:
        await phone.sync_once()
        assert phone.status.pending == 0
        assert phone.refusals() == []
        stored = names(house)
        assert len(stored) == len(set(stored)), "doubled"
        assert set(wrote) <= set(stored), "said to be on disk, and lost"
        # What it had no time to speak of may be on disk too; nothing else is.
        assert set(stored) <= {f"life {life} {n}" for life in range(3) for n in range(400)}
        assert sorted(str(row.data["name"]) for row in phone.rows("guests")) == sorted(stored)


async def test_a_phone_that_dies_again_and_again_in_its_first_fill_ends_with_every_row(
    house: House, tmp_path: Path
):
    path = tmp_path / "phone.db"
    async with under_load(house, desks=4, phones=2) as load:
        await load.reached(200)
        for _ in range(3):
            async with switched_on(path, house, "", 0) as phone:
                await phone.until(pages=2)
                await phone.kill()
            await load.reached(20)
    async with a_phone(path, house.server.url, house.token) as phone:
        assert len(phone.rows("guests")) > 0, "what had come before the deaths is still there"
        await phone.sync_once()
        assert phone.status.filling == ()
        shown = sorted(str(row.data["name"]) for row in phone.rows("guests"))
        assert shown == sorted(names(house))
        assert set(shown) == load.acknowledged
