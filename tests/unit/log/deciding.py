"""Deciding without a store: rows written by hand, and the loop that brings the rows asked for.

Owns what the tests of `serai.log.decide` share. Rows that a decision asks for and a test did not
give do not exist; a decision that asks twice for the same rows is an error. Never expects anything.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from serai.core.errors import SeraiError
from serai.gate.caller import Caller
from serai.log.decide import NeedRows, decide
from serai.log.intent import WriteIntent
from serai.model import Vertical
from serai.model.fields import Value
from serai.ports.store import (
    PlannedWrite,
    RowKey,
    StoredRow,
)
from unit.log.house import (
    ANNA,
    HOUSE,
    NOW,
    ORG,
    SEA,
    caller,
    row_id,
)

STAY = row_id(1)
Rows = dict[RowKey, StoredRow | None]


def key(collection: str, each: UUID, vertical: Vertical = HOUSE) -> RowKey:
    return (ORG, vertical.by_name[collection].number, each)


def kept(
    collection: str,
    scope: UUID = SEA,
    version: int = 5,
    changed: dict[str, int] | None = None,
    **fields: Value,
) -> StoredRow:
    """A row of the store; one of a property names it."""
    declared = HOUSE.by_name[collection].fields
    row: dict[str, Value] = {**dict.fromkeys(declared), **fields}
    if "property_id" in declared and collection != "memberships":
        row["property_id"] = str(scope)
    doc = msgspec.json.encode(row).decode()
    return StoredRow(version, scope, doc, changed or {}, min([version, *(changed or {}).values()]))


def planned(
    intent: WriteIntent, rows: Rows | None = None, vertical: Vertical = HOUSE, **more: Any
) -> PlannedWrite:
    """Decide as the coalescer does: rows that are asked for and not given do not exist."""
    known = dict(rows or {})
    while True:
        try:
            return decide(vertical, intent, known, epoch=3, now=NOW, **more)
        except NeedRows as need:
            if not set(need.keys) - known.keys():
                raise
            known.update(dict.fromkeys(need.keys))


def refused(
    intent: WriteIntent, rows: Rows | None = None, vertical: Vertical = HOUSE
) -> SeraiError:
    with pytest.raises(SeraiError) as caught:
        planned(intent, rows, vertical)
    return caught.value


def clerk(at: UUID = SEA) -> Caller:
    return caller(ANNA, ("clerk", at))
