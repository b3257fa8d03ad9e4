"""The file that is imported while others write to it, and its lines however they end."""

from __future__ import annotations

import gzip
import hashlib
import os
import resource
from io import BufferedReader, FileIO
from pathlib import Path, PosixPath
from typing import Any

import pytest

from serai.app.import_file import NotImportable, measure, private_copy, text_of

MIB = 1 << 20


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "count"),
    [
        (b"", 0),
        (b"a", 1),
        (b"a\nb\n", 2),
        (b"a\r\nb\r\nc", 3),
        (b"a\rb\rc\r", 3),
        (b"a\rb\rc", 3),
        (b"a\n\rb\r\n\nc\r\r\n", 6),
        # CR and LF on the two sides of the border between two blocks, then two that are apart.
        (b"a" * (MIB - 1) + b"\r\nb", 2),
        (b"a" * (MIB - 1) + b"\rb\n", 2),
        (b"a" * (MIB - 1) + b"\r\rb", 3),
        (b"a" * (MIB - 1) + b"\n\rb", 3),
    ],
)
def test_lines_are_counted_as_they_are_read(
    tmp_path: Path, content: bytes, count: int, *, packed: bool
):
    file = tmp_path / "a.csv"
    file.write_bytes(gzip.compress(content) if packed else content)
    with private_copy(file) as copy:
        assert measure(copy) == (hashlib.sha256(content).digest(), count)
        with text_of(copy) as text:
            read = list(text)
    assert len(read) == count
    assert "".join(read).encode() == content


def test_what_is_hashed_is_what_is_read_though_the_file_is_rewritten(tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_bytes(b"room,100\n")
    with private_copy(file) as copy:
        file.write_bytes(b"room,999\n")
        digest, _ = measure(copy)
        with text_of(copy) as text:
            assert text.read() == "room,100\n"
    assert digest == hashlib.sha256(b"room,100\n").digest()


class Written(PosixPath):
    """A file that another program writes to while it is read: `more`, at `offset`."""

    more = b""
    offset = 0

    def open(self, *_args: Any, **_more: Any) -> Any:
        path, more, offset = str(self), self.more, self.offset

        class Reader(BufferedReader):
            def read(self, size: int | None = -1, /) -> bytes:
                block = super().read(size)
                descriptor = os.open(path, os.O_WRONLY)
                os.pwrite(descriptor, more, offset)
                os.close(descriptor)
                return block

        return Reader(FileIO(path))


@pytest.mark.parametrize("offset", [0, 2 * MIB], ids=["rewritten in place", "grows"])
def test_a_file_that_changes_while_it_is_copied_is_refused(tmp_path: Path, offset: int):
    file = Written(tmp_path / "a.csv")
    Path(file).write_bytes(b"a" * (2 * MIB))
    os.utime(file, (0, 0))
    file.more, file.offset = b"b", offset
    with pytest.raises(NotImportable, match=r"changed while it was read; nothing was imported"):
        private_copy(file)


def test_a_temporary_folder_without_room_is_told_with_what_to_do(tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_bytes(b"a" * (3 * MIB))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Stands in for a full disk: writing fails in the middle, with an error of the kernel.
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB + 1000, hard))
    try:
        with pytest.raises(NotImportable, match=r"3145728 bytes.*nothing was imported.*TMPDIR"):
            private_copy(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
