"""A database and its log read without SQLite: what SQLite would read, whatever the log's state.

Owns the promise of `serai.client.snapshot` that the two agree. The measure is SQLite, opened on a
copy of both files.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest

from serai.client import FileDamaged
from serai.client.snapshot import FileTooLarge, image_of

FRAME_BYTES = 24 + 4096


def as_sqlite_reads(path: Path, folder: Path) -> list[str]:
    """Return what SQLite makes of copies of a file and its log."""
    folder.mkdir()
    for name in (path.name, path.name + "-wal"):
        if path.with_name(name).exists():
            shutil.copyfile(path.with_name(name), folder / name)
    with closing(sqlite3.connect(folder / path.name)) as connection:
        return [*connection.iterdump()]


def as_read_here(path: Path) -> list[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(image_of(path))
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        return [*connection.iterdump()]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Return a database whose log holds more than one commit, and a log that began anew: its end
    is of an earlier one.
    """
    live = tmp_path / "live.db"
    with closing(sqlite3.connect(live, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table guest (name text)")
        for number in range(40):
            connection.execute("insert into guest values (?)", [f"{number}" * 900])
        connection.execute("pragma wal_checkpoint(restart)")
        for number in range(6):
            connection.execute("insert into guest values (?)", [f"later {number}" * 900])
        path = tmp_path / "seen.db"
        shutil.copyfile(live, path)
        shutil.copyfile(tmp_path / "live.db-wal", tmp_path / "seen.db-wal")
    return path


def test_what_is_in_the_log_alone_is_read(written: Path, tmp_path: Path) -> None:
    found = as_read_here(written)
    assert any("later 5" in line for line in found)
    assert found == as_sqlite_reads(written, tmp_path / "copy")


def test_a_log_cut_anywhere_gives_what_sqlite_gives(written: Path, tmp_path: Path) -> None:
    log = written.with_name("seen.db-wal")
    whole = log.read_bytes()
    seen: set[int] = set()
    for end in (0, 31, 32, *range(32 + 1000, 32 + 40 * FRAME_BYTES, FRAME_BYTES // 2)):
        log.write_bytes(whole[:end])
        found = as_read_here(written)
        assert found == as_sqlite_reads(written, tmp_path / f"cut-{end}"), end
        seen.add(len(found))
    assert len(seen) == 7, "after none to six of the later rows"


def test_a_log_with_a_changed_byte_ends_there_as_for_sqlite(written: Path, tmp_path: Path) -> None:
    log = written.with_name("seen.db-wal")
    whole = log.read_bytes()
    places = (
        0,
        5,
        17,
        25,
        *(32 + n * FRAME_BYTES + at for n in range(9) for at in (3, 9, 17, 600)),
    )
    for at in places:
        changed = bytearray(whole)
        changed[at] ^= 1
        log.write_bytes(changed)
        assert as_read_here(written) == as_sqlite_reads(written, tmp_path / f"at-{at}"), at


def test_pages_that_a_vacuum_gave_back_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table guest (name text)")
        connection.execute("insert into guest values (?)", ["long " * 20_000])
        connection.execute("pragma wal_checkpoint(truncate)")
        before = path.stat().st_size
        connection.execute("delete from guest")
        connection.execute("vacuum")
        assert len(image_of(path)) < before
        assert as_read_here(path) == as_sqlite_reads(path, tmp_path / "copy")


def summed(data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f">{len(data) // 4}I", data)
    for at in range(0, len(words), 2):
        first = (first + words[at] + second) % 2**32
        second = (second + words[at + 1] + first) % 2**32
    return first, second


def forged(size: int, count: int) -> bytes:
    """Return a log that is whole in itself: one page, and a commit of `count` pages."""
    head = struct.pack(">6I", 0x377F0683, 3_007_000, size, 0, 1, 2)
    sums = summed(head, (0, 0))
    frame, page = struct.pack(">2I", 1, count), bytes(size)
    after = summed(frame + page, sums)
    return head + struct.pack(">2I", *sums) + frame + struct.pack(">4I", 1, 2, *after) + page


def test_a_log_that_claims_terabytes_costs_nothing(written: Path) -> None:
    written.with_name("seen.db-wal").write_bytes(forged(4096, 2**32 - 1))
    with pytest.raises(FileTooLarge):
        image_of(written)


def test_a_log_of_another_page_size_is_told(written: Path) -> None:
    written.with_name("seen.db-wal").write_bytes(forged(1024, 1))
    with pytest.raises(FileDamaged, match="of another file"):
        image_of(written)
