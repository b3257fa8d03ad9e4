"""What rows of a property lead to in the organisation, and what stands for it in another one.

Owns the choice for each such row: the taker's row that is the same thing by its natural key; else
the taker's row with the same id, which an earlier transfer brought; else a copy, under the same id
unless the taker has deleted that. Promises that a row whose references are what they were keeps its
text byte for byte. Holds in memory the ids of rows that are referred to, never the rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence
from typing import Final
from uuid import UUID, uuid5

import msgspec

from serai.app.transfer.ends import PAGE_ROWS
from serai.app.transfer.giver import Giver
from serai.app.transfer.shape import Shape
from serai.app.transfer.taker import Taker
from serai.model import Collection
from serai.model.rules import Row

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, str | int | bool | None]).decode
_BATCH: Final = 500


class Mapping:
    """The rows that a property leads to.

    Attributes:
        problems: copies that the taker cannot take, a sentence each.
    """

    def __init__(self, shape: Shape, giver: Giver, taker: Taker) -> None:
        """Look at nothing yet."""
        self._shape, self._giver, self._taker = shape, giver, taker
        self._needed: dict[str, set[UUID]] = defaultdict(set)
        self._copies: dict[str, dict[UUID, UUID]] = defaultdict(dict)
        self._other: dict[str, dict[str, str]] = defaultdict(dict)
        self._matched: dict[str, int] = defaultdict(int)
        self._present: dict[str, int] = defaultdict(int)
        self.problems: list[str] = []

    @property
    def matched(self) -> dict[str, int]:
        """Collection -> rows that the taker has by their natural key."""
        return {name: rows for name, rows in self._matched.items() if rows}

    @property
    def present(self) -> dict[str, int]:
        """Collection -> rows that the taker has under the same id."""
        return {name: rows for name, rows in self._present.items() if rows}

    @property
    def copied(self) -> dict[str, int]:
        """Collection -> rows to be copied."""
        return {name: len(copies) for name, copies in self._copies.items() if copies}

    def look(self, scope: UUID) -> None:
        """Find out what rows of a property lead to, and what stands for it."""
        own = {c.name for c in self._shape.own}
        for link in self._shape.mapped:
            if link.source.name in own:
                self._needed[link.target.name].update(self._giver.referred(link, scope))
        # Those that others refer to come last: a copy adds what it refers to.
        for collection in reversed(self._shape.shared):
            ids = sorted(self._needed.pop(collection.name, ()))
            for first in range(0, len(ids), _BATCH):
                self._look_at(collection, ids[first : first + _BATCH])

    def copies(self) -> Generator[tuple[Collection, list[tuple[UUID, str]]]]:
        """Yield the rows to be copied, (id at the taker, text), in order of dependency."""
        for collection in self._shape.shared:
            copies = self._copies[collection.name]
            ids = sorted(copies)
            for first in range(0, len(ids), PAGE_ROWS):
                rows = self._giver.rows_of(collection, ids[first : first + PAGE_ROWS])
                yield (
                    collection,
                    [(copies[i], self._translated(collection, row)) for i, row in rows.items()],
                )

    def translated(self, collection: Collection, doc: str) -> str:
        """Return a row's text as it is at the taker: the same, unless a reference differs."""
        if not any(self._other[link.target.name] for link in self._shape.links_of(collection)):
            return doc
        row = _decode(doc)
        text = self._translated(collection, row)
        # A text that says the same is left as it is.
        return doc if row == _decode(doc) else text

    def _translated(self, collection: Collection, row: Row) -> str:
        for link in self._shape.links_of(collection):
            value = row[link.field]
            if isinstance(value, str):
                row[link.field] = self._other[link.target.name].get(value, value)
        return _encode(row).decode()

    def _look_at(self, collection: Collection, ids: Sequence[UUID]) -> None:
        rows = self._giver.rows_of(collection, ids)
        matched = self._matches(collection, rows)
        for row_id, same in matched.items():
            self._stands_for(collection, row_id, same)
        self._matched[collection.name] += len(matched)
        rest = {row_id: row for row_id, row in rows.items() if row_id not in matched}
        present = self._taker.rows_of(collection, list(rest))
        self._present[collection.name] += len(present)
        for row_id in present:
            del rest[row_id]
        for row_id in self._taker.buried(collection, list(rest)):
            self._find_place(collection, row_id, rest)
        self._copies[collection.name].update(
            {
                row_id: UUID(self._other[collection.name].get(str(row_id), str(row_id)))
                for row_id in rest
            }
        )
        self._clashes(collection, rest)
        for link in self._shape.links_of(collection):
            found = {row[link.field] for row in rest.values()}
            self._needed[link.target.name].update(UUID(v) for v in found if isinstance(v, str))

    def _matches(self, collection: Collection, rows: dict[UUID, Row]) -> dict[UUID, UUID]:
        key = collection.natural_key
        if not key or not rows:
            return {}
        there = self._taker.same_things(collection, key, list(rows.values()))
        texts = {row_id: tuple(str(row[name]) for name in key) for row_id, row in rows.items()}
        return {row_id: there[text] for row_id, text in texts.items() if text in there}

    def _stands_for(self, collection: Collection, row_id: UUID, same: UUID) -> None:
        if row_id != same:
            self._other[collection.name][str(row_id)] = str(same)

    def _find_place(self, collection: Collection, row_id: UUID, rest: dict[UUID, Row]) -> None:
        """Find an id for a copy whose own id the taker has deleted. The same one is found again."""
        place = row_id
        while self._taker.buried(collection, [place]):
            place = uuid5(place, "serai transfer")
        self._stands_for(collection, row_id, place)
        if self._taker.rows_of(collection, [place]):
            self._present[collection.name] += 1
            del rest[row_id]

    def _clashes(self, collection: Collection, rest: dict[UUID, Row]) -> None:
        """Note copies that have a value which only one row of the taker may have."""
        for fields in collection.unique:
            if any(collection.fields[name].target is not None for name in fields) or not rest:
                continue
            wanted = [row for row in rest.values() if row[fields[0]] is not None]
            there = self._taker.same_things(collection, fields, wanted)
            texts = [tuple(str(row[name]) for name in fields) for row in wanted]
            self.problems += [
                f"{collection.name}: the taker has another row with the"
                f" {', '.join(fields)} {', '.join(text)}, which is not the same thing."
                for text in texts
                if text in there
            ]
