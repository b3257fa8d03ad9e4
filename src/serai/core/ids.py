"""Ids: organisations are 64-bit integers, rows are UUIDs, scopes are UUIDs with two reserved
values.

Owns how ids are made and spelled. Promises that a spelling is canonical: two spellings of one id
never meet. Never asks a server for an id: a phone without signal makes its own.
"""

from __future__ import annotations

import os
import re
import time
from random import getrandbits
from typing import Final
from uuid import UUID

ORG_SCOPE: Final = UUID(int=0)
"""The scope of rows that belong to the organisation and to no single property."""
ALL_SCOPES: Final = UUID(int=2**128 - 1)
"""In a channel set: every property, those to come as well. Never stored in a row."""

_RESERVED: Final = frozenset({str(ORG_SCOPE), str(ALL_SCOPES)})
_CANONICAL_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def parse_uuid(text: str) -> UUID:
    """Return the id that `text` spells canonically (lower case, hyphens).

    Raises:
        ValueError: another spelling, or one of the reserved values.
    """
    check_uuid(text)
    return UUID(text)


def check_uuid(text: str) -> None:
    """Raise ValueError as `parse_uuid` does, for callers that need the text only (a third of its
    cost).
    """
    if _CANONICAL_UUID.fullmatch(text) is None:
        raise ValueError("an id is a UUID in lower case with hyphens")
    if text in _RESERVED:
        raise ValueError("the all-zero and all-one UUIDs are reserved")


def uuid7_text() -> str:
    """Return the spelling of a new id, for a tenth of what an id and its spelling cost. It may be
    guessed: for what is looked up in logs, not for rows.
    """
    milliseconds = time.time_ns() // 1_000_000
    random = f"{getrandbits(76):019x}"
    variant = "89ab"[int(random[3], 16) & 3]
    return (
        f"{milliseconds >> 16 & 0xFFFF_FFFF:08x}-{milliseconds & 0xFFFF:04x}-7{random[:3]}"
        f"-{variant}{random[4:7]}-{random[7:]}"
    )


def uuid7() -> UUID:
    """Return a new time-ordered id (RFC 9562, version 7): neighbours in time stay neighbours."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | (random >> 68 & 0xFFF) << 64
    value |= 0b10 << 62 | random & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=value)
