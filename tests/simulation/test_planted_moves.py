"""The simulation of a fleet finds defects of moves: each one planted here within a few seeds.

Owns the planted defects of movers, of what holds them apart, and of what follows an organisation to
its new home. Promises what `test_planted_bugs` does. Never leaves a defect behind.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from serai.adapters.memory import MemoryStore
from serai.adapters.memory.directory import MemoryRecords
from serai.adapters.memory.moves import MemoryEnd, MemoryTarget
from serai.readers.move import Mover, Step
from simulation.planting import Bug, assert_found

# Functions that other modules have imported by name stand in their own.
homes: Any = importlib.import_module("serai.app.homes")
moves: Any = importlib.import_module("serai.adapters.memory.moves")


def opened_before_the_flip(right):
    """The target takes writes before the directory says that it is the home."""

    def wrong(self, claim):
        self._at.target.change(claim.orgs, claim.term, ("frozen",), "active")
        right(self, claim)

    return wrong


def source_not_frozen(right):
    """The source goes on taking writes while the last changes go over."""

    def wrong(self, orgs, term, before, after):
        if after != "frozen":
            right(self, orgs, term, ("active", *before) if after == "moved" else before, after)

    return wrong


def last_changes_forgotten(right):
    """What was written while the copy was made stays behind."""

    def wrong(self, orgs, term, changes, **named):
        part = {
            org_id: replace(each, log=[], rows={}, gone=set())
            for org_id, each in changes.part.items()
        }
        return right(self, orgs, term, replace(changes, part=part), **named)

    return wrong


def term_not_asked_for(_):
    """A mover that lost its turn goes on changing a shard."""

    def wrong(self, orgs, term, states):
        del term
        found = [self.store.organisations[o] for o in orgs if o in self.store.organisations]
        return [org for org in found if org.head.state in states]

    return wrong


def turn_not_asked_for(right):
    """A mover flips although another one has undone its move."""

    def wrong(self, claim):
        for move in self._directory.moves:
            if move.org_id in claim.orgs and move.step in (Step.UNDOING, Step.UNDONE):
                move.term, move.step = claim.term, Step.COPYING
        right(self, claim)

    return wrong


def lost_answer_of_the_flip_is_taken_for_a_no(_):
    """A move whose flip was not answered is undone, also if it has flipped."""

    def wrong(self, claim):
        try:
            self._at.records.flip(claim)
        except psycopg.OperationalError:
            before = (Step.COPYING, Step.UNDOING, Step.FLIPPED)
            self._at.records.advance(claim, before, Step.UNDOING)
            self.undo(claim)
            raise

    return wrong


def successor_undoes_whatever_it_finds(_):
    """Who takes a move over undoes it, wherever it had got to."""

    def wrong(self, claim):
        self.undo(claim)
        return False

    return wrong


def successor_does_not_fence(right):
    """Who takes a move over does not tell the shards."""

    def wrong(self, orgs, term, *, home):
        known = self.store.organisations
        if all(org in known and known[org].term for org in orgs):
            for org in orgs:
                known[org].term = term
            return {org: (known[org].head.state, False) for org in orgs}
        return right(self, orgs, term, home=home)

    return wrong


def numbers_left_behind(right):
    """Numbers of devices and their replies do not move."""

    def wrong(org, each):
        devices, replies, past = org.devices, org.replies, org.past
        right(org, each)
        org.devices, org.replies, org.past = devices, replies, past

    return wrong


def deleted_ids_left_behind(right):
    """The ids of deleted rows do not move, so a deleted row may come back."""

    def wrong(self, copied):
        right(self, copied)
        for org_id in copied.orgs:
            self.store.organisations[org_id].gone = set()

    return wrong


def organisation_that_came_back_is_swept(_):
    """The sweep of an old move takes what has come back since."""

    def wrong(self, orgs, term):
        del term
        for org_id in orgs:
            org = self.store.organisations[org_id]
            org.rows, org.log = {}, []
        return len(orgs)

    return wrong


def stale_router_is_not_fenced(right):
    """A shard takes a write for an organisation that lives elsewhere."""

    def wrong(self, write):
        org = self.organisations.get(write.org_id)
        if org is None or org.head.state != "moved":
            return right(self, write)
        org.head = replace(org.head, state="active")
        try:
            return right(self, write)
        finally:
            org.head = replace(org.head, state="moved")

    return wrong


def epoch_rises_with_a_move(right):
    """A plain move gives the organisation a new epoch, and every device begins again."""

    def wrong(self, orgs, term, changes, **named):
        taken = right(self, orgs, term, changes, **named)
        for org_id in orgs:
            org = self.store.organisations[org_id]
            org.head = replace(org.head, epoch=org.head.epoch + 1)
        return taken

    return wrong


BUGS = [
    Bug(Mover, "_flip", opened_before_the_flip, "I12", fleet=True),
    Bug(MemoryEnd, "change", source_not_frozen, "I12", fleet=True),
    Bug(MemoryTarget, "complete", last_changes_forgotten, "I12", fleet=True),
    Bug(MemoryEnd, "_mine", term_not_asked_for, "I12", fleet=True),
    Bug(MemoryRecords, "flip", turn_not_asked_for, "I12", fleet=True),
    Bug(Mover, "_flip", lost_answer_of_the_flip_is_taken_for_a_no, "I12", fleet=True),
    Bug(Mover, "end", successor_undoes_whatever_it_finds, "I12", fleet=True),
    Bug(MemoryEnd, "claim", successor_does_not_fence, "I12", fleet=True, first=170),
    Bug(moves, "_rest", numbers_left_behind, "I12", fleet=True),
    Bug(MemoryTarget, "put", deleted_ids_left_behind, "I12", fleet=True),
    Bug(MemoryEnd, "sweep", organisation_that_came_back_is_swept, "I8", fleet=True, first=380),
    Bug(MemoryStore, "_commit_one", stale_router_is_not_fenced, "I12", fleet=True),
    Bug(MemoryTarget, "complete", epoch_rises_with_a_move, "I12", fleet=True),
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.make.__name__)
def test_a_defect_of_moves_is_found_within_a_few_seeds(bug):
    assert_found(bug)
