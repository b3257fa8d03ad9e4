"""The conformance suite on PostgreSQL 15, the oldest that Serai supports.

Owns a server of that version for the length of this module and every case on it. Promises
that nothing of the server is left behind. Never runs where the machine has no PostgreSQL 15: the
conftest leaves this module out there, because a test that is skipped says nothing.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conformance.conftest import PROGRAMS_15
from conformance.subjects import PostgresSubject
from integration.conftest import let_in
from serai.schema.collections import generate
from serai.schema.migrate import DatabaseReport, migrate_database
from serai.shard.role import RequestRole
from serai.testing.store_conformance import CASES, Case, Desk
from serai.testing.vertical import VERTICAL

ROLE = RequestRole("serai_request_15", "any")
# PostgreSQL does not run as root: there, it runs as the user that its package made.
ACCOUNT = "postgres" if os.geteuid() == 0 else None


@contextmanager
def server(folder: Path) -> Generator[str]:
    """Run a server on a socket in `folder`; yield the URL of its first database."""
    data = folder / "data"
    subprocess.run(
        [PROGRAMS_15 / "initdb", "-D", data, "-U", "serai", "-A", "trust", "-E", "UTF8", "-N"],
        check=True,
        capture_output=True,
        user=ACCOUNT,
        cwd="/",
        env={"LC_ALL": "C"},
    )
    options = f"-F -c listen_addresses= -c unix_socket_directories={folder}"
    _control("start", data, "-w", "-l", folder / "log", "-o", options)
    try:
        yield f"postgresql://serai@/postgres?host={folder}"
    finally:
        _control("stop", data, "-w", "-m", "fast")


def _control(word: str, data: Path, *more: str | Path) -> None:
    subprocess.run(
        [PROGRAMS_15 / "pg_ctl", word, "-D", data, *more],
        check=True,
        user=ACCOUNT,
        cwd="/",
        stdout=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def old_database() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="serai15"))
    try:
        if ACCOUNT is not None:
            shutil.chown(folder, ACCOUNT)
        with server(folder) as url:
            yield _migrated(url)
    finally:
        shutil.rmtree(folder)


def _migrated(url: str) -> str:
    async def migrate() -> DatabaseReport:
        return await migrate_database(url, "shard", statements=generate(VERTICAL))

    report = asyncio.run(migrate())
    assert report.error is None, report.error
    asyncio.run(let_in(url, ROLE, "shard"))
    return url


@pytest.fixture
async def oldest(old_database: str):
    async with PostgresSubject.open(old_database, ROLE) as subject:
        yield subject


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_the_oldest_postgres_keeps_the_stores_promise(case: Case, oldest: PostgresSubject):
    await case(await Desk.open(oldest))
