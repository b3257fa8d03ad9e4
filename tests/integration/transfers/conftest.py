"""Two shards on real PostgreSQL, a hotel that is sold, and who buys it.

Owns one fleet a session. Every test has organisations of its own.
"""

from __future__ import annotations

import pytest

from integration.moves.conftest import fleet, urls
from integration.moves.street import Fleet
from integration.transfers.estate import Estate, settle

__all__ = ["fleet", "urls"]


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
