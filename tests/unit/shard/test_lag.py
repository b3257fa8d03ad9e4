"""Which replica is asked: the judgement on made-up heartbeats and times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.core.limits import REPLICA_BEAT_SECONDS, REPLICA_LAG_SECONDS_MAX
from serai.shard.lag import BEATS_AHEAD_MAX, SILENCE_SECONDS_MAX, Health


class Fleet:
    """A primary that beats in time and replicas that show what they are told to."""

    def __init__(self, *names: str) -> None:
        self.health = Health()
        self.health.follow(frozenset(names))
        self.beat = 100
        self.now = 1_000.0

    def look(self, **behind: int) -> None:
        """One look: replica -> beats that it lacks."""
        self.now += REPLICA_BEAT_SECONDS
        self.beat += 1
        self.health.primary_said(self.beat, self.beat * 1_000, self.now)
        for name, lacks in behind.items():
            shown = self.beat - lacks
            self.health.replica_said(name, shown, shown * 1_000, self.now, follows=True)

    def usable(self) -> list[str]:
        return self.health.usable(self.now)


def test_a_replica_nobody_has_looked_at_gets_no_reads():
    fleet = Fleet("a")
    assert fleet.usable() == []
    fleet.look(a=0)
    assert fleet.usable() == []
    fleet.look(a=0)
    assert fleet.usable() == ["a"]


def test_a_replica_that_lags_is_taken_out_and_comes_back_by_itself():
    fleet = Fleet("a", "b")
    for _ in range(3):
        fleet.look(a=0, b=0)
    for lacks in range(1, 7):
        fleet.look(a=lacks, b=0)
    assert fleet.usable() == ["b"]
    assert fleet.health.lags()["a"] == (5 * REPLICA_BEAT_SECONDS, 6_000)
    fleet.look(a=0, b=0)
    assert fleet.usable() == ["b"], "well once may be luck"
    fleet.look(a=0, b=0)
    assert fleet.usable() == ["a", "b"]


def test_a_replica_at_the_limit_does_not_come_and_go():
    fleet = Fleet("a")
    for _ in range(20):
        fleet.look(a=4)
    assert fleet.usable() == [], "it comes back only when it is well below the limit"


def test_a_process_that_has_just_started_knows_a_replica_that_is_far_behind():
    fleet = Fleet("a")
    for _ in range(5):
        fleet.look(a=20)
    assert fleet.usable() == []


def test_one_that_does_not_answer_is_out_at_once():
    fleet = Fleet("a")
    for _ in range(3):
        fleet.look(a=0)
    fleet.health.failed("a")
    assert fleet.usable() == []


def test_one_of_which_nothing_is_heard_is_out():
    fleet = Fleet("a")
    for _ in range(3):
        fleet.look(a=0)
    assert fleet.health.usable(fleet.now + SILENCE_SECONDS_MAX) == ["a"]
    assert fleet.health.usable(fleet.now + SILENCE_SECONDS_MAX + 0.001) == []


def test_replicas_answer_on_while_the_primary_is_down():
    fleet = Fleet("a")
    for _ in range(3):
        fleet.look(a=0)
    for _ in range(100):
        fleet.now += REPLICA_BEAT_SECONDS
        fleet.health.replica_said("a", fleet.beat, 0, fleet.now, follows=True)
    assert fleet.usable() == ["a"]


def test_one_that_somebody_promoted_is_no_copy_any_more():
    fleet = Fleet("a")
    for _ in range(3):
        fleet.look(a=0)
    fleet.health.replica_said("a", fleet.beat, 0, fleet.now, follows=False)
    assert fleet.usable() == []


def test_a_copy_of_another_history_is_out():
    """After a promotion the new primary lacks beats that an old copy has."""
    fleet = Fleet("a")
    for _ in range(3):
        fleet.look(a=0)
    old = fleet.beat
    fleet.beat -= BEATS_AHEAD_MAX + 2
    fleet.health.primary_said(fleet.beat, 0, fleet.now)
    fleet.health.replica_said("a", old, 0, fleet.now, follows=True)
    assert fleet.usable() == []
    for _ in range(30):
        fleet.look()
        fleet.health.replica_said("a", old, 0, fleet.now, follows=True)
    assert fleet.usable() == [], "its heartbeat stands still"


def test_the_one_with_the_fewest_reads_is_asked_and_equal_ones_take_turns():
    fleet = Fleet("a", "b", "c")
    for _ in range(3):
        fleet.look(a=0, b=0, c=0)
    loads = {"a": 3, "b": 1, "c": 2}
    assert fleet.health.choose(loads, fleet.now) == "b"
    chosen = [fleet.health.choose({}, fleet.now) for _ in range(6)]
    assert sorted(str(each) for each in chosen[:3]) == ["a", "b", "c"]
    assert chosen[:3] == chosen[3:]


def test_waiting_is_for_one_that_was_close():
    fleet = Fleet("a", "b")
    for _ in range(3):
        fleet.look(a=0, b=2)
    assert fleet.health.worth_waiting("a")
    assert not fleet.health.worth_waiting("b")
    assert not fleet.health.worth_waiting("gone")


def test_one_that_is_left_out_of_the_directory_gets_nothing_more():
    fleet = Fleet("a", "b")
    for _ in range(3):
        fleet.look(a=0, b=0)
    fleet.health.follow(frozenset("b"))
    fleet.look(a=0, b=0)
    assert fleet.usable() == ["b"]


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=60))
def test_no_replica_is_offered_that_was_last_seen_beyond_the_limit(steps: list[tuple[int, bool]]):
    fleet = Fleet("a")
    for lacks, fails in steps:
        fleet.look(a=lacks)
        if fails:
            fleet.health.failed("a")
        seconds, _ = fleet.health.lags()["a"]
        assert seconds >= (lacks - 1) * REPLICA_BEAT_SECONDS
        if fails or lacks * REPLICA_BEAT_SECONDS > REPLICA_LAG_SECONDS_MAX + REPLICA_BEAT_SECONDS:
            assert fleet.usable() == []


@pytest.mark.parametrize("beat", [0, 50, 100, 101])
def test_without_a_heartbeat_of_the_primary_nothing_is_known(beat: int):
    health = Health()
    health.follow(frozenset("a"))
    for n in range(5):
        health.replica_said("a", beat, 0, 1_000.0 + n, follows=True)
    assert health.usable(1_004.0) == []
