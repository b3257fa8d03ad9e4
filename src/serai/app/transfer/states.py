"""The states of a transfer, and who may write to the property in each.

Owns the table of states: (step in the directory's record, the giving organisation holds the
property, state of the taking organisation). Promises that a state which is not in the table is an
error, not a guess, and that in none of them both can write. No input or output.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from serai.readers.move.states import Course


class Step(StrEnum):
    """How far a transfer is, as the directory's record says it. The last two are ends."""

    COPYING = "copying"
    DECIDED = "decided"
    UNDOING = "undoing"
    DONE = "done"
    UNDONE = "undone"


class Writes(StrEnum):
    """Who may write to the property."""

    GIVER = "giver"
    TAKER = "taker"
    NOBODY = "nobody"


STATES: Final[dict[tuple[Step, bool, str], Writes]] = {
    # Claimed; nobody notices yet.
    (Step.COPYING, False, "active"): Writes.GIVER,
    # The giving organisation writes to all else that it has.
    (Step.COPYING, True, "active"): Writes.NOBODY,
    # All rows are on their way, in a transaction that nobody sees.
    (Step.COPYING, True, "frozen"): Writes.NOBODY,
    # The directory says so: from here on there is no way back.
    (Step.DECIDED, True, "frozen"): Writes.NOBODY,
    # The taker sees all of it; what the giver still has goes away, and cannot be written.
    (Step.DECIDED, True, "active"): Writes.TAKER,
    (Step.DECIDED, False, "active"): Writes.TAKER,
    (Step.DONE, False, "active"): Writes.TAKER,
    # The decision to undo comes before anything is undone, so that no other decision can follow.
    (Step.UNDOING, True, "frozen"): Writes.NOBODY,
    (Step.UNDOING, True, "active"): Writes.NOBODY,
    (Step.UNDOING, False, "frozen"): Writes.GIVER,
    (Step.UNDOING, False, "active"): Writes.GIVER,
    (Step.UNDONE, False, "active"): Writes.GIVER,
}
"""In `frozen` the taking organisation takes no writes at all. What an organisation is to other
transfers afterwards says nothing about one that has ended."""


def writes(step: Step, held: bool, taker: str) -> Writes:  # noqa: FBT001 - a part of the state
    """Return who may write to the property.

    Raises:
        ValueError: a state that no transfer makes; somebody changed it by hand.
    """
    found = STATES.get((step, held, taker))
    if found is None:
        raise ValueError(f"a transfer cannot be {step} with held={held} and the taker {taker}")
    return found


def course(step: Step) -> Course:
    """Return what a successor does: before the decision the giver has all there is, after it the
    taker gets it.
    """
    match step:
        case Step.COPYING | Step.UNDOING:
            return Course.UNDO
        case Step.DECIDED:
            return Course.FINISH
        case Step.DONE | Step.UNDONE:
            return Course.NOTHING
