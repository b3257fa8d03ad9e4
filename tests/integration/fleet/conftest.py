"""One fleet of two shards for all tests here; each has an organisation of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from integration.conftest import MakeDatabase
from integration.fleet.two_shards import Fleet, Moved, make_fleet, stale_process


@pytest.fixture(scope="session")
def fleet(make_database: MakeDatabase) -> Fleet:
    """A directory and two shards with the vertical's tables."""
    return make_fleet(make_database(), (make_database(), make_database()))


@pytest_asyncio.fixture
async def here(fleet: Fleet) -> AsyncIterator[Moved]:
    """An organisation on the first shard, and a process that hears of no move."""
    async with stale_process(fleet) as there:
        yield there
