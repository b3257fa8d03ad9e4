"""Which position stands for several that a request names."""

from __future__ import annotations

from serai.core.token import Position, latest


def test_the_later_of_two_positions_stands_for_both():
    assert latest(Position(1, 5), Position(1, 9)) == Position(1, 9)
    assert latest(Position(1, 9), Position(1, 5)) == Position(1, 9)


def test_one_position_stands_for_itself():
    assert latest(None, Position(1, 5)) == latest(Position(1, 5), None) == Position(1, 5)
    assert latest(None, None) is None


def test_of_two_epochs_only_the_newest_state_will_do():
    """Which of them is over, only the primary knows."""
    assert latest(Position(1, 9), Position(2, 3)) is None
