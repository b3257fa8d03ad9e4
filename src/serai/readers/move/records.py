"""The record of moves in the directory: claimed, flipped, ended, taken over.

Owns the statements on `serai_directory.move`. Promises that whatever changes a move asks for the
term of whose turn it is, and that the flip and the placement are one transaction. Never looks at a
shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from serai.readers.move.link import LOST_TURN, Conn, LostTurn, query
from serai.readers.move.states import Step

LEASE_SECONDS: Final = 15.0
"""For so long after its last sign of life a mover is left alone."""
BATCH_MAX: Final = 1_000
"""Moves that a successor takes over at once."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Moves from one shard to another, all at one step, under one term.

    Attributes:
        orgs: in order.
        source, target: ids of shards.
        returns: the target kept its copy and is to open it again: the source has lost them.
    """

    orgs: tuple[int, ...]
    source: int
    target: int
    term: int
    step: Step = Step.COPYING
    returns: bool = False


@dataclass(frozen=True, slots=True)
class OldCopy:
    """Copies that moves left behind, and where their organisations live now.

    Attributes:
        claim: the copies are at its source; the move has no target any more.
        home: id of the shard. since: the term since which they live there.
        servers: URLs of the home's primary and of its replicas.
    """

    claim: Claim
    home: int
    since: int
    servers: tuple[str, ...]


class Records:
    """The record of moves. `conn`: to the directory, as its owner, in autocommit."""

    def __init__(self, conn: Conn, *, lease_seconds: float = LEASE_SECONDS) -> None:
        """Keep the connection."""
        self._conn = conn
        self._lease = lease_seconds

    def claim(self, orgs: Sequence[int], target: int, *, actor: str, reason: str) -> list[Claim]:
        """Begin the moves of those that are not at the target and that nobody moves; one claim for
        each shard that they come from.
        """
        given = {"orgs": list(orgs), "to": target, "actor": actor, "reason": reason}
        rows = self._rows("claim", **given, lease=self._lease)
        by_home: dict[tuple[int, int], list[int]] = {}
        for org_id, source, term in rows:
            by_home.setdefault((source, term), []).append(org_id)
        return [
            Claim(tuple(sorted(found)), source, target, term)
            for (source, term), found in by_home.items()
        ]

    def take_over(self, orgs: Sequence[int] | None = None) -> list[Claim]:
        """Take over moves whose mover has given no sign of life: of these organisations, or any."""
        given = None if orgs is None else list(orgs)
        rows = self._rows("take_over", orgs=given, lease=self._lease, limit=BATCH_MAX)
        return _claims(rows)

    def renew_term(self, claim: Claim, orgs: Sequence[int]) -> list[Claim]:
        """Draw a new term for some of the moves of a claim; none come back that somebody else has
        taken over.
        """
        given = {"orgs": list(orgs), "term": claim.term, "lease": self._lease}
        return _claims(self._rows("renew_term", **given))

    def renew(self, claim: Claim) -> None:
        """Give a sign of life."""
        self._rows("renew", orgs=list(claim.orgs), term=claim.term, lease=self._lease)

    def flip(self, claim: Claim) -> None:
        """Make the target the home.

        Raises:
            LostTurn: somebody has taken the move over; nothing was flipped.
            psycopg.OperationalError: nobody knows whether it was: `step` tells.
        """
        try:
            self._rows("flip", orgs=list(claim.orgs), term=claim.term)
        except psycopg.Error as error:
            if error.sqlstate == LOST_TURN:
                raise LostTurn(claim.term) from error
            raise

    def advance(self, claim: Claim, before: Sequence[Step], after: Step) -> None:
        """Take the moves one step further.

        Raises:
            LostTurn: somebody has taken them over.
        """
        rows = self._rows(
            "advance",
            orgs=list(claim.orgs),
            term=claim.term,
            before=[str(step) for step in before],
            after=str(after),
        )
        if len(rows) != len(claim.orgs):
            raise LostTurn(claim.term)

    def step(self, claim: Claim) -> Step:
        """Return where the moves are.

        Raises:
            LostTurn: somebody has taken them over.
        """
        rows = self._rows("steps", orgs=list(claim.orgs), term=claim.term)
        if len(rows) != 1:
            raise LostTurn(claim.term)
        return Step(rows[0][0])

    def under_way(
        self, orgs: Sequence[int] | None = None, *, limit: int = BATCH_MAX
    ) -> list[tuple[int, Step, int, int, str, bool]]:
        """Return (organisation, step, source, target, who, given up) of moves without an end."""
        given = None if orgs is None else list(orgs)
        rows = self._rows("under_way", orgs=given, limit=limit)
        return [
            (org, Step(step), source, target, who, gone)
            for org, step, source, target, who, gone in rows
        ]

    def transferring(self, orgs: Sequence[int]) -> list[int]:
        """Return those that take part in a transfer of a property: they are not moved."""
        return [org for (org,) in self._rows("transferring", orgs=list(orgs))]

    def to_sweep(
        self, grace_seconds: float, *, away: Sequence[int] = (), unsafe: Sequence[int] = ()
    ) -> list[OldCopy]:
        """Return copies of moves that ended so long ago, but for those on the shards `away` and
        those of organisations that live on the shards `unsafe`.
        """
        given = {"grace": grace_seconds, "away": list(away), "unsafe": list(unsafe)}
        alike: dict[tuple[int, int, int, int, tuple[str, ...]], list[int]] = {}
        for org_id, *rest, servers in self._rows("to_sweep", **given, limit=BATCH_MAX):
            source, term, since, home = rest
            alike.setdefault((source, term, since, home, tuple(servers)), []).append(org_id)
        return [
            OldCopy(Claim(tuple(sorted(orgs)), source, 0, term, Step.MOVED), home, since, servers)
            for (source, term, since, home, servers), orgs in alike.items()
        ]

    def swept(self, claim: Claim) -> None:
        """Note that the old copy is gone."""
        self._rows("swept", orgs=list(claim.orgs), term=claim.term)

    def _rows(self, name: str, **given: object) -> list[tuple[Any, ...]]:
        return query(self._conn, name, **given)


def _claims(rows: Sequence[tuple[Any, ...]]) -> list[Claim]:
    """Return a claim for each set of moves that are alike."""
    alike: dict[tuple[int, int, int, str, bool], list[int]] = {}
    for org_id, source, target, step, term, returns in rows:
        alike.setdefault((source, target, term, step, returns), []).append(org_id)
    return [
        Claim(tuple(sorted(found)), source, target, term, Step(step), returns)
        for (source, target, term, step, returns), found in alike.items()
    ]
