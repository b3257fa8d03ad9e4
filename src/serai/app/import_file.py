"""A foreign file as lines: plain or gzip, hashed first.

Owns the reading of files that are imported. Promises that damage is told as such: of the whole file
before anything is written, of a line by its number. Never reads a file into memory whole.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
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
        """Read from an open file (`opened`)."""
        self._stream = stream
        self.damaged: set[int] = set()

    def __iter__(self) -> Iterator[str]:
        """Yield each line with its end."""
        for number, line in enumerate(self._stream, 1):
            if not line.isascii() and _HALF.search(line):
                self.damaged.add(number)
            yield line


def measure(path: Path) -> tuple[bytes, int]:
    """Return (SHA-256 of the plain file, its number of lines)."""
    if path.exists() and not path.is_file():
        # It is read twice, the first time for its hash: a pipe would be empty the second time.
        raise NotImportable("it is not a regular file; write what a pipe gives into a file first")
    digest, lines, last = hashlib.sha256(), 0, b"\n"
    try:
        with _plain(path) as stream:
            while block := stream.read(_READ_BYTES):
                digest.update(block)
                lines += block.count(b"\n")
                last = block[-1:]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise NotImportable(f"its gzip data is damaged ({error}); nothing was imported") from error
    return digest.digest(), lines + (last != b"\n")


def _plain(path: Path) -> BinaryIO | gzip.GzipFile:
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP
    return gzip.open(path, "rb") if compressed else path.open("rb")


def opened(path: Path) -> TextIO:
    """Open the plain text. Bytes that are not UTF-8 become halves of surrogates: `Lines` tells."""
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP
    if compressed:
        return gzip.open(path, "rt", encoding="utf-8", errors="surrogateescape", newline="")
    return path.open(encoding="utf-8", errors="surrogateescape", newline="")
