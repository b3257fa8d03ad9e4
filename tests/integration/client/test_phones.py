"""Phones against the server that ships: offline edits, kills, restarts, cut lines, packed answers.

Every scene ends with the comparison that counts: each row on each phone, with its version, equals
PostgreSQL's. Client, HTTP, server and database are the real ones, on real sockets.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from uuid import UUID

import pytest

from integration.client.hotel import (
    HELD,
    PATIENT,
    Counted,
    Hotel,
    Line,
    a_hotel,
    a_phone,
    always,
    guest,
    held,
)
from serai.client import Conditions, FileOfOtherUser, Link, Pace, State, SyncClient, Unreachable


async def in_step(hotel: Hotel, *phones: SyncClient) -> None:
    """Sync all, twice, so that each has what the others sent; then compare with the server."""
    for phone in (*phones, *phones):
        await phone.sync_once()
    rows = hotel.rows()
    assert rows
    for phone in phones:
        assert phone.status.pending == 0
        assert phone.status.filling == ()
        assert held(phone) == rows


async def test_two_phones_that_edit_apart_end_alike(hotel, tmp_path):
    token = await hotel.sign_in()
    ids = await hotel.add_guests(40)
    async with (
        a_phone(tmp_path / "ana.db", hotel.url, token) as ana,
        a_phone(tmp_path / "ben.db", hotel.url, token) as ben,
    ):
        await in_step(hotel, ana, ben)
        ana.network(online=False)
        for n in range(10):
            ana.update("guests", ids[n], {"phone": f"+34 {n}"})
            ben.update("guests", ids[n], {"email": f"{n}@example.com"})
        ana.update("guests", ids[10], {"name": "Ana's"})
        ben.update("guests", ids[10], {"name": "Ben's"})
        ana.update("guests", ids[11], {"name": "of a guest that Ben deletes"})
        ben.delete("guests", ids[11])
        new = ana.insert("guests", guest(hotel, "Walk-in"))
        ana.update("guests", new, {"name": "Walk-in, called Grace"})
        gone = ana.insert("guests", guest(hotel, "A mistake"))
        ana.delete("guests", gone)
        with pytest.raises(Unreachable):
            await ana.sync_once()
        await ben.sync_once()
        ana.network(online=True)
        await in_step(hotel, ana, ben)
        rows = hotel.rows()
        assert all(
            (rows["guests", ids[n]][1]["phone"], rows["guests", ids[n]][1]["email"])
            == (f"+34 {n}", f"{n}@example.com")
            for n in range(10)
        )
        assert rows["guests", new][1]["name"] == "Walk-in, called Grace"
        assert ("guests", gone) not in rows
        # What could not be taken is listed, with the words that were typed.
        refused = {r.row_id: (r.op, dict(r.fields)) for r in ana.refusals()}
        assert refused == {
            ids[10]: ("update", {"name": "Ana's"}),
            ids[11]: ("update", {"name": "of a guest that Ben deletes"}),
        }
        assert ben.refusals() == []
        assert hotel.effects([new, gone]) == {new: 2, gone: 2}


WRITER = """
import asyncio, sys
from uuid import UUID
from serai.client import HttpTransport, Pace, SyncClient

path, url, token, house, prefix, online = sys.argv[1:]

async def access_token(renew):
    return token

async def main():
    transport = HttpTransport(url, access_token)
    kept = ["properties", "guests", "stays"]
    client = await SyncClient.open(path, transport=transport, collections=kept)
    running = asyncio.create_task(client.run()) if online == "online" else None
    for number in range(10_000):
        name = f"{prefix} {number}"
        new = client.insert("guests", {"property_id": house, "name": name})
        client.update("guests", new, {"note": name})
        print(new, flush=True)
        await asyncio.sleep(0)

