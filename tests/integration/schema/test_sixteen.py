"""Sixteen shards: a migrator that dies is followed by one that goes on, and a shard that waits
holds up no other.

Owns fleets of sixteen databases, each a copy of one that was migrated before. Never waits for a
time: what is waited for is that the others are done.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from integration.conftest import MakeDatabase
from serai.schema.database import LOCK_KEY
from serai.schema.generated import GeneratedStatement
from serai.schema.migrate import Progress, migrate_database, migrate_fleet

NAMES = [f"s{n:02}" for n in range(1, 17)]
VERTICAL = [GeneratedStatement("rooms", "table", "CREATE TABLE public.rooms (id uuid)")]
PROGRAM = Path(__file__).with_name("kill_fleet.py")
Fleet = tuple[str, dict[str, str]]


@pytest.fixture(scope="module")
def templates(make_database: MakeDatabase) -> tuple[str, str]:
    """URLs of a directory and of a shard, both migrated."""
    directory, shard = make_database(), make_database()
    asyncio.run(migrate_database(directory, "directory"))
    asyncio.run(migrate_database(shard, "shard"))
    return directory, shard


@pytest.fixture
def fleet(make_database: MakeDatabase, templates: tuple[str, str]) -> Fleet:
    """A directory that lists sixteen shards, and their URLs by name."""
    directory = make_database(templates[0])
    urls = {name: make_database(templates[1]) for name in NAMES}
    with psycopg.connect(directory) as conn:
        for name, url in urls.items():
            conn.execute(
                "INSERT INTO serai_directory.shard (name, url) VALUES (%s, %s)", (name, url)
            )
    return directory, urls


def migrated(urls: dict[str, str]) -> list[str]:
    """Return the shards that have the new table."""
    found: list[str] = []
    for name, url in urls.items():
        with psycopg.connect(url) as conn:
            row = conn.execute("SELECT to_regclass('public.rooms') IS NOT NULL").fetchone()
            found += [name] if row == (True,) else []
    return found


async def test_a_shard_that_somebody_holds_keeps_none_of_the_others_waiting(fleet: Fleet) -> None:
    """It comes free when all others are done, so the run would never end if one waited for it."""
    directory, urls = fleet
    holder = await psycopg.AsyncConnection.connect(urls["s03"], autocommit=True)
    await holder.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
    done: set[str] = set()
    others = asyncio.Event()

    def told(progress: Progress) -> None:
        if progress.state == "finished":
            done.add(progress.database)
            if done == {"directory", *NAMES} - {"s03"}:
                others.set()

    run = asyncio.create_task(migrate_fleet(directory, statements=VERTICAL, progress=told))
    await others.wait()
    assert migrated(urls) == [name for name in NAMES if name != "s03"]
    await holder.close()
    report = await run
    assert report.ok
    assert migrated(urls) == NAMES


@pytest.mark.parametrize("last", [1, 7, 16])
async def test_a_migrator_that_is_killed_is_followed_by_one_that_does_what_was_left(
    fleet: Fleet, last: int
) -> None:
    directory, urls = fleet
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(PROGRAM), directory, str(last)), stderr=subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == -9, said
    before = migrated(urls)
    assert len(before) >= last
    report = await migrate_fleet(directory, statements=VERTICAL)
    assert report.ok
    assert migrated(urls) == NAMES
    applied = [each.name for each in report.databases if each.generated.applied]
    assert set(applied) == set(NAMES) - set(before)
