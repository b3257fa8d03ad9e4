"""The record of transfers of a directory in memory.

Owns the simplest code that gives the guarantees of `serai.app.transfer.records`: a list that is
gone through. Each call is one transaction. Held to PostgreSQL by
`tests/integration/transfers/test_ends.py`. Never looks at a shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from serai.adapters.memory.directory import MemoryDirectory
from serai.adapters.memory.kept import KeptTransfer
from serai.app.transfer.records import Claim
from serai.app.transfer.states import Step
from serai.readers.move import LostTurn
from serai.readers.move.records import LEASE_SECONDS


class MemoryTransfers:
    """See `serai.app.transfer.ports.TransferRecords`."""

    def __init__(self, directory: MemoryDirectory, *, lease_seconds: float = LEASE_SECONDS) -> None:
        """Keep the directory."""
        self._directory = directory
        self._lease = lease_seconds

    def claim(
        self, property_id: UUID, from_org: int, to_org: int, *, actor: str, reason: str
    ) -> Claim | str:
        """Begin a transfer, or tell why not."""
        busy = self.busy([from_org, to_org])
        if busy is not None:
            return busy
        known = self._directory.transfers
        asked = (property_id, from_org, to_org, self._directory.draw(), self._until())
        known.append(KeptTransfer(len(known) + 1, *asked, actor, reason))
        return _claim(known[-1])

    def busy(self, orgs: Sequence[int]) -> str | None:
        """Return why a transfer could not begin now."""
        if any(move.under_way and move.org_id in orgs for move in self._directory.moves):
            return "moving"
        return "transferring" if self._directory.transferring(orgs) else None

    def take_over(self, without: Sequence[int] = ()) -> Claim | None:
        """Take over a transfer whose process has given no sign of life."""
        now = self._directory.now()
        for each in self._directory.transfers:
            given_up = each.under_way and each.lease_until < now
            if given_up and each.transfer_id not in without:
                each.term, each.lease_until = self._directory.draw(), self._until()
                return _claim(each)
        return None

    def renew(self, claim: Claim) -> None:
        """Give a sign of life."""
        for each in self._of(claim):
            if each.under_way:
                each.lease_until = self._until()

    def advance(
        self, claim: Claim, before: Sequence[Step], after: Step, *, rows: int | None = None
    ) -> None:
        """Take the transfer one step further."""
        found = [each for each in self._of(claim) if each.step in before]
        if not found:
            raise LostTurn(claim.term)
        found[0].step = str(after)
        found[0].rows = found[0].rows if rows is None else rows

    def step(self, claim: Claim) -> Step:
        """Return where the transfer is."""
        found = self._of(claim)
        if not found:
            raise LostTurn(claim.term)
        return Step(found[0].step)

    def _of(self, claim: Claim) -> list[KeptTransfer]:
        return [
            each
            for each in self._directory.transfers
            if each.transfer_id == claim.transfer_id and each.term == claim.term
        ]

    def _until(self) -> float:
        return self._directory.now() + self._lease


def _claim(kept: KeptTransfer) -> Claim:
    orgs = kept.from_org, kept.to_org
    words = kept.actor, kept.reason
    return Claim(kept.transfer_id, kept.property_id, *orgs, kept.term, *words, Step(kept.step))
