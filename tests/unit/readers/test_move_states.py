"""The table of a move's states: what a crash may leave, and who takes writes then.

Owns the promises that hold in every state, checked by going through all of them. Never runs a move:
`integration/moves` does.
"""

from __future__ import annotations

from itertools import product

import pytest

from serai.readers.move.states import STATES, Course, Step, Writes, course, writes

AT_A_SHARD = ("active", "frozen", "moved", "absent")


def test_no_state_has_two_homes_that_take_writes_and_writes_go_to_what_is_active() -> None:
    for (step, source, target), who in STATES.items():
        active = {
            name
            for name, state in ((Writes.SOURCE, source), (Writes.TARGET, target))
            if state == "active"
        }
        assert active == ({who} - {Writes.NOBODY}), (step, source, target)


def test_the_target_takes_writes_only_after_the_flip_and_the_source_only_before_it() -> None:
    after = {step for (step, _, _), who in STATES.items() if who is Writes.TARGET}
    before = {step for (step, _, _), who in STATES.items() if who is Writes.SOURCE}
    assert after == {Step.FLIPPED, Step.MOVED}
    assert before == {Step.COPYING, Step.UNDOING, Step.UNDONE}


def test_an_end_leaves_a_home() -> None:
    ends = {state: who for state, who in STATES.items() if state[0] in (Step.MOVED, Step.UNDONE)}
    assert set(ends.values()) == {Writes.SOURCE, Writes.TARGET}


def test_a_flip_finds_everything_at_the_target() -> None:
    """From (copying, frozen, frozen): nothing is on its way, and nobody writes. Where the
    source says `moved`, it has lost what the target kept.
    """
    first = [state for state in STATES if state[0] is Step.FLIPPED and state[2] == "frozen"]
    assert sorted(first) == [(Step.FLIPPED, "frozen", "frozen"), (Step.FLIPPED, "moved", "frozen")]
    assert (Step.COPYING, "frozen", "frozen") in STATES


def test_a_successor_undoes_before_the_flip_and_finishes_after_it() -> None:
    assert {step: course(step) for step in Step} == {
        Step.COPYING: Course.UNDO,
        Step.UNDOING: Course.UNDO,
        Step.FLIPPED: Course.FINISH,
        Step.MOVED: Course.NOTHING,
        Step.UNDONE: Course.NOTHING,
    }


def test_what_no_mover_makes_is_an_error() -> None:
    every = set(product(Step, AT_A_SHARD, AT_A_SHARD))
    for step, source, target in every - STATES.keys():
        with pytest.raises(ValueError, match="cannot be"):
            writes(step, source, target)
    assert writes(Step.COPYING, "active", "moved") is Writes.SOURCE