asyncio.run(main())
"""


async def write_until_killed(
    hotel: Hotel, path: object, url: str, token: str, prefix: str, online: str, rows: int
) -> list[UUID]:
    """Let another process write, kill it, return what it said was written."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        WRITER,
        str(path),
        url,
        token,
        str(hotel.house),
        prefix,
        online,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    said = [await child.stdout.readline() for _ in range(rows)]
    child.send_signal(signal.SIGKILL)
    said += (await child.stdout.read()).split(b"\n")
    assert await child.wait() == -signal.SIGKILL
    lines = (line.strip().decode() for line in said)
    return [UUID(line) for line in lines if len(line) == 36]


async def test_every_entry_of_a_phone_that_is_killed_arrives_exactly_once(hotel, tmp_path):
    token = await hotel.sign_in()
    path = tmp_path / "phone.db"
    said: list[UUID] = []
    for prefix, online, rows in (("a", "offline", 30), ("b", "online", 120), ("c", "online", 60)):
        said += await write_until_killed(hotel, path, hotel.url, token, prefix, online, rows)
    assert len(said) >= 210
    async with a_phone(path, hotel.url, token) as phone:
        before = held(phone)
        assert all(("guests", row_id) in before for row_id in said)
        await in_step(hotel, phone)
        assert phone.refusals() == []
    rows = hotel.rows()
    assert all(rows["guests", row_id][1]["note"] is not None for row_id in said)
    # An insert and an update each, and no more.
    assert hotel.effects(said) == dict.fromkeys(said, 2)
    names = [doc["name"] for (name, _), (_, doc) in rows.items() if name == "guests"]
    assert len(names) == len({*names})


async def test_a_server_that_restarts_costs_a_wait_and_nothing_else(hotel, tmp_path):
    token = await hotel.sign_in()
    ids = await hotel.add_guests(20)
    quick = Pace(foreground_poll=0.2, backoff_first=0.05, backoff_max=0.1)
    async with a_phone(tmp_path / "p.db", hotel.url, token, pace=quick) as phone:
        await phone.sync_once()
        await hotel.stop()
        for row_id in ids:
            phone.update("guests", row_id, {"note": "while it was down"})
        with pytest.raises(Unreachable):
            await phone.sync_once()
        assert phone.status.state is State.WAITING
        assert phone.status.pending == 20
        running = asyncio.create_task(phone.run())
        changed = asyncio.Event()
        phone.listen(lambda _: changed.set())
        await hotel.start()
        while any(row.pending for row in phone.rows("guests")):
            await changed.wait()
            changed.clear()
        phone.close()
        await running
    async with a_phone(tmp_path / "p.db", hotel.url, token) as phone:
        await in_step(hotel, phone)
    assert hotel.effects(ids) == dict.fromkeys(ids, 2)


@pytest.mark.parametrize("link", [Link.GOOD, Link.SLOW])
async def test_a_fill_over_a_line_that_keeps_breaking_goes_on_where_it_was(hotel, tmp_path, link):
    token = await hotel.sign_in()
    await hotel.add_guests(600)
    async with (
        Line(hotel.settings.port).open() as line,
        a_phone(tmp_path / "p.db", line.url, token, pace=Pace(fill_rows=100)) as phone,
    ):
        phone.notice(Conditions(link=link))
        counts = [0]
        # In heads, in bodies and between, in the first page and in later ones.
        for cut in (1, 400, 1_500, 20_000, 3_100, 40_000, 9_000):
            line.cut_after = cut
            with pytest.raises(Unreachable):
                await phone.sync_once()
            counts.append(phone.count("guests"))
            await hotel.add_guests(1)
        assert line.breaks == 7
        # What was there stayed, and each page that came whole was kept.
        assert counts == sorted(counts)
        assert 0 < counts[-1] < len(hotel.rows()) - 1
        await in_step(hotel, phone)


