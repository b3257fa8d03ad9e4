"""Phones against a server whose logs grow old: blocks, folded versions, a floor that has risen.

Owns scenes in which the keeper that ships looks at a hotel whose days pass by its clock. Each ends
with the comparison that counts: each row on each phone equals PostgreSQL's.
"""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import psycopg
import zstandard

from integration.client.hotel import Hotel, a_phone
from integration.client.test_phones import in_step
from serai.app.keeping import Passes, keep_round
from serai.log.keeper import Keeper
from serai.log.life import Policy
from serai.log.life_postgres import PostgresLifeStore
from serai.telemetry.recorder import Recorder

DAY = timedelta(days=1)
REFUSES = """
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'refused by the test'; END $$;
CREATE TRIGGER refuses BEFORE INSERT OR UPDATE ON serai.log_life
FOR EACH ROW WHEN (NEW.org_id = {org}) EXECUTE FUNCTION pg_temp.refuse();
"""
POLICY = Policy(horizon=30 * DAY, segment_rows=500, behind=1)


async def keep(hotel: Hotel, *, days: int = 0) -> None:
    """Let the keeper look at the hotel until nothing is left to do, so many days from now."""
    shard = await hotel.runtime.shard_for(hotel.org_id)
    store = PostgresLifeStore(shard.pool)
    keeper = Keeper(store, POLICY)
    now = datetime.now(UTC) + days * DAY
    for _ in range(50):
        life = await keeper.again(hotel.org_id)
        assert life is not None
        if not (await keeper.look(life, now)).more:
            return
    raise AssertionError("the keeper ends")


