"""The organisation that a property leaves.

Owns what is asked of it. Promises that its rows go through `serai.commit` like any other write,
each write in a transaction that asks for the transfer's term first. Never decides what comes next.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import psycopg

from serai.app.transfer.ends import AUTHOR, PAGE_ROWS, Place
from serai.app.transfer.shape import Link
from serai.core.ids import ORG_SCOPE
from serai.core.limits import WRITE_ROWS_MAX
from serai.log.arguments import commit_arguments
from serai.model import Collection, Scope
from serai.ports.store import PlannedWrite, ReadSetItem, RowOp
from serai.readers.move.link import Conn, turn
from serai.schema.collections import named
from serai.shard.queries import load_queries

_COMMIT: Final = load_queries("serai.log", "postgres.sql")["commit"].encode()
_NO_ID: Final = UUID(int=0)


class Giver(Place):
    """The organisation that a property leaves."""

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Hold one snapshot."""
        with self.conn.transaction():
            # SQL here: no statement on a table
            self.conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield

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
        statement = self.form("referred", link.source, field=named(link.field))
        found = self.conn.execute(statement, {"org": self.org_id, "scope": scope}).fetchall()
        return [row[0] for row in found]

    def strays(self, scope: UUID) -> list[str]:
        """Return what leads across the border of the property, a sentence each."""
        found: list[str] = []
        for link in (*self.shape.inside, *self.shape.others):
            given = {"org": self.org_id, "scope": scope, "target": link.target.number}
            names = {"field": named(link.field)}
            name = f"{link.source.name}.{link.field}"
            if link in self.shape.inside:
                out = self.form("out_of_place", link.source, **names)
                found += _told(self.conn, out, given, f"{name} leads to another property")
            if link.field == "property_id" and link in self.shape.inside:
                # That is what makes a row one of the property.
                continue
            place = "id" if link.source.scope is Scope.SELF else "property_id"
            other = f"t.{named(place)} <> %(scope)s" if link in self.shape.inside else "true"
            into = self.form("into_place", link.source, **names, elsewhere=other)
            found += _told(self.conn, into, given, f"{name} leads into the property from outside")
        return found

    def grants(self, scope: UUID, limit: int = WRITE_ROWS_MAX) -> list[tuple[UUID, int, str]]:
        """Return (id, version, text) of rows that give a role at the property."""
        link = self.shape.grants
        statement = self.form("grants", link.source, field=named(link.field))
        given = {"org": self.org_id, "collection": link.source.number, "scope": scope}
        return self.conn.execute(statement, {**given, "limit": limit}).fetchall()

    def count_grants(self, scope: UUID) -> int:
        """Return how many rows give a role at the property."""
        link = self.shape.grants
        statement = self.form("count_grants", link.source, field=named(link.field))
        ((found,),) = self.conn.execute(statement, {"org": self.org_id, "scope": scope}).fetchall()
        return int(found)

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
        with turn(term), self.conn.transaction():
            self.query("turn", term=term, scope=scope)
            cursor = psycopg.RawCursor(self.conn)
            arguments = [self.now(), *commit_arguments([write], trusting=False)]
            ((outcome, *_),) = cursor.execute(_COMMIT, arguments).fetchall()
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


def _told(conn: Conn, statement: bytes, given: Mapping[str, object], what: str) -> list[str]:
    row = conn.execute(statement, given).fetchone()
    assert row is not None, "an aggregate has a row"
    return [f"{what} in {row[0]} rows."] if row[0] else []
