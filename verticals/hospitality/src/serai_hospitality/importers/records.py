"""What mappers share: ids from file and line, money from decimal text, columns by name.

Owns the ids of imported rows: they follow from (SHA-256 of the plain file, line number), so the
same line of the same file is the same row, however often it is imported and by whatever worker, and
equal lines are different rows. Lines count from 1, the header is line 1. Money is read from its
digits; a value never passes through a float.
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
_LINE_BITS: Final = 40
_PART_BITS: Final = 16
_VERSION_BITS: Final = 8 << 76 | 2 << 62


class LineError(ValueError):
    """Why a line was not understood."""


class LineIds:
    """Ids of the records of one file, in order of its lines.

    UUIDv8 (RFC 9562, 5.8): 66 bits of a hash of the file, line number in 40 bits, part of the line
    in 16. In order, because every index of the database takes a row at its end then: rows with
    scattered ids cost a quarter more.
    """

    def __init__(self, file_sha256: str) -> None:
        """Take the SHA-256 of the plain file, in lower-case hexadecimal (ValueError)."""
        if _SHA256.fullmatch(file_sha256) is None:
            raise ValueError("the hash of a file is 64 hexadecimal digits")
        digest = hashlib.sha256(IMPORT_NAMESPACE.bytes + file_sha256.encode()).digest()
        file = int.from_bytes(digest, "big") >> (256 - 66)
        # 48 bits before the version, 12 between it and the variant, 6 after.
        self._start = (
            file >> 18 << 80 | _VERSION_BITS | (file >> 6 & 0xFFF) << 64 | (file & 63) << 56
        )

    def of(self, line: int, part: int = 0) -> UUID:
        """Return the id of a line's record: each of them has a part of its own, from 0.

        Raises:
            ValueError: a number is negative, or too large for its bits.
        """
        if line >> _LINE_BITS or part >> _PART_BITS:
            raise ValueError(f"line {line}, part {part} has no id")
        return UUID(int=self._start | line << _PART_BITS | part)


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
