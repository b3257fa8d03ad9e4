"""What a transfer works with: the shards of its two organisations, its record, the way to them.

Owns the forms. Promises what `Saga` relies on: each call outside of a transaction is one; what is
changed within a transaction is seen by nobody before its end; a call that raises
`psycopg.OperationalError` may have been carried out or not; and whoever lost a turn hears SQLSTATE
SE002. PostgreSQL has them in `shard.py`, `records.py` and `hands.py`; the simulation in memory, and
one suite holds both (`tests/integration/transfers/test_ends.py`). Never does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar
from uuid import UUID

from serai.app.transfer.records import Claim
from serai.app.transfer.shape import Link
from serai.app.transfer.states import Step
from serai.model import Collection
from serai.model.rules import Row
from serai.ports.store import PlannedWrite

T = TypeVar("T")


class TransferShard(Protocol):
    """A shard, as its owner sees it."""

    def query(self, name: str, /, **given: object) -> list[tuple[Any, ...]]:
        """Run a statement of `ends.sql`."""
        ...

    def commit(self, now: str, write: PlannedWrite) -> str:
        """Write through the one write path; return its outcome: `committed`, `stale`."""
        ...

    def change(self, org_id: int, term: int, before: str, after: str) -> None:
        """Change the state of an organisation under a term."""
        ...

    def transaction(self) -> AbstractContextManager[object]:
        """Begin a transaction."""
        ...

    def snapshot(self) -> AbstractContextManager[object]:
        """Hold one moment for reading."""
        ...

    def referred(self, org_id: int, link: Link, scope: UUID) -> list[UUID]:
        """Return where rows of a property lead to by a link."""
        ...

    def same_things(
        self, org_id: int, collection: Collection, fields: Sequence[str], values: Sequence[Row]
    ) -> list[tuple[UUID, list[str]]]:
        """Return (id, texts of the fields) of rows that are like one of `values` in the first."""
        ...

    def out_of_place(self, org_id: int, link: Link, scope: UUID) -> int:
        """Count rows of a property that lead to a row of another one by a link."""
        ...

    def into_place(self, org_id: int, link: Link, scope: UUID, *, inside: bool) -> int:
        """Count rows elsewhere that lead into a property by a link. `inside`: of other properties,
        else of the organisation.
        """
        ...

    def count_grants(self, org_id: int, link: Link, scope: UUID) -> int:
        """Count rows that give a role at a property."""
        ...

    def grants(self, org_id: int, link: Link, scope: UUID, limit: int) -> list[tuple[Any, ...]]:
        """Return (id, version, text) of rows that give a role at a property."""
        ...


class TransferRecords(Protocol):
    """The record of transfers; see `serai.app.transfer.records.Records`."""

    def claim(
        self, property_id: UUID, from_org: int, to_org: int, *, actor: str, reason: str
    ) -> Claim | str: ...

    def busy(self, orgs: Sequence[int]) -> str | None: ...

    def take_over(self, without: Sequence[int] = ...) -> Claim | None: ...

    def renew(self, claim: Claim) -> None: ...

    def advance(
        self, claim: Claim, before: Sequence[Step], after: Step, *, rows: int | None = None
    ) -> None: ...

    def step(self, claim: Claim) -> Step: ...


class TransferReach(Protocol):
    """Both ends of one transfer and its record, reached anew whenever a connection was lost."""

    @property
    def records(self) -> TransferRecords: ...

    @property
    def giver(self) -> TransferShard: ...

    @property
    def taker(self) -> TransferShard: ...

    def close(self) -> None:
        """Let the connections go."""
        ...


class Hands(Protocol):
    """Those who do the work of transfers; `serai.app.transfer.hands.ThreadHands` are the ones that
    run.
    """

    async def refresh(self) -> None:
        """Learn anew where organisations live."""
        ...

    async def call(self, work: Callable[..., T], *args: object) -> T:
        """Run `work` where the calls of a transfer may wait."""
        ...

    def records(self) -> AbstractContextManager[TransferRecords]:
        """Yield the record of transfers."""
        ...

    def reach(self, claim: Claim) -> TransferReach:
        """Return the way to the two organisations, where they live now."""
        ...
