"""A foreign file as lines: plain or gzip, copied and hashed first.

Owns the reading of files that are imported. Promises that damage is told as such: of the whole file
before anything is written, of a line by its number; and that the lines are of the bytes that were
hashed, whatever happens to the file meanwhile. Never reads a file into memory whole.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from io import BufferedRandom, TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Final, TextIO

_READ_BYTES: Final = 1 << 20
_HALF: Final = re.compile("[\ud800-\udfff]")
"""What a byte that is not UTF-8 is read as."""
_GZIP: Final = b"\x1f\x8b"


class NotImportable(ValueError):
    """The file as a whole cannot be imported: it is another kind of file, or it is damaged. The
    message says what is wrong with it.
    """


class Lines:
    """The lines of a file; notes the numbers of those that are not UTF-8."""

    def __init__(self, stream: TextIO) -> None:
        """Read from an open file (`text_of`)."""
        self._stream = stream
        self.damaged: set[int] = set()

    def __iter__(self) -> Iterator[str]:
        """Yield each line with its end."""
        for number, line in enumerate(self._stream, 1):
            if not line.isascii() and _HALF.search(line):
                self.damaged.add(number)
            yield line


def private_copy(path: Path) -> BufferedRandom:
    """Return a copy of the file as it is, without a name: nobody else can change it.

    It is read twice, for its hash and for its lines. Read from `path` the second time, a file that
    was rewritten in between would give other rows the ids of the lines that were hashed.

    Raises:
        OSError: the file cannot be read.
        NotImportable: it is no regular file, somebody writes to it, or there is no room.
    """
    if path.exists() and not path.is_file():
        raise NotImportable("it is not a regular file; write what a pipe gives into a file first")
    with path.open("rb") as source:
        before = os.fstat(source.fileno())
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's to close, unless it fails here
        try:
            copied = _copied(source, copy, before.st_size)
            after = os.fstat(source.fileno())
            if (before.st_size, before.st_mtime_ns) != (copied, after.st_mtime_ns):
                raise NotImportable(
                    "it changed while it was read; nothing was imported."
                    " Run it again when nobody writes to the file"
                )
        except BaseException:
            copy.close()
            raise
    return copy


def _copied(source: BinaryIO, copy: BufferedRandom, size: int) -> int:
    """Copy and return the number of bytes; end soon after `size`, a log may grow for ever."""
    copied = 0
    while copied <= size and (block := source.read(_READ_BYTES)):
        copied += len(block)
        left = memoryview(block)
        try:
            # Past the buffer: what cannot be written must not be tried again when it is closed.
            while left:
                left = left[copy.raw.write(left) or 0 :]
        except OSError as error:
            raise NotImportable(
                f"its private copy ({size} bytes) cannot be written to {tempfile.gettempdir()}:"
                f" {error.strerror}; nothing was imported. Set TMPDIR to a folder with room"
            ) from error
    return copied


def measure(copy: BufferedRandom) -> tuple[bytes, int]:
    """Return (SHA-256 of the plain file, its number of lines, counted as `text_of` ends them)."""
    digest, lines, last = hashlib.sha256(), 0, b"\n"
    stream = _plain(copy)
    try:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
            # A line ends with LF, CR or both, and both may be torn between two blocks.
            lines += block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")
            lines -= last == b"\r" and block.startswith(b"\n")
            last = block[-1:]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise NotImportable(f"its gzip data is damaged ({error}); nothing was imported") from error
    return digest.digest(), lines + (last not in b"\r\n")


def _plain(copy: BufferedRandom) -> BufferedRandom | gzip.GzipFile:
    copy.seek(0)
    compressed = copy.read(2) == _GZIP
    copy.seek(0)
    return gzip.GzipFile(fileobj=copy, mode="rb") if compressed else copy


def text_of(copy: BufferedRandom) -> TextIO:
    """Return the plain text. Bytes that are not UTF-8 become halves of surrogates: `Lines` tells.
    Closing it may close the copy.
    """
    return TextIOWrapper(_plain(copy), encoding="utf-8", errors="surrogateescape", newline="")
