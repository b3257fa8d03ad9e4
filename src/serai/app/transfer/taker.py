"""The organisation that gets a property, and the rows on their way into it.

Owns what is asked of it. Promises that an arrival is one transaction, so that all of it is seen or
nothing, and that it ends only in the turn of its transfer. Never decides what comes next.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from uuid import UUID

from serai.app.transfer.ends import AUTHOR, Place
from serai.model import Collection
from serai.readers.move.link import turn


class Taker(Place):
    """The organisation that gets a property."""

    def change(self, term: int, before: str, after: str) -> None:
        """Change its state.

        Raises:
            LostTurn: it is not in that state under this term.
        """
        self.shard.change(self.org_id, term, before, after)

    def claim(self, term: int) -> None:
        """Take the organisation for a term, and end what others have begun there: their rows would
        be waited for.

        Raises:
            LostTurn: somebody holds it under a higher term.
        """
        super().claim(term)
        self.query("end_arrivals")

    @contextmanager
    def arrival(self) -> Generator[Arrival]:
        """Begin an arrival: nobody sees anything of it before the block ends."""
        with self.shard.transaction():
            self.query("begin_arrival")
            yield Arrival(self)


class Arrival:
    """Rows on their way into an organisation, in one transaction."""

    def __init__(self, taker: Taker) -> None:
        """Look where the organisation stands; while it is frozen nobody changes that."""
        self._taker = taker
        self._at = taker.now()
        standing = taker.standing()
        self._before = self._version = standing.version
        self._number, self._hash = standing.number, standing.hash
        self.rows = 0

    def add(self, collection: Collection, scope: UUID, rows: Sequence[tuple[UUID, str]]) -> None:
        """Let rows of one channel arrive.

        Raises:
            psycopg.Error: the database refuses one of them.
        """
        ((self._version, self._number, self._hash),) = self._taker.query(
            "arrive",
            version=self._version,
            number=self._number,
            hash=self._hash,
            at=self._at,
            author=AUTHOR.user_id,
            collection=collection.number,
            scope=scope,
            ids=[row_id for row_id, _ in rows],
            docs=[doc for _, doc in rows],
        )
        self.rows += len(rows)

    def end(self, scope: UUID, term: int, said: str) -> None:
        """Say where the organisation stands now; it takes writes again.

        Raises:
            LostTurn: it is somebody else's turn.
        """
        with turn(term):
            self._taker.query(
                "arrived",
                term=term,
                before=self._before,
                version=self._version,
                number=self._number,
                hash=self._hash,
                at=self._at,
                author=AUTHOR.user_id,
                collection=self._taker.shape.place.number,
                scope=scope,
                content=said,
            )
