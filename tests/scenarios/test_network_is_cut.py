"""A line of the network is cut: packets vanish, connections stay open, nobody is told.

Owns what each cut may cost, and that all comes back by itself when it is mended: no acknowledged
write is lost or doubled, every phone ends with what the server holds. Each process is at a place of
its own (`scenarios.network`). Never decides what is right but by the ledgers of the load and the
phones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import psycopg
import pytest

from integration.http.house import Answer, Api, Inn, owner_of
from integration.replicas.test_reads import renamed, wrote
from scenarios.house import SECONDS
from scenarios.load import under_load
from scenarios.town import Town, phones

pytestmark = pytest.mark.asyncio(loop_scope="session")
BETWEEN = 40


async def test_a_cut_between_the_api_and_one_shard_is_a_wait_there_and_nothing_elsewhere(
    town: Town, tmp_path: Path
):
    well, ill = town.houses
    async with phones(tmp_path, well, ill), under_load(well, desks=3, phones=1) as there:
        async with under_load(ill, desks=3, phones=1) as here:
            await here.reached(BETWEEN)
            town.network.cut("api", "shard-2")
            await town.server.said("shard shard-2 does not answer")
            await here.told("unavailable", 30)
            await there.reached(BETWEEN)
            town.network.mend("api", "shard-2")
            await here.reached(BETWEEN)
        # Those in flight as well: at its deadline a request gets 504, and none waited that long.
        assert set(here.refused) == {503}
        assert (set(here.codes), here.lost) == ({"unavailable"}, [])
        await town.server.said("shard shard-2 answers again")
    assert (there.refused, there.lost) == ({}, []), "the other shard's organisations noticed"


async def sign_in(town: Town, inn: Inn) -> Answer:
    """Ask for a token, as a person without one does."""
    form = {"email": inn.email, "password": inn.password, "organisation": inn.org_id}
    async with aiohttp.ClientSession(auto_decompress=True) as session:
        stranger = Api(session, town.server.url, None)
        return await stranger("POST", "/v1/auth/token", form, Idempotency_Key=None)


async def test_known_organisations_notice_nothing_of_a_cut_between_the_api_and_the_directory(
    town: Town, tmp_path: Path
):
    first, second = town.houses
    async with (
        phones(tmp_path, first, second),
        under_load(first, desks=2, phones=1) as one,
        under_load(second, desks=2, phones=1) as other,
    ):
        await one.reached(BETWEEN)
        town.network.cut("api", "directory")
        try:
            refused = await sign_in(town, town.inns[0])
            assert (refused.status, refused.code) == (503, "unavailable"), refused
            assert "Retry-After" in refused.headers
            await one.reached(BETWEEN)
            await other.reached(BETWEEN)
        finally:
            town.network.mend("api", "directory")
        async with asyncio.timeout(SECONDS):
            while (await sign_in(town, town.inns[0])).status == 503:
                await one.reached(5)
        assert (await sign_in(town, town.inns[0])).status == 200
    for load in (one, other):
        assert (load.refused, load.lost) == ({}, [])


USED = 'serai_replica_used{shard="shard-1",replica="copy-1"}'


async def own_writes(api: Api, rounds: int) -> None:
    """Write, and read what was written, naming its version."""
    path, _ = await wrote(api, "0")
    for n in range(rounds):
        position = await renamed(api, path, str(n))
        read = await api("GET", path, Serai_Min_Version=position)
        assert (read.status, read.json["data"]["name"]) == (200, str(n)), read


async def until_used(town: Town, api: Api, used: float) -> None:
    """Write and read until the server says whether the replica gets reads."""
    async with asyncio.timeout(SECONDS):
        while town.shows(USED) != used:
            await own_writes(api, 4)


@contextmanager
def behind(town: Town, way: str) -> Generator[None]:
    """Let the replica fall behind, or fall silent."""

    def ask(text: str) -> None:
        with psycopg.connect(town.replica.url(), autocommit=True) as connection:
            connection.execute(text.encode())

    if way == "replay":
        ask("select pg_wal_replay_pause()")
    else:
        town.network.cut("replica", way)
    try:
        yield
    finally:
        if way == "replay":
            ask("select pg_wal_replay_resume()")
        else:
            town.network.mend("replica", way)


@pytest.mark.parametrize("way", ["shard-1", "api", "replay"])
async def test_no_read_is_older_than_its_writer_knows_while_a_replica_is_cut_off_or_stands_still(
    town: Town, way: str
):
    async with owner_of(town.inns[0], town.server.url) as api:
        await until_used(town, api, 1.0)
        with behind(town, way):
            await until_used(town, api, 0.0)
            await own_writes(api, 10)
        await until_used(town, api, 1.0)
        await own_writes(api, 10)
