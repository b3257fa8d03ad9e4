"""The simulation of a fleet finds defects of transfers: each one planted here within a few seeds.

Owns the planted defects of properties that change their organisation, and of the replies that a
move takes along. Promises what `test_planted_bugs` does. Never leaves a defect behind.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from serai.adapters.memory import MemoryStore
from serai.adapters.memory.moves import MemorySource
from serai.app.transfer.giver import Giver
from serai.app.transfer.saga import Saga
from serai.core.errors import Code
from serai.testing.simulation.fleet.transfer_shard import MemoryShard
from simulation.planting import Bug, assert_found


def held_by_nobody(_):
    """A property that is being handed over goes on taking writes."""
    return lambda _self, _term, _scope: None


def successor_undoes_what_is_decided(_):
    """Who takes a transfer over undoes it, wherever it had got to."""

    def wrong(self, claim):
        self.giver(claim).claim(claim.term)
        self.taker(claim).claim(claim.term)
        before = ("copying", "undoing", "decided")
        self._records.advance(claim, before, "undoing")
        self.undo(claim)
        return False

    return wrong


def page_lost_on_the_way(right):
    """The last row of a page does not arrive."""

    def wrong(self, org, **given):
        if len(given["ids"]) > 1:
            given |= {"ids": given["ids"][:-1], "docs": given["docs"][:-1]}
        return right(self, org, **given)

    return wrong


def judged_while_it_goes(right):
    """A late delete finds nothing and is taken as done, while its property goes row by row."""

    def wrong(self, org_id, collection, row_id, named):
        found = right(self, org_id, collection, row_id, named)
        return None if found is Code.PROPERTY_HELD else found

    return wrong


def forgotten_who_it_was_sold_to(_):
    """Whoever writes for a property that has gone hears that there is no such thing."""

    def wrong(self, org_id, collection, row_id, named):
        del self, org_id, collection, row_id, named

    return wrong


def new_replies_left_behind(right):
    """What was answered while a move copied is not noted, and its reply stays behind."""

    def wrong(self, mark, *, limit):
        found = right(self, mark, limit=limit)
        part = {org: replace(each, replies={}) for org, each in found.part.items()}
        return replace(found, part=part)

    return wrong


BUGS = [
    Bug(Giver, "hold", held_by_nobody, "I12", fleet=True),
    Bug(Saga, "end", successor_undoes_what_is_decided, "I12", fleet=True),
    Bug(MemoryShard, "_arrive", page_lost_on_the_way, "I3", fleet=True),
    Bug(MemoryStore, "_departed", judged_while_it_goes, "I4", fleet=True),
    Bug(MemoryStore, "_departed", forgotten_who_it_was_sold_to, "I4", fleet=True),
    Bug(MemorySource, "changes", new_replies_left_behind, "I12", fleet=True),
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.make.__name__)
def test_a_defect_of_transfers_is_found_within_a_few_seeds(bug):
    assert_found(bug)
