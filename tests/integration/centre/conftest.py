"""The write path on real PostgreSQL, for the tests of the centre.

Owns a shard with the small vertical, a database of its own for each test, and the store, the queue
and a plain connection on it. Never shares data between tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from integration.centre.full import fill_vertical
from integration.conftest import MakeDatabase, database_of, drop_database, let_in
from serai.log.postgres import PostgresStore
from serai.schema.collections import generate
from serai.schema.migrate import DatabaseReport, migrate_database
from serai.shard.pools import PinnedPool
from serai.shard.role import RequestRole
from serai.testing.vertical import VERTICAL
from serai_hospitality import VERTICAL as HOSPITALITY


@pytest.fixture(scope="session")
def trial_template(make_database: MakeDatabase, request_role: RequestRole) -> str:
    """URL of a shard with the tables of the small vertical; only a template."""
    url = make_database()

    async def migrate() -> DatabaseReport:
        return await migrate_database(url, "shard", statements=generate(VERTICAL))

    report = asyncio.run(migrate())
    assert report.error is None, report.error
    asyncio.run(let_in(url, request_role, "shard"))
    return url


@pytest.fixture
def shard_url(postgres_url: str, make_database: MakeDatabase, trial_template: str) -> Iterator[str]:
    """URL of a shard of this test's own."""
    url = make_database(trial_template)
    yield url
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        drop_database(conn, database_of(url))


@pytest.fixture
async def pool(shard_url: str, request_role: RequestRole):
    """Connections to it as the role of requests, with the patience that a busy machine needs."""
    url = request_role.url(shard_url)
    async with PinnedPool(url, size_min=4, size_max=12, wait_seconds=20) as pool:
        yield pool


@pytest.fixture
def store(pool: PinnedPool) -> PostgresStore:
    """The store on it."""
    return PostgresStore(pool, VERTICAL)


@pytest.fixture
def sql(shard_url: str):
    """A plain connection, in autocommit, for what operators do and tests look at."""
    with psycopg.connect(shard_url, autocommit=True) as conn:
        yield conn


@pytest.fixture(scope="session")
def house_url(make_database: MakeDatabase, request_role: RequestRole) -> str:
    """URL of a shard with the hospitality tables, all of them full; no test changes it."""
    url = make_database()

    async def migrate() -> DatabaseReport:
        return await migrate_database(url, "shard", statements=generate(HOSPITALITY))

    assert asyncio.run(migrate()).error is None
    asyncio.run(let_in(url, request_role, "shard"))
    fill_vertical(url)
    return url
