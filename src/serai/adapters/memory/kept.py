"""Rows of the directory in memory: moves and transfers, as they were and are.

Owns their fields. Never decides what may follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from serai.readers.move import Step


@dataclass(slots=True)
class KeptMove:
    """A row of the record of moves."""

    org_id: int
    source: int
    target: int
    term: int
    lease_until: float
    actor: str
    step: Step = Step.COPYING
    ended_at: float | None = None
    swept: bool = False
    first_term: int = 0
    returns: bool = False

    @property
    def under_way(self) -> bool:
        """Whether it has no end yet."""
        return self.step not in (Step.MOVED, Step.UNDONE)


@dataclass(slots=True)
class KeptTransfer:
    """A row of the record of transfers."""

    transfer_id: int
    property_id: UUID
    from_org: int
    to_org: int
    term: int
    lease_until: float
    actor: str
    reason: str
    step: str = "copying"
    rows: int = 0

    @property
    def under_way(self) -> bool:
        """Whether it has no end yet."""
        return self.step not in ("done", "undone")
