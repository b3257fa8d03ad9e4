"""Files on a real database: phases, refusals, failures, busy locks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import psycopg
import pytest

from serai.schema.compat import check_database, check_schema
from serai.schema.database import Options, connected
from serai.schema.errors import SchemaTooNewError, SchemaTooOldError
from serai.schema.files import KINDS, load
from serai.schema.migrate import Progress, migrate_database

CATALOGUE = """
    SELECT 'column', format('%I.%I.%I %s %s %s', table_schema, table_name, column_name, data_type,
                            is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema LIKE 'serai%'
    UNION ALL SELECT 'index', indexdef FROM pg_indexes WHERE schemaname LIKE 'serai%'
    UNION ALL SELECT 'constraint', conrelid::regclass || pg_get_constraintdef(c.oid)
    FROM pg_constraint c JOIN pg_namespace n ON n.oid = connamespace WHERE nspname LIKE 'serai%'
    UNION ALL SELECT 'trigger', pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT tgisinternal
    UNION ALL SELECT 'function', pg_get_functiondef(p.oid)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname LIKE 'serai%'
    ORDER BY 1, 2
"""


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as conn:
        return conn.execute(statement.encode()).fetchall()


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name.replace('__', '.')}.sql").write_text(text)
    return folder


@pytest.mark.parametrize("kind", KINDS)
async def test_a_new_database_is_made_and_then_left_alone(fresh_database, kind):
    first = await migrate_database(fresh_database, kind)
    again = await migrate_database(fresh_database, kind)
    assert (first.error, first.outcome) == (None, "migrated")
    assert (again.outcome, again.applied, again.version) == ("current", [], first.version)
    assert (await check_database(fresh_database, kind)).version == first.version


@pytest.mark.parametrize("kind", KINDS)
async def test_a_release_that_was_skipped_ends_in_the_same_schema(make_database, kind):
    in_order, skipped = make_database(), make_database()
    await migrate_database(in_order, kind)
    for phase in ("pre", "post"):
        report = await migrate_database(skipped, kind, phase=phase)
        assert report.error is None
    assert query(skipped, CATALOGUE) == query(in_order, CATALOGUE)


async def test_one_laptop_database_can_be_directory_and_shard(fresh_database):
    reports = [await migrate_database(fresh_database, kind) for kind in KINDS]
    assert [report.outcome for report in reports] == ["migrated", "migrated"]


async def test_old_code_runs_between_pre_and_post_and_never_after(fresh_database, tmp_path):
    old = load("shard", write(tmp_path, **{"0001_a__pre": "CREATE TABLE t (a int);"}))
    new_files = {
        "0002_b__pre": "ALTER TABLE t ADD b int;",
        "0002_b__post": "ALTER TABLE t DROP a;",
    }
    new = load("shard", write(tmp_path, **new_files))
    await migrate_database(fresh_database, old)
    async with connected(fresh_database, Options()) as conn:
        with pytest.raises(SchemaTooOldError, match="version 1 and 2 is needed"):
            await check_schema(conn, "shard", fileset=new)
        await migrate_database(fresh_database, new, phase="pre")
        await check_schema(conn, "shard", fileset=old)
        await check_schema(conn, "shard", fileset=new)
        await migrate_database(fresh_database, new, phase="post")
        with pytest.raises(SchemaTooNewError, match="needs code of version 2 or newer"):
            await check_schema(conn, "shard", fileset=old)
        await check_schema(conn, "shard", fileset=new)


async def test_the_migrator_of_an_old_release_leaves_a_newer_database_alone(
    fresh_database, tmp_path
):
    old = load("shard", write(tmp_path, **{"0001_a__pre": "CREATE TABLE t (a int);"}))
    middle = load("shard", write(tmp_path, **{"0002_b__pre": "ALTER TABLE t ADD b int;"}))
    newest = load("shard", write(tmp_path, **{"0003_c__post": "ALTER TABLE t DROP a;"}))
    await migrate_database(fresh_database, middle)
    assert (await migrate_database(fresh_database, old)).outcome == "newer"
    await migrate_database(fresh_database, newest)
    report = await migrate_database(fresh_database, old)
    assert report.outcome == "failed"
    assert report.remedy == "Deploy the release that migrated this database, or a newer one."


async def test_a_database_that_was_never_migrated_says_what_to_do(fresh_database):
    with pytest.raises(SchemaTooOldError, match="Type `serai migrate --phase pre` of this release"):
        await check_database(fresh_database, "shard")


async def test_an_edited_file_stops_the_run_before_anything_is_applied(fresh_database, tmp_path):
    await migrate_database(
        fresh_database, load("shard", write(tmp_path, **{"0001_a__pre": "CREATE TABLE t ();"}))
    )
    files = {"0001_a__pre": "CREATE TABLE t (a int);", "0002_b__pre": "CREATE TABLE u ();"}
    report = await migrate_database(fresh_database, load("shard", write(tmp_path, **files)))
    assert report.error == "0001_a.pre.sql was changed after it was applied to this database"
    assert query(fresh_database, "SELECT to_regclass('u')") == [(None,)]


async def test_a_file_that_fails_leaves_nothing_and_the_next_run_goes_on_from_it(
    fresh_database, tmp_path
):
    files = {
        "0001_a__pre": "CREATE TABLE t (a int);",
        "0002_b__pre": "CREATE TABLE u (); ALTER TABLE nothing ADD b int;",
        "0003_c__pre": "CREATE TABLE v ();",
    }
    write(tmp_path, **files)
    failed = await migrate_database(fresh_database, load("shard", tmp_path))
    assert failed.error == '0002_b.pre.sql: relation "nothing" does not exist'
    assert [file.file for file in failed.applied] == ["0001_a.pre.sql"]
    assert query(fresh_database, "SELECT to_regclass('u'), to_regclass('v')") == [(None, None)]
    write(tmp_path, **{"0002_b__pre": "CREATE TABLE u ();"})
    mended = await migrate_database(fresh_database, load("shard", tmp_path))
    assert [file.file for file in mended.applied] == ["0002_b.pre.sql", "0003_c.pre.sql"]


async def test_a_long_query_delays_a_migration_and_the_migration_delays_nobody(
    fresh_database, tmp_path
):
    files = {"0001_a__pre": "CREATE TABLE t (a int);", "0002_b__pre": "ALTER TABLE t ADD b int;"}
    write(tmp_path, **files)
    await migrate_database(fresh_database, load("shard", tmp_path), phase="pre")
    write(tmp_path, **{"0003_c__pre": "ALTER TABLE t ADD c int;"})
    busy = asyncio.Event()

    def tell(progress: Progress) -> None:
        if progress.state == "retrying":
            busy.set()

    async with await psycopg.AsyncConnection.connect(fresh_database) as reader:
        await reader.execute("SELECT * FROM t")
        run = asyncio.create_task(
            migrate_database(
                fresh_database,
                load("shard", tmp_path),
                options=Options(lock_timeout_seconds=0.1),
                progress=tell,
            )
        )
        async with asyncio.timeout(10):
            await busy.wait()
        await reader.rollback()
    report = await run
    assert (report.outcome, report.error) == ("migrated", None)
    assert report.retries >= 1


async def test_locks_that_never_come_free_end_the_run_with_advice(fresh_database, tmp_path):
    write(tmp_path, **{"0001_a__pre": "CREATE TABLE t (a int);"})
    await migrate_database(fresh_database, load("shard", tmp_path))
    write(tmp_path, **{"0002_b__pre": "ALTER TABLE t ADD b int;"})
    async with await psycopg.AsyncConnection.connect(fresh_database) as reader:
        await reader.execute("SELECT * FROM t")
        report = await migrate_database(
            fresh_database,
            load("shard", tmp_path),
            options=Options(lock_timeout_seconds=0.01, lock_attempts=3),
        )
    assert report.error == "0002_b.pre.sql: its locks were not free in 3 attempts"
    assert report.retries == 3


async def test_an_index_that_a_failed_build_left_invalid_is_built_again(fresh_database, tmp_path):
    write(tmp_path, **{"0001_a__pre": "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1);"})
    text = "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_a ON t (a);"
    write(tmp_path, **{"0002_b__pre": text})
    failed = await migrate_database(fresh_database, load("shard", tmp_path))
    assert "could not create unique index" in (failed.error or "")
    with psycopg.connect(fresh_database) as conn:
        conn.execute("DELETE FROM t WHERE ctid = (SELECT max(ctid) FROM t)")
    report = await migrate_database(fresh_database, load("shard", tmp_path))
    assert report.error is None
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 't_a'::regclass"
    assert query(fresh_database, valid) == [(True,)]


async def test_a_report_is_json_as_it_stands(fresh_database):
    report = await migrate_database(fresh_database, "directory", name="main")
    values = msgspec.json.decode(msgspec.json.encode(report))
    assert (values["name"], values["outcome"]) == ("main", "migrated")
    assert values["applied"][0]["file"] == "0001_directory.pre.sql"
