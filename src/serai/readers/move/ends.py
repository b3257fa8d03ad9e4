"""The two ends of a move: what is asked of the source, and of the target.

Owns the statements on shards. Promises that every change of state asks for the mover's term, and
that what the target begins is held until its transaction ends, so that a successor waits for it.
Never decides what comes next.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from typing import Final

import msgspec
import psycopg

from serai.readers.move.link import (
    SQL,
    Changes,
    Conn,
    LostTurn,
    Mark,
    Table,
    Unmovable,
    query,
    turn,
)
from serai.readers.move.statements import BY_NUMBER, Texts, own

RETURN_EPOCHS: Final = 1_000
"""By how much the epoch of a copy rises that is opened again. Its lost home may have raised its own
meanwhile, and nothing that is left knows how often."""


class _Head(msgspec.Struct):
    """What is needed of a row of `serai.org`."""

    org_id: int
    version: int
    audit_number: int
    floor: int


_heads: Final = msgspec.json.Decoder(list[_Head]).decode


class End:
    """One shard of a move. `conn`: as its owner, in autocommit."""

    def __init__(self, conn: Conn) -> None:
        """Keep the connection."""
        self.conn = conn

    @cached_property
    def texts(self) -> Texts:
        """The statements that follow this shard's catalogue, as it is when first asked."""
        return Texts.of(self.tables())

    def tables(self) -> list[Table]:
        """Return every table that holds rows of organisations, in the order rows go in."""
        return [
            Table(name, typed, tuple(columns), tuple(key))
            for name, typed, columns, key in query(self.conn, "tables")
        ]

    def months(self) -> set[tuple[str, date]]:
        """Return (table, month) of every partition by month, as they are now."""
        return {(name, month) for name, month in query(self.conn, "months")}

    def states(self, orgs: Sequence[int]) -> dict[int, str]:
        """Return organisation -> state, of those that have a row here."""
        return dict(query(self.conn, "states", orgs=list(orgs)))

    def claim(self, orgs: Sequence[int], term: int, *, home: bool) -> dict[int, tuple[str, bool]]:
        """Take the organisations for a term; return the state of each, and whether it was not here
        before.

        Raises:
            LostTurn: somebody holds one of them under a higher term.
        """
        rows = query(self.conn, "claim_end", orgs=list(orgs), term=term, home=home)
        if len(rows) != len(orgs):
            raise LostTurn(term)
        return {org: (state, new) for org, state, new in rows}

    def change(self, orgs: Sequence[int], term: int, before: Sequence[str], after: str) -> None:
        """Change the state of all of them.

        Raises:
            LostTurn: one of them is not in such a state under this term.
        """
        given = {"orgs": list(orgs), "term": term, "before": list(before), "after": after}
        with turn(term):
            query(self.conn, "change_state", **given)

    def sweep(self, orgs: Sequence[int], term: int) -> None:
        """Remove what is here of organisations that live elsewhere, those that refer first; before
        that the copy says that it is not whole any more.
        """
        query(self.conn, "forget", orgs=list(orgs), term=term)
        for table in reversed(self.texts.tables):
            query(self.conn, "sweep", orgs=list(orgs), term=term, table=table.name)

    def open_since(self, orgs: Sequence[int], term: int) -> set[int]:
        """Return those that live here since this term or a later one, with all that they have."""
        return {org for (org,) in query(self.conn, "open_since", orgs=list(orgs), term=term)}


