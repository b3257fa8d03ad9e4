"""Two shards on real PostgreSQL, and a house that writes while it moves.

Owns one fleet a session: a directory and the shards `a` and `b`. Every test has an organisation of
its own. Never shares an organisation between tests.
"""

from __future__ import annotations

import asyncio
import secrets

import pytest

from integration.conftest import MakeDatabase
from integration.moves.street import Fleet, House
from serai.app.fleet import prepare_fleet
from serai.app.organisations import create_organisation
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


@pytest.fixture
async def house(fleet: Fleet) -> House:
    """A hotel with a room, people and a few rows."""
    org_id = await create_organisation(fleet.owner, f"h{secrets.token_hex(4)}")
    made = House(fleet, org_id)
    await made.furnish()
    return made
