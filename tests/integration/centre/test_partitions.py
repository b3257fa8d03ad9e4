"""Months of money and days of replies on real PostgreSQL.

Owns partitions: made ahead, made late with rows waiting in the default one, dropped with the time
that keys are kept. Promises that a row is found and told apart wherever it lies. Never waits for a
day to pass: the days of replies are moved by hand.
"""

from __future__ import annotations

from datetime import date

import psycopg

from integration.centre.people import subject_of
from serai.app.partitions import REPLY_DAYS_KEPT
from serai.core.errors import Code
from serai.core.ids import uuid7
from serai.core.limits import DEVICE_PAST_DAYS, FOLD_PAGES_MAX
from serai.log.postgres import PostgresStore
from serai.model.fields import Value
from serai.ports.store import Committed, Failed, IdempotencyKey, ListQuery, Replayed
from serai.testing.store_conformance import Desk
from serai.testing.store_conformance.desk import ANNA, mutation
from serai.testing.vertical import PAYMENTS

FOLD = (
    f"SELECT serai.fold_replies({REPLY_DAYS_KEPT}, {DEVICE_PAST_DAYS}, {FOLD_PAGES_MAX})".encode()
)
MONTHS = "SELECT serai.ensure_months('trial', 'payments', 'business_date', %s, %s)"


def payment(desk: Desk, day: str, amount: int = 1):
    money: dict[str, Value] = {"amount_minor": amount, "amount_currency": "EUR"}
    return desk.row(PAYMENTS, uuid7(), business_date=day, **money)


def places(sql: psycopg.Connection) -> dict[str, int]:
    found = sql.execute(
        "SELECT tableoid::regclass::text, count(*) FROM trial.payments GROUP BY 1"
    ).fetchall()
    return {name.removeprefix("trial."): count for name, count in found}


async def test_months_are_made_ahead_and_doing_it_again_makes_none(sql: psycopg.Connection):
    span = (date(2026, 1, 17), date(2026, 3, 1))
    assert sql.execute(MONTHS, span).fetchone() == (3,)
    assert sql.execute(MONTHS, span).fetchone() == (0,)
    assert sql.execute(MONTHS, (date(2025, 12, 31), date(2026, 4, 1))).fetchone() == (2,)


async def test_rows_that_came_before_their_month_was_made_move_into_it(
    store: PostgresStore, sql: psycopg.Connection
):
    desk = await Desk.open(subject_of(store))
    days = ["2026-01-31", "2026-02-01", "2026-02-28", "2026-03-01"]
    ops = [payment(desk, day, n + 1) for n, day in enumerate(days)]
    await desk.done(desk.plan(*ops))
    assert places(sql) == {"payments_default": 4}
    assert sql.execute(MONTHS, (date(2026, 2, 1), date(2026, 2, 1))).fetchone() == (1,)
    assert places(sql) == {"payments_default": 2, "payments_2026_02": 2}
    query = ListQuery(desk.org, PAYMENTS, None, order="business_date")
    assert [i for i, _ in await store.list_rows(query)] == [op.id for op in ops]
    await desk.update(PAYMENTS, ops[1].id, business_date="2026-01-15")
    await desk.update(PAYMENTS, ops[3].id, business_date="2026-02-02")
    await desk.update(PAYMENTS, ops[2].id, memo="same month")
    assert places(sql) == {"payments_default": 2, "payments_2026_02": 2}
    assert [i for i, _ in await store.list_rows(query)] == [ops[n].id for n in (1, 0, 3, 2)]
    for op in ops:
        await desk.delete(PAYMENTS, op.id)
    assert places(sql) == {}


