"""The record of transfers in the directory: claimed, decided, ended, taken over.

Owns the statements on `serai_directory.transfer`. Promises that whatever changes a transfer asks
for the term of whose turn it is. Never looks at a shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from serai.app.transfer.states import Step
from serai.readers.move.link import Conn, LostTurn
from serai.readers.move.records import LEASE_SECONDS
from serai.shard.queries import load_queries

_SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.app.transfer", "records.sql").items()
}
BUSY: Final = {
    "moving": "One of the two organisations is being moved to another shard: wait for its end.",
    "transferring": "One of the two organisations takes part in another transfer: wait for its end,"
    " or end it with `serai org transfer --resume`.",
    "unknown": "There is no such organisation.",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A transfer at one step, under one term."""

    transfer_id: int
    property_id: UUID
    from_org: int
    to_org: int
    term: int
    actor: str
    reason: str
    step: Step = Step.COPYING


@dataclass(frozen=True, slots=True)
class Past:
    """A transfer as `serai org transfers` lists it. `gone`: who did it gives no sign of life."""

    transfer_id: int
    property_id: UUID
    from_org: int
    to_org: int
    step: str
    gone: bool
    rows: int
    actor: str
    reason: str
    started_at: datetime
    ended_at: datetime | None


class Records:
    """The record of transfers. `conn`: to the directory, as its owner, in autocommit."""

    def __init__(self, conn: Conn, *, lease_seconds: float = LEASE_SECONDS) -> None:
        """Keep the connection."""
        self._conn = conn
        self._lease = lease_seconds

    def claim(
        self, property_id: UUID, from_org: int, to_org: int, *, actor: str, reason: str
    ) -> Claim | str:
        """Begin a transfer; a key of `BUSY` if that cannot be now."""
        given = {"property": property_id, "from": from_org, "to": to_org, "lease": self._lease}
        ((transfer_id, term, busy),) = self._rows("claim", **given, actor=actor, reason=reason)
        if busy is not None:
            found: str = busy
            return found
        return Claim(transfer_id, property_id, from_org, to_org, term, actor, reason)

    def busy(self, orgs: Sequence[int]) -> str | None:
        """Return why a transfer could not begin now, a key of `BUSY`."""
        ((moving, transferring),) = self._rows("busy", orgs=list(orgs))
        return "moving" if moving else "transferring" if transferring else None

    def take_over(self, without: Sequence[int] = ()) -> Claim | None:
        """Take over a transfer whose process has given no sign of life, if there is one but those
        `without`.
        """
        rows = self._rows("take_over", lease=self._lease, without=list(without))
        if not rows:
            return None
        transfer_id, property_id, from_org, to_org, term, actor, reason, step = rows[0]
        return Claim(transfer_id, property_id, from_org, to_org, term, actor, reason, Step(step))

    def renew(self, claim: Claim) -> None:
        """Give a sign of life."""
        self._rows("renew", transfer=claim.transfer_id, term=claim.term, lease=self._lease)

    def advance(
        self, claim: Claim, before: Sequence[Step], after: Step, *, rows: int | None = None
    ) -> None:
        """Take the transfer one step further.

        Raises:
            LostTurn: somebody has taken it over.
        """
        changed = self._rows(
            "advance",
            transfer=claim.transfer_id,
            term=claim.term,
            before=[str(step) for step in before],
            after=str(after),
            rows=rows,
        )
        if not changed:
            raise LostTurn(claim.term)

    def step(self, claim: Claim) -> Step:
        """Return where the transfer is.

        Raises:
            LostTurn: somebody has taken it over.
        """
        rows = self._rows("step", transfer=claim.transfer_id, term=claim.term)
        if not rows:
            raise LostTurn(claim.term)
        return Step(rows[0][0])

    def past(self, org_id: int | None, limit: int) -> list[Past]:
        """Return the last transfers, of an organisation or of all, newest first."""
        if org_id is None:
            return [Past(*row) for row in self._rows("past", limit=limit)]
        return [Past(*row) for row in self._rows("past_of", org=org_id, limit=limit)]

    def _rows(self, name: str, **given: object) -> list[tuple[Any, ...]]:
        cursor = self._conn.execute(_SQL[name], given)
        return cursor.fetchall() if cursor.description else []
