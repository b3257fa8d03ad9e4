"""Phones of both organisations around a transfer: those of the giver drop the hotel, those of the
taker get it, and what was written offline for it is refused in words.

Every scene ends with the comparison that counts: each row on each phone, with its version, equals
PostgreSQL's. Client, HTTP, server and database are the real ones, on real sockets.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import aiohttp
import psycopg
import pytest

from integration.client.hotel import HELD, Hotel, a_hotel, a_phone, held
from serai.app.organisations import give_role, insert_missing
from serai.app.people import ensure_user, new_password_for
from serai.app.transfer.running import Asked, runner
from serai.client import SyncClient
from serai.core.ids import uuid7

GUESTS = 900


@pytest.fixture
async def hotels(urls: tuple[str, str, str]) -> AsyncIterator[tuple[Hotel, Hotel]]:
    """Two organisations on running servers, each at its home."""
    async with (
        a_hotel(*urls[:2], f"g{secrets.token_hex(4)}") as giver,
        a_hotel(*urls[:2], f"t{secrets.token_hex(4)}") as taker,
    ):
        for hotel in (giver, taker):
            hotel.shard_url = hotel.runtime.directory.resolve(hotel.org_id).url
        yield giver, taker


async def second_house(hotel: Hotel) -> UUID:
    """Give the organisation another hotel."""
    blank = dict.fromkeys(hotel.runtime.vertical.by_name["properties"].fields)
    place = {"name": "Casa 2", "kind": "hotel", "timezone": "Europe/Madrid", "currency": "EUR"}
    house, shard = uuid7(), await hotel.runtime.shard_for(hotel.org_id)
    row = {**blank, **place, "active": True}
    await insert_missing(hotel.runtime, shard, hotel.org_id, [("properties", house, row)])
    return house


async def a_receptionist(hotel: Hotel, *houses: UUID) -> str:
    """Let somebody work at these houses; return an access token."""
    email = f"{secrets.token_hex(6)}@example.com"
    user = await ensure_user(hotel.runtime, email)
    password = await new_password_for(hotel.runtime, user.user_id)
    for house in houses:
        await give_role(hotel.runtime, hotel.org_id, user.user_id, "front_desk", house)
    form = {"email": email, "password": password, "organisation": hotel.org_id}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{hotel.url}/v1/auth/token", json=form) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return (await answer.json())["accessToken"]


def hold(hotel: Hotel, house: UUID | None) -> None:
    """Hold the hotel as a transfer does, or let go of it."""
    with psycopg.connect(hotel.shard_url, autocommit=True) as conn:
        text = "UPDATE serai.org SET held = %s WHERE org_id = %s"
        conn.execute(text, (house, hotel.org_id))


async def in_step(hotel: Hotel, phone: SyncClient) -> None:
    """Sync, and compare with the server."""
    await phone.sync_once()
    await phone.sync_once()
    assert (phone.status.pending, phone.status.filling) == (0, ())
    assert held(phone) == hotel.rows()


async def test_what_was_written_offline_is_refused_in_words_and_all_phones_agree(
    hotels: tuple[Hotel, Hotel], tmp_path: Path
) -> None:
    giver, taker = hotels
    ids = await giver.add_guests(GUESTS)
    await taker.add_guests(3)
    other = await second_house(giver)
    async with (
        a_phone(tmp_path / "ana.db", giver.url, await giver.sign_in()) as ana,
        a_phone(
            tmp_path / "ben.db", giver.url, await a_receptionist(giver, giver.house, other)
        ) as ben,
        a_phone(tmp_path / "cleo.db", taker.url, await taker.sign_in()) as cleo,
    ):
        await in_step(giver, ana)
        await in_step(taker, cleo)
        await ben.sync_once()
        assert len(held(ben)) == GUESTS + 2
        ana.network(online=False)
        ana.update("guests", ids[0], {"name": "Changed in the cellar"})
        ana.delete("guests", ids[1])
        lost = ana.insert("guests", {"property_id": str(giver.house), "name": "Walk-in"})
        kept = ana.insert("guests", {"property_id": str(other), "name": "Of the other hotel"})
        theirs = {key: row for key, row in giver.rows().items() if key[1] not in (other, kept)}
        asked = Asked(giver.house, giver.org_id, taker.org_id, "sold")
        async with runner(giver.settings) as running:
            await running.transfer(asked)
        ana.network(online=True)
        await in_step(giver, ana)
        assert {row_id for _, row_id in giver.rows()} == {other, kept}
        refused = {(r.row_id, r.op, r.code) for r in ana.refusals()}
        code = "property_transferred"
        assert refused == {
            (ids[0], "update", code),
            (ids[1], "delete", code),
            (lost, "insert", code),
        }
        stored = giver.sql(
            "SELECT row_id, code, body FROM serai.refusal WHERE org_id = %s", giver.org_id
        )
        assert {(row_id, code) for row_id, code, _ in stored} == {
            (row_id, code) for row_id, _, code in refused
        }
        assert any("Changed in the cellar" in body for _, _, body in stored)
        # Who had a role at the hotel has lost its channels, and keeps the other hotel's.
        await ben.sync_once()
        assert held(ben) == giver.rows()
        await in_step(taker, cleo)
        mine = {key: row for key, (_, row) in held(cleo).items()}
        assert {key: row for key, (_, row) in theirs.items()}.items() <= mine.items()
        assert len(mine) == GUESTS + 1 + 4
        # A phone that is new to the taker gets the same.
        async with a_phone(tmp_path / "new.db", taker.url, await taker.sign_in()) as new:
            await in_step(taker, new)
        assert HELD == ("properties", "guests", "stays")


async def test_a_phone_that_pushes_while_the_hotel_is_held_keeps_its_queue(
    hotels: tuple[Hotel, Hotel], tmp_path: Path
) -> None:
    """Nothing is judged before it is known whose the hotel is."""
    giver, taker = hotels
    (guest,) = await giver.add_guests(1)
    asked = Asked(giver.house, giver.org_id, taker.org_id, "sold")
    async with (
        a_phone(tmp_path / "ana.db", giver.url, await giver.sign_in()) as ana,
        runner(giver.settings) as running,
    ):
        await in_step(giver, ana)
        ana.update("guests", guest, {"name": "Meanwhile"})
        hold(giver, giver.house)
        with pytest.raises(Exception, match=r"property_held|handed over"):
            await ana.sync_once()
        assert (ana.status.pending, ana.refusals()) == (1, [])
        hold(giver, None)
        await in_step(giver, ana)
        assert ana.refusals() == []
        await running.transfer(asked)
    ((doc,),) = taker.sql(
        "SELECT doc FROM serai.row WHERE org_id = %s AND id = %s", taker.org_id, guest
    )
    assert "Meanwhile" in doc
