"""Disks that are full, files that are damaged, files that are open elsewhere.

Owns the promise that an entry is either on disk or refused to the person who makes it, and that no
trouble of the disk ends the client for good. The troubles are SQLite's and the system's own: a
bound on pages or on the size of a file, bytes overwritten, a second process.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from serai.client import FileDamaged, FileInUse, NotWritten, Pace, State, SyncClient
from serai.client.file import DeviceFile, Held
from serai.client.states import Fill
from unit.client.fake_server import HOTEL, FakeServer
from unit.client.fake_transport import FakeTransport, in_virtual_time, open_client, passed, there

ROW = {"property_id": str(HOTEL), "guest": "Ada", "note": "x" * 900}


@contextmanager
def full(client: SyncClient) -> Generator[None]:
    """Let the file not grow by a page."""
    file = client._file
    pages = file.select("pragma page_count", ()).fetchone()[0]
    most = file.select("pragma max_page_count", ()).fetchone()[0]
    file.select(f"pragma max_page_count = {pages}", ())
    try:
        yield
    finally:
        file.select(f"pragma max_page_count = {most}", ())


@contextmanager
def no_byte_more(path: Path) -> Generator[None]:
    """Let no file of this process grow beyond this one, as a full disk does at a commit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill(client: SyncClient) -> list[UUID]:
    """Write until the disk is full; return what was taken."""
    taken: list[UUID] = []
    while len(taken) < 1000:
        try:
            taken.append(client.insert("stays", ROW))
        except NotWritten:
            return taken
    raise AssertionError("the disk was not full")


@in_virtual_time
async def test_an_entry_on_a_full_disk_is_refused_and_every_earlier_one_kept(tmp_path):
    server = FakeServer()
    async with await open_client(tmp_path, FakeTransport(server)) as client:
        with full(client):
            taken = fill(client)
            assert {row.id for row in client.rows("stays")} == {*taken}
            assert client.status.pending == len(taken)
        last = client.insert("stays", ROW)
        await client.sync_once()
        assert server.docs("stays").keys() == {*taken, last}
        assert [n for _, n in server.applied] == [*range(1, len(taken) + 2)]


@in_virtual_time
async def test_a_disk_that_is_full_at_the_commit_does_not_jam_the_file(tmp_path):
    server = FakeServer()
    async with await open_client(tmp_path, FakeTransport(server)) as client:
        client.insert("stays", ROW, UUID(int=1))
        with no_byte_more(tmp_path / "device.db-wal"):
            for _ in range(3):
                with pytest.raises(NotWritten):
                    client.insert("stays", ROW, UUID(int=2))
            assert client.get("stays", UUID(int=2)) is None
            assert client.status.pending == 1
        client.insert("stays", ROW, UUID(int=2))
        await client.sync_once()
        assert server.docs("stays").keys() == {UUID(int=1), UUID(int=2)}


@in_virtual_time
async def test_a_page_that_finds_the_disk_full_is_asked_for_again_until_there_is_room(tmp_path):
    server = FakeServer()
    transport = FakeTransport(server)
    async with await open_client(tmp_path, transport, pace=Pace(fill_rows=10)) as client:
        await client.sync_once()
        client.insert("stays", {"property_id": str(HOTEL)}, UUID(int=999))
        for number in range(1, 101):
            server.write(("stays", UUID(int=number), ROW), ("expenses", UUID(int=number), ROW))
        running = asyncio.create_task(client.run())
        with full(client):
            await passed(600.0)
            assert not running.done()
            assert client.status.state is State.OPEN
            assert isinstance(client.status.error, NotWritten)
            assert client.count("stays") - 1 == client.count("expenses") < 100
        await passed(30.0)
        assert client.status.state is State.IDLE
        assert client.count("expenses") == 100
        assert {row.id for row in client.rows("stays")} == server.docs("stays").keys()
        assert len(server.applied) == 1
        client.close()
        await running


@in_virtual_time
async def test_results_and_page_of_one_answer_are_kept_together_or_not_at_all(tmp_path):
    server = FakeServer()
    async with await open_client(tmp_path, FakeTransport(server)) as client:
        await client.sync_once()
        client.insert("stays", {"property_id": str(HOTEL)}, UUID(int=1))
        for number in range(2, 60):
            server.write(("expenses", UUID(int=number), ROW))
        # The result of the entry fits into the file, the page of the same answer does not.
        with full(client), pytest.raises(NotWritten):
            await client.sync_once()
        assert len(server.applied) == 1
        assert client.status.pending == 1
        assert there(client, UUID(int=1)).version == 0
        await client.sync_once()
        assert client.status.pending == 0
        assert len(server.applied) == 1


