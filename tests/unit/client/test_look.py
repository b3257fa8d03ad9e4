"""A device's file read by somebody else: what it says, and that nothing of it is changed.

Owns the promises of `serai.client.look`: files of all kinds of people, open or closed, damaged or
made to hurt. The client is the real one; the server keeps the contract in memory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from serai.client import FileDamaged, FileOfOtherFormat, SyncClient, Unreachable
from serai.client.look import QUEUE_SHOWN_MAX, look_at
from serai.client.snapshot import BYTES_MAX, FileTooLarge
from serai.core.errors import Code, SeraiError
from unit.client.fake_server import HOTEL, FakeServer
from unit.client.fake_transport import FakeTransport, in_virtual_time, open_client

NOW = datetime.now(UTC)
ROW = {"property_id": str(HOTEL), "guest": "Ada Lovelace", "note": "a private matter"}


def state_of(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Return content, size and time of change of each file in a folder."""
    return {
        each.name: (
            hashlib.sha256(each.read_bytes()).hexdigest(),
            each.stat().st_size,
            each.stat().st_mtime_ns,
        )
        for each in folder.iterdir()
    }


async def a_file(folder: Path) -> tuple[SyncClient, FakeTransport]:
    transport = FakeTransport(FakeServer())
    return await open_client(folder, transport), transport


@in_virtual_time
async def test_a_new_file_says_that_it_has_never_synced(tmp_path):
    client, _ = await a_file(tmp_path)
    client.close()
    look = look_at(tmp_path / "device.db", NOW)
    assert look.token is None
    assert (look.report.state, look.report.last_sync, look.report.waiting) == ("new", None, 0)
    assert look.report.account == "1/ada"
    assert {part.fill for part in look.report.collections} == {"empty"}
    assert look.report.next_number == 1


@in_virtual_time
async def test_a_file_tells_what_waits_by_number_and_age_and_never_by_value(tmp_path):
    client, _ = await a_file(tmp_path)
    await client.sync_once()
    first = client.insert("stays", ROW)
    client.update("stays", first, {"note": "changed"})
    client.close()
    later = datetime.now(UTC) + timedelta(hours=3)
    report = look_at(tmp_path / "device.db", later).report
    assert report.state == "in step"
    assert (report.waiting, report.held_back) == (2, False)
    assert [(w.number, w.collection, w.op, w.sent) for w in report.queue] == [
        (1, "stays", "insert", False),
        (2, "stays", "update", False),
    ]
    assert sorted(report.queue[0].fields) == ["guest", "note", "property_id"]
    assert all(abs(w.age_seconds - 3 * 3600) < 600 for w in report.queue)
    text = msgspec.json.encode(report).decode()
    assert "Lovelace" not in text
    assert "private" not in text


@in_virtual_time
async def test_a_file_that_its_client_has_open_is_read_as_of_now_and_stays_as_it_is(tmp_path):
    client, _ = await a_file(tmp_path)
    await client.sync_once()
    client.insert("stays", ROW)
    before = state_of(tmp_path)
    assert "device.db-wal" in before, "the write is in SQLite's log alone"
    report = look_at(tmp_path / "device.db", NOW).report
    assert report.waiting == 1
    assert state_of(tmp_path) == before
    client.insert("stays", ROW)
    await client.sync_once()
    assert client.status.pending == 0
    client.close()


@in_virtual_time
async def test_a_file_on_a_disk_that_takes_no_write_is_read(tmp_path):
    client, _ = await a_file(tmp_path)
    await client.sync_once()
    client.close()
    path = tmp_path / "device.db"
    path.chmod(0o400)
    tmp_path.chmod(0o500)
    before = state_of(tmp_path)
    try:
        assert look_at(path, NOW).report.state == "in step"
        assert state_of(tmp_path) == before
    finally:
        tmp_path.chmod(0o700)


