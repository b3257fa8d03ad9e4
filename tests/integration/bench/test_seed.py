"""A seeded shard is a shard: the same schema, rows that the write path could have written.

Owns the tests of `serai.bench.seed`. Promises that what is compared comes from the database or from
a shard that was never seeded, not from the code that seeds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from integration.app.programs import Shell
from serai.bench.reading import Reader
from serai.bench.rows import Rows
from serai.bench.seed import seed
from serai.bench.stage import Stage, open_stage

ORGS = 40
_SCHEMA = """
    SELECT conrelid::regclass::text || ' ' || conname, pg_get_constraintdef(oid), convalidated
    FROM pg_constraint WHERE connamespace::regnamespace::text IN ('serai', 'hospitality')
    UNION ALL
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid
    FROM pg_index WHERE indrelid::regclass::text ~ '^(serai|hospitality)'
    ORDER BY 1
"""
_UNLIKE = """
    SELECT count(*) FROM serai.row x JOIN serai.collection c ON c.number = x.collection
    LEFT JOIN hospitality.revenues r ON c.name = 'revenues' AND r.org_id = x.org_id AND r.id = x.id
    LEFT JOIN hospitality.properties p
        ON c.name = 'properties' AND p.org_id = x.org_id AND p.id = x.id
    WHERE x.doc::jsonb <> coalesce(to_jsonb(r), to_jsonb(p), x.doc::jsonb) - 'org_id' - 'id'
"""


class _Ended(Exception):
    """The run was ended."""


@pytest.fixture
def home() -> Iterator[Path]:
    """A place that the account of PostgreSQL can reach, as pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="serai-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "postgres"


def _schema(stage: Stage) -> list[tuple[object, ...]]:
    with psycopg.connect(stage.url) as c:
        c.execute("SET search_path = ''")
        return c.execute(_SCHEMA).fetchall()


async def test_a_seeded_shard_has_the_schema_of_one_that_was_never_seeded(home: Path) -> None:
    made = await seed(home, ORGS)
    assert (made.organisations, made.went_on) == (ORGS, 0)
    assert made.rows == 2 * ORGS + 3 * made.properties
    async with open_stage(data_dir=home) as stage, open_stage() as plain:
        assert _schema(stage) == _schema(plain)


async def test_its_rows_say_the_same_in_both_places_and_are_pulled_and_written(home: Path) -> None:
    made = await seed(home, ORGS)
    async with open_stage(data_dir=home) as stage:
        with psycopg.connect(stage.url) as c:
            assert c.execute(_UNLIKE).fetchone() == (0,)
            counted = c.execute("SELECT count(*), count(DISTINCT org_id) FROM serai.row").fetchone()
            ledger = c.execute("SELECT count(*) FROM hospitality.revenues").fetchone()
        assert counted == (made.rows, ORGS)
        assert ledger == (2 * made.properties,)
        head = await stage.shard.store.head(ORGS)
        assert head is not None
        reader = Reader(stage, ORGS, "revenues", grants_version=head.grants_version)
        (part,) = (await reader.pull(None)).answer.collections
        assert bytes(part.changes).count(b'"business_date":') >= 4
        answer = await stage.shard.coalescer.submit(Rows(stage.runtime.vertical).insert(ORGS))
        assert answer.version == head.version + 1
        with psycopg.connect(stage.settings.directory_url) as c:
            following = c.execute("SELECT next_org_id FROM serai_directory.org_range").fetchall()
            named = c.execute("SELECT count(*) FROM serai_directory.organisation").fetchone()
        assert (following, named) == ([(ORGS + 1,)], (ORGS,))


@pytest.mark.parametrize("at", ["filling hospitality.revenues", "made"])
async def test_a_run_that_was_ended_goes_on(home: Path, at: str) -> None:
    def end(step: str, _part: float) -> None:
        if step.startswith(at):
            raise _Ended

    with pytest.raises(_Ended):
        await seed(home, ORGS, end)
    await seed(home, ORGS)
    async with open_stage(data_dir=home) as stage, open_stage() as plain:
        assert _schema(stage) == _schema(plain)
        with psycopg.connect(stage.url) as c:
            assert c.execute(_UNLIKE).fetchone() == (0,)
            assert c.execute("SELECT count(DISTINCT org_id) FROM serai.row").fetchone() == (ORGS,)


def test_a_directory_with_another_number_is_left_as_it_is(home: Path, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.ok("bench", "seed", "--orgs", "5", "--data-dir", str(home))
    done = shell.run("bench", "seed", "--orgs", "6", "--data-dir", str(home))
    assert done.status == 1
    assert "holds 5 organisations" in done.err
