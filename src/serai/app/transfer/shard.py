"""A shard of a transfer on PostgreSQL: its statements, and the forms made for a vertical's tables.

Owns how the promises of `serai.app.transfer.ports.TransferShard` are kept there. Never decides what
comes next.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final
from uuid import UUID

import psycopg

from serai.app.transfer.shape import Link
from serai.log.arguments import commit_arguments
from serai.model import Collection, Scope
from serai.model.rules import Row
from serai.ports.store import PlannedWrite
from serai.readers.move.ends import End
from serai.readers.move.link import Conn
from serai.schema.collections import column_type, named
from serai.shard.queries import load_queries

_SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.app.transfer", "ends.sql").items()
}
_FORMS: Final = load_queries("serai.app.transfer", "forms.sql")
_COMMIT: Final = load_queries("serai.log", "postgres.sql")["commit"].encode()


class SqlShard:
    """See `TransferShard`.

    Args:
        conn: as the shard's owner, in autocommit.
        schema: of the vertical's tables.
    """

    def __init__(self, conn: Conn, schema: str) -> None:
        """Keep the parts."""
        self._conn, self._schema = conn, schema

    def query(self, name: str, /, **given: object) -> list[tuple[Any, ...]]:
        """Run a named statement."""
        cursor = self._conn.execute(_SQL[name], given)
        return cursor.fetchall() if cursor.description else []

    def commit(self, now: str, write: PlannedWrite) -> str:
        """Write through `serai.commit`."""
        cursor = psycopg.RawCursor(self._conn)
        arguments = [now, *commit_arguments([write], trusting=False)]
        ((outcome, *_),) = cursor.execute(_COMMIT, arguments).fetchall()
        told: str = outcome
        return told

    def change(self, org_id: int, term: int, before: str, after: str) -> None:
        """Change the state of an organisation.

        Raises:
            LostTurn: it is not in that state under this term.
        """
        End(self._conn).change([org_id], term, (before,), after)

    def transaction(self) -> AbstractContextManager[object]:
        """Begin a transaction."""
        return self._conn.transaction()

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Hold one snapshot."""
        with self._conn.transaction():
            # SQL here: no statement on a table
            self._conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield

    def referred(self, org_id: int, link: Link, scope: UUID) -> list[UUID]:
        """See `TransferShard`."""
        given = {"org": org_id, "scope": scope}
        found = self._formed("referred", link.source, given, field=named(link.field))
        return [row[0] for row in found]

    def same_things(
        self, org_id: int, collection: Collection, fields: Sequence[str], values: Sequence[Row]
    ) -> list[tuple[UUID, list[str]]]:
        """See `TransferShard`."""
        first = fields[0]
        found = self._formed(
            "same_things",
            collection,
            {"org": org_id, "values": [row[first] for row in values]},
            texts=", ".join(f"t.{named(name)}::text" for name in fields),
            first=named(first),
            kind=column_type(collection.fields[first]),
        )
        return [(row_id, texts) for row_id, texts in found]

    def out_of_place(self, org_id: int, link: Link, scope: UUID) -> int:
        """See `TransferShard`."""
        return self._count("out_of_place", org_id, link, scope)

    def into_place(self, org_id: int, link: Link, scope: UUID, *, inside: bool) -> int:
        """See `TransferShard`."""
        place = "id" if link.source.scope is Scope.SELF else "property_id"
        elsewhere = f"t.{named(place)} <> %(scope)s" if inside else "true"
        return self._count("into_place", org_id, link, scope, elsewhere=elsewhere)

    def count_grants(self, org_id: int, link: Link, scope: UUID) -> int:
        """See `TransferShard`."""
        return self._count("count_grants", org_id, link, scope)

    def grants(self, org_id: int, link: Link, scope: UUID, limit: int) -> list[tuple[Any, ...]]:
        """See `TransferShard`."""
        given = {"org": org_id, "collection": link.source.number, "scope": scope, "limit": limit}
        return self._formed("grants", link.source, given, field=named(link.field))

    def _count(self, name: str, org_id: int, link: Link, scope: UUID, **names: str) -> int:
        given = {"org": org_id, "scope": scope, "target": link.target.number}
        ((found,),) = self._formed(name, link.source, given, field=named(link.field), **names)
        counted: int = found
        return counted

    def _formed(
        self, name: str, collection: Collection, given: dict[str, Any], **names: str
    ) -> list[tuple[Any, ...]]:
        """Run a statement about the table of a collection."""
        place = "id" if collection.scope is Scope.SELF else "property_id"
        table = f"{self._schema}.{named(collection.name)}"
        statement = _FORMS[name].format(table=table, place=named(place), **names)
        return self._conn.execute(statement.encode(), given).fetchall()
