"""Files of every kind that people have: what is imported, what is told, and nothing twice.

The lines are the first fifty of the real bookings; the expected counts are counted by hand from
them: 50 lines, none cancelled before line 10, 296 rows (a guest and a stay a line, a revenue a
night).
"""

from __future__ import annotations

import asyncio
import gzip
import os
import threading
from pathlib import Path

import psycopg
import pytest

from integration.app.programs import Ended, Shell
from serai.app.importing import ImportReport, import_file
from serai.app.runtime import open_runtime
from serai.app.settings import Settings
from serai_hospitality.data import data_path

Fleet = tuple[str, str]


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """The header and fifty bookings."""
    with gzip.open(data_path("hotel_bookings.csv.gz")) as stream:
        return [next(stream) for _ in range(51)]


@pytest.fixture
def organisation(shell: Shell, key: str) -> str:
    shell.ok("org", "create", key)
    return key


def bookings(shell: Shell, file: Path, key: str) -> Ended:
    return shell.run("import", "hotel-bookings", str(file), "--org", key, "--json")


def counts(done: Ended) -> dict[str, int]:
    found = done.json
    assert found["lines"] == sum(found[n] for n in ("imported", "present", "left_out", "bad"))
    return {name: found[name] for name in ("imported", "rows", "present", "bad")}


def stored(fleet: Fleet, key: str) -> tuple[int, int, int]:
    """Return how many (stays, guests, revenues) the organisation has."""
    with psycopg.connect(fleet[0]) as directory:
        org = directory.execute(
            "SELECT org_id FROM serai_directory.organisation WHERE key = %s", (key,)
        ).fetchone()
    assert org is not None
    with psycopg.connect(fleet[1]) as shard:
        row = shard.execute(
            "SELECT (SELECT count(*) FROM hospitality.stays WHERE org_id = %(org)s),"
            " (SELECT count(*) FROM hospitality.guests WHERE org_id = %(org)s),"
            " (SELECT count(*) FROM hospitality.revenues WHERE org_id = %(org)s)",
            {"org": org[0]},
        ).fetchone()
    assert row is not None
    return row


def test_the_same_file_again_in_any_packing_writes_nothing_and_says_so(
    tmp_path: Path, shell: Shell, organisation: str, lines: list[bytes], fleet: Fleet
) -> None:
    plain, packed = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    plain.write_bytes(b"".join(lines))
    packed.write_bytes(gzip.compress(b"".join(lines)))
    first = bookings(shell, plain, organisation)
    assert counts(first) == {"imported": 50, "rows": 296, "present": 0, "bad": 0}
    held = stored(fleet, organisation)
    assert held == (50, 50, 196)
    for file in (plain, packed):
        again = bookings(shell, file, organisation)
        assert again.status == 0
        assert counts(again) == {"imported": 0, "rows": 0, "present": 50, "bad": 0}
    told = shell.ok("import", "hotel-bookings", str(plain), "--org", organisation)
    assert told.out == ""
    assert told.err == ("50 lines: 0 imported as 0 rows, 50 there already, 0 left out, 0 bad\n")
    assert stored(fleet, organisation) == held


def test_bad_lines_are_told_by_number_and_reason_and_the_rest_is_imported(
    tmp_path: Path, shell: Shell, organisation: str, lines: list[bytes], fleet: Fleet
) -> None:
    wrong = list(lines)
    wrong[3] = b'"open,' + wrong[3]
    wrong[6] = b"one,two\n"
    wrong[9] = wrong[9].replace(b"PRT", b"P\xffT").replace(b"GBR", b"G\xffR")
    wrong[12] = b"a" * 300_000 + b"\n"
    wrong[20] = wrong[20].replace(b"Resort Hotel", b"Grand Hotel")
    wrong[50] = wrong[50][:40]
    file = tmp_path / "wrong.csv"
    file.write_bytes(b"".join(wrong))
    done = bookings(shell, file, organisation)
    assert done.status == 1
    assert counts(done)["imported"] == 44
    told = {bad["line"]: bad["reason"] for bad in done.json["bad_lines"]}
    assert list(told) == [4, 7, 10, 13, 21, 51]
    assert "quotes do not close" in told[4]
    assert told[7] == "has 2 cells, not 32"
    assert told[10] == "is not UTF-8"
    assert told[13] == "has 1 cells, not 32"
    assert "Grand Hotel" in told[21]
    assert "cells, not 32" in told[51]
    assert stored(fleet, organisation)[0] == 44
    text = shell.run("import", "hotel-bookings", str(file), "--org", organisation)
    assert "  line 7: has 2 cells, not 32\n" in text.err


def test_equal_lines_are_different_bookings(
    tmp_path: Path, shell: Shell, organisation: str, lines: list[bytes], fleet: Fleet
) -> None:
    file = tmp_path / "equal.csv"
    file.write_bytes(lines[0] + lines[1] * 3)
    assert counts(bookings(shell, file, organisation))["imported"] == 3
    assert stored(fleet, organisation)[:2] == (3, 3)


