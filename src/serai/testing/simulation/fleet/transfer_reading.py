"""What a session of a shard in memory reads for a transfer.

Owns the reading half of `serai.app.transfer.ports.TransferShard`. Promises that a snapshot stays
what it was, and that a session sees what it lets arrive. Never changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from serai.adapters.memory import MemoryStore
from serai.adapters.memory.store import Organisation
from serai.app.transfer.shape import Link
from serai.log.audit import FIRST_HASH
from serai.model import Collection, Scope
from serai.model.rules import Row
from serai.ports.store import Head

_decode = msgspec.json.Decoder(dict[str, str | int | bool | None]).decode


class ShardReading:
    """The reading half.

    Attributes:
        broken: the connection is lost.
    """

    def __init__(self, store: MemoryStore) -> None:
        """See what is there now."""
        self._store = store
        self.broken = False
        self._seen: dict[int, Organisation] | None = None
        self._arriving: tuple[int, Organisation] | None = None

    def referred(self, org_id: int, link: Link, scope: UUID) -> list[UUID]:
        """See `TransferShard`."""
        return sorted({UUID(each) for _, each in self._links(org_id, link, scope)})

    def same_things(
        self, org_id: int, collection: Collection, fields: Sequence[str], values: Sequence[Row]
    ) -> list[tuple[UUID, list[str]]]:
        """See `TransferShard`."""
        wanted = {row[fields[0]] for row in values}
        docs = [(key[1], _decode(row.doc)) for key, row in self._rows(org_id, collection)]
        return [
            (row_id, [str(doc[name]) for name in fields])
            for row_id, doc in docs
            if doc[fields[0]] in wanted
        ]

    def out_of_place(self, org_id: int, link: Link, scope: UUID) -> int:
        """See `TransferShard`."""
        rows, number = self._at(org_id).rows, link.target.number
        led = [rows.get((number, UUID(value))) for _, value in self._links(org_id, link, scope)]
        return len([row for row in led if row is not None and row.scope != scope])

    def into_place(self, org_id: int, link: Link, scope: UUID, *, inside: bool) -> int:
        """See `TransferShard`."""
        rows, number = self._at(org_id).rows, link.target.number
        there = {str(key[1]) for key, r in rows.items() if key[0] == number and r.scope == scope}
        found = [
            row
            for _, row in self._rows(org_id, link.source)
            if _decode(row.doc)[link.field] in there and not (inside and row.scope == scope)
        ]
        return len(found)

    def count_grants(self, org_id: int, link: Link, scope: UUID) -> int:
        """See `TransferShard`."""
        return len(self.grants(org_id, link, scope, len(self._at(org_id).rows)))

    def grants(self, org_id: int, link: Link, scope: UUID, limit: int) -> list[tuple[Any, ...]]:
        """See `TransferShard`."""
        found = [
            (key[1], row.version, row.doc)
            for key, row in self._rows(org_id, link.source)
            if _decode(row.doc)[link.field] == str(scope)
        ]
        return found[:limit]

    def _alive(self) -> None:
        if self.broken:
            raise psycopg.OperationalError("the connection was ended by an administrator")

    def _at(self, org_id: int) -> Organisation:
        """Return what this session sees of an organisation."""
        if self._arriving is not None and self._arriving[0] == org_id:
            return self._arriving[1]
        known = self._store.organisations if self._seen is None else self._seen
        return known.get(org_id) or Organisation(Head(1, 0, 0, 0, "absent"))

    def _rows(self, org_id: int, collection: Collection) -> list[tuple[tuple[int, UUID], Any]]:
        rows = sorted(self._at(org_id).rows.items())
        return [(key, row) for key, row in rows if key[0] == collection.number]

    def _links(self, org_id: int, link: Link, scope: UUID) -> list[tuple[UUID, str]]:
        """Return (row, where it leads to by a link) of the rows of a property."""
        own = link.source.scope is Scope.SELF
        found: list[tuple[UUID, str]] = []
        for (_, row_id), row in self._rows(org_id, link.source):
            value = _decode(row.doc)[link.field]
            if (row_id if own else row.scope) == scope and isinstance(value, str):
                found.append((row_id, value))
        return found

    def _standing(self, org: int) -> list[tuple[Any, ...]]:
        if org not in self._store.organisations:
            return []
        at = self._at(org)
        last = at.audit[-1].hash if at.audit else FIRST_HASH
        head = at.head
        return [(head.state, at.held, head.version, len(at.audit), last, head.epoch)]

    def _page(
        self, org: int, collection: int, scope: UUID, after: UUID, limit: int
    ) -> list[tuple[Any, ...]]:
        found = [
            (row_id, row.version, row.doc)
            for (number, row_id), row in sorted(self._at(org).rows.items())
            if number == collection and row.scope == scope and row_id > after
        ]
        return found[:limit]

    def _count(self, org: int, collection: int, scope: UUID) -> list[tuple[Any, ...]]:
        rows = self._at(org).rows.items()
        return [(len([1 for key, r in rows if key[0] == collection and r.scope == scope]),)]

    def _rows_of(self, org: int, collection: int, ids: Sequence[UUID]) -> list[tuple[Any, ...]]:
        found = [(row_id, self._at(org).rows.get((collection, row_id))) for row_id in ids]
        return [(row_id, row.doc) for row_id, row in found if row is not None]

    def _buried(self, org: int, collection: int, ids: Sequence[UUID]) -> list[tuple[Any, ...]]:
        at = self._at(org)
        return [
            (row_id, at.left.get((collection, row_id)))
            for row_id in ids
            if (collection, row_id) in at.gone
        ]
