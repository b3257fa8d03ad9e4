"""What an app sees: reads, writes, listening, and files that cannot be opened.

No scene here needs a server; the transport is one that never answers.
"""

from __future__ import annotations

import asyncio
import sqlite3
from uuid import UUID

import pytest

from serai.client import FileInUse, FileOfOtherFormat, NoSuchRow, SyncClient
from unit.client.fake_server import HOSTEL, HOTEL, FakeServer
from unit.client.fake_transport import FakeTransport, in_virtual_time, open_client, there

ROW = {"property_id": str(HOTEL), "guest": "Ada", "nights": 3, "paid": False, "note": None}


def offline(folder, **more):
    transport = FakeTransport(FakeServer())
    transport.down = True
    return open_client(folder, transport, **more)


@in_virtual_time
async def test_what_is_written_without_network_can_be_read_at_once(tmp_path):
    async with await offline(tmp_path) as client:
        stay = client.insert("stays", ROW)
        client.update("stays", stay, {"guest": "Grace", "paid": True})
        row = there(client, stay)
        assert row.data == {**ROW, "guest": "Grace", "paid": True}
        assert row.pending
        assert row.version == 0
        assert client.status.pending == 2
        client.delete("stays", stay)
        assert client.get("stays", stay) is None
        assert client.rows("stays") == []


@in_virtual_time
async def test_everything_is_there_after_a_restart(tmp_path):
    async with await offline(tmp_path) as client:
        stay = client.insert("stays", ROW)
        device = client.status.device
    async with await offline(tmp_path) as client:
        assert there(client, stay).data == ROW
        assert client.status.device == device
        assert client.status.pending == 1


@in_virtual_time
async def test_rows_come_by_property_by_condition_and_by_function(tmp_path):
    async with await offline(tmp_path) as client:
        one = client.insert("stays", {**ROW, "nights": 1}, UUID(int=1))
        two = client.insert("stays", {**ROW, "nights": 2}, UUID(int=2))
        away = client.insert("stays", {**ROW, "property_id": str(HOSTEL)}, UUID(int=3))
        client.insert("expenses", ROW, UUID(int=4))
        assert [r.id for r in client.rows("stays")] == [one, two, away]
        assert [r.id for r in client.rows("stays", HOTEL)] == [one, two]
        long = client.query("stays", "data ->> 'nights' >= ?", [2])
        assert [r.id for r in long] == [two, away]
        assert [r.id for r in client.query("stays", limit=1)] == [one]
        assert [r.id for r in client.find("stays", lambda r: r.data["nights"] == 3)] == [away]
        assert client.count("stays") == 3
        assert client.count("stays", "data ->> 'paid' = ?", [True]) == 0
        assert client.count("stays", "data ->> 'paid' = ? or version > 0", [False]) == 3


@in_virtual_time
async def test_a_value_of_a_person_cannot_become_a_condition(tmp_path):
    async with await offline(tmp_path) as client:
        client.insert("stays", ROW)
        assert client.query("stays", "data ->> 'guest' = ?", ["x' or 1=1 --"]) == []


@in_virtual_time
async def test_a_row_that_is_not_there_cannot_be_changed(tmp_path):
    async with await offline(tmp_path) as client:
        with pytest.raises(NoSuchRow):
            client.update("stays", UUID(int=9), {"guest": "x"})
        with pytest.raises(NoSuchRow):
            client.delete("stays", UUID(int=9))
        stay = client.insert("stays", ROW)
        with pytest.raises(ValueError, match="exists"):
            client.insert("stays", ROW, stay)
        with pytest.raises(ValueError, match="does not keep"):
            client.insert("staff_pay", ROW)
        assert client.status.pending == 1


@pytest.mark.parametrize("value", [1.5, float("nan"), [1], {"a": 1}, b"x"])
@in_virtual_time
async def test_a_float_is_refused_before_it_is_queued(tmp_path, value):
    async with await offline(tmp_path) as client:
        with pytest.raises(ValueError, match="not a field's value"):
            client.insert("stays", {**ROW, "amount": value})
        assert client.status.pending == 0


@pytest.mark.parametrize("value", [2**53, -(2**53), 2**80])
@in_virtual_time
async def test_a_number_that_some_reader_would_round_is_refused_before_it_is_queued(
    tmp_path, value
):
    async with await offline(tmp_path) as client:
        with pytest.raises(ValueError, match="keeps exact"):
            client.insert("stays", {**ROW, "amount_minor": value})
        stay = client.insert("stays", {**ROW, "amount_minor": 2**53 - 1, "paid": True})
        assert there(client, stay).data["amount_minor"] == 2**53 - 1


