"""What a mover works with: the two ends of a move, its record, and the way to reach them.

Owns the forms. Promises what `Mover` relies on: each call is one transaction, or holds what it says
until its context ends; a call that raises `psycopg.OperationalError` may have been carried out or
not; and whoever lost a turn hears it as `LostTurn`. PostgreSQL has them in `ends.py`, `records.py`
and `reach.py`; memory in `serai.adapters.memory.moves`, and one suite holds both. Never does
anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import date
from typing import Protocol

from serai.readers.move.link import Changes, Mark
from serai.readers.move.records import Claim, OldCopy
from serai.readers.move.states import Step


class MoveEnd(Protocol):
    """One shard of a move; see `serai.readers.move.ends.End`."""

    def states(self, orgs: Sequence[int]) -> dict[int, str]: ...

    def months(self) -> set[tuple[str, date]]: ...

    def claim(
        self, orgs: Sequence[int], term: int, *, home: bool
    ) -> dict[int, tuple[str, bool]]: ...

    def change(self, orgs: Sequence[int], term: int, before: Sequence[str], after: str) -> None: ...

    def sweep(self, orgs: Sequence[int], term: int) -> None: ...

    def open_since(self, orgs: Sequence[int], term: int) -> set[int]: ...


class MoveSource(MoveEnd, Protocol):
    """Where organisations come from."""

    def changes(self, mark: Mark, *, limit: int) -> Changes: ...

    def rest(self, orgs: Sequence[int], term: int) -> None: ...


class MoveTarget(MoveEnd, Protocol):
    """Where organisations go."""

    def make_months(self, months: Iterable[tuple[str, date]]) -> None: ...

    def take(self, orgs: Sequence[int], term: int, changes: Changes) -> None: ...

    def reopen(self, orgs: Sequence[int], term: int) -> set[int]: ...

    def complete(
        self, orgs: Sequence[int], term: int, changes: Changes, *, anew: bool = False
    ) -> bool: ...


class MoveRecords(Protocol):
    """The record of moves; see `serai.readers.move.records.Records`."""

    def claim(
        self, orgs: Sequence[int], target: int, *, actor: str, reason: str
    ) -> list[Claim]: ...

    def take_over(self, orgs: Sequence[int] | None = None) -> list[Claim]: ...

    def renew_term(self, claim: Claim, orgs: Sequence[int]) -> list[Claim]: ...

    def renew(self, claim: Claim) -> None: ...

    def flip(self, claim: Claim) -> None: ...

    def advance(self, claim: Claim, before: Sequence[Step], after: Step) -> None: ...

    def step(self, claim: Claim) -> Step: ...

    def under_way(
        self, orgs: Sequence[int] | None = None, *, limit: int = ...
    ) -> list[tuple[int, Step, int, int, str, bool]]: ...

    def transferring(self, orgs: Sequence[int]) -> list[int]: ...

    def to_sweep(
        self, grace_seconds: float, *, away: Sequence[int] = ..., unsafe: Sequence[int] = ...
    ) -> list[OldCopy]: ...

    def swept(self, claim: Claim) -> None: ...


class MovePlaces(Protocol):
    """Both ends of one mover and its record, reached anew whenever a connection was lost."""

    @property
    def records(self) -> MoveRecords: ...

    @property
    def source(self) -> MoveSource: ...

    @property
    def target(self) -> MoveTarget: ...

    def copy(self, orgs: Sequence[int], term: int, on_table: Callable[[str], None]) -> Mark:
        """Copy every table as of one moment; return up to where. The target is held meanwhile."""
        ...

    def close(self) -> None:
        """Let the connections go."""
        ...


class MoveReach(Protocol):
    """How one run of moves reaches directory and shards from the thread that it is in."""

    def records(self) -> AbstractContextManager[MoveRecords]:
        """Yield the record of moves."""
        ...

    def places(self, source: int, target: int) -> MovePlaces:
        """Return the way to two shards, by their ids."""
        ...

    def server(self, url: str) -> AbstractContextManager[MoveEnd]:
        """Yield one server of a shard, to be looked at."""
        ...
