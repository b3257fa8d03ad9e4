"""Guards on SQL and on text: the tenant in each statement, no address of one machine only.

As in test_python, each rule runs on the tree and on samples written by hand.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from guards import text_rules as rules
from guards.tree import project_files, report, source_files

# Definitions of tables name no tenant; the sync client's SQLite file belongs to one user.
NO_TENANT = ("src/serai/schema/", "src/serai/client/")
# The schema generates SQL from declarations; the other two administer a server of their own.
WRITES_SQL = (*NO_TENANT, "src/serai/embedded/", "src/serai/testing/")


def _outside(folders: tuple[str, ...], *suffixes: str) -> list[Path]:
    return [p for p in source_files(*suffixes) if not any(f in p.as_posix() for f in folders)]


def test_every_statement_names_its_organisation() -> None:
    found = [f for p in _outside(NO_TENANT, ".sql") for f in rules.tenantless_statements(p)]
    assert not found, report(found)


def test_every_statement_lives_in_a_sql_file() -> None:
    found = [f for p in _outside(WRITES_SQL, ".py") for f in rules.sql_in_python(p)]
    assert not found, report(found)


def test_no_file_holds_an_address_of_one_machine_or_registry() -> None:
    found = [f for path in project_files() for f in rules.unwelcome_text(path)]
    assert not found, report(found)


@pytest.mark.parametrize(
    "bad",
    [
        "SELECT doc FROM serai.row WHERE id = $1;",
        "UPDATE serai.org SET version = version + 1",
        "INSERT INTO serai.change (version, doc) VALUES ($1, $2);",
        "DELETE FROM ONLY serai.reply USING serai.org o WHERE o.id = 1;",
        "WITH due AS (SELECT id FROM serai.blob) SELECT * FROM due;",
        "SELECT 1; SELECT doc FROM serai.row -- by org_id, or so we say\n;",
        "SELECT 'org_id' FROM serai.row;",
        "-- no org_id: short\nSELECT doc FROM serai.row;",
    ],
)
def test_a_statement_without_its_organisation_is_seen(bad: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.sql"
    path.write_text(bad, encoding="utf-8")
    assert len(rules.tenantless_statements(path)) == 1


@pytest.mark.parametrize(
    "good",
    [
        "SELECT doc FROM serai.row WHERE org_id = $1 AND id = $2;",
        "SELECT o.version FROM unnest($1) AS u (id), serai.org AS o WHERE o.org_id = u.id;",
        "SELECT url FROM serai_directory.shard;",
        "SELECT count(*) FROM pg_stat_activity;",
        "SELECT * FROM serai.commit_writes($1);",
        "WITH due AS (SELECT 1) SELECT * FROM due;",
        "INSERT INTO serai_directory.shard (name) VALUES ($1) ON CONFLICT DO UPDATE SET url = $2;",
        "SELECT 'a; DELETE FROM x';",
        "-- no org_id: the pruner works through a whole shard\nSELECT 1 FROM serai.org;",
    ],
)
def test_a_statement_that_needs_no_organisation_passes(good: str, tmp_path: Path) -> None:
    path = tmp_path / "good.sql"
    path.write_text(good, encoding="utf-8")
    assert rules.tenantless_statements(path) == []


def test_a_finding_points_at_the_first_line_of_its_statement(tmp_path: Path) -> None:
    path = tmp_path / "two.sql"
    path.write_text("-- a\nSELECT 1;\n\n-- b; c\nSELECT 2\n  FROM serai.row;\n", encoding="utf-8")
    assert [f.line for f in rules.tenantless_statements(path)] == [5]


def test_sql_hidden_in_a_string_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "hidden.py"
    path.write_text(
        'a = "SELECT x FROM t"\n'
        'b = f"""\n  UPDATE {t} SET x = 1"""\n'
        "# SQL here: the table's name is the argument\n"
        'c = "DELETE FROM t"\n'
        'd = "Select a row from the list"\n'
        'e = "SELECT 1"\n',
        encoding="utf-8",
    )
    assert [f.line for f in rules.sql_in_python(path)] == [1, 2]


@pytest.mark.parametrize(
    "bad",
    [
        "index = https://py" + "pi.org/simple",
        "see https://registry.np" + "mjs.org/x",
        "open /wo" + "rk/main/README.md",
        "see ../sha" + "red/DESIGN.md",
        "it works \U0001f389",
    ],
)
def test_unwelcome_text_is_seen(bad: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.md"
    path.write_text(f"fine\n{bad}\n", encoding="utf-8")
    assert [f.line for f in rules.unwelcome_text(path)] == [2]


def test_ordinary_text_and_images_pass(tmp_path: Path) -> None:
    text = tmp_path / "good.md"
    text.write_text(
        "src/work/a.py, a network/worker, the shared/ folder, 3 < 4\n", encoding="utf-8"
    )
    image = tmp_path / "image.png"
    image.write_bytes(b"\x89PNG\xff\xfe")
    assert rules.unwelcome_text(text) == rules.unwelcome_text(image) == []
