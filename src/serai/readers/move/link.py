"""What both ends of a move and its record share: connections, statements, marks and changes.

Owns how a mover connects and the forms that go between the modules of a move. Promises that who has
lost a turn hears it as `LostTurn`, wherever it is found out. Never asks anything by itself.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow

from serai.shard.queries import load_queries

Conn = psycopg.Connection[TupleRow]
SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.readers.move", "move.sql").items()
}
SETTINGS: Final = (
    "-c timezone=UTC -c lock_timeout=2s -c idle_in_transaction_session_timeout=60s"
    " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
    " -c plan_cache_mode=force_generic_plan"
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
    " -c tcp_user_timeout=20s"
)
"""Of a mover's connections."""
CONNECT_SECONDS_MAX: Final = 10
SILENCE_SECONDS_MAX: Final = 20
"""A network that swallows packets tells nobody. After so long a mover gives a connection up, and so
does the server, with the locks that the mover holds. By default either would take hours."""
_KEEPALIVES: Final = (5, 5, 3)
"""Seconds of silence before the first, between two, and how many."""


LOST_TURN: Final = "SE002"


class LostTurn(Exception):
    """A successor has taken the move over: this mover must not touch it any more."""

    def __init__(self, term: int) -> None:
        """Name the term."""
        super().__init__(f"Another mover has taken over from term {term}.")


class Unmovable(Exception):
    """The organisations cannot be moved as they are; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that holds rows of organisations. `typed_from`: the collection of a typed table."""

    name: str
    typed_from: int | None
    columns: tuple[str, ...]
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to where organisations are copied.

    Attributes:
        versions, numbers: by organisation, of the log and of the audit record.
        since: the oldest transaction that the copy does not include.
    """

    versions: dict[int, int]
    numbers: dict[int, int]
    since: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed after a mark.

    Attributes:
        rows: table -> its changed rows as JSON text.
        kept: table -> how many rows it has in all, for those that are not read by number.
        heads: the organisations' rows of `serai.org`, as JSON text.
        after: the mark once they are taken.
        behind: versions and entries of the audit record that are still to come.
    """

    rows: dict[str, str]
    kept: dict[str, int]
    heads: str
    after: Mark
    behind: int


def connect(url: str, *, name: str = "serai move") -> Conn:
    """Return a connection for a mover.

    Raises:
        psycopg.OperationalError: the database does not answer.
    """
    idle, interval, count = _KEEPALIVES
    conn = psycopg.connect(
        url,
        autocommit=True,
        application_name=name,
        options=SETTINGS,
        connect_timeout=CONNECT_SECONDS_MAX,
        keepalives_idle=idle,
        keepalives_interval=interval,
        keepalives_count=count,
        tcp_user_timeout=SILENCE_SECONDS_MAX * 1000,
    )
    # Statements come again and again, with arrays of any length.
    conn.prepare_threshold = 2
    return conn


def query(conn: Conn, name: str, **given: object) -> list[tuple[Any, ...]]:
    """Run a named statement and return its rows."""
    cursor = conn.execute(SQL[name], given)
    return cursor.fetchall() if cursor.description else []


@contextmanager
def turn(term: int) -> Generator[None]:
    """Tell a mover that has lost its turn so."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate == LOST_TURN:
            raise LostTurn(term) from error
        raise