async def test_a_month_that_was_made_late_keeps_every_rule(
    store: PostgresStore, sql: psycopg.Connection
):
    sql.execute(MONTHS, (date(2026, 1, 1), date(2026, 1, 1)))
    desk = await Desk.open(subject_of(store))
    good = payment(desk, "2026-01-31")
    await desk.done(desk.plan(good))
    bad = [
        (payment(desk, "2026-01-01", 0), Code.CONSTRAINT, ()),
        (
            desk.row(PAYMENTS, uuid7(), business_date="2026-01-02", amount_minor=1),
            Code.FIELDS_INVALID,
            ("amount_currency",),
        ),
        (
            desk.row(
                PAYMENTS,
                uuid7(),
                business_date="2026-01-03",
                amount_minor=1,
                amount_currency="EUR",
                stay_id=str(uuid7()),
            ),
            Code.REFERENCE_MISSING,
            ("stay_id",),
        ),
    ]
    for op, code, fields in bad:
        outcome = await desk.commit_one(desk.plan(op))
        assert isinstance(outcome, Failed)
        assert (outcome.code, outcome.fields) == (code, fields)
    again = desk.plan(
        desk.row(
            PAYMENTS, good.id, business_date="2026-01-31", amount_minor=2, amount_currency="EUR"
        ),
        reads=[],
    )
    outcome = await desk.commit_one(again)
    assert isinstance(outcome, Failed)
    assert outcome.code is Code.ROW_EXISTS


def age(sql: psycopg.Connection, days: int) -> None:
    """Make every reply so many days older, wherever it lies then."""
    sql.execute("UPDATE serai.reply SET created_on = created_on - %s::integer", (days,))


def turn(sql: psycopg.Connection) -> list[str]:
    """Make days of replies and fold those that are over; return the partitions that there are."""
    sql.execute("SELECT serai.turn_replies(2)")
    while sql.execute(FOLD).fetchone() == (True,):
        pass
    found = sql.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid"
        " WHERE inhparent = 'serai.reply'::regclass ORDER BY 1"
    ).fetchall()
    return [name for (name,) in found]


async def test_replies_survive_the_making_of_their_day(
    store: PostgresStore, sql: psycopg.Connection
):
    desk, phone = await Desk.open(subject_of(store)), uuid7()
    key = desk.plan(desk.guest("1"), once=IdempotencyKey(ANNA, "k"), reply="key")
    number = desk.plan(desk.guest("2"), once=mutation(phone, 1), reply="number")
    await desk.commit(key, number)
    made = turn(sql)
    assert len(made) == 4
    assert made == turn(sql)
    assert [name for name in made if name[6:].replace("_", "").isdigit()] == made[:3]
    waiting = sql.execute("SELECT count(*) FROM ONLY serai.reply_default").fetchone()
    assert waiting == (0,), "they moved into their day"
    assert await desk.commit(key, number) == [
        Replayed(3, "key", same_body=True),
        Replayed(4, "number", same_body=True),
    ]
    # The day before, which is in the default partition, is still known.
    age(sql, 1)
    assert turn(sql) == made
    assert await desk.commit_one(key) == Replayed(3, "key", same_body=True)


async def test_after_the_days_that_keys_are_kept_a_key_is_new_and_a_number_is_known(
    store: PostgresStore, sql: psycopg.Connection
):
    desk, phone = await Desk.open(subject_of(store)), uuid7()
    key = IdempotencyKey(ANNA, "k")
    await desk.done(desk.plan(desk.guest("1"), once=key, reply="old"))
    number = desk.plan(desk.guest("2"), once=mutation(phone, 1), reply="number")
    await desk.done(number)
    age(sql, REPLY_DAYS_KEPT)
    turn(sql)
    assert await desk.store.replayed(desk.org, key, bytes(32)) is not None
    age(sql, 1)
    turn(sql)
    assert await desk.store.replayed(desk.org, key, bytes(32)) is None
    assert await desk.commit_one(desk.plan(desk.guest("3"), once=key)) == Committed(5)
    assert await desk.commit_one(number) == Replayed(0, None, same_body=True)
    other = desk.plan(desk.guest("4"), once=mutation(phone, 1), body="another")
    assert await desk.commit_one(other) == Replayed(0, None, same_body=False)


async def test_old_days_of_replies_are_dropped_whole(store: PostgresStore, sql: psycopg.Connection):
    old = "reply_2020_01_01"
    sql.execute(
        "CREATE TABLE serai.reply_2020_01_01 PARTITION OF serai.reply"
        " FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')"
    )
    desk = await Desk.open(subject_of(store))
    write = desk.plan(desk.guest("1"), once=IdempotencyKey(ANNA, "k"))
    await desk.done(write)
    sql.execute("UPDATE serai.reply SET created_on = '2020-01-01'")
    assert old not in turn(sql)
    assert sql.execute("SELECT count(*) FROM serai.reply").fetchone() == (0,)
    assert await desk.store.replayed(desk.org, IdempotencyKey(ANNA, "k"), bytes(32)) is None
