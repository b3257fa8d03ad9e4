"""The rows that are written: suppliers of random letters, all of one width.

Owns the content of every load. Promises rows whose JSON text has 268 bytes, an average row of the
real bookings, and letters without a pattern, so that compression gains as little as it can. Never
writes a row.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from serai.app.system_actor import SystemActor
from serai.core.ids import uuid7
from serai.log.intent import RowIntent, WriteIntent
from serai.model import Row, Vertical
from serai.ports.store import IdempotencyKey

COLLECTION: Final = "vendors"
ROW_BYTES: Final = 268
_NAME, _CODE = 155, 20
_EMPTY: Final[Row] = {"name": "", "code": "", "tax_number": "", "email": None, "active": True}
_LETTERS: Final = ROW_BYTES - len(msgspec.json.encode(_EMPTY))
_HASH: Final = bytes(32)


class Rows:
    """Rows, the same at each start."""

    def __init__(self, vertical: Vertical) -> None:
        self._chance = random.Random(1)  # noqa: S311 - letters for a load, the same in every run
        self.collection = vertical.by_name[COLLECTION]
        self.actor = SystemActor(vertical)

    def row(self) -> Row:
        """Return the next row."""
        letters = "".join(self._chance.choices(string.ascii_lowercase, k=_LETTERS))
        end = _NAME + _CODE
        return {
            **_EMPTY,
            "name": letters[:_NAME],
            "code": letters[_NAME:end],
            "tax_number": letters[end:],
        }

    def text(self) -> str:
        """Return the next row as its JSON text."""
        return msgspec.json.encode(self.row()).decode()

    def insert(self, org_id: int, *, once: bool = True) -> WriteIntent:
        """Return the wish for one more row, under an idempotency key unless told otherwise."""
        row_id = uuid7()
        key = IdempotencyKey(self.actor.user_id, str(row_id)) if once else None
        return self._wish(org_id, RowIntent(self.collection, "insert", row_id, self.row()), key)

    def update(self, org_id: int, row_id: UUID, fields: Row) -> WriteIntent:
        """Return the wish for a change."""
        return self._wish(org_id, RowIntent(self.collection, "update", row_id, fields), None)

    def spread(self, organisations: Sequence[int], count: int) -> list[WriteIntent]:
        """Return wishes for `count` rows of organisations drawn by chance."""
        return [self.insert(org_id) for org_id in self._chance.choices(organisations, k=count)]

    def _wish(self, org_id: int, row: RowIntent, once: IdempotencyKey | None) -> WriteIntent:
        return WriteIntent(org_id, self.actor, (row,), once, _HASH)
