"""Phones of an organisation that is restored while they are away: every one ends like the server.

Owns the comparison of whole files after a restore, with writes that waited meanwhile, and with
sealed blocks and folded versions. Client, HTTP, server and database are the real ones.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from integration.client.hotel import Hotel, Rows, a_phone, guest, held
from serai.app.keeping import keep_round
from serai.app.restoring import RestoreOrder, restore_organisation
from serai.client import SyncClient
from serai.log.keeper import Keeper
from serai.log.life import Policy
from serai.log.life_postgres import PostgresLifeStore


async def restored(hotel: Hotel, at: int) -> None:
    order = RestoreOrder(str(hotel.org_id), at, "a test")
    outcome = await restore_organisation(hotel.settings, order)
    assert outcome.told.changes > 0


def values(rows: Rows) -> dict[tuple[str, UUID], dict[str, Any]]:
    """Return the rows without their versions, which a restore raises."""
    return {key: row for key, (_, row) in rows.items()}


def version(hotel: Hotel) -> int:
    ((found,),) = hotel.sql("select version from serai.org where org_id = %s", hotel.org_id)
    return found


async def in_step(hotel: Hotel, *phones: SyncClient) -> None:
    """Sync until nothing waits; then compare with the server."""
    for _ in range(3):
        for phone in phones:
            await phone.sync_once()
    for phone in phones:
        assert phone.status.pending == 0
        assert held(phone) == hotel.rows()


async def seal(hotel: Hotel) -> None:
    """Let the keeper seal what there is, and fold what would be a day old."""
    shard = await hotel.runtime.shard_for(hotel.org_id)
    store = PostgresLifeStore(shard.pool)
    keeper = Keeper(store, Policy(horizon=timedelta(days=30), segment_rows=100))
    while not await keep_round(keeper, store, hotel.runtime, seconds=60):
        pass


async def test_phones_that_were_away_end_like_the_server(hotel: Hotel, tmp_path: Path) -> None:
    token = await hotel.sign_in()
    ids = await hotel.add_guests(30)
    async with (
        a_phone(tmp_path / "early.db", hotel.url, token) as early,
        a_phone(tmp_path / "late.db", hotel.url, token) as late,
    ):
        await in_step(hotel, early, late)
        at = version(hotel)
        was = hotel.rows()
        early.network(online=False)
        # What is to be undone: a sweep of deletes, changes, arrivals.
        for row_id in ids[:10]:
            late.delete("guests", row_id)
        for row_id in ids[10:20]:
            late.update("guests", row_id, {"name": "wrong", "phone": "1"})
        added = late.insert("guests", guest(hotel, "Added"))
        await in_step(hotel, late)
        # What waits: on a row that comes back, one that changes back, one that goes, and a new one.
        late.network(online=False)
        late.update("guests", ids[12], {"email": "late@example.com"})
        late.update("guests", added, {"phone": "2"})
        new = late.insert("guests", guest(hotel, "Waits"))
        early.update("guests", ids[3], {"email": "early@example.com"})
        await restored(hotel, at)
        assert values(hotel.rows()) == values(was)
        early.network(online=True)
        late.network(online=True)
        await in_step(hotel, early, late)
        rows = {row_id: row for (_, row_id), (_, row) in hotel.rows().items()}
        assert rows[new]["name"] == "Waits"
        assert rows[ids[12]]["email"] == "late@example.com"
        assert rows[ids[12]]["name"] != "wrong"
        assert added not in rows
        # Nobody's write is lost in silence.
        assert [(each.collection, each.row_id) for each in late.refusals()] == [("guests", added)]
        assert [(each.collection, each.row_id) for each in early.refusals()] == [("guests", ids[3])]
        early.update("guests", ids[3], {"email": "early@example.com"})
        await in_step(hotel, early, late)
        assert early.refusals()[1:] == []


async def test_blocks_that_were_sealed_before_it_bring_a_new_phone_what_is_now(
    hotel: Hotel, tmp_path: Path
) -> None:
    token = await hotel.sign_in()
    before, empty = version(hotel), hotel.rows()
    ids = await hotel.add_guests(1200)
    at, was = version(hotel), hotel.rows()
    async with a_phone(tmp_path / "old.db", hotel.url, token) as old:
        await in_step(hotel, old)
        for row_id in ids[100:800]:
            old.delete("guests", row_id)
        for row_id in ids[800:900]:
            old.update("guests", row_id, {"name": "wrong"})
        while old.status.pending:
            await old.sync_once()
        await seal(hotel)
        blocks = hotel.sql(
            "select count(*) from serai.segment where org_id = %s and body is not null",
            hotel.org_id,
        )
        assert blocks[0][0] > 0
        await restored(hotel, at)
        for sealed in (False, True):
            if sealed:
                await seal(hotel)
            async with a_phone(tmp_path / f"new{sealed}.db", hotel.url, token) as new:
                await in_step(hotel, old, new)
            assert values(hotel.rows()) == values(was)
        # More rows than one version holds, and more entries than one page.
        stood = version(hotel)
        await restored(hotel, before)
        assert version(hotel) - stood == 3
        assert values(hotel.rows()) == values(empty)
        await in_step(hotel, old)
