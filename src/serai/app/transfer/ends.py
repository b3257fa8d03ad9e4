"""An end of a transfer: one organisation on its shard.

Owns what both ends have in common: where it stands, and reading rows by id. Promises that every
change asks for the transfer's term. Never decides what comes next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from serai.app.transfer.ports import TransferShard
from serai.app.transfer.shape import Shape
from serai.core.clock import Clock, timestamp_text
from serai.core.limits import WRITE_ROWS_MAX
from serai.model import Collection
from serai.model.rules import Row
from serai.ports.store import Author
from serai.readers.move.link import turn

AUTHOR: Final = Author(UUID("00000000-0000-7000-8000-000000000001"), None, "transfer")
"""Serai itself; the entries about a transfer name who ordered it."""
PAGE_ROWS: Final = 2 * WRITE_ROWS_MAX
"""Rows of an arrival in one statement: two versions, 25 MiB if every row is as large as may be."""
_decode = msgspec.json.Decoder(dict[str, str | int | bool | None]).decode


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an organisation stands on its shard; `state` is `absent` if it is not there."""

    state: str
    held: UUID | None
    version: int
    number: int
    hash: bytes
    epoch: int


class Place:
    """One organisation on its shard.

    Args:
        shard: where it lives.
    """

    def __init__(self, shard: TransferShard, shape: Shape, org_id: int, clock: Clock) -> None:
        """Keep the parts."""
        self.shard = shard
        self.shape = shape
        self.org_id = org_id
        self._clock = clock

    def claim(self, term: int) -> None:
        """Take the organisation for a term.

        Raises:
            LostTurn: somebody holds it under a higher term.
        """
        with turn(term):
            self.query("claim", term=term)

    def standing(self) -> Standing:
        """Return where it stands."""
        rows = self.query("standing")
        return Standing(*rows[0]) if rows else Standing("absent", None, 0, 0, b"", 0)

    def rows_of(self, collection: Collection, ids: Sequence[UUID]) -> dict[UUID, Row]:
        """Return those of the rows that are there."""
        found = self.query("rows_of", collection=collection.number, ids=list(ids))
        return {row_id: _decode(doc) for row_id, doc in found}

    def buried(self, collection: Collection, ids: Sequence[UUID]) -> dict[UUID, UUID | None]:
        """Return id -> property with which it left (None: it was deleted), of ids that are gone."""
        return dict(self.query("buried", collection=collection.number, ids=list(ids)))

    def same_things(
        self, collection: Collection, fields: Sequence[str], values: Sequence[Row]
    ) -> dict[tuple[str, ...], UUID]:
        """Return (texts of the fields) -> id, of the rows that are like one of `values` in the
        first of them.
        """
        found = self.shard.same_things(self.org_id, collection, fields, values)
        return {tuple(texts): row_id for row_id, texts in found}

    def count(self, collection: Collection, scope: UUID) -> int:
        """Return how many rows of a channel there are."""
        found: int = self.query("count", collection=collection.number, scope=scope)[0][0]
        return found

    def query(self, name: str, **given: object) -> list[tuple[Any, ...]]:
        """Run a named statement about the organisation."""
        return self.shard.query(name, org=self.org_id, **given)

    def now(self) -> str:
        """Return the moment, as the audit record says it."""
        return timestamp_text(self._clock.now())
