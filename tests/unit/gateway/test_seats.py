"""Who is written to: those at the head who have credit, and when that ends."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from serai.core.live_limits import (
    LIVE_CREDIT_MAX,
    LIVE_ORG_CONNECTIONS_MAX,
    LIVE_USER_CONNECTIONS_MAX,
)
from serai.core.token import Position
from serai.gateway.seats import AT_HEAD, Connection, Hall, Row
from serai.readers.live.room import Room

CHANNELS = {UUID(int=1): 1 << 5}


def hall() -> Hall:
    return Hall(1, Room(Position(1, 10), {5: "guests"}), 0)


def listener(row: Row, fd: int, credit: int, user: int = 1) -> Connection:
    made = Connection(fd, fd, row, UUID(int=user), UUID(int=user))
    row.hall.enter(made)
    made.credit = credit
    return made


def test_one_at_the_head_is_written_to_until_its_credit_ends() -> None:
    row = hall().row(CHANNELS)
    short, long = listener(row, 3, credit=2), listener(row, 4, credit=5)
    row.seat(short)
    row.seat(long)
    row.counted()
    assert row.ready == {3, 4}
    row.counted()
    assert row.ready == {4}
    assert (short.cursor, short.credit) == (row.audience.told, 0)
    assert long.cursor == AT_HEAD


def test_credit_that_is_given_while_at_the_head_moves_its_end() -> None:
    row = hall().row(CHANNELS)
    one = listener(row, 3, credit=2)
    row.seat(one)
    row.counted()
    row.allow(one, 2)
    row.counted()
    row.counted()
    assert row.ready == {3}
    row.counted()
    assert row.ready == set()
    assert one.credit == 0


def test_credit_is_bounded() -> None:
    row = hall().row(CHANNELS)
    waiting, seated = listener(row, 3, credit=0), listener(row, 4, credit=LIVE_CREDIT_MAX)
    row.seat(seated)
    for _ in range(5):
        row.allow(waiting, LIVE_CREDIT_MAX)
        row.allow(seated, LIVE_CREDIT_MAX)
    assert waiting.credit == LIVE_CREDIT_MAX
    for _ in range(LIVE_CREDIT_MAX):
        row.counted()
    assert row.ready == set()


def test_one_that_is_taken_out_keeps_the_rest_of_its_credit() -> None:
    row = hall().row(CHANNELS)
    one = listener(row, 3, credit=5)
    row.seat(one)
    row.counted()
    row.unseat(one, 10)
    assert (one.cursor, one.credit) == (10, 4)
    row.seat(one)
    for _ in range(4):
        assert row.ready == {3}
        row.counted()
    assert row.ready == set()


@given(st.lists(st.sampled_from(["frame", "allow", "out", "in"]), max_size=60))
def test_no_more_frames_go_out_than_were_allowed(steps: list[str]) -> None:
    row = hall().row(CHANNELS)
    one = listener(row, 3, credit=3)
    allowed, sent = 3, 0
    row.seat(one)
    for step in steps:
        if step == "frame":
            sent += 3 in row.ready
            row.counted()
        elif step == "allow":
            row.allow(one, 2)
            allowed += 2
        elif step == "out" and one.cursor == AT_HEAD:
            row.unseat(one, 10)
        elif step == "in" and one.cursor != AT_HEAD and one.credit:
            row.seat(one)
        assert sent <= allowed
        assert (3 in row.ready) == (one.cursor == AT_HEAD)


def test_a_user_and_an_organisation_have_so_many_connections_at_most() -> None:
    here = hall()
    row = here.row(CHANNELS)
    for n in range(LIVE_USER_CONNECTIONS_MAX):
        assert here.full_for(UUID(int=1)) is None
        listener(row, n, credit=1)
    assert here.full_for(UUID(int=1)) == "A user has 10 connections at most."
    assert here.full_for(UUID(int=2)) is None
    for n in range(here.size, LIVE_ORG_CONNECTIONS_MAX):
        listener(row, n, credit=1, user=n)
    assert here.full_for(UUID(int=2)) == "An organisation has 1000 connections at most."


def test_what_nobody_is_in_any_more_is_forgotten() -> None:
    here = hall()
    row = here.row(CHANNELS)
    one, two = listener(row, 3, credit=1), listener(row, 4, credit=1)
    row.seat(one)
    assert here.row(dict(CHANNELS)) is row
    here.leave(one)
    assert (here.size, row.ready, list(here.connections)) == (1, set(), [two])
    here.leave(two)
    assert (here.size, here.rows, list(here.room.audiences)) == (0, {}, [])


def test_ends_of_credit_that_moved_are_swept() -> None:
    here = hall()
    row = here.row(CHANNELS)
    stays, goes = listener(row, 3, credit=1), listener(row, 4, credit=1)
    row.seat(stays)
    for _ in range(100):
        row.allow(stays, 1)
    assert row.stale
    here.leave(goes)
    assert not row.stale
    for _ in range(101):
        row.counted()
    assert row.ready == set()


def test_one_that_left_takes_out_nobody_who_has_its_descriptor_now() -> None:
    here = hall()
    row = here.row(CHANNELS)
    stays, goes = listener(row, 9, credit=9), listener(row, 3, credit=2)
    row.seat(stays)
    row.seat(goes)
    here.leave(goes)
    comes = listener(row, 3, credit=9)
    row.seat(comes)
    for _ in range(3):
        row.counted()
    assert row.ready == {3, 9}
    assert comes.cursor == AT_HEAD