@in_virtual_time
async def test_a_damaged_file_halts_the_client_and_is_left_as_it_is(tmp_path):
    server = FakeServer()
    for number in range(1, 201):
        server.write(("stays", UUID(int=number), ROW))
    transport = FakeTransport(server)
    async with await open_client(tmp_path, transport) as client:
        await client.sync_once()
    path = tmp_path / "device.db"
    pages = path.stat().st_size // 4096
    with path.open("r+b") as raw:
        # The first pages are the roots of the tables; those far behind hold rows.
        raw.seek(30 * 4096)
        raw.write(b"\xa5" * 4096 * (pages - 30))
    async with await open_client(tmp_path, transport) as client:
        for number in range(1, 201):
            server.write(("stays", UUID(int=number), {"note": "new"}))
        running = asyncio.create_task(client.run())
        await passed(60.0)
        assert client.status.state is State.HALTED
        assert isinstance(client.status.error, FileDamaged)
        with pytest.raises(FileDamaged):
            await client.sync_once()
        with pytest.raises(FileDamaged):
            client.rows("stays")
        client.close()
        await running
    assert path.stat().st_size == pages * 4096


@in_virtual_time
async def test_a_file_whose_first_page_is_damaged_is_not_taken_for_a_new_one(tmp_path):
    path = tmp_path / "device.db"
    async with await open_client(tmp_path, FakeTransport(FakeServer())) as client:
        client.insert("stays", ROW)
    with path.open("r+b") as raw:
        raw.seek(100)
        raw.write(b"\xff" * 3000)
    before = path.read_bytes()
    with pytest.raises(FileDamaged):
        await open_client(tmp_path, FakeTransport(FakeServer()))
    assert path.read_bytes() == before


@in_virtual_time
async def test_a_folder_that_cannot_be_written_is_said_so(tmp_path):
    with pytest.raises(NotWritten):
        await open_client(tmp_path / "not there", FakeTransport(FakeServer()))


HOLDER = """
import asyncio, sys
from serai.client import SyncClient

class Nowhere:
    async def account(self):
        return "1/ada"

async def main():
    kept = ["stays", "expenses"]
    client = await SyncClient.open(sys.argv[1], transport=Nowhere(), collections=kept)
    client.insert("stays", {"note": "mine"})
    print("open", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


@in_virtual_time
async def test_two_processes_never_push_the_same_queue(tmp_path):
    server = FakeServer()
    path = tmp_path / "device.db"
    with subprocess.Popen(  # noqa: ASYNC220 - the loop has nothing else to do
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        for _ in range(2):
            with pytest.raises(FileInUse):
                await open_client(tmp_path, FakeTransport(server))
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    async with await open_client(tmp_path, FakeTransport(server)) as client:
        await client.sync_once()
        assert [row.data["note"] for row in client.rows("stays")] == ["mine"]
    assert len(server.applied) == 1


@in_virtual_time
async def test_a_second_client_that_is_turned_away_does_not_unlock_the_file(tmp_path):
    async with await open_client(tmp_path, FakeTransport(FakeServer())) as client:
        with pytest.raises(FileInUse):
            await open_client(tmp_path, FakeTransport(FakeServer()))
        reader = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute("
        reader += "'select * from meta')"
        command = [sys.executable, "-c", reader, str(tmp_path / "device.db")]
        other = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: ASYNC221 - see above
        assert "locked" in other.stderr
        client.insert("stays", ROW)


@in_virtual_time
async def test_other_people_of_the_machine_cannot_read_the_rows(tmp_path):
    async with await open_client(tmp_path, FakeTransport(FakeServer())) as client:
        client.insert("stays", ROW)
        modes = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()}
    assert modes == {"device.db": 0o600, "device.db-wal": 0o600}


@in_virtual_time
async def test_a_mistake_in_a_query_of_the_app_is_shown_as_one(tmp_path):
    async with await open_client(tmp_path, FakeTransport(FakeServer())) as client:
        with pytest.raises(sqlite3.OperationalError, match="no such column"):
            client.query("stays", "colour = 1")
        client.insert("stays", ROW, UUID(int=1))
        assert there(client, UUID(int=1)).data == ROW


def test_what_a_transaction_set_before_it_failed_is_not_believed(tmp_path):
    def write_and_fail(file: DeviceFile) -> None:
        with file.transaction():
            file.set_meta("version", "8")
            file.set_meta("epoch", "2")
            file.set_collection(1, "token", Fill.WHOLE)
            file.add_collection("guests", "token")
            assert (file.meta("version"), file.fill_of(1)) == ("8", Fill.WHOLE)
            raise NotWritten

    file = DeviceFile(tmp_path / "device.db")
    with file.transaction():
        file.set_meta("version", "7")
        file.add_collection("stays", None)
    with pytest.raises(NotWritten):
        write_and_fail(file)
    assert (file.meta("version"), file.meta("epoch")) == ("7", None)
    assert file.collections() == [Held(1, "stays", None, Fill.EMPTY)]
    with file.transaction():
        file.set_meta("version", "8")
    file.close()
    again = DeviceFile(tmp_path / "device.db")
    assert again.meta("version") == "8"
    again.close()
