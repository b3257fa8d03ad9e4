"""What the parts of a restore share: the wish, the report, connections and statements.

Owns the forms that go between the modules. Promises that a restore which is told to stop does so
before its next step. Never asks anything by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow

from serai.core.errors import Code, SeraiError
from serai.model import Vertical
from serai.shard.queries import load_queries

Conn = psycopg.Connection[TupleRow]
Step = Callable[[str, int, int], None]
"""Is told (what comes next, how much of it is done, how much there is); raises to stop."""
SQL: Final = {
    name: text.encode()
    for file in ("restore.sql", "stage.sql")
    for name, text in load_queries("serai.readers.restore", file).items()
}
SETTINGS: Final = (
    "-c timezone=UTC -c lock_timeout=10s -c idle_in_transaction_session_timeout=600s -c jit=off"
    " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
)
"""Of its connections: everything is read by its key, and a stage has no statistics."""


class Busy(Exception):
    """Somebody else restores it, or it is in no state to be restored; the message says which."""


class Interrupted(Exception):
    """The command was told to stop; nothing is changed."""


def silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for.

    Attributes:
        at: the version.
        author: id of whoever the record names as author; actor: the operator behind it.
        grants: roles too; else they stay as they are.
        now: the moment, as the record says it.
    """

    org_id: int
    at: int
    vertical: Vertical
    author: str
    actor: str
    reason: str
    now: str
    grants: bool = False


@dataclass(slots=True)
class Restored:
    """What a restore did, or would do.

    Attributes:
        before: version of the organisation when it was read; after: its version since, the same if
            nothing differed.
        entries: of the audit record that were read and whose chain holds.
        rows: collection -> {insert, update, delete} -> rows.
        kept: rows that say who may see what and were left as they are.
        unreferenced: of those, removed with the property that they are for.
        retyped: typed tables had to be made anew, because rows exchanged values that are unique.
    """

    at: int
    before: int = 0
    after: int = 0
    epoch: int = 0
    entries: int = 0
    rows: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    kept: int = 0
    unreferenced: int = 0
    retyped: bool = False

    @property
    def changes(self) -> int:
        """Rows that differ."""
        return sum(sum(counts.values()) for counts in self.rows.values())


def connect(url: str) -> Conn:
    """Return a connection for a restore.

    Raises:
        psycopg.OperationalError: the database does not answer.
    """
    return psycopg.connect(
        url,
        autocommit=True,
        application_name="serai restore",
        options=SETTINGS,
        connect_timeout=10,
    )


def query(conn: Conn, name: str, /, **given: object) -> list[tuple[Any, ...]]:
    """Run a named statement and return its rows."""
    cursor = conn.execute(SQL[name], given)
    return cursor.fetchall() if cursor.description else []


def hold(conn: Conn, org_id: int) -> None:
    """Be the one that restores this organisation for as long as the connection lives.

    Raises:
        Busy: somebody else is.
    """
    if not query(conn, "lock", org=org_id)[0][0]:
        raise Busy(f"Somebody else restores organisation {org_id} now. Wait for that to end.")


def violated(at: int, error: psycopg.Error) -> SeraiError:
    """Return what it means that the database refuses a state that it once had."""
    text = str(error).partition("\n")[0]
    detail = (
        f"The rows of version {at} violate what the database demands today ({text}). "
        "Nothing was changed. Choose another version."
    )
    return SeraiError(Code.CONFLICT, detail)
