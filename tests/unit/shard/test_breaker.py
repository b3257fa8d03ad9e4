"""The breaker of a shard: what opens it, what does not, what closes it. Nothing is asked here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.shard.breaker import (
    CALM_SECONDS,
    FAILURES_MAX,
    PROBE_SECONDS_MAX,
    PROBE_SECONDS_MIN,
    SILENCE_SECONDS,
    Breaker,
    State,
)

BEGAN = 1_000.0


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(BEGAN)


def opened(breaker: Breaker, now: float) -> None:
    breaker.suspect(now)
    breaker.probed(now, answered=False)
    assert breaker.state is State.OPEN


def test_a_shard_that_refuses_three_in_a_row_is_asked_and_shut_out_if_it_does_not_answer(
    breaker: Breaker,
) -> None:
    for n in range(FAILURES_MAX):
        assert not breaker.probe_due(BEGAN + n)
        breaker.failed(BEGAN + n)
    assert breaker.passes, "only a probe opens"
    assert breaker.probe_due(BEGAN + FAILURES_MAX)
    breaker.probed(BEGAN + FAILURES_MAX, answered=False)
    assert (breaker.passes, breaker.opened) == (False, 1)


def test_errors_that_had_another_cause_shut_nobody_out(breaker: Breaker) -> None:
    for n in range(20):
        breaker.failed(BEGAN + n)
    breaker.probed(BEGAN + 20, answered=True)
    assert (breaker.state, breaker.opened) == (State.CLOSED, 0)


def test_a_success_between_failures_is_a_shard_that_answers(breaker: Breaker) -> None:
    for n in range(100):
        breaker.failed(BEGAN + n)
        breaker.failed(BEGAN + n)
        breaker.succeeded(BEGAN + n)
    assert breaker.state is State.CLOSED


def test_a_busy_shard_that_still_serves_some_is_not_gone(breaker: Breaker) -> None:
    now = BEGAN
    for _ in range(100):
        now += SILENCE_SECONDS / 2
        for _ in range(50):
            breaker.failed(now, busy=True)
        breaker.succeeded(now)
    assert breaker.state is State.CLOSED


def test_a_busy_shard_that_serves_nobody_for_a_second_is_asked(breaker: Breaker) -> None:
    breaker.succeeded(BEGAN + 1)
    breaker.failed(BEGAN + 1 + SILENCE_SECONDS * 0.9, busy=True)
    assert breaker.state is State.CLOSED
    breaker.failed(BEGAN + 1 + SILENCE_SECONDS, busy=True)
    assert breaker.state is State.SUSPECT


def test_a_shard_that_says_nothing_at_all_is_asked_as_soon_as_somebody_waited_a_second(
    breaker: Breaker,
) -> None:
    breaker.waited(BEGAN + 50.5, BEGAN + 50)
    assert breaker.state is State.CLOSED
    breaker.waited(BEGAN + 51, BEGAN + 50)
    assert breaker.state is State.SUSPECT
    breaker.succeeded(BEGAN + 51.1)
    assert breaker.state is State.CLOSED


def test_one_slow_request_beside_others_that_are_answered_means_nothing(breaker: Breaker) -> None:
    for n in range(100):
        breaker.succeeded(BEGAN + n / 10)
        breaker.waited(BEGAN + n / 10 + 0.05, BEGAN)
    assert breaker.state is State.CLOSED


def test_an_open_breaker_closes_at_the_first_answer_and_not_by_a_late_success(
    breaker: Breaker,
) -> None:
    opened(breaker, BEGAN)
    breaker.succeeded(BEGAN + 1)  # of a request that began before
    assert not breaker.passes
    breaker.probed(BEGAN + 2, answered=True)
    assert breaker.state is State.CLOSED
    breaker.failed(BEGAN + 3)
    assert breaker.state is State.CLOSED, "earlier failures are forgotten"


def test_a_shard_that_stays_away_is_asked_less_and_less_often_and_never_forgotten(
    breaker: Breaker,
) -> None:
    opened(breaker, BEGAN)
    now, pauses = BEGAN, []
    for _ in range(10):
        pauses.append(breaker.probe_at - now)
        now = breaker.probe_at
        assert breaker.probe_due(now)
        breaker.probed(now, answered=False)
    assert pauses[:3] == [PROBE_SECONDS_MIN, PROBE_SECONDS_MIN * 2, PROBE_SECONDS_MIN * 4]
    assert pauses[-1] == PROBE_SECONDS_MAX
    assert breaker.opened == 1


def test_a_shard_that_comes_and_goes_is_let_back_more_slowly_each_time(breaker: Breaker) -> None:
    pauses, now = [], BEGAN
    for _ in range(3):
        opened(breaker, now)
        pauses.append(breaker.probe_at - now)
        breaker.probed(now + 5, answered=True)
        now += 6
    assert pauses == sorted(set(pauses))
    now += CALM_SECONDS
    opened(breaker, now)
    assert breaker.probe_at - now == PROBE_SECONDS_MIN, "after a calm time all is as at first"


_EVENTS = st.sampled_from(["ok", "fail", "busy", "wait", "answer", "silence", "tick"])


@given(st.lists(st.tuples(_EVENTS, st.floats(0, 3)), max_size=60))
def test_whatever_happens_only_a_probe_opens_it_and_only_a_probe_lets_in_again(
    events: list[tuple[str, float]],
) -> None:
    breaker, now = Breaker(BEGAN), BEGAN
    for event, later in events:
        now += later
        before = breaker.state
        match event:
            case "ok":
                breaker.succeeded(now)
            case "fail":
                breaker.failed(now)
            case "busy":
                breaker.failed(now, busy=True)
            case "wait":
                breaker.waited(now, now - 2)
            case "answer" if breaker.probe_due(now):
                breaker.probed(now, answered=True)
            case "silence" if breaker.probe_due(now):
                breaker.probed(now, answered=False)
            case _:
                pass
        after = breaker.state
        assert after is before or after is not State.OPEN or event == "silence"
        assert after is before or before is not State.OPEN or event == "answer"
        assert breaker.passes == (after is not State.OPEN)
        assert after is State.CLOSED or breaker.probe_at <= now + PROBE_SECONDS_MAX
