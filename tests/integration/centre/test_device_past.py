"""The hashes that are left of a device's mutations when their replies are dropped.

Owns the fold on real PostgreSQL: in passes, killed in between, by day and out of the default
partition, and its end when the time of the hashes is over too. Promises that no number falls
between two passes. Never waits for a day: replies are made older by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from integration.centre.people import subject_of
from serai.core.ids import uuid7
from serai.log.postgres import PostgresStore
from serai.ports.store import IdempotencyKey, PlannedWrite, Replayed
from serai.testing.store_conformance import Desk
from serai.testing.store_conformance.desk import ANNA, mutation

FOLD = "SELECT serai.fold_replies(%s, %s, %s)"
KEPT, PAST = 2, 400
MANY = range(1, 301)
PIECES = [(1, 127), (128, 128), (256, 45)]


def fold(sql: psycopg.Connection, pages: int) -> int:
    """Fold what is over; return how many passes had work."""
    for passes in range(1_000):
        if sql.execute(FOLD, (KEPT, PAST, pages)).fetchone() == (False,):
            return passes
    raise AssertionError("it never ends")


def blocks(sql: psycopg.Connection) -> list[tuple[int, int]]:
    """Return (first number, how many) of the blocks of hashes."""
    query = "SELECT first, length(hashes) / 8 FROM serai.device_past ORDER BY first"
    return sql.execute(query).fetchall()


def age(sql: psycopg.Connection, days: int, *, into_its_day: bool) -> None:
    """Make every reply so many days older, in the partition of its day or in the default one."""
    if into_its_day:
        day = datetime.now(UTC).date() - timedelta(days=days)
        sql.execute(
            f"CREATE TABLE serai.reply_{day:%Y_%m_%d} PARTITION OF serai.reply"
            f" FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')".encode()
        )
    sql.execute("UPDATE serai.reply SET created_on = created_on - %s::integer", (days,))


async def told(desk: Desk, writes: Sequence[PlannedWrite]) -> set[tuple[str | None, bool]]:
    """Send the writes again, each alone: after one whose number another has used none is judged.
    Return what is said of them, (reply, same body).
    """
    outcomes = [await desk.commit_one(write) for write in writes]
    assert all(isinstance(each, Replayed) for each in outcomes), outcomes
    return {(each.reply, each.same_body) for each in outcomes if isinstance(each, Replayed)}


@pytest.mark.parametrize("into_its_day", [True, False], ids=["day", "default"])
async def test_no_number_is_lost_between_passes_whatever_is_killed_there(
    store: PostgresStore, sql: psycopg.Connection, into_its_day: bool
):
    desk, phone = await Desk.open(subject_of(store)), uuid7()
    reply = f'"{"x" * 1_000}"'
    sent = [desk.plan(once=mutation(phone, n), body=f"{n}", reply=reply) for n in MANY]
    new = [desk.plan(once=mutation(phone, n), body=f"new {n}") for n in MANY]
    await desk.commit(*sent, desk.plan(once=IdempotencyKey(ANNA, "k")))
    age(sql, 100, into_its_day=into_its_day)

    assert sql.execute(FOLD, (KEPT, PAST, 2)).fetchone() == (True,)
    after_one = blocks(sql)
    assert 0 < sum(many for _, many in after_one) < 100
    with sql.transaction(force_rollback=True):
        assert sql.execute(FOLD, (KEPT, PAST, 2)).fetchone() == (True,)
        assert blocks(sql) != after_one
    assert blocks(sql) == after_one, "a pass that was killed left nothing"
    # Halfway some are known by their reply, the others by their hash; of a day all by their reply.
    halfway = {(reply, True)} if into_its_day else {(reply, True), (None, True)}
    assert await told(desk, sent) == halfway
    assert {same for _, same in await told(desk, new)} == {False}

    assert fold(sql, 2) > 5
    assert sum(many for _, many in blocks(sql)) == len(MANY)
    assert sql.execute("SELECT FROM serai.reply").fetchall() == []
    assert sql.execute("SELECT FROM serai.reply_fold").fetchall() == []
    assert await told(desk, sent) == {(None, True)}
    assert await told(desk, new) == {(None, False)}


async def test_a_day_of_a_device_is_few_blocks(store: PostgresStore, sql: psycopg.Connection):
    desk, phone, tablet = await Desk.open(subject_of(store)), uuid7(), uuid7()
    for device in (phone, tablet):
        await desk.commit(*(desk.plan(once=mutation(device, n)) for n in MANY))
    age(sql, 3, into_its_day=True)
    assert fold(sql, 1_000) == 1
    assert blocks(sql) == [(first, many) for first, many in PIECES for _ in (phone, tablet)]


async def test_hashes_are_dropped_after_their_time_and_a_number_is_known_still(
    store: PostgresStore, sql: psycopg.Connection
):
    desk, phone = await Desk.open(subject_of(store)), uuid7()
    other = [desk.plan(once=mutation(phone, n), body="other") for n in (1, 2, 3)]
    for number, days in ((1, 200), (2, 150), (3, PAST + 1)):
        await desk.commit(desk.plan(once=mutation(phone, number)))
        age(sql, days, into_its_day=True)
        fold(sql, 10)
    assert blocks(sql) == [(1, 1), (2, 1)], "what is too old already is dropped with its reply"
    assert await told(desk, other[:2]) == {(None, False)}
    # Months are dropped whole: 200 days ago is in one that was over 165 days ago, 150 is not.
    sql.execute(FOLD, (KEPT, 165, 1))
    assert blocks(sql) == [(2, 1)]
    assert await told(desk, [other[0], other[2]]) == {(None, True)}
    assert await told(desk, [other[1]]) == {(None, False)}


async def test_hashes_that_came_with_a_move_are_looked_at_and_dropped_after_their_time(
    store: PostgresStore, sql: psycopg.Connection
):
    desk, phone = await Desk.open(subject_of(store)), uuid7()
    sent = [desk.plan(once=mutation(phone, n), body=f"{n}") for n in range(1, 11)]
    other = [desk.plan(once=mutation(phone, n), body="other") for n in range(1, 11)]
    await desk.commit(*sent)
    # The move met a day in the middle of its fold: some hashes came, and all replies.
    hashes = b"".join(write.body_hash[:8] for write in sent)
    today = datetime.now(UTC).date()
    block = "INSERT INTO serai.device_past VALUES (%s, %s, %s, %s, %s)"
    for first, many, days in ((1, 4, 30), (3, 2, 30), (8, 1, PAST + 1)):
        part = hashes[(first - 1) * 8 : (first - 1 + many) * 8]
        sql.execute(block, (desk.org, phone, first, today - timedelta(days=days), part))
    assert sql.execute("SELECT count(*) FROM serai.device_past_default").fetchone() == (3,)
    age(sql, 30, into_its_day=False)
    fold(sql, 10)
    assert sql.execute("SELECT FROM serai.device_past_default").fetchall() == []
    assert blocks(sql) == [(1, 10), (3, 2)]
    assert await told(desk, sent) == {(None, True)}
    assert await told(desk, other) == {(None, False)}


def test_no_caller_drops_replies_of_today(sql: psycopg.Connection):
    for limits in [(0, PAST, 1), (KEPT, 1, 1), (KEPT, PAST, 0)]:
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            sql.execute(FOLD, limits)
