"""Two shards on real PostgreSQL, a hotel that is sold, and who buys it.

Owns one fleet a session. Every test has organisations of its own.
"""

from __future__ import annotations

import pytest

from integration.moves.conftest import fleet, urls
from integration.moves.street import Fleet
from integration.transfers.estate import Estate, make_estate

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
