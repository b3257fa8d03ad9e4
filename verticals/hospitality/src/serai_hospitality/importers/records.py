"""What mappers share: ids from file and line, money from decimal text, columns by name.

Owns the ids of imported rows: UUIDv5 of (SHA-256 of the plain file, line number), so the same line
of the same file is the same row, however often it is imported and by whatever worker, and equal
lines are different rows. Lines count from 1, the header is line 1. Money is read from its digits; a
value never passes through a float.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

IMPORT_NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:serai:import")
MINOR_DIGITS: Final = 2
"""EUR and GBP, the currencies of the two formats, have hundredths."""

_SHA256: Final = re.compile("[0-9a-f]{64}")
_DECIMAL: Final = re.compile(r"(-?)([0-9]{1,13})(?:\.([0-9]{1,2}))?")
_VERSION_MASK: Final = ~(0xF000 << 64 | 0xC000 << 48)
_VERSION_BITS: Final = 5 << 76 | 0x8000 << 48


class LineError(ValueError):
    """Why a line was not understood."""


class LineIds:
    """Ids of the records of one file.

    `of(b"7")` equals `uuid5(IMPORT_NAMESPACE, f"{sha256}:7")`; it hashes the common beginning once,
    for an id costs a third of a line otherwise.
    """

    def __init__(self, file_sha256: str) -> None:
        """Take the SHA-256 of the plain file, in lower-case hexadecimal (ValueError)."""
        if _SHA256.fullmatch(file_sha256) is None:
            raise ValueError("the hash of a file is 64 hexadecimal digits")
        start = IMPORT_NAMESPACE.bytes + file_sha256.encode() + b":"
        self._start = hashlib.sha1(start, usedforsecurity=False)

    def of(self, name: bytes) -> UUID:
        """Return the id for the line number, and what follows it, that `name` spells."""
        state = self._start.copy()
        state.update(name)
        value = int.from_bytes(state.digest()[:16], "big")
        return UUID(int=value & _VERSION_MASK | _VERSION_BITS)


@lru_cache(maxsize=65_536)
def minor_from_decimal(text: str) -> int:
    """Return the minor units that a decimal text such as `-6.38` means (LineError)."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise LineError(f"{text!r} is not an amount with at most {MINOR_DIGITS} decimals")
    sign, whole, fraction = match.groups()
    value = int(whole + (fraction or "").ljust(MINOR_DIGITS, "0"))
    return -value if sign else value


def cells(line: str, count: int) -> list[str]:
    """Return the `count` cells of one line of CSV (LineError). A quoted cell may hold commas,
    not line ends.
    """
    text = line.rstrip("\r\n")
    if '"' in text:
        try:
            (found,) = csv.reader([text], strict=True)
        except csv.Error as error:
            raise LineError(f"the quotes do not close: {error}") from None
    else:
        found = text.split(",")
    if len(found) != count:
        raise LineError(f"has {len(found)} cells, not {count}")
    return found


def columns(header: str, wanted: Sequence[str]) -> tuple[int, list[int]]:
    """Return (number of columns, positions of the wanted ones).

    Raises:
        ValueError: a wanted column is missing, so this is another kind of file.
    """
    plain = header.removeprefix("\ufeff").rstrip("\r\n")
    try:
        names = [name for row in csv.reader([plain]) for name in row]
    except csv.Error as error:
        raise ValueError(f"its first line is no header: {error}") from None
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ValueError(f"the file has no column {', '.join(missing)}")
    return len(names), [names.index(name) for name in wanted]
