"""The states of a move, and who takes writes in each.

Owns the table of states: (step in the directory's record, state at the source, state at the
target). Promises that a state which is not in the table is an error, not a guess, and that in none
of them two homes take writes. No input or output.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Step(StrEnum):
    """How far a move is, as the directory's record says it. The last two are ends."""

    COPYING = "copying"
    FLIPPED = "flipped"
    UNDOING = "undoing"
    MOVED = "moved"
    UNDONE = "undone"


class Writes(StrEnum):
    """Who takes writes."""

    SOURCE = "source"
    TARGET = "target"
    NOBODY = "nobody"


class Course(StrEnum):
    """What a successor does with a move whose mover is gone."""

    UNDO = "undo"
    FINISH = "finish"
    NOTHING = "nothing"


STATES: Final[dict[tuple[Step, str, str], Writes]] = {
    # Claimed; the target may not have heard of it yet (absent), or holds part of a copy (moved).
    (Step.COPYING, "active", "absent"): Writes.SOURCE,
    (Step.COPYING, "active", "moved"): Writes.SOURCE,
    # The pause begins: the last changes go over.
    (Step.COPYING, "frozen", "moved"): Writes.NOBODY,
    # Everything is there.
    (Step.COPYING, "frozen", "frozen"): Writes.NOBODY,
    # The directory says so: from here on there is no way back.
    (Step.FLIPPED, "frozen", "frozen"): Writes.NOBODY,
    # It returns: what its new home has lost is here, as it was left.
    (Step.FLIPPED, "moved", "moved"): Writes.NOBODY,
    (Step.FLIPPED, "moved", "frozen"): Writes.NOBODY,
    # The pause ends.
    (Step.FLIPPED, "frozen", "active"): Writes.TARGET,
    (Step.FLIPPED, "moved", "active"): Writes.TARGET,
    (Step.MOVED, "moved", "active"): Writes.TARGET,
    # The decision to undo comes before anything is undone, so that no flip can follow.
    (Step.UNDOING, "active", "absent"): Writes.SOURCE,
    (Step.UNDOING, "active", "moved"): Writes.SOURCE,
    (Step.UNDOING, "active", "frozen"): Writes.SOURCE,
    (Step.UNDOING, "frozen", "absent"): Writes.NOBODY,
    (Step.UNDOING, "frozen", "moved"): Writes.NOBODY,
    (Step.UNDOING, "frozen", "frozen"): Writes.NOBODY,
    (Step.UNDONE, "active", "absent"): Writes.SOURCE,
    (Step.UNDONE, "active", "moved"): Writes.SOURCE,
}
"""`absent`: no row of `serai.org`. A write goes to the state `active` only."""


def writes(step: Step, source: str, target: str) -> Writes:
    """Return who takes writes.

    Raises:
        ValueError: a state that no mover makes; somebody changed it by hand.
    """
    found = STATES.get((step, source, target))
    if found is None:
        raise ValueError(f"a move cannot be {step} with {source} at its source, {target} ahead")
    return found


def course(step: Step) -> Course:
    """Return what a successor does: before the flip the source has all there is, after it the
    target has.
    """
    match step:
        case Step.COPYING | Step.UNDOING:
            return Course.UNDO
        case Step.FLIPPED:
            return Course.FINISH
        case Step.MOVED | Step.UNDONE:
            return Course.NOTHING
