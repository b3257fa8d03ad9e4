"""Real PostgreSQL for the integration tests.

Owns one server a test process (the embedded one, or the one at SERAI_TEST_POSTGRES) and the
databases on it. Promises that every test has a database of its own that nobody else writes to, and
that none is left behind.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql

from serai.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresSettings
from serai.schema.admission import admit
from serai.schema.database import Options, connected
from serai.schema.files import Kind
from serai.schema.migrate import DatabaseReport, migrate_database
from serai.shard.role import RequestRole

MakeDatabase = Callable[..., str]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
Outage = Callable[[str], AbstractContextManager[None]]


def with_database(url: str, name: str) -> str:
    """Return `url` with another database."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def database_of(url: str) -> str:
    """Return the name of the database in `url`."""
    return urlsplit(url).path.removeprefix("/")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_url() -> AsyncIterator[str]:
    """URL of a superuser's connection to a running server."""
    given = os.environ.get("SERAI_TEST_POSTGRES")
    if given:
        yield given
        return
    async with EmbeddedPostgres(EmbeddedPostgresSettings(max_connections=200)) as server:
        yield server.url("postgres")


@pytest.fixture(scope="session")
def request_role(postgres_url: str) -> Iterator[RequestRole]:
    """The role that requests are served as in the databases of these tests."""
    role = RequestRole(f"serai_request_test_{secrets.token_hex(4)}", secrets.token_urlsafe())
    yield role
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role.name)))


@pytest.fixture(scope="session")
def make_database(postgres_url: str, request_role: RequestRole) -> Iterator[MakeDatabase]:
    """Return a function that makes a database, empty or from a template, and returns its URL."""
    assert request_role, "it outlives the databases, or it could not be dropped"
    made: list[str] = []

    def make(template: str | None = None) -> str:
        name = f"serai_test_{secrets.token_hex(6)}"
        source = "template0" if template is None else database_of(template)
        with psycopg.connect(postgres_url, autocommit=True) as conn:
            conn.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(source)
                )
            )
        made.append(name)
        return with_database(postgres_url, name)

    yield make
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        for name in made:
            drop_database(conn, name)


def drop_database(conn: psycopg.Connection, name: str) -> None:
    """Remove a database, whoever is still connected."""
    conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


async def let_in(url: str, role: RequestRole, *kinds: Kind) -> None:
    """Give the role what `serai migrate` gives it."""
    async with connected(url, Options()) as conn:
        for kind in kinds:
            await admit(conn, url, kind, role, Options())


@pytest.fixture(scope="session")
def migrated_template(make_database: MakeDatabase, request_role: RequestRole) -> str:
    """URL of a database with the directory's and the core of a shard's schema; only a template."""
    url = make_database()

    async def migrate() -> list[DatabaseReport]:
        return [await migrate_database(url, "directory"), await migrate_database(url, "shard")]

    for report in asyncio.run(migrate()):
        assert report.error is None, report.error
    asyncio.run(let_in(url, request_role, "directory", "shard"))
    return url


@pytest.fixture
def fresh_database(postgres_url: str, make_database: MakeDatabase) -> Iterator[str]:
    """URL of an empty database, gone after the test."""
    yield from _for_one_test(postgres_url, make_database())


@pytest.fixture
def migrated_database(
    postgres_url: str, make_database: MakeDatabase, migrated_template: str
) -> Iterator[str]:
    """URL of a database that is a directory and a shard without a vertical, gone after the test."""
    yield from _for_one_test(postgres_url, make_database(migrated_template))


def _for_one_test(postgres_url: str, url: str) -> Iterator[str]:
    yield url
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        drop_database(conn, database_of(url))


@pytest.fixture
def outage(postgres_url: str) -> Outage:
    """Return a context manager: inside it, the database of a URL refuses everybody."""

    @contextmanager
    def broken(url: str) -> Generator[None]:
        name = urlsplit(url).path.removeprefix("/")
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        with psycopg.connect(postgres_url, autocommit=True) as conn:
            conn.execute(allow.format(sql.Identifier(name), sql.Literal(False)))
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            try:
                yield
            finally:
                conn.execute(allow.format(sql.Identifier(name), sql.Literal(True)))

    return broken


@pytest.fixture
def eventually() -> Eventually:
    """Return a function that waits until a condition holds, and fails after ten seconds."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0)

    return wait
