"""Queues of a long time without signal: they cost what is sent, not what waits.

Work is counted in steps of SQLite's machine, which are the same on every computer. Never measures
time.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from uuid import UUID

from serai.client import Pace, SyncClient
from unit.client.fake_server import HOTEL, FakeServer
from unit.client.fake_transport import FakeTransport, in_virtual_time, open_client

ROW = {"property_id": str(HOTEL), "guest": "Ada", "note": "a note"}
STEPS = 100


class Work:
    """Steps of SQLite's machine, in hundreds."""

    def __init__(self) -> None:
        self.done = 0

    def __call__(self) -> int:
        self.done += 1
        return 0


@contextmanager
def counted(client: SyncClient) -> Generator[Work]:
    work = Work()
    client._file._connection.set_progress_handler(work, STEPS)
    try:
        yield work
    finally:
        client._file._connection.set_progress_handler(None, STEPS)


async def work_of(folder, waiting: int) -> tuple[int, int]:
    """Return the work of one local write and of one exchange with so many writes waiting."""
    folder.mkdir()
    server = FakeServer()
    transport = FakeTransport(server)
    async with await open_client(folder, transport, pace=Pace(fill_rows=10)) as client:
        for number in range(1, 51):
            server.write(("expenses", UUID(int=number), ROW))
        await client.sync_once()
        for number in range(waiting):
            client.insert("stays", ROW, UUID(int=number + 1))
        with counted(client) as write:
            client.insert("stays", ROW)
        with counted(client) as exchange:
            client.ask()
            await client._engine._attempt()
        assert client.status.pending == waiting + 1 - 100
    return write.done, exchange.done


async def work_on_one_row(folder, waiting: int) -> int:
    """Return the work of one more write of a row that so many writes wait for."""
    folder.mkdir()
    async with await open_client(folder, FakeTransport(FakeServer())) as client:
        stay = client.insert("stays", ROW)
        for number in range(waiting):
            client.update("stays", stay, {"note": f"{number}"})
        with counted(client) as write:
            client.update("stays", stay, {"note": "last"})
        row = client.get("stays", stay)
        assert row is not None
        assert row.data == {**ROW, "note": "last"}
    return write.done


@in_virtual_time
async def test_a_note_that_saves_itself_every_second_does_not_slow_down(tmp_path):
    few = await work_on_one_row(tmp_path / "few", 10)
    many = await work_on_one_row(tmp_path / "many", 2_000)
    assert many <= few * 1.5 + 2


@in_virtual_time
async def test_an_exchange_costs_the_same_however_many_writes_wait(tmp_path):
    few = await work_of(tmp_path / "few", 200)
    many = await work_of(tmp_path / "many", 4_000)
    assert many[0] <= few[0] * 1.5 + 2
    assert many[1] <= few[1] * 1.5 + 2
