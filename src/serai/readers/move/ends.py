"""The two ends of a move: what is asked of the source, and of the target.

Owns the statements on shards. Promises that every change of state asks for the mover's term, and
that what the target begins is held until its transaction ends, so that a successor waits for it.
Never decides what comes next.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec
import psycopg

from serai.readers.move.link import Changes, Conn, LostTurn, Mark, Table, Unmovable, query, turn

_OTHER_ROWS: Final = "SE003"


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

    def tables(self) -> list[Table]:
        """Return every table that holds rows of organisations, in the order rows go in."""
        return [
            Table(name, typed, tuple(columns), tuple(key))
            for name, typed, columns, key in query(self.conn, "tables")
        ]

    def states(self, orgs: Sequence[int]) -> dict[int, str]:
        """Return organisation -> state, of those that have a row here."""
        return dict(query(self.conn, "states", orgs=list(orgs)))

    def claim(self, orgs: Sequence[int], term: int, *, home: bool) -> dict[int, str]:
        """Take the organisations for a term; return their states.

        Raises:
            LostTurn: somebody holds one of them under a higher term.
        """
        rows = query(self.conn, "claim_end", orgs=list(orgs), term=term, home=home)
        if len(rows) != len(orgs):
            raise LostTurn(term)
        return dict(rows)

    def change(self, orgs: Sequence[int], term: int, before: Sequence[str], after: str) -> None:
        """Change the state of all of them.

        Raises:
            LostTurn: one of them is not in such a state under this term.
        """
        given = {"orgs": list(orgs), "term": term, "before": list(before), "after": after}
        with self.conn.transaction():
            if len(query(self.conn, "change_state", **given)) != len(orgs):
                raise LostTurn(term)

    def sweep(self, orgs: Sequence[int], term: int) -> int:
        """Remove what is here of organisations that live elsewhere; return of how many."""
        return len(query(self.conn, "sweep", orgs=list(orgs), term=term))


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

    def changes(self, mark: Mark, *, limit: int) -> Changes:
        """Return what changed after the mark, about `limit` versions of each organisation.

        Raises:
            Unmovable: the log was pruned beyond the mark meanwhile.
        """
        orgs = sorted(mark.versions)
        rows = query(
            self.conn,
            "changes",
            orgs=orgs,
            versions=[mark.versions[org] for org in orgs],
            numbers=[mark.numbers[org] for org in orgs],
            since=mark.since,
            limit=limit,
        )
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

    def hold(self, orgs: Sequence[int], term: int, conn: Conn | None = None) -> None:
        """Within a transaction: keep everybody else from the organisations until it ends.

        Raises:
            LostTurn: somebody has taken them over.
        """
        held = query(conn or self.conn, "hold_target", orgs=list(orgs), term=term)
        if held[0][0] != len(orgs):
            raise LostTurn(term)

    def take(self, orgs: Sequence[int], term: int, changes: Changes) -> None:
        """Take changes of a copy that is not complete yet.

        Raises:
            LostTurn: somebody has taken them over.
        """
        with turn(term), self.conn.transaction():
            self._take(orgs, term, changes, anew=False)

    def complete(
        self, orgs: Sequence[int], term: int, changes: Changes, *, anew: bool = False
    ) -> bool:
        """Take the last changes, after which everything is here; False, and nothing is taken, if a
        table then had another number of rows than at the source: all its rows are needed (`anew`).

        Raises:
            LostTurn: somebody has taken them over.
        """
        try:
            with turn(term), self.conn.transaction():
                self._take(orgs, term, changes, anew=anew)
                ready = query(
                    self.conn,
                    "ready",
                    orgs=list(orgs),
                    term=term,
                    heads=changes.heads,
                    names=list(changes.kept),
                    kept=list(changes.kept.values()),
                )
                if len(ready) != len(orgs):
                    raise LostTurn(term)
        except psycopg.Error as error:
            if error.sqlstate == _OTHER_ROWS and not anew:
                return False
            raise
        return True

    def _take(self, orgs: Sequence[int], term: int, changes: Changes, *, anew: bool) -> None:
        query(
            self.conn,
            "take",
            orgs=list(orgs),
            term=term,
            names=list(changes.rows),
            rows=list(changes.rows.values()),
            anew=anew,
        )