@in_virtual_time
async def test_a_row_too_large_for_the_server_is_refused_before_it_is_queued(tmp_path):
    async with await offline(tmp_path) as client:
        with pytest.raises(ValueError, match="65536 bytes"):
            client.insert("stays", {**ROW, "note": "x" * 70_000})
        assert client.status.pending == 0


@in_virtual_time
async def test_a_listener_hears_of_each_change_after_it_is_durable(tmp_path):
    server = FakeServer()
    server.write(("stays", UUID(int=1), ROW))
    async with await open_client(tmp_path, FakeTransport(server)) as client:
        heard = []
        end = client.listen(lambda changes: heard.append((changes, client.count("stays"))))
        await client.sync_once()
        await asyncio.sleep(0)
        assert heard[0] == ({"stays": None, "expenses": None}, 1)
        stay = client.insert("stays", ROW, UUID(int=2))
        assert len(heard) == 1
        await asyncio.sleep(0)
        assert heard[1] == ({"stays": frozenset([stay])}, 2)
        end()
        client.delete("stays", stay)
        await asyncio.sleep(0)
        assert len(heard) == 2


@in_virtual_time
async def test_a_listener_that_fails_does_not_stop_the_client(tmp_path):
    failures = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    async with await offline(tmp_path) as client:
        client.listen(lambda _: 1 / 0)
        stay = client.insert("stays", ROW)
        await asyncio.sleep(0)
        assert client.get("stays", stay) is not None
        assert isinstance(failures[0]["exception"], ZeroDivisionError)


@in_virtual_time
async def test_retrying_needs_a_row_to_change(tmp_path):
    server = FakeServer()
    server.write(("stays", UUID(int=1), ROW))
    async with await open_client(tmp_path, FakeTransport(server)) as client:
        await client.sync_once()
        client.update("stays", UUID(int=1), {"amount_minor": -1})
        client.insert("stays", {"amount_minor": -1}, UUID(int=2))
        await client.sync_once()
        update, insert = client.refusals()
        server.write(("stays", UUID(int=1), None))
        server.write(("stays", UUID(int=2), ROW))
        await client.sync_once()
        with pytest.raises(NoSuchRow):
            client.retry(update.id)
        with pytest.raises(ValueError, match="exists"):
            client.retry(insert.id)
        with pytest.raises(KeyError):
            client.retry(999)
        assert len(client.refusals()) == 2


@in_virtual_time
async def test_a_file_is_used_by_one_client_at_a_time(tmp_path):
    async with await offline(tmp_path):
        with pytest.raises(FileInUse):
            await offline(tmp_path)
    async with await offline(tmp_path) as client:
        assert client.status.pending == 0


@in_virtual_time
async def test_a_file_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "device.db"
    path.write_bytes(b"This is my diary. " * 300)
    with pytest.raises(FileOfOtherFormat):
        await offline(tmp_path)
    assert path.read_bytes() == b"This is my diary. " * 300
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("create table photos (name text)")
    other.close()
    with pytest.raises(FileOfOtherFormat):
        await offline(tmp_path)


@in_virtual_time
async def test_a_file_of_another_version_is_refused(tmp_path):
    async with await offline(tmp_path) as client:
        client._file.set_meta("format", "2")
    with pytest.raises(FileOfOtherFormat, match="format 2"):
        await offline(tmp_path)


@in_virtual_time
async def test_a_client_keeps_at_least_one_collection(tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        await offline(tmp_path, collections=[])
    async with await offline(tmp_path) as client:
        assert client.status.filling == ("stays", "expenses")


@in_virtual_time
async def test_the_app_may_choose_the_device_id_of_a_new_file(tmp_path):
    async with await offline(tmp_path, device=UUID(int=5)) as client:
        assert client.status.device == UUID(int=5)
    async with await offline(tmp_path, device=UUID(int=6)) as client:
        assert client.status.device == UUID(int=5)


@in_virtual_time
async def test_lists_by_property_use_an_index(tmp_path):
    async with await offline(tmp_path) as client:
        assert isinstance(client, SyncClient)
        sql = "explain query plan select id from shown where collection = ? and scope = ?"
        plan = " ".join(str(row[-1]) for row in client._file.select(sql, (1, "x")))
        assert "row_scope" in plan
        assert "SCAN" not in plan
