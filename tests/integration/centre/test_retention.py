"""Months of the audit record on real PostgreSQL: dropped as a whole, and what is left verifies.

Owns records that began years ago: their entries are written by the write path, on a clock that says
so. Never changes an entry.
"""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from integration.centre.people import subject_of
from serai.log.postgres import PostgresStore
from serai.log.verify import verify
from serai.shard.pools import PinnedPool
from serai.testing.store_conformance import Desk
from serai.testing.vertical import VERTICAL

MONTH = """
CREATE TABLE serai.audit_{name} (LIKE serai.audit INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE serai.audit ATTACH PARTITION serai.audit_{name} FOR VALUES FROM ('{first}') TO ('{end}')
"""
DROP = "SELECT serai.drop_audit_month(%s::date)"
MONTHS = "SELECT month::text FROM serai.audit_months('2020-03-01')"
ANCHORS = "SELECT org_id, number FROM serai.audit_anchor ORDER BY org_id, number"


class At:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.moment = datetime(2020, 1, 15, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


async def old_record(pool: PinnedPool, sql: psycopg.Connection) -> tuple[Desk, At]:
    """Return an organisation with 2 entries of January 2020, 3 of February and 1 of March."""
    for name, first, end in (
        ("2020_01", "2020-01-01 00:00Z", "2020-02-01 00:00Z"),
        ("2020_02", "2020-02-01 00:00Z", "2020-03-01 00:00Z"),
    ):
        for statement in MONTH.format(name=name, first=first, end=end).split(";"):
            sql.execute(statement.encode())
    clock = At()
    desk = await Desk.open(subject_of(PostgresStore(pool, VERTICAL, clock)))
    clock.moment = datetime(2020, 2, 29, 23, 59, tzinfo=UTC)
    await desk.done(desk.plan(desk.guest("a"), desk.guest("b"), desk.guest("c")))
    clock.moment = datetime(2020, 3, 1, tzinfo=UTC)
    await desk.done(desk.plan(desk.guest("d")))
    return desk, clock


async def test_what_is_left_of_a_record_whose_old_months_are_gone_can_be_verified(
    pool: PinnedPool, sql: psycopg.Connection
):
    desk, _ = await old_record(pool, sql)
    noted = (await verify(desk.store, desk.org)).hash
    assert [m for (m,) in sql.execute(MONTHS)] == ["2020-01-01", "2020-02-01"]
    assert sql.execute(DROP, ("2020-01-01",)).fetchone() == (1,)
    report = await verify(desk.store, desk.org)
    assert (report.broken, report.dropped, report.entries) == (None, 2, 4)
    assert sql.execute(DROP, ("2020-02-01",)).fetchone() == (1,)
    report = await verify(desk.store, desk.org, expect=(6, noted))
    assert (report.broken, report.dropped, report.entries, report.number) == (None, 5, 1, 6)
    assert sql.execute(ANCHORS).fetchall() == [(desk.org, 2), (desk.org, 5)]
    assert sql.execute(DROP, ("2020-02-01",)).fetchone() == (0,), "it is gone already"
    await desk.done(desk.plan(desk.guest("e")))
    assert (await verify(desk.store, desk.org)).broken is None


async def test_a_record_that_was_changed_before_its_months_went_does_not_become_whole(
    pool: PinnedPool, sql: psycopg.Connection
):
    desk, _ = await old_record(pool, sql)
    sql.execute("ALTER TABLE serai.audit_2020_02 DISABLE TRIGGER ALL")
    sql.execute("UPDATE serai.audit_2020_02 SET hash = decode(repeat('01', 32), 'hex')")
    sql.execute(DROP, ("2020-01-01",))
    sql.execute(DROP, ("2020-02-01",))
    report = await verify(desk.store, desk.org)
    assert report.broken is not None
    assert report.broken.number == 6


async def test_the_present_month_and_the_one_before_are_not_dropped(
    pool: PinnedPool, sql: psycopg.Connection
):
    store = PostgresStore(pool, VERTICAL)
    await Desk.open(subject_of(store))
    for back in ("0 months", "1 month"):
        with pytest.raises(psycopg.errors.RaiseException, match="too new"):
            sql.execute("SELECT serai.drop_audit_month((now() - %s::interval)::date)", (back,))


async def test_upkeep_drops_what_the_operator_does_not_keep_and_nothing_by_itself(
    pool: PinnedPool, sql: psycopg.Connection
):
    desk, _ = await old_record(pool, sql)

    async def turned() -> list[str]:
        async with pool.connection() as connection:
            await connection.execute("SELECT serai.turn_retention()")
        return [m for (m,) in sql.execute(MONTHS)]

    assert len(await turned()) == 2, "for ever, unless told otherwise"
    sql.execute("INSERT INTO serai.retention (audit_months) VALUES (24)")
    assert await turned() == ["2020-02-01"], "one at a time"
    assert await turned() == []
    assert (await verify(desk.store, desk.org)).broken is None


async def test_who_serves_requests_cannot_drop_a_month(pool: PinnedPool, sql: psycopg.Connection):
    await old_record(pool, sql)
    for statement in (
        "SELECT serai.drop_audit_month('2020-01-01')",
        "INSERT INTO serai.retention (audit_months) VALUES (2)",
        "UPDATE serai.retention SET audit_months = 2",
    ):
        with pytest.raises(Exception, match="permission denied"):
            async with pool.connection() as connection:
                await connection.execute(statement)
    assert len(sql.execute(MONTHS).fetchall()) == 2
