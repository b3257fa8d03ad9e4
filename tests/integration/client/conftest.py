"""One PostgreSQL with the hospitality schema for the tests of the sync client; an organisation of
its own for each.

Owns the databases of the module. Promises that tests do not see one another's rows.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from integration.client.hotel import Hotel, a_hotel
from integration.conftest import MakeDatabase
from serai.app.fleet import prepare_fleet
from serai.app.settings import Settings


@pytest.fixture(scope="session")
def fleet(make_database: MakeDatabase) -> tuple[str, str]:
    """URLs of a directory and of a shard with the vertical's tables."""
    directory, shard = make_database(), make_database()
    asyncio.run(prepare_fleet(Settings(directory_url=directory), [("shard-1", shard)]))
    return directory, shard


@pytest_asyncio.fixture
async def hotel(fleet: tuple[str, str]) -> AsyncIterator[Hotel]:
    """A hotel on a running server."""
    async with a_hotel(*fleet, f"h{secrets.token_hex(4)}") as made:
        yield made
