"""The simulation of a fleet finds defects of replicas and promotions within a few seeds.

Owns the planted defects of reads that a replica answers, and of what follows when one takes its
primary's place. Promises what `test_planted_bugs` does. Never leaves a defect behind.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from serai.adapters.memory.moves import MemoryTarget
from serai.app import promotion_moves
from serai.app.promotion_moves import Verdict
from serai.log.copies import _Copy
from serai.testing.simulation.fleet.promotions import Promotion
from serai.testing.simulation.fleet.standbys import Standby
from simulation.planting import Bug, assert_found


def answered_below_the_version_asked_for(_):
    """A replica answers whatever it has."""
    return lambda _self, head: head


def epochs_left_as_they_were(_):
    """After a lost tail, numbers are used a second time."""

    async def wrong(self):
        return 0

    return wrong


def acknowledged_before_the_replica_has_it(_):
    """A commit that is to wait for a replica does not."""

    def wrong(self, *, everything=False):
        before = self.primary.now() - self.shipping - 1.0
        written = self.primary.written
        while self.received < len(written) and written[self.received][0] <= before:
            self.received += 1

    return wrong


def nobody_brings_it_back(right):
    """What a new home has lost is given up, though its old home keeps a copy."""

    def wrong(placed, row):
        found = right(placed, row)
        return Verdict.MISSING if found is Verdict.LOST else found

    return wrong


def opened_again_in_the_epoch_that_it_had(right):
    """What was lost of the new home's versions is numbered a second time."""

    def wrong(self, orgs, term):
        epochs = {org_id: self.store.organisations[org_id].head.epoch for org_id in orgs}
        found = right(self, orgs, term)
        for org_id, epoch in epochs.items():
            org = self.store.organisations[org_id]
            org.head = replace(org.head, epoch=epoch)
        return found

    return wrong


BUGS = [
    Bug(_Copy, "_if_reached", answered_below_the_version_asked_for, "I11", fleet=True),
    Bug(Promotion, "raise_epochs", epochs_left_as_they_were, "I8", fleet=True),
    Bug(Standby, "receive", acknowledged_before_the_replica_has_it, "I2", fleet=True),
    Bug(promotion_moves, "judged", nobody_brings_it_back, "I12", fleet=True, first=20),
    Bug(MemoryTarget, "reopen", opened_again_in_the_epoch_that_it_had, "I8", fleet=True),
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.make.__name__)
def test_a_defect_of_replicas_is_found_within_a_few_seeds(bug):
    assert_found(bug)