async def page(hotel: Hotel, token: str, encoding: str) -> tuple[bytes, str | None]:
    """Return the first page of a new device, as it is sent, and how it is packed."""
    headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": encoding}
    form = {"collections": [{"name": "guests"}], "batchSize": 1000}
    url = f"{hotel.url}/v1/sync/changes"
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.post(url, json=form, headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return await answer.read(), answer.headers.get("Content-Encoding")


def blocks(hotel: Hotel) -> list[bytes]:
    found = hotel.sql(
        "select body from serai.segment where org_id = %s and collection = 5 and rows > 0"
        " and scope = 'ffffffff-ffff-ffff-ffff-ffffffffffff' order by last",
        hotel.org_id,
    )
    return [body for (body,) in found]


async def test_a_new_phone_gets_the_stored_bytes_of_blocks_and_what_changed_since(hotel, tmp_path):
    token = await hotel.sign_in()
    ids = await hotel.add_guests(1_300)
    await keep(hotel)
    async with a_phone(tmp_path / "ana.db", hotel.url, token) as ana:
        await in_step(hotel, ana)
        for n in range(0, 1_300, 130):
            ana.update("guests", ids[n], {"name": f"changed {n}"})
            ana.delete("guests", ids[n + 1])
        await in_step(hotel, ana)
        first, *_ = blocks(hotel)
        whole, how = await page(hotel, token, "zstd")
        assert how == "zstd"
        assert first in whole, "the block goes out as it is stored"
        plain = zstandard.ZstdDecompressor().stream_reader(whole, read_across_frames=True).read()
        packed, how = await page(hotel, token, "gzip")
        assert how == "gzip"
        bare, how = await page(hotel, token, "identity")
        assert how is None
        assert said(plain) == said(gzip.decompress(packed)) == said(bare)
        async with a_phone(tmp_path / "ben.db", hotel.url, token) as ben:
            await in_step(hotel, ana, ben)


def said(body: bytes) -> Any:
    """Return what an answer says, but for the moment and the token, whose order of keys is free."""
    (part,) = json.loads(body)["collections"]
    return part["changes"], part["hasMore"], part["filling"]


async def test_a_phone_that_was_away_while_its_log_was_folded_ends_equal(hotel, tmp_path):
    token = await hotel.sign_in()
    ids = await hotel.add_guests(20)
    async with (
        a_phone(tmp_path / "ana.db", hotel.url, token) as ana,
        a_phone(tmp_path / "ben.db", hotel.url, token) as ben,
    ):
        await in_step(hotel, ana, ben)
        for n in range(30):
            ana.update("guests", ids[n % 3], {"phone": f"+34 {n}"})
            await ana.sync_once()
        ana.delete("guests", ids[2])
        await in_step(hotel, ana)
        await keep(hotel)
        before = sum(hotel.effects(ids[:3]).values())
        await keep(hotel, days=2)
        after = hotel.effects(ids[:3])
        assert before > 30
        assert [after[each] for each in ids[:3]] == [1, 1, 1]
        ben.update("guests", ids[5], {"name": "meanwhile"})
        await in_step(hotel, ana, ben)


async def test_a_phone_that_was_away_for_longer_than_the_horizon_fetches_anew(hotel, tmp_path):
    token = await hotel.sign_in()
    ids = await hotel.add_guests(20)
    async with (
        a_phone(tmp_path / "ana.db", hotel.url, token) as ana,
        a_phone(tmp_path / "ben.db", hotel.url, token) as ben,
    ):
        await in_step(hotel, ana, ben)
        ana.delete("guests", ids[0])
        ana.update("guests", ids[1], {"phone": "+34 1"})
        await ana.sync_once()
        ben.network(online=False)
        ben.update("guests", ids[3], {"name": "written in the mountains"})
        await keep(hotel)
        await keep(hotel, days=31)
        (floor,) = hotel.sql("select floor from serai.org where org_id = %s", hotel.org_id)
        (entries,) = hotel.sql("select count(*) from serai.log where org_id = %s", hotel.org_id)
        assert floor[0] > 20
        assert entries[0] == 0
        ben.network(online=True)
        await in_step(hotel, ana, ben)
        assert ben.get("guests", ids[0]) is None
        row = ana.get("guests", ids[3])
        assert row is not None
        assert row.data["name"] == "written in the mountains"


class Heard(Recorder):
    """Adds up what upkeep tells."""

    def __init__(self) -> None:
        self.folded = self.pruned = self.rows = self.blocks = 0
        self.looks = self.failed = self.passes = 0

    def log_looked(self, folded: int, pruned: int, rows: int, blocks: int) -> None:
        self.looks += 1
        self.folded += folded
        self.pruned += pruned
        self.rows += rows
        self.blocks += blocks

    def log_look_failed(self) -> None:
        self.failed += 1

    def logs_passed(self) -> None:
        self.passes += 1


class Later:
    """The clock of a hotel in so many days."""

    def __init__(self, days: int) -> None:
        self.days = days

    def now(self) -> datetime:
        return datetime.now(UTC) + self.days * DAY


async def round_of(hotel: Hotel, told: Passes, days: int = 0) -> None:
    shard = await hotel.runtime.shard_for(hotel.org_id)
    store = PostgresLifeStore(shard.pool)
    clock, hotel.runtime.clock = hotel.runtime.clock, Later(days)
    try:
        await keep_round(Keeper(store, POLICY), store, hotel.runtime, seconds=60, told=told)
    finally:
        hotel.runtime.clock = clock


async def test_what_upkeep_does_is_counted_as_it_is_in_the_database(hotel, tmp_path):
    # What other hotels of this shard left is not to be counted here.
    await round_of(hotel, Passes())
    token = await hotel.sign_in()
    ids = await hotel.add_guests(600)
    async with a_phone(tmp_path / "ana.db", hotel.url, token) as ana:
        await in_step(hotel, ana)
        for n in range(100):
            ana.update("guests", ids[n % 5], {"phone": f"+34 {n}"})
            await ana.sync_once()
    count = "select count(*) from serai.log"
    kept = "select count(*), coalesce(sum(rows), 0) from serai.segment where body is not null"
    heard = Heard()
    told = Passes(heard)
    (before,) = hotel.sql(count)
    ((blocks_before, rows_before),) = hotel.sql(kept)
    await round_of(hotel, told)
    ((blocks_after, rows_after),) = hotel.sql(kept)
    assert (heard.blocks, heard.rows) == (blocks_after - blocks_before, rows_after - rows_before)
    assert heard.blocks > 1
    assert (heard.folded, heard.pruned, heard.failed) == (0, 0, 0)
    for days in (2, 4):
        # The first one notes what there is, once a day; the second one folds it.
        await round_of(hotel, told, days=days)
    (folded,) = hotel.sql(count)
    assert heard.folded == before[0] - folded[0] > 90
    await round_of(hotel, told, days=35)
    (pruned,) = hotel.sql(count)
    assert heard.pruned == folded[0] - pruned[0] > 600
    assert heard.passes == 4
    assert heard.looks > 4


async def test_an_organisation_whose_look_fails_is_counted_and_waits(hotel):
    await hotel.add_guests(3)
    heard = Heard()
    told = Passes(heard)
    await round_of(hotel, told)
    done = told.since
    with psycopg.connect(hotel.shard_url, autocommit=True) as conn:
        conn.execute(REFUSES.format(org=hotel.org_id).encode())
        await round_of(hotel, told, days=2)
        conn.execute("DROP TRIGGER refuses ON serai.log_life")
    assert heard.failed == 1
    assert told.since == done
    await round_of(hotel, told, days=2)
    assert heard.failed == 1
    assert told.since > done


async def test_two_keepers_do_not_work_at_one_shard_at_once(hotel):
    shard = await hotel.runtime.shard_for(hotel.org_id)
    store = PostgresLifeStore(shard.pool)
    async with store.alone() as first:
        assert first
        assert not await keep_round(Keeper(store, POLICY), store, hotel.runtime)
    async with store.alone() as again:
        assert again