class Source(End):
    """Where organisations come from."""

    @contextmanager
    def snapshot(self, orgs: Sequence[int]) -> Generator[tuple[Mark, str]]:
        """Hold one snapshot; yield up to where it goes, and its name for further connections."""
        with self.conn.transaction():
            self.conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            exported: str = query(self.conn, "export_snapshot")[0][0]
            rows = query(self.conn, "heads", orgs=list(orgs))
            yield (
                Mark({r[0]: r[1] for r in rows}, {r[0]: r[2] for r in rows}, rows[0][4]),
                exported,
            )

    def rest(self, orgs: Sequence[int], term: int) -> None:
        """Note nothing any more: the move is undone."""
        query(self.conn, "rest", orgs=list(orgs), term=term)

    def changes(self, mark: Mark, *, limit: int) -> Changes:
        """Return what changed after the mark, about `limit` versions of each organisation.

        Raises:
            Unmovable: the log was pruned beyond the mark meanwhile.
        """
        orgs = sorted(mark.versions)
        given = {
            "orgs": orgs,
            "versions": [mark.versions[org] for org in orgs],
            "numbers": [mark.numbers[org] for org in orgs],
            "since": mark.since,
            "limit": limit,
        }
        rows = self.conn.execute(self.texts.changes, given).fetchall()
        heads, since = rows[0][1], rows[0][3]
        versions, numbers, behind = dict(mark.versions), dict(mark.numbers), 0
        for head in _heads(heads):
            org, version, number = head.org_id, head.version, head.audit_number
            if head.floor > mark.versions[org]:
                raise Unmovable(f"The log of organisation {org} was pruned during its move.")
            behind += max(version - mark.versions[org] - limit, 0)
            behind += max(number - mark.numbers[org] - limit, 0)
            versions[org] = min(version, mark.versions[org] + limit)
            numbers[org] = min(number, mark.numbers[org] + limit)
        return Changes(
            rows={name: text for name, text, _, _ in rows[1:] if text is not None},
            kept={name: kept for name, _, kept, _ in rows[1:] if kept is not None},
            heads=heads,
            after=Mark(versions, numbers, since),
            behind=behind,
        )


class Target(End):
    """Where organisations go."""

    def make_months(self, months: Iterable[tuple[str, date]]) -> None:
        """Make partitions, each in a transaction of its own.

        Raises:
            psycopg.errors.LockNotAvailable: somebody reads what is to be divided.
        """
        for name, month in sorted(months):
            query(self.conn, "make_month", table=name, month=month)

    def hold(self, orgs: Sequence[int], term: int, conn: Conn | None = None) -> None:
        """Within a transaction: keep everybody else from the organisations until it ends.

        Raises:
            LostTurn: somebody has taken them over.
        """
        with turn(term):
            query(conn or self.conn, "hold_target", orgs=list(orgs), term=term)

    def reopen(self, orgs: Sequence[int], term: int) -> set[int]:
        """Make kept copies ready to be opened in a new epoch; return those of which there is a
        whole one.
        """
        given = {"orgs": list(orgs), "term": term, "epochs": RETURN_EPOCHS}
        return {org for (org,) in query(self.conn, "reopen", **given)}

    def take(self, orgs: Sequence[int], term: int, changes: Changes) -> None:
        """Take changes of a copy that is not complete yet.

        Raises:
            LostTurn: somebody has taken them over.
        """
        with turn(term), self.conn.pipeline(), self.conn.transaction():
            self.hold(orgs, term)
            self._take(orgs, changes)

    def complete(
        self, orgs: Sequence[int], term: int, changes: Changes, *, anew: bool = False
    ) -> bool:
        """Take the last changes, after which everything is here; False, and nothing is taken, if a
        table then had another number of rows than at the source: all its rows are needed (`anew`).

        Raises:
            LostTurn: somebody has taken them over.
        """
        given = {"orgs": list(orgs)}
        with turn(term), self.conn.pipeline(), self.conn.transaction() as transaction:
            self.hold(orgs, term)
            if anew:
                for table in own(self.texts.tables):
                    if table.name not in BY_NUMBER:
                        self.conn.execute(self.texts.clear[table.name], given)
            self._take(orgs, changes)
            counted = self.conn.execute(self.texts.counts, given)
            ready = {"orgs": list(orgs), "term": term, "heads": changes.heads}
            self.conn.execute(SQL["ready"], ready)
            if dict(counted.fetchall()) != changes.kept and not anew:
                raise psycopg.Rollback(transaction)
            return True
        return False

    def _take(self, orgs: Sequence[int], changes: Changes) -> None:
        rows, gone = changes.rows.get("serai.row"), changes.rows.get("serai.tombstone")
        if rows is not None or gone is not None:
            # First, while serai.row has the rows as they were: a typed table may be cut by a value
            # of the old row.
            given = {"orgs": list(orgs), "rows": rows or "[]", "gone": gone or "[]"}
            self.conn.execute(SQL["move_rows"], given)
        for name, text in changes.rows.items():
            if name != "serai.row":
                if name in self.texts.remove:
                    self.conn.execute(self.texts.remove[name], {"rows": text})
                self.conn.execute(self.texts.insert[name], {"rows": text})
