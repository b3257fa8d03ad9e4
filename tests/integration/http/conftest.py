"""One server with the hospitality schema for all tests of HTTP, and organisations on it.

Owns their life. Promises that a test which changes rows has an organisation of its own (`inn`), and
that `seaside` and `mill` stay as they were filled.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from integration.conftest import MakeDatabase
from integration.http.house import Api, Inn, fill, make_inn, owner_of
from integration.http.serving import Server, running
from serai.app.fleet import prepare_fleet
from serai.app.settings import Settings


@pytest.fixture(scope="session")
def fleet(make_database: MakeDatabase) -> tuple[str, str]:
    """URLs of a directory and of a shard with the vertical's tables."""
    directory, shard = make_database(), make_database()
    asyncio.run(prepare_fleet(Settings(directory_url=directory), [("shard-1", shard)]))
    return directory, shard


@pytest.fixture(scope="session")
def shard_url(fleet: tuple[str, str]) -> str:
    return fleet[1]


@pytest.fixture(scope="session")
def server(fleet: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server."""
    log = tmp_path_factory.mktemp("server") / "log"
    with running(log, fleet[0]) as started:
        yield started


async def _filled(directory: str, server: Server, key: str, mark: str) -> Inn:
    inn = await make_inn(directory, key)
    async with owner_of(inn, server.url) as api:
        await fill(api, inn, mark)
    return inn


@pytest.fixture(scope="session")
def seaside(fleet: tuple[str, str], server: Server) -> Inn:
    """An organisation with a row of every collection, which nobody changes."""
    key = f"seaside-{secrets.token_hex(4)}"
    return asyncio.run(_filled(fleet[0], server, key, f"canary-{secrets.token_hex(8)}"))


@pytest.fixture(scope="session")
def mill(fleet: tuple[str, str], server: Server) -> Inn:
    """Another one."""
    key = f"mill-{secrets.token_hex(4)}"
    return asyncio.run(_filled(fleet[0], server, key, f"canary-{secrets.token_hex(8)}"))


@pytest_asyncio.fixture
async def inn(fleet: tuple[str, str], server: Server) -> Inn:
    """An organisation of the test's own, empty."""
    return await make_inn(fleet[0], f"inn-{secrets.token_hex(4)}")


@pytest_asyncio.fixture
async def api(inn: Inn, server: Server) -> AsyncIterator[Api]:
    """Requests of its owner."""
    async with owner_of(inn, server.url) as owner:
        yield owner


@pytest_asyncio.fixture
async def sea(seaside: Inn, server: Server) -> AsyncIterator[Api]:
    """Requests of the owner of `seaside`."""
    async with owner_of(seaside, server.url) as owner:
        yield owner
