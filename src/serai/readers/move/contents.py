"""What a shard holds of an organisation: rows and a digest for each table.

Owns the comparison of two homes, and of the rows with the typed tables that are made from them.
Promises that two homes with the same digests hold the same values in every column, in whatever
order. Never changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from serai.readers.move.ends import End
from serai.readers.move.link import Conn, query

_OF_A_SHARD: Final = ("state", "move_term", "noting", "partial")
"""Columns of `serai.org` that say where it is, not what it is."""


_LIFE: Final = "serai.log_life"


@dataclass(frozen=True, slots=True)
class Content:
    """What one shard holds of an organisation.

    Attributes:
        state: `active`, `frozen`, `moved`, or `absent`.
        head: its row of `serai.org` without what concerns the shard; None if it is absent.
        tables: table -> (rows, digest).
        collections: number -> rows of `serai.row`.
        typed: number -> rows of the typed table.
    """

    state: str
    head: dict[str, Any] | None
    tables: dict[str, tuple[int, str]]
    collections: dict[int, int]
    typed: dict[int, int]

    @property
    def rows(self) -> int:
        """Rows in all tables together."""
        return sum(count for count, _ in self.tables.values())


def contents(conn: Conn, org_id: int) -> Content:
    """Return what is there, of one snapshot."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        tables = End(conn).tables()
        found: dict[str, tuple[int, str]] = {}
        typed: dict[int, int] = {}
        for table in tables:
            columns = ", ".join(table.columns)
            digest = f"coalesce(sum(hashtextextended(ROW({columns})::text, 0)), 0)::text"
            # SQL here: a statement for each table of the catalogue
            statement = f"SELECT count(*), {digest} FROM {table.name} WHERE org_id = %s"  # noqa: S608 - names of the catalogue
            row = conn.execute(statement.encode(), (org_id,)).fetchone()
            assert row is not None, "an aggregate has a row"
            found[table.name] = (row[0], row[1])
            if table.typed_from is not None:
                typed[table.typed_from] = row[0]
        heads = query(conn, "head", org=org_id)
        collections: dict[int, int] = dict(query(conn, "collections", org=org_id))
    head: dict[str, Any] | None = heads[0][0] if heads else None
    state = "absent" if head is None else str(head["state"])
    if head is not None:
        head = {name: value for name, value in head.items() if name not in _OF_A_SHARD}
    return Content(state, head, found, collections, typed)


def differences(one: Content, other: Content) -> list[str]:
    """Return in what two homes differ, a line for each table.

    Upkeep of a log leaves its readers what they had and not the rows that it has, so tables of
    upkeep are not compared, and the log only where upkeep did the same at both. How far the outlet
    of each home has sent it is not what it is.
    """
    lines = [] if one.head == other.head else [f"serai.org: {one.head} and {other.head}"]
    same_life = one.tables.get(_LIFE) == other.tables.get(_LIFE)
    left_out = {_LIFE, "serai.segment", "serai.outlet", *(() if same_life else ("serai.log",))}
    for name in sorted({*one.tables, *other.tables} - left_out):
        here, there = one.tables.get(name, (0, "0")), other.tables.get(name, (0, "0"))
        if here != there:
            lines.append(f"{name}: {here[0]} rows and {there[0]}, not the same")
    return lines


def faults(content: Content) -> list[str]:
    """Return what cannot be right at one home, a line each."""
    return [
        f"collection {number}: {content.collections.get(number, 0)} rows, {count} in its table"
        for number, count in sorted(content.typed.items())
        if content.collections.get(number, 0) != count
    ]
