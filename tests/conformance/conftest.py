"""Real PostgreSQL with the small vertical, for the conformance suite.

Owns the databases: one with the tables of `serai.testing.vertical` for the whole run, shared by the
cases because each has an organisation of its own, and the server that the integration tests use.
Never cleans an organisation up: the database goes as a whole.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from conformance.subjects import PostgresSubject
from integration.conftest import (
    MakeDatabase,
    let_in,
    make_database,
    migrated_template,
    postgres_url,
    request_role,
)
from serai.schema.collections import generate
from serai.schema.migrate import DatabaseReport, migrate_database
from serai.shard.role import RequestRole
from serai.testing.vertical import VERTICAL

PROGRAMS_15 = Path("/usr/lib/postgresql/15/bin")
# Collected only where the machine has that server: it cannot be had from a wheel, and the suite
# must pass on a machine that has nothing but Python.
collect_ignore = [] if PROGRAMS_15.is_dir() else ["test_postgres_15.py"]

__all__ = ["make_database", "migrated_template", "postgres_url", "request_role"]


@pytest.fixture(scope="session")
def trial_database(
    make_database: MakeDatabase, migrated_template: str, request_role: RequestRole
) -> str:
    """URL of a shard with the tables of the small vertical."""
    url = make_database(migrated_template)

    async def migrate() -> DatabaseReport:
        return await migrate_database(url, "shard", statements=generate(VERTICAL))

    report = asyncio.run(migrate())
    assert report.error is None, report.error
    asyncio.run(let_in(url, request_role, "shard"))
    return url


@pytest.fixture
async def postgres(trial_database: str, request_role: RequestRole):
    """The PostgreSQL store under test, as requests see it."""
    async with PostgresSubject.open(trial_database, request_role) as subject:
        yield subject
