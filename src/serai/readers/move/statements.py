"""Statements that follow the catalogue: what changed at the source, and how the target takes it.

Owns the texts, made once for a connection, so that each is planned once and not at every move: an
organisation is frozen while they run. Promises that every table of organisations is in them, the
known five by what names their changes, all others by `xmin`. Never runs anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from serai.readers.move.link import Table
from serai.shard.queries import load_queries

_SQL: Final = load_queries("serai.readers.move", "statements.sql")
_FORMS: Final = {
    "serai.log": "of_log",
    "serai.audit": "of_record",
    "serai.row": "of_rows",
    "serai.tombstone": "of_rows",
    "serai.reply": "of_replies",
}
BY_NUMBER: Final = frozenset(_FORMS)
"""Tables whose changes are named: by the log, by the audit record, by notes."""
_ONLY_GROW: Final = frozenset({"serai.log", "serai.audit", "serai.reply"})


def own(tables: Sequence[Table]) -> list[Table]:
    """Return the tables that are copied as they are; the others are made from `serai.row`."""
    return [table for table in tables if table.typed_from is None]


@dataclass(frozen=True, slots=True)
class Texts:
    """The statements of one shard.

    Attributes:
        changes: gives (table, its changed rows as JSON, how many it has in all, the oldest
            transaction that it does not see): first `serai.org`, then each table, all of one
            snapshot. How many, for those that are not read by number.
        counts: gives (table, how many rows) of those.
        remove: by table, removes the rows that come again; a table that only grows has none.
        insert: by table, takes rows as JSON. clear: by table, removes all rows of organisations.
    """

    tables: tuple[Table, ...]
    changes: bytes
    counts: bytes
    remove: dict[str, bytes]
    insert: dict[str, bytes]
    clear: dict[str, bytes]

    @classmethod
    def of(cls, tables: Sequence[Table]) -> Self:
        """Make them."""
        mine = own(tables)
        changes = [_SQL["marks"], *(_changes(table) for table in mine)]
        counts = [_SQL["count"].format(table=t.name) for t in mine if t.name not in BY_NUMBER]
        return cls(
            tuple(tables),
            "\nUNION ALL\n".join(changes).encode(),
            " UNION ALL ".join(counts).encode(),
            {table.name: _remove(table) for table in mine if table.name not in _ONLY_GROW},
            {table.name: _insert(table) for table in mine},
            {table.name: _SQL["clear"].format(table=table.name).encode() for table in mine},
        )


def _changes(table: Table) -> str:
    columns = ", ".join(f"x.{column}" for column in table.columns)
    form = _SQL[_FORMS.get(table.name, "of_others")]
    return form.format(table=table.name, columns=columns)


def _remove(table: Table) -> bytes:
    same = " AND ".join(f"y.{column} = r.{column}" for column in table.key)
    return _SQL["remove"].format(table=table.name, same=same).encode()


def _insert(table: Table) -> bytes:
    columns = ", ".join(table.columns)
    return _SQL["insert"].format(table=table.name, columns=columns).encode()
