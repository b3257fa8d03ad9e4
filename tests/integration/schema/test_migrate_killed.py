"""A migrator that dies, and several that start at once: each file is applied once."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import psycopg
import pytest

from serai.schema.database import LOCK_KEY, Options
from serai.schema.files import load
from serai.schema.migrate import migrate_database

KILL_ME = Path(__file__).with_name("kill_me.py")
FILES = 12
STEP = "insert into trace values (N, 1); insert into trace values (N, 2);"
STEP_ALONE = "-- no-transaction\ninsert into once values (N) on conflict do nothing;"


@pytest.fixture
def folder(tmp_path):
    """Files that each leave one line behind; every third runs without a transaction."""
    (tmp_path / "0001_trace.pre.sql").write_text(
        "CREATE TABLE trace (file int, n int); CREATE TABLE once (file int PRIMARY KEY);"
    )
    for n in range(2, FILES + 1):
        text = STEP.replace("N", str(n))
        if n % 3 == 0:
            text = STEP_ALONE.replace("N", str(n))
        (tmp_path / f"{n:04}_step.pre.sql").write_text(text)
    return tmp_path


EXPECTED_TRACE = [(n, i) for n in (2, 4, 5, 7, 8, 10, 11) for i in (1, 2)]
EXPECTED_ONCE = [(3,), (6,), (9,), (12,)]


def left_behind(url: str) -> tuple[list[tuple[int, int]], list[tuple[int]], int]:
    with psycopg.connect(url) as conn:
        trace = conn.execute("SELECT file, n FROM trace ORDER BY 1, 2").fetchall()
        once = conn.execute("SELECT file FROM once ORDER BY 1").fetchall()
        row = conn.execute("SELECT count(*) FROM serai_schema.applied").fetchone()
    assert row is not None
    return trace, once, row[0]


async def start(url: str, folder: Path) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(KILL_ME), url, str(folder), stdout=PIPE
    )


async def kill_at(process: Process, line: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while (await process.stdout.readline()).decode().strip() != line:
            assert process.returncode is None
    process.kill()
    # Reads what is left and waits, so that the pipe is closed with the process.
    await process.communicate()


async def test_a_migrator_killed_at_any_file_is_finished_by_the_next_one(fresh_database, folder):
    for n in (1, 4, 6, 9, FILES):
        process = await start(fresh_database, folder)
        await kill_at(process, f"applying {n:04}_{'trace' if n == 1 else 'step'}.pre.sql")
    report = await migrate_database(fresh_database, load("shard", folder))
    assert report.error is None
    assert left_behind(fresh_database) == (EXPECTED_TRACE, EXPECTED_ONCE, FILES)


async def test_a_migrator_killed_inside_a_file_leaves_nothing_of_it(fresh_database, folder):
    (folder / "0013_blocked.pre.sql").write_text(
        "INSERT INTO trace VALUES (13, 1); LOCK TABLE blocker; INSERT INTO trace VALUES (13, 2);"
    )
    async with await psycopg.AsyncConnection.connect(fresh_database) as other:
        await other.execute("CREATE TABLE blocker ()")
        await other.commit()
        await other.execute("LOCK TABLE blocker")
        process = await start(fresh_database, folder)
        await _until_somebody_waits_for_a_lock(fresh_database)
        process.kill()
        await process.communicate()
        # The dead migrator's session still waits for the table; it must end by itself.
        report_task = asyncio.create_task(migrate_database(fresh_database, load("shard", folder)))
        await _until_nobody_waits_for_a_lock(fresh_database)
        await other.rollback()
    report = await report_task
    assert report.error is None
    expected = [*EXPECTED_TRACE, (13, 1), (13, 2)]
    assert left_behind(fresh_database) == (expected, EXPECTED_ONCE, FILES + 1)


async def _until_somebody_waits_for_a_lock(url: str) -> None:
    await _until(url, "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted")


async def _until_nobody_waits_for_a_lock(url: str) -> None:
    await _until(url, "SELECT count(*) = 0 FROM pg_locks WHERE NOT granted")


async def _until(url: str, question: str) -> None:
    async with (
        asyncio.timeout(30),
        await psycopg.AsyncConnection.connect(url, autocommit=True) as conn,
    ):
        # The server has no event for this; asking again is one round trip.
        while (await (await conn.execute(question.encode())).fetchone()) != (True,):
            continue


async def test_migrators_that_start_together_apply_each_file_once(fresh_database, folder):
    files = load("shard", folder)
    reports = await asyncio.gather(*(migrate_database(fresh_database, files) for _ in range(4)))
    assert sorted(report.outcome for report in reports) == [
        "current",
        "current",
        "current",
        "migrated",
    ]
    assert left_behind(fresh_database) == (EXPECTED_TRACE, EXPECTED_ONCE, FILES)


async def test_a_migrator_does_not_wait_for_another_for_ever_and_says_for_whom(
    fresh_database, folder
):
    async with await psycopg.AsyncConnection.connect(
        fresh_database, autocommit=True, application_name="the other one"
    ) as other:
        await other.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
        report = await migrate_database(
            fresh_database, load("shard", folder), options=Options(wait_seconds=0.2)
        )
    assert report.outcome == "failed"
    assert "Another migrator has held this database" in (report.error or "")
    assert "the other one" in (report.error or "")


async def test_an_index_built_without_a_transaction_is_not_stopped_by_a_waiting_migrator(
    fresh_database, folder
):
    (folder / "0013_index.pre.sql").write_text(
        "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS by_file ON trace (file);"
    )
    files = load("shard", folder)
    reports = await asyncio.gather(*(migrate_database(fresh_database, files) for _ in range(3)))
    assert [report.error for report in reports] == [None, None, None]
    assert [report.retries for report in reports] == [0, 0, 0]