async def test_a_line_that_breaks_in_every_large_page_still_ends_equal(hotel, tmp_path):
    token = await hotel.sign_in()
    await hotel.add_guests(400)
    quick = Pace(fill_rows=400, backoff_first=0.01, backoff_max=0.02)
    async with (
        Line(hotel.settings.port).open() as line,
        a_phone(tmp_path / "p.db", line.url, token, pace=quick) as phone,
    ):
        line.bound = 12_000
        for _ in range(100):
            try:
                await phone.sync_once()
            except Unreachable:
                continue
            break
        assert line.breaks >= 3
        assert phone.status.filling == ()
        line.bound = line.cut_after = None
        await in_step(hotel, phone)


async def test_a_push_whose_answer_breaks_off_has_one_effect(hotel, tmp_path):
    token = await hotel.sign_in()
    ids = await hotel.add_guests(60)
    async with (
        Line(hotel.settings.port).open() as line,
        a_phone(tmp_path / "p.db", line.url, token) as phone,
    ):
        await phone.sync_once()
        for row_id in ids:
            phone.update("guests", row_id, {"note": "paid"})
        for cut in (1, 300, 1_200):
            line.cut_after = cut
            with pytest.raises(Unreachable):
                await phone.sync_once()
            assert phone.status.pending == 60
        await in_step(hotel, phone)
        assert phone.refusals() == []
    assert hotel.effects(ids) == dict.fromkeys(ids, 2)


async def test_pages_come_packed_and_an_empty_answer_costs_no_body(hotel, tmp_path):
    token = await hotel.sign_in()
    await hotel.add_guests(500)
    async with Line(hotel.settings.port).open() as line:
        transport = Counted(line.url, always(token))
        async with await SyncClient.open(
            tmp_path / "p.db", transport=transport, collections=HELD, pace=PATIENT
        ) as phone:
            await in_step(hotel, phone)
            assert any(b"content-encoding: zstd" in head for head in line.heads)
            assert line.down < transport.plain_bytes * 0.8
            plain, down = transport.plain_bytes, line.down
            await phone.sync_once()
            assert line.heads[-1].startswith(b"http/1.1 304")
            assert (transport.plain_bytes, line.down - down < 1_000) == (plain, True)
        await transport.close()


async def test_another_user_cannot_open_the_file_of_the_first(hotel, fleet, tmp_path):
    token = await hotel.sign_in()
    directory, shard = fleet
    async with a_hotel(directory, shard, "neighbour") as neighbour:
        theirs = await neighbour.sign_in()
        async with a_phone(tmp_path / "p.db", hotel.url, token) as phone:
            await phone.sync_once()
            phone.insert("guests", guest(hotel, "Secret"))
        with pytest.raises(FileOfOtherUser):
            async with a_phone(tmp_path / "p.db", neighbour.url, theirs):
                pass
        assert "Secret" not in json.dumps([doc for _, doc in neighbour.rows().values()])
    async with a_phone(tmp_path / "p.db", hotel.url, token) as phone:
        await in_step(hotel, phone)


async def test_a_restore_from_a_backup_loses_no_entry_that_waits(hotel, tmp_path):
    token = await hotel.sign_in()
    ids = await hotel.add_guests(30)
    async with a_phone(tmp_path / "p.db", hotel.url, token) as phone:
        await phone.sync_once()
        for row_id in ids[:10]:
            phone.update("guests", row_id, {"note": "waiting"})
        new = phone.insert("guests", guest(hotel, "Waiting"))
        phone.update("guests", new, {"note": "and changed"})
        await hotel.stop()
        # Rows as they were, numbers that mean nothing any more.
        sql = "update serai.org set epoch = epoch + 1, version = version + 500 where org_id = %s"
        hotel.sql(sql + " returning 1", hotel.org_id)
        await hotel.start()
        await in_step(hotel, phone)
        assert phone.refusals() == []
        rows = hotel.rows()
        assert {rows["guests", i][1]["note"] for i in ids[:10]} == {"waiting"}
        assert rows["guests", new][1]["note"] == "and changed"
        assert phone.status.epoch == 2
