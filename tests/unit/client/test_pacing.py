"""How often a device calls, how much it asks for, and how long it waits after a failure.

Expected values are the product's own figures, written by hand. Never runs a client.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.client import Conditions, Link, Pace
from serai.client.pacing import interval, page_rows, push_rows, retry_wait, trips

PACE = Pace()
AWAY = Conditions(foreground=False)


@pytest.mark.parametrize(
    ("charging", "percent", "minutes"),
    [
        (True, 3, 5),
        (False, 100, 15),
        (False, 51, 15),
        (False, 50, 30),
        (False, 21, 30),
        (False, 20, 60),
        (False, 0, 60),
    ],
)
def test_the_battery_sets_the_interval(charging, percent, minutes):
    conditions = Conditions(charging=charging, battery_percent=percent, foreground=False)
    assert interval(PACE, conditions) == minutes * 60


def test_in_the_foreground_the_battery_does_not_matter():
    assert interval(PACE, Conditions(charging=False, battery_percent=1)) == 20.0


def test_a_slow_link_gets_small_pages():
    slow = Conditions(link=Link.SLOW)
    assert page_rows(PACE, slow, filling=False) == 20
    assert page_rows(PACE, slow, filling=True) == 20
    assert push_rows(slow) == 20


def test_a_good_link_gets_large_pages_while_filling_only():
    assert page_rows(PACE, Conditions(), filling=False) == 100
    assert page_rows(PACE, Conditions(), filling=True) == 2000
    assert push_rows(Conditions()) == 100


def test_each_cut_halves_the_page_down_to_that_of_a_slow_link():
    found = [page_rows(PACE, Conditions(), filling=True, cuts=n) for n in range(9)]
    assert found == [2000, 1000, 500, 250, 125, 62, 31, 20, 20]
    assert page_rows(PACE, Conditions(), filling=False, cuts=7) == 20
    assert page_rows(Pace(fill_rows=5), Conditions(), filling=True, cuts=3) == 5
    assert page_rows(PACE, Conditions(link=Link.SLOW), filling=True, cuts=3) == 20


def test_the_bound_of_the_wait_doubles_up_to_twenty_seconds():
    patient = Pace(failures_to_open=100)
    longest = [retry_wait(patient, Conditions(), n, 1.0) for n in range(1, 9)]
    assert longest == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
    assert retry_wait(patient, AWAY, 50, 1.0) == 300.0


def test_the_fifth_failure_opens_the_circuit_for_half_to_all_of_the_bound():
    assert [trips(PACE, n) for n in range(1, 7)] == [False] * 4 + [True] * 2
    assert retry_wait(PACE, Conditions(), 5, 0.0) == 10.0
    assert retry_wait(PACE, Conditions(), 5, 1.0) == 20.0


@given(
    failures=st.integers(1, 10_000),
    chance=st.floats(0, 1, exclude_max=True),
    foreground=st.booleans(),
    asked=st.none() | st.floats(-5, 1e9),
)
def test_every_wait_is_bounded_and_not_shorter_than_the_server_asked(
    failures, chance, foreground, asked
):
    wait = retry_wait(PACE, Conditions(foreground=foreground), failures, chance, asked)
    assert 0 <= wait <= 3600
    assert wait >= min(asked or 0, 3600)
    if not asked or asked <= 0:
        assert wait <= (20 if foreground else 300)


def test_a_crowd_that_lost_the_same_server_does_not_come_back_at_once():
    waits = [retry_wait(PACE, Conditions(), 4, n / 100) for n in range(100)]
    assert max(waits) - min(waits) > 3.9
    assert len(set(waits)) == 100


@pytest.mark.parametrize(
    "wrong",
    [
        {"fill_rows": 0},
        {"fill_rows": 5001},
        {"backoff_first": 0},
        {"backoff_first": 30.0},
        {"backoff_max": 400.0},
        {"failures_to_open": 0},
        {"foreground_poll": 0},
        {"request_timeout": 0},
    ],
)
def test_settings_that_make_no_pace_are_refused(wrong):
    with pytest.raises(ValueError, match=r"is from|rise|positive"):
        Pace(**wrong)