@in_virtual_time
async def test_an_attempt_that_failed_is_told_with_the_time_of_the_next(tmp_path):
    client, transport = await a_file(tmp_path)
    await client.sync_once()
    transport.down = True
    client.insert("stays", ROW)
    with pytest.raises(Unreachable):
        await client.sync_once()
    found = look_at(tmp_path / "device.db", NOW).report
    assert found.trouble is not None
    assert (found.state, found.trouble.code, found.trouble.failures) == ("waiting", None, 1)
    assert found.trouble.message == "The request was lost."
    assert found.trouble.next_at is not None
    assert found.trouble.next_at >= found.trouble.at
    assert found.queue[0].sent, "it left the device, and no answer came"
    transport.down = False
    await client.sync_once()
    again = look_at(tmp_path / "device.db", NOW).report
    assert (again.state, again.trouble, again.waiting) == ("in step", None, 0)
    client.close()


@in_virtual_time
async def test_a_halt_waits_for_a_person_and_says_why(tmp_path):
    client, transport = await a_file(tmp_path)
    transport.faults.append(SeraiError(Code.REFRESH_REUSED))
    with pytest.raises(SeraiError):
        await client.sync_once()
    client.close()
    found = look_at(tmp_path / "device.db", NOW).report
    assert found.trouble is not None
    assert (found.state, found.trouble.code, found.trouble.next_at) == (
        "halted",
        "refresh_reused",
        None,
    )


@in_virtual_time
async def test_writes_that_must_wait_for_a_refetch_are_told_as_held_back(tmp_path):
    client, transport = await a_file(tmp_path)
    await client.sync_once()
    client.insert("stays", ROW)
    transport.faults.extend((SeraiError(Code.MUST_REFETCH), "lose_request"))
    with pytest.raises(Unreachable):
        await client.sync_once()
    client.close()
    found = look_at(tmp_path / "device.db", NOW)
    assert found.token is None
    assert (found.report.waiting, found.report.held_back) == (1, True)
    assert "stale" in {part.fill for part in found.report.collections}


@in_virtual_time
async def test_a_refused_write_is_listed_with_its_reason(tmp_path):
    client, transport = await a_file(tmp_path)
    await client.sync_once()
    row = client.insert("stays", {**ROW, "amount_minor": -1})
    await client.sync_once()
    client.close()
    [listed] = look_at(tmp_path / "device.db", NOW).report.refusals
    assert (listed.outcome, listed.code, listed.row_id) == (
        "rejected",
        "negative_amount",
        str(row),
    )
    assert transport.server.rows == {}


@in_virtual_time
async def test_of_a_long_queue_the_first_are_shown_and_all_are_counted(tmp_path):
    client, _ = await a_file(tmp_path)
    await client.sync_once()
    for _ in range(QUEUE_SHOWN_MAX + 7):
        client.insert("stays", ROW)
    client.close()
    report = look_at(tmp_path / "device.db", NOW).report
    assert report.waiting == QUEUE_SHOWN_MAX + 7
    assert [w.number for w in report.queue] == [*range(1, QUEUE_SHOWN_MAX + 1)]


# What is no client's file


def refused(path: Path, *kinds: type[Exception]) -> str:
    before = state_of(path.parent)
    with pytest.raises(kinds) as caught:
        look_at(path, NOW)
    assert state_of(path.parent) == before
    return str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"S", b"hello\n" * 1000, b"SQLite format 2\0" + b"\0" * 500], ids=repr
)
def test_any_other_file_is_told_as_such(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(content)
    assert "not a file of this client" in refused(path, FileOfOtherFormat)


def test_a_file_that_begins_like_one_and_is_garbage_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"SQLite format 3\0" + os.urandom(5000))
    assert "damaged" in refused(path, FileDamaged)


def test_a_folder_is_no_file_and_nothing_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileOfOtherFormat, match="is not a file"):
        look_at(tmp_path, NOW)
    with pytest.raises(FileNotFoundError):
        look_at(tmp_path / "none.db", NOW)


def test_a_pipe_that_nobody_writes_to_does_not_hold_the_doctor_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileOfOtherFormat, match="is not a file"):
        look_at(tmp_path / "pipe", NOW)


def database(path: Path, *statements: str) -> Path:
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    return path