@pytest.mark.parametrize("form", ["crlf", "cr", "bom", "no last line end", "only the header"])
def test_a_file_that_went_through_other_programs_is_read(
    form: str, tmp_path: Path, shell: Shell, organisation: str, lines: list[bytes]
) -> None:
    whole = b"".join(lines)
    content = {
        "crlf": whole.replace(b"\n", b"\r\n"),
        "cr": whole.replace(b"\n", b"\r"),
        "bom": b"\xef\xbb\xbf" + whole,
        "no last line end": whole.rstrip(b"\n"),
        "only the header": lines[0],
    }[form]
    file = tmp_path / "file.csv"
    file.write_bytes(content)
    done = bookings(shell, file, organisation)
    assert done.status == 0
    assert counts(done)["imported"] == (0 if form == "only the header" else 50)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file has no column hotel,"),
        (b"hotell,lead_time\n", "the file has no column hotel,"),
        (b"\0\1\2" * 100, "the file has no column hotel,"),
        (b"a" * 300_000, "its first line is no header"),
        (b"\x1f\x8bno gzip", "its gzip data is damaged"),
        (gzip.compress(os.urandom(100_000))[:50_000], "its gzip data is damaged"),
    ],
    ids=["empty", "wrong header", "binary", "one endless line", "no gzip", "cut gzip"],
)
def test_a_file_of_another_kind_is_refused_in_one_line(
    content: bytes, words: str, tmp_path: Path, shell: Shell, organisation: str, fleet: Fleet
) -> None:
    file = tmp_path / "other.csv"
    file.write_bytes(content)
    done = bookings(shell, file, organisation)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"serai: {file} cannot be imported as hotel-bookings: ")
    assert words in done.err
    assert stored(fleet, organisation) == (0, 0, 0)


def test_a_folder_and_a_file_that_is_not_there_are_refused(
    tmp_path: Path, shell: Shell, organisation: str
) -> None:
    folder = bookings(shell, tmp_path, organisation)
    assert folder.status == 1
    assert "it is not a regular file" in folder.err
    missing = bookings(shell, tmp_path / "none.csv", organisation)
    assert (missing.status, missing.err) == (
        1,
        f"serai: {tmp_path / 'none.csv'} No such file or directory\n",
    )


def test_a_pipe_is_refused_before_anything_is_read(
    tmp_path: Path, shell: Shell, organisation: str
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = bookings(shell, pipe, organisation)
    assert done.status == 1
    assert "it is not a regular file" in done.err


def test_a_kind_that_nobody_knows_is_told_with_those_there_are(
    tmp_path: Path, shell: Shell, organisation: str
) -> None:
    done = shell.run("import", "menus", str(tmp_path), "--org", organisation)
    assert done.status == 1
    assert "hotel-bookings, supplier-payments" in done.err


def test_two_imports_of_one_file_at_once_write_each_line_once(
    tmp_path: Path, shell: Shell, organisation: str, lines: list[bytes], fleet: Fleet
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(lines[0] + b"".join(lines[1:]) * 40)
    done: list[Ended] = []
    both = [
        threading.Thread(target=lambda: done.append(bookings(shell, file, organisation)))
        for _ in range(2)
    ]
    for each in both:
        each.start()
    for each in both:
        each.join()
    found = [counts(each) for each in done]
    assert [each.status for each in done] == [0, 0]
    assert sum(each["imported"] for each in found) == 2_000
    assert sum(each["present"] for each in found) == 2_000
    assert stored(fleet, organisation) == (2_000, 2_000, 196 * 40)


async def test_an_import_tells_its_progress_line_by_line(
    tmp_path: Path, shell: Shell, organisation: str, lines: list[bytes], fleet: Fleet
) -> None:
    file = tmp_path / "a.csv"
    await asyncio.to_thread(file.write_bytes, lines[0] + b"".join(lines[1:]) * 20)
    seen: list[tuple[int, int]] = []
    async with open_runtime(Settings(directory_url=fleet[0]), as_owner=True) as runtime:
        report = await import_file(
            runtime,
            organisation,
            runtime.vertical.importers["hotel-bookings"],
            file,
            progress=lambda r: seen.append((r.done, r.lines)),
        )
    assert seen == sorted(seen)
    assert seen[-1] == (1_000, 1_000)
    assert (report.imported, report.rows) == (1_000, 296 * 20)


async def test_a_file_that_is_rewritten_during_its_import_is_imported_as_it_was(
    tmp_path: Path, shell: Shell, organisation: str, lines: list[bytes], fleet: Fleet
) -> None:
    file = tmp_path / "a.csv"
    await asyncio.to_thread(file.write_bytes, lines[0] + b"".join(lines[1:]) * 20)

    def rewrite(_: ImportReport) -> None:
        # In place, and another kind of file: each line that came from it would be bad.
        file.write_bytes(b"rewritten\n" * 50_000)

    async with open_runtime(Settings(directory_url=fleet[0]), as_owner=True) as runtime:
        report = await import_file(
            runtime,
            organisation,
            runtime.vertical.importers["hotel-bookings"],
            file,
            progress=rewrite,
        )
    assert (report.lines, report.imported, report.bad) == (1_000, 1_000, 0)
    assert stored(fleet, organisation) == (1_000, 1_000, 196 * 20)
