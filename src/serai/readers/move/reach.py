"""How a mover reaches the directory and two shards: connections of its own, mended when lost.

Owns these connections. Promises one of each at most, opened at its first use and again after a
loss. Never asks a database anything by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from serai.readers.move.copying import copy
from serai.readers.move.ends import Source, Target
from serai.readers.move.link import Conn, Mark, connect
from serai.readers.move.records import Records


class Places:
    """A mover's way to the three databases.

    Args:
        directory, source, target: URLs, as their owners.
    """

    def __init__(self, directory: str, source: str, target: str) -> None:
        """Keep the addresses; nothing is opened yet."""
        self._urls = {"directory": directory, "source": source, "target": target}
        self._conns: dict[str, Conn] = {}
        self._from: Source | None = None
        self._to: Target | None = None

    @property
    def records(self) -> Records:
        """The record of moves."""
        return Records(self._conn("directory"))

    @property
    def source(self) -> Source:
        """Where organisations come from."""
        conn = self._conn("source")
        if self._from is None or self._from.conn is not conn:
            self._from = Source(conn)
        return self._from

    @property
    def target(self) -> Target:
        """Where organisations go."""
        conn = self._conn("target")
        if self._to is None or self._to.conn is not conn:
            self._to = Target(conn)
        return self._to

    def copy(self, orgs: Sequence[int], term: int, on_table: Callable[[str], None]) -> Mark:
        """See `serai.readers.move.copying.copy`."""
        return copy(
            self.source,
            self.target,
            orgs,
            term,
            more=lambda: (connect(self._urls["source"]), connect(self._urls["target"])),
            on_table=on_table,
        )

    def close(self) -> None:
        """Close the connections."""
        for conn in self._conns.values():
            conn.close()
        self._conns.clear()

    def _conn(self, end: str) -> Conn:
        conn = self._conns.get(end)
        if conn is None or conn.closed:
            conn = self._conns[end] = connect(self._urls[end])
        return conn
