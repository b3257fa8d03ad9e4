"""Two shards on real PostgreSQL, a hotel that is sold, and who buys it.

Owns one fleet a session. Every test has organisations of its own.
"""

from __future__ import annotations

import asyncio

import pytest

from integration.conftest import MakeDatabase
from integration.moves.street import Fleet
from integration.transfers.estate import Estate, settle
from serai.app.fleet import prepare_fleet
from serai.app.partitions import ensure_partitions
from serai.app.runtime import open_runtime
from serai.app.settings import Settings


@pytest.fixture(scope="session")
def urls(make_database: MakeDatabase) -> tuple[str, str, str]:
    """URLs of a directory and of two shards."""
    directory, a, b = make_database(), make_database(), make_database()
    asyncio.run(prepare_fleet(Settings(directory_url=directory), [("a", a), ("b", b)]))
    return directory, a, b


@pytest.fixture
async def fleet(urls: tuple[str, str, str]):
    """The fleet, with a process that serves as the role of requests, and an operator's."""
    settings = Settings(directory_url=urls[0])
    async with open_runtime(settings) as runtime, open_runtime(settings, as_owner=True) as owner:
        found = Fleet(runtime, owner, *urls)
        for ref in runtime.directory.shards:
            shard = await runtime.shard(ref)
            await ensure_partitions(shard.pool, runtime.vertical, runtime.clock.now())
        yield found


@pytest.fixture(params=["b", "a"], ids=["two shards", "one shard"])
async def estate(fleet: Fleet, request: pytest.FixtureRequest) -> Estate:
    """A hotel with a row of every collection on shard a, and a taker there or on b."""
    return await make_estate(fleet, request.param)


@pytest.fixture
async def far(fleet: Fleet) -> Estate:
    """The same, with the taker on another shard."""
    return await make_estate(fleet, "b")


@pytest.fixture
async def near(fleet: Fleet) -> Estate:
    """The same, with both on one shard."""
    return await make_estate(fleet, "a")


async def make_estate(fleet: Fleet, taker: str) -> Estate:
    """Make a furnished giver on shard a, and a taker."""
    giver = await settle(fleet, "a")
    await giver.furnish()
    bought = giver.row("expenses") | {"vendor_id": giver.ids["vendors"]}
    giver.ids["bought"] = str(await giver.insert("expenses", bought))
    found = Estate(fleet, giver, await settle(fleet, taker))
    await found.taker.rest()
    return found
