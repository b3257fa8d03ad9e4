"""The organisation that a property leaves.

Owns what is asked of it. Promises that its rows go through `serai.commit` like any other write,
each write in a transaction that asks for the transfer's term first. Never decides what comes next.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from typing import Final
from uuid import UUID

from serai.app.transfer.ends import AUTHOR, PAGE_ROWS, Place
from serai.app.transfer.shape import Link
from serai.core.ids import ORG_SCOPE
from serai.core.limits import WRITE_ROWS_MAX
from serai.model import Collection, Scope
from serai.ports.store import PlannedWrite, ReadSetItem, RowOp
from serai.readers.move.link import turn

_NO_ID: Final = UUID(int=0)


class Giver(Place):
    """The organisation that a property leaves."""

    def snapshot(self) -> AbstractContextManager[object]:
        """Hold one snapshot."""
        return self.shard.snapshot()

    def hold(self, term: int, scope: UUID | None) -> None:
        """Hold the property, or (None) let go of it.

        Raises:
            LostTurn: it is somebody else's turn.
        """
        with turn(term):
            self.query("hold", term=term, scope=scope)

    def pages(
        self, collection: Collection, scope: UUID, limit: int = PAGE_ROWS
    ) -> Generator[list[tuple[UUID, int, str]]]:
        """Yield (id, version, text) of the rows of a channel, page by page, in order of id."""
        after = _NO_ID
        number = collection.number
        while page := self.query("page", collection=number, scope=scope, after=after, limit=limit):
            yield page
            after = page[-1][0]

    def referred(self, link: Link, scope: UUID) -> list[UUID]:
        """Return the rows of the organisation to which rows of the property lead by a link."""
        return self.shard.referred(self.org_id, link, scope)

    def strays(self, scope: UUID) -> list[str]:
        """Return what leads across the border of the property, a sentence each."""
        found: list[str] = []
        for link in (*self.shape.inside, *self.shape.others):
            name, inside = f"{link.source.name}.{link.field}", link in self.shape.inside
            if inside:
                out = self.shard.out_of_place(self.org_id, link, scope)
                found += _told(out, f"{name} leads to another property")
            if link.field == "property_id" and inside:
                # That is what makes a row one of the property.
                continue
            into = self.shard.into_place(self.org_id, link, scope, inside=inside)
            found += _told(into, f"{name} leads into the property from outside")
        return found

    def grants(self, scope: UUID, limit: int = WRITE_ROWS_MAX) -> list[tuple[UUID, int, str]]:
        """Return (id, version, text) of rows that give a role at the property."""
        return self.shard.grants(self.org_id, self.shape.grants, scope, limit)

    def count_grants(self, scope: UUID) -> int:
        """Return how many rows give a role at the property."""
        return self.shard.count_grants(self.org_id, self.shape.grants, scope)

    def remove(
        self, collection: Collection, scope: UUID, rows: Sequence[tuple[UUID, int, str]], term: int
    ) -> bool:
        """Delete rows in one write; False if one of them has changed since it was read.

        Raises:
            LostTurn: it is somebody else's turn.
        """
        of = ORG_SCOPE if collection.scope is Scope.ORGANISATION else scope
        number = collection.number
        write = PlannedWrite(
            org_id=self.org_id,
            epoch=self.standing().epoch,
            ops=tuple(RowOp("delete", number, row_id, of, doc) for row_id, _, doc in rows),
            reads=tuple(ReadSetItem(number, row_id, version) for row_id, version, _ in rows),
            once=None,
            body_hash=b"",
            reply="",
            author=AUTHOR,
            grants_change=collection == self.shape.grants.source,
        )
        with turn(term), self.shard.transaction():
            self.query("turn", term=term, scope=scope)
            outcome = self.shard.commit(self.now(), write)
        assert outcome in ("committed", "stale"), f"serai.commit answered {outcome!r}"
        return outcome == "committed"

    def depart(self, claim_id: int, to_org: int, scope: UUID, term: int, said: str) -> None:
        """Say in the record that the property has gone, and let go of it.

        Raises:
            LostTurn: it is somebody else's turn.
        """
        given = {"term": term, "transfer": claim_id, "to": to_org, "scope": scope, "content": said}
        number = self.shape.place.number
        with turn(term):
            self.query("departed", **given, at=self.now(), author=AUTHOR.user_id, collection=number)


def _told(rows: int, what: str) -> list[str]:
    return [f"{what} in {rows} rows."] if rows else []
