"""A device's file that was restored from an older copy, against the server that ships.

Owns the promise that such a file loses no write silently: what was sent since is not doubled, what
is new is taken under new numbers, also when the server has dropped the replies meanwhile. Never
waits for days: replies are made older by hand and folded as the upkeep does.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import UUID

import psycopg

from integration.client.hotel import Hotel, a_phone, guest
from serai.app.partitions import REPLY_DAYS_KEPT, fold_replies
from serai.client import SyncClient


async def a_month_passes(hotel: Hotel) -> None:
    """Let the replies so far be dropped."""
    with psycopg.connect(hotel.shard_url) as connection:
        connection.execute(
            "update serai.reply set created_on = created_on - 30 where org_id = %s", [hotel.org_id]
        )
    await fold_replies((await hotel.runtime.shard_for(hotel.org_id)).pool)
    assert REPLY_DAYS_KEPT < 30
    assert hotel.sql("select from serai.reply where org_id = %s", hotel.org_id) == []


def arrivals(hotel: Hotel, phone: SyncClient, *names: str) -> list[UUID]:
    """Write down guests."""
    return [phone.insert("guests", guest(hotel, name)) for name in names]


async def test_a_file_restored_from_an_old_copy_loses_none_of_its_new_writes(
    hotel: Hotel, tmp_path: Path
):
    token = await hotel.sign_in()
    path, backup = tmp_path / "phone.db", tmp_path / "backup.db"
    async with a_phone(path, hotel.url, token) as phone:
        (early,) = arrivals(hotel, phone, "Early")
        await phone.sync_once()
        phone.network(online=False)
        waiting = arrivals(hotel, phone, "Waits 1", "Waits 2")
    shutil.copy(path, backup)
    async with a_phone(path, hotel.url, token) as phone:
        later = arrivals(hotel, phone, "Later 1", "Later 2", "Later 3")
        phone.update("guests", early, {"email": "later@example.com"})
        await phone.sync_once()
    await a_month_passes(hotel)

    async with a_phone(backup, hotel.url, token) as phone:
        phone.network(online=False)
        # As many as the numbers that the lost file had used, and two more.
        new = arrivals(hotel, phone, *(f"New {n}" for n in range(5)))
        phone.update("guests", early, {"phone": "+34 600"})
        phone.network(online=True)
        while phone.status.pending:
            await phone.sync_once()
        assert phone.refusals() == []
        rows = hotel.rows()
        names = {
            row["name"] for (collection, _), (_, row) in rows.items() if collection == "guests"
        }
        assert names == {
            "Early",
            *("Waits 1", "Waits 2"),
            *("Later 1", "Later 2", "Later 3"),
            *(f"New {n}" for n in range(5)),
        }
        assert hotel.effects([*waiting, *later, *new]) == dict.fromkeys([*waiting, *later, *new], 1)
        _, row = rows["guests", early]
        assert (row["phone"], row["email"]) == ("+34 600", "later@example.com")
        assert {each.id for each in phone.rows("guests")} == {early, *waiting, *later, *new}
