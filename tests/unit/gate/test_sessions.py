"""What presenting a refresh token means, case by case, without a database."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.gate.sessions import Presented, Use, hashed, successor
from unit.gate.support import START

UNUSED = Presented(
    generation=4,
    newest=4,
    expires_at=START + timedelta(days=30),
    session_expires_at=START + timedelta(days=180),
    used_at=None,
    successor_salt=None,
)
JUST_USED = replace(UNUSED, newest=5, used_at=START, successor_salt=b"s" * 32)


def seconds(n: float) -> timedelta:
    return timedelta(seconds=n)


def test_a_token_is_good_until_its_last_moment():
    assert UNUSED.use(START) is Use.FIRST
    assert UNUSED.use(UNUSED.expires_at - seconds(1)) is Use.FIRST
    assert UNUSED.use(UNUSED.expires_at) is Use.DEAD


def test_no_number_of_refreshes_makes_a_session_last_for_ever():
    young = replace(UNUSED, expires_at=START + timedelta(days=400))
    assert young.use(UNUSED.session_expires_at - seconds(1)) is Use.FIRST
    assert young.use(UNUSED.session_expires_at) is Use.DEAD


def test_a_phone_whose_answer_was_lost_may_ask_again_for_a_minute():
    assert JUST_USED.use(START + seconds(60)) is Use.AGAIN
    assert JUST_USED.use(START + seconds(60.001)) is Use.STOLEN


def test_a_server_whose_clock_is_behind_does_not_take_a_phone_for_a_thief():
    assert JUST_USED.use(START - seconds(20)) is Use.AGAIN


def test_a_used_token_whose_successor_was_used_is_stolen_even_in_the_first_minute():
    assert replace(JUST_USED, successor_salt=None).use(START + seconds(1)) is Use.STOLEN
    assert replace(JUST_USED, newest=6).use(START + seconds(1)) is Use.STOLEN


@pytest.mark.parametrize("row", [UNUSED, JUST_USED])
def test_a_session_that_was_signed_out_is_over_and_accuses_nobody(row: Presented):
    assert replace(row, ended=True).use(START) is Use.DEAD


@pytest.mark.parametrize("row", [UNUSED, JUST_USED])
def test_after_a_theft_everyone_who_holds_a_token_is_told(row: Presented):
    assert replace(row, ended=True, ended_by_reuse=True).use(START) is Use.STOLEN


@given(st.timedeltas(timedelta(days=-1), timedelta(days=400)), st.integers(4, 9), st.booleans())
def test_a_token_is_never_accepted_twice_once_its_successor_was_used(
    later: timedelta, newest: int, salted: bool
):
    row = replace(JUST_USED, newest=newest, successor_salt=b"s" * 32 if salted else None)
    if newest != 5 or not salted:
        assert row.use(START + later) in (Use.STOLEN, Use.DEAD)


def test_the_next_token_needs_both_the_token_and_the_salt():
    token, salt = "srr_" + "a" * 43, b"s" * 32
    mac = hmac.new(token.encode(), salt, hashlib.sha256).digest()
    assert successor(token, salt) == "srr_" + base64.urlsafe_b64encode(mac).decode()[:43]
    assert successor(token, salt) != successor(token, b"t" * 32)
    assert successor(token, salt) != successor("srr_" + "b" * 43, salt)


def test_what_is_stored_is_the_plain_hash():
    assert hashed("srr_x") == hashlib.sha256(b"srr_x").digest()


def test_no_log_line_shows_a_salt():
    assert "ssss" not in repr(JUST_USED)
