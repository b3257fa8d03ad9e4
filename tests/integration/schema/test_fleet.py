"""A fleet: one directory, shards that answer, one that does not."""

from __future__ import annotations

import psycopg
import pytest

from serai.schema.generated import GeneratedStatement
from serai.schema.migrate import Progress, migrate_database, migrate_fleet

VERTICAL = [GeneratedStatement("rooms", "table", "CREATE TABLE public.rooms (id uuid)")]
NOBODY = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
async def fleet(make_database):
    """A directory that lists three shards; the second does not answer."""
    directory, first, third = make_database(), make_database(), make_database()
    await migrate_database(directory, "directory")
    with psycopg.connect(directory) as conn:
        for name, url in (("first", first), ("second", NOBODY), ("third", third)):
            conn.execute(
                "INSERT INTO serai_directory.shard (name, url) VALUES (%s, %s)", (name, url)
            )
    return directory


async def test_a_shard_that_is_down_does_not_keep_the_others_from_their_migration(fleet):
    seen: list[Progress] = []
    report = await migrate_fleet(fleet, statements=VERTICAL, progress=seen.append)
    assert not report.ok
    assert [(d.name, d.outcome) for d in report.databases] == [
        ("directory", "current"),
        ("first", "migrated"),
        ("second", "failed"),
        ("third", "migrated"),
    ]
    assert report.databases[2].remedy == "See that the database answers and run this again."
    assert report.databases[1].generated.applied == ("rooms",)
    assert {p.database for p in seen if p.state == "finished"} == {
        "directory",
        "first",
        "second",
        "third",
    }


async def test_the_run_after_the_repair_does_only_what_was_left(fleet, make_database):
    await migrate_fleet(fleet, statements=VERTICAL)
    with psycopg.connect(fleet) as conn:
        conn.execute(
            "UPDATE serai_directory.shard SET url = %s WHERE name = 'second'", (make_database(),)
        )
    report = await migrate_fleet(fleet, statements=VERTICAL, parallel=1)
    assert report.ok
    assert [d.outcome for d in report.databases] == ["current", "current", "migrated", "current"]


async def test_post_files_do_not_touch_the_vertical(fleet):
    report = await migrate_fleet(fleet, phase="post", statements=VERTICAL)
    assert [d.generated.applied for d in report.databases] == [(), (), (), ()]
    assert "has not been applied" in (report.databases[1].error or "")


async def test_without_a_directory_no_shard_is_touched():
    report = await migrate_fleet(NOBODY)
    assert (report.ok, [d.outcome for d in report.databases]) == (False, ["failed"])


@pytest.mark.parametrize("url", ["postgresql://me:secret%zz@host/db", "postgresql://a:se@cret@h/d"])
async def test_a_shards_url_that_cannot_be_read_is_told_without_its_password(fleet, url):
    with psycopg.connect(fleet) as conn:
        conn.execute("UPDATE serai_directory.shard SET url = %s WHERE name = 'second'", (url,))
    report = await migrate_fleet(fleet)
    second = report.databases[2]
    assert second.outcome == "failed"
    assert second.error is not None
    assert second.error.startswith("Its URL is ")
    assert not any(word in str(report) for word in ("secret", "cret"))