def test_a_database_of_something_else_is_told_as_such(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", "create table recipes (name text)")
    assert "something else" in refused(path, FileOfOtherFormat)


ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"


def test_views_in_the_place_of_tables_are_not_asked(tmp_path: Path) -> None:
    names = ("meta", "collection", "row", "mutation", "refusal")
    views = [f"create view {name} as {ENDLESS}" for name in names]
    assert "something else" in refused(database(tmp_path / "a.db", *views), FileOfOtherFormat)


@in_virtual_time
async def test_a_file_that_was_written_by_hand_is_damaged_and_no_crash(tmp_path):
    client, _ = await a_file(tmp_path)
    await client.sync_once()
    client.insert("stays", ROW)
    client.close()
    whole = tmp_path / "device.db"
    wrongs = {
        "format": "update meta set value = '2' where key = 'format'",
        "device": "update meta set value = 'mine' where key = 'device'",
        "epoch": "update meta set value = 'one' where key = 'epoch'",
        "trouble": "insert or replace into meta (key, value) values ('trouble', '[]')",
        "fill": "update collection set fill = 'half'",
        "fields": "update mutation set fields = '{'",
        "at": "update mutation set at = 'yesterday'",
        "at without zone": "update mutation set at = '2026-01-01T00:00:00'",
    }
    for name, statement in wrongs.items():
        folder = tmp_path / name
        folder.mkdir()
        copy = Path(shutil.copyfile(whole, folder / "a.db"))
        database(copy, statement)
        said = refused(copy, FileDamaged, FileOfOtherFormat)
        assert str(copy) in said, name


@in_virtual_time
async def test_a_file_cut_at_any_page_is_refused_or_read_and_never_a_crash(tmp_path):
    client, _ = await a_file(tmp_path)
    await client.sync_once()
    for _ in range(30):
        client.insert("stays", ROW)
    client.close()
    whole = (tmp_path / "device.db").read_bytes()
    path = tmp_path / "cut.db"
    outcomes: set[str] = set()
    for end in range(512, len(whole), 4096):
        path.write_bytes(whole[:end])
        try:
            outcomes.add(look_at(path, NOW).report.state)
        except (FileDamaged, FileOfOtherFormat) as error:
            outcomes.add(type(error).__name__)
    assert "FileDamaged" in outcomes


# What is left behind, and what it costs

KILLED_IN_THE_MIDDLE = """
import os, signal, sys
from pathlib import Path
from serai.client.look import look_at

class Now:
    def __sub__(self, made_at):
        os.kill(os.getpid(), signal.SIGKILL)

look_at(Path(sys.argv[1]), Now())
"""


def status_when_killed(path: Path, scratch: Path) -> int:
    return subprocess.run(
        [sys.executable, "-c", KILLED_IN_THE_MIDDLE, str(path)],
        env={**os.environ, "TMPDIR": str(scratch)},
        check=False,
    ).returncode


@in_virtual_time
async def test_a_doctor_that_is_killed_leaves_no_copy_of_a_customers_rows(tmp_path):
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    client, _ = await a_file(home)
    await client.sync_once()
    client.insert("stays", ROW)
    before = state_of(home)
    status = status_when_killed(home / "device.db", scratch)
    assert status == -signal.SIGKILL, "it was reading what waits"
    assert [*scratch.iterdir()] == []
    assert state_of(home) == before
    client.close()


@pytest.mark.parametrize("large", ["a.db", "a.db-wal"])
def test_a_file_that_is_larger_than_the_bound_is_refused_unread(large: str, tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", "create table recipes (name text)")
    with (tmp_path / large).open("ab") as file:
        file.truncate(BYTES_MAX + 1)
    with pytest.raises(FileTooLarge, match="at most 512 are read: close the app"):
        look_at(path, NOW)


def test_a_log_that_is_a_pipe_does_not_hold_the_doctor_up(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", "create table recipes (name text)")
    os.mkfifo(tmp_path / "a.db-wal")
    with pytest.raises(FileOfOtherFormat, match="is not a file"):
        look_at(path, NOW)
