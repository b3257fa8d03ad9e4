"""The migration files: names, headers, order, and finding the statements of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from serai.schema.compat import verdict
from serai.schema.database import SchemaState, pending
from serai.schema.errors import (
    ChangedFileError,
    LateFileError,
    MigrationFilesError,
    PreMissingError,
    SchemaTooNewError,
    SchemaTooOldError,
)
from serai.schema.files import KINDS, FileSet, Step, load, shipped, statements

PRE: frozenset[Step] = frozenset({"pre"})
POST: frozenset[Step] = frozenset({"post"})
BOTH = PRE | POST


def write(folder: Path, *names: str, text: str = "SELECT 1;") -> FileSet:
    for name in names:
        (folder / name).write_text(text)
    return load("shard", folder)


def names(files) -> list[str]:
    return [file.name for file in files]


def test_pre_runs_before_post_of_the_same_number_and_numbers_rise(tmp_path):
    files = write(tmp_path, "0010_c.pre.sql", "0002_b.post.sql", "0002_x.pre.sql", "0001_a.pre.sql")
    assert names(files.files) == [
        "0001_a.pre.sql",
        "0002_x.pre.sql",
        "0002_b.post.sql",
        "0010_c.pre.sql",
    ]


def test_code_needs_its_newest_pre_file_and_not_its_post_file(tmp_path):
    files = write(tmp_path, "0001_a.pre.sql", "0002_b.pre.sql", "0003_c.post.sql")
    assert (files.needs, files.version) == (2, 3)


@pytest.mark.parametrize(
    "name", ["1_a.pre.sql", "0001_a.sql", "0001-a.pre.sql", "0001_A.pre.sql", "0000_a.pre.sql"]
)
def test_a_file_with_another_name_is_refused_and_not_overlooked(tmp_path, name):
    with pytest.raises(MigrationFilesError, match="not a name of a migration"):
        write(tmp_path, name)


def test_two_branches_that_took_one_number_are_found_before_the_database_is(tmp_path):
    with pytest.raises(MigrationFilesError, match=r"0002_a\.pre\.sql and 0002_b\.pre\.sql"):
        write(tmp_path, "0002_a.pre.sql", "0002_b.pre.sql")


@pytest.mark.parametrize(
    ("name", "text", "transaction", "compat"),
    [
        ("0004_a.pre.sql", "SELECT 1;", True, 0),
        ("0004_a.post.sql", "SELECT 1;", True, 4),
        ("0004_a.post.sql", "-- drops an index that nobody uses\n-- compat: 0\nSELECT 1;", True, 0),
        ("0004_a.post.sql", "-- compat: 3\nSELECT 1;", True, 3),
        ("0004_a.pre.sql", "-- no-transaction\nSELECT 1;", False, 0),
        ("0004_a.pre.sql", "SELECT 1;\n-- no-transaction\n", True, 0),
    ],
)
def test_the_header_of_a_file_says_how_it_runs(tmp_path, name, text, transaction, compat):
    (file,) = write(tmp_path, name, text=text).files
    assert (file.transaction, file.compat) == (transaction, compat)


@pytest.mark.parametrize("name", ["0004_a.pre.sql", "0004_a.post.sql"])
def test_a_file_cannot_lock_out_the_release_it_belongs_to(tmp_path, name):
    with pytest.raises(MigrationFilesError, match="floor"):
        write(tmp_path, name, text="-- compat: 5\nSELECT 1;")


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_of_this_release_are_consistent(kind):
    assert shipped(kind).needs >= 1


def test_only_what_is_missing_is_applied_and_only_in_its_phase(tmp_path):
    files = write(
        tmp_path, "0001_a.pre.sql", "0001_a.post.sql", "0002_b.pre.sql", "0002_b.post.sql"
    )
    first = {file.name: file.sha256 for file in files.files[:1]}
    assert names(pending(files, first, PRE)) == ["0002_b.pre.sql"]
    assert names(pending(files, first, BOTH)) == names(files.files[1:])
    pres = {file.name: file.sha256 for file in files.files if file.step == "pre"}
    assert names(pending(files, pres, POST)) == ["0001_a.post.sql", "0002_b.post.sql"]
    assert pending(files, {file.name: file.sha256 for file in files.files}, BOTH) == []


def test_an_applied_file_that_was_edited_is_named(tmp_path):
    old = write(tmp_path, "0001_a.pre.sql").files[0]
    new = write(tmp_path, "0001_a.pre.sql", text="SELECT 2;")
    with pytest.raises(ChangedFileError, match=r"0001_a\.pre\.sql was changed"):
        pending(new, {old.name: old.sha256}, BOTH)


def test_a_file_merged_late_under_an_applied_one_is_refused(tmp_path):
    applied = write(tmp_path, "0003_c.pre.sql").files[0]
    files = write(tmp_path, "0002_b.pre.sql")
    with pytest.raises(LateFileError, match=r"0002_b\.pre\.sql is new, but 0003_c\.pre\.sql"):
        pending(files, {applied.name: applied.sha256}, BOTH)


def test_post_files_never_run_before_the_release_can_be_deployed(tmp_path):
    files = write(tmp_path, "0001_a.pre.sql", "0001_a.post.sql")
    with pytest.raises(PreMissingError, match=r"0001_a\.pre\.sql has not been applied"):
        pending(files, {}, POST)


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (SchemaState(version=0, compat=0), SchemaTooOldError),
        (SchemaState(version=1, compat=0), SchemaTooOldError),
        (SchemaState(version=2, compat=0), None),
        (SchemaState(version=9, compat=0), None),
        (SchemaState(version=9, compat=3), None),
        (SchemaState(version=9, compat=4), SchemaTooNewError),
    ],
)
def test_code_starts_only_on_a_schema_it_can_work_with(tmp_path, state, error):
    files = write(tmp_path, "0001_a.pre.sql", "0002_b.pre.sql", "0003_c.post.sql")
    if error is None:
        verdict(state, files)
        return
    with pytest.raises(error) as caught:
        verdict(state, files)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("-- a; b\nSELECT 1; /* ; */ SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';', 'it''s; ';SELECT 2", ["SELECT ';', 'it''s; '", "SELECT 2"]),
        (r"SELECT E'a\'; b'; SELECT 2", [r"SELECT E'a\'; b'", "SELECT 2"]),
        (r"SELECT date'\'; SELECT 2", [r"SELECT date'\'", "SELECT 2"]),
        ('CREATE TABLE "a;b" (c int); SELECT 2', ['CREATE TABLE "a;b" (c int)', "SELECT 2"]),
        ("DO $$ BEGIN; END $$; SELECT 2", ["DO $$ BEGIN; END $$", "SELECT 2"]),
        ("DO $a$ ; $$ ; $a$; SELECT $1", ["DO $a$ ; $$ ; $a$", "SELECT $1"]),
        (";;  ;\n-- nothing\n", []),
        ("SELECT 1/*a*/FROM t", ["SELECT 1 FROM t"]),
    ],
)
def test_statements_end_at_semicolons_that_are_not_inside_anything(text, expected):
    assert list(statements(text)) == expected
