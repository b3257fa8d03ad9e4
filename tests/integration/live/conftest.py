"""One PostgreSQL for the tests of the live gateway, and for each test a hotel with a gateway of its
own beside its server.

Owns the databases of the module. Never asserts a promise.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from integration.client.hotel import a_hotel
from integration.conftest import MakeDatabase
from integration.live.gateway import Live, a_gateway
from serai.app.fleet import prepare_fleet
from serai.app.settings import Settings


@pytest.fixture(scope="session")
def fleet(make_database: MakeDatabase) -> tuple[str, str]:
    """URLs of a directory and of a shard with the vertical's tables."""
    directory, shard = make_database(), make_database()
    asyncio.run(prepare_fleet(Settings(directory_url=directory), [("shard-1", shard)]))
    return directory, shard


@pytest_asyncio.fixture
async def live(fleet: tuple[str, str], tmp_path: Path) -> AsyncIterator[Live]:
    """A hotel and its gateway."""
    async with (
        a_hotel(*fleet, f"h{secrets.token_hex(4)}", doorbell=f"local://{tmp_path}") as hotel,
        a_gateway(hotel) as gateway,
    ):
        yield gateway
