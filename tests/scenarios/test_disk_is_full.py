"""The disk of a shard fills while desks and phones write; later there is room again.

Owns what a full disk may cost: a wait. PostgreSQL that can write its log but no further page stays
up and says so (53100); one whose log has no room ends itself, and is started again when there is.
Never decides what is right but by the ledger of the load.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import psycopg
import pytest

from integration.app.programs import Shell
from integration.client.hotel import a_phone
from scenarios.disk import Disk, small_disk
from scenarios.house import SECONDS, House, a_house
from scenarios.load import BY_DEVICE, under_load
from serai.client import SyncClient
from serai.core.errors import Code, SeraiError
from serai.embedded.ports import free_port
from serai.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresSettings

BETWEEN = 60
MEBIBYTES = 160


@asynccontextmanager
async def on_a_small_disk(
    folder: Path, *, log_elsewhere: bool
) -> AsyncGenerator[tuple[House, Disk]]:
    """A house whose shard is on a disk of its own; `log_elsewhere`: pg_wal is on another one."""
    os.chmod(folder, 0o755)  # noqa: PTH101, S103 - as in conftest
    wal = {"max_wal_size": "64MB", "min_wal_size": "32MB"}
    async with AsyncExitStack() as stack:
        disk = stack.enter_context(small_disk(folder / "disk", MEBIBYTES))
        home = disk.path / "pg"
        postgres = EmbeddedPostgres(EmbeddedPostgresSettings(home, free_port(), settings=wal))
        await postgres.start()
        if log_elsewhere:
            await postgres.stop()
            stack.enter_context(small_disk(home / "data" / "pg_wal", MEBIBYTES))
            await postgres.start()
        stack.push_async_callback(postgres.stop)
        more = {"SERAI_METRICS_PORT": str(free_port())}
        yield await stack.enter_async_context(a_house(folder, shard_on=postgres, **more)), disk


async def test_a_full_disk_costs_writers_a_wait_and_readers_nothing(tmp_path: Path):
    async with (
        on_a_small_disk(tmp_path, log_elsewhere=True) as (house, disk),
        a_phone(tmp_path / "phone.db", house.server.url, house.token) as phone,
    ):
        async with under_load(house) as load:
            await load.reached(BETWEEN)
            disk.fill()
            await load.told("disk_full", 20)
            assert set(load.codes) == {"disk_full"}, "a full disk was taken for something else"
            await reads_go_on(house, phone)
            mine = {"property_id": str(house.place), "name": f"{BY_DEVICE} 1"}
            phone.insert("guests", mine)
            with pytest.raises(SeraiError) as later:
                await phone.sync_once()
            assert later.value.code is Code.DISK_FULL
            assert (phone.status.pending, phone.refusals()) == (1, []), "a wait, no refusal"
            await asyncio.to_thread(full_is_told, house, tmp_path)
            disk.clear()
            await load.reached(BETWEEN)
            await phone.sync_once()
        await phone.sync_once()
        assert phone.status.pending == 0
        shown = sorted(str(row.data["name"]) for row in phone.rows("guests"))
        assert shown == sorted([mine["name"], *load.acknowledged])
        await house.server.said("the disk of shard shard-1 has room again")
        said = [line for line in house.server.words if "the disk of shard" in line]
        assert len(said) == 2, "one line when it fills, one when there is room"


async def reads_go_on(house: House, phone: SyncClient) -> None:
    """A device without anything to send, and a browser."""
    await phone.sync_once()
    assert phone.status.filling == ()
    headers = {"Authorization": f"Bearer {house.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{house.server.url}/v1/guests?limit=1") as answer,
    ):
        assert answer.status == 200, await answer.text()


def full_is_told(house: House, home: Path) -> None:
    """Whoever looks is told what it is, and what to do."""
    port, until = house.server.more["SERAI_METRICS_PORT"], time.monotonic() + SECONDS
    shown = ""
    # Numbers are looked up once a second.
    while 'serai_shard_disk_full{shard="shard-1"} 1' not in shown:
        assert time.monotonic() < until, shown
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            shown = answer.read().decode()
    assert any("the disk of shard shard-1 is full" in line for line in house.server.words)
    shell = Shell(home, {"SERAI_DIRECTORY_URL": house.server.directory_url})
    for words in (("doctor",), ("shard", "check")):
        done = shell.run(*words, "--json")
        told = [each for each in done.json["findings"] if each["state"] == "failed"]
        assert [(each["place"], each["check"]) for each in told] == [("shard-1", "disk")]
        assert "disk is full" in told[0]["means"]
        assert "never delete in pg_wal" in told[0]["remedy"]
        assert done.status == 1


async def test_a_database_whose_log_has_no_room_ends_itself_and_has_everything_afterwards(
    tmp_path: Path,
):
    async with (
        on_a_small_disk(tmp_path, log_elsewhere=False) as (house, disk),
        under_load(house) as load,
    ):
        await load.reached(BETWEEN)
        disk.fill()
        # What is left of the log's last file would take a minute of refused writes to fill.
        with contextlib.suppress(psycopg.OperationalError):
            await asyncio.to_thread(house.sql, "select pg_switch_wal()")
        await house.postgres.wait()
        assert "No space left on device" in house.postgres.log_path.read_text()
        await load.told("unavailable", 20)
        assert set(load.codes) <= {"unavailable", "disk_full"}
        disk.clear()
        await house.postgres.stop()
        await house.postgres.start()
        await load.reached(BETWEEN)
