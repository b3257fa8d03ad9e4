"""The audit record on real PostgreSQL: the database refuses to change it, and damage is found.

Owns what a superuser could do to the record after taking its triggers away, each kind of it, and
that verification names the first entry that is wrong. Promises that a record under many writers,
and one whose connection dies in the middle, is whole. Never trusts the code that made the chain:
the expected numbers are written by hand.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import cast
from uuid import UUID

import psycopg
import pytest

from integration.centre.people import Lent, subject_of
from serai.core.errors import Code, SeraiError
from serai.core.ids import uuid7
from serai.core.limits import AUDIT_PAGE_ENTRIES
from serai.log.postgres import PostgresStore
from serai.log.verify import Broken, Report, verify
from serai.ports.store import Committed
from serai.shard.pools import PinnedPool
from serai.testing.store_conformance import Desk
from serai.testing.store_conformance.desk import mutation, refused
from serai.testing.vertical import GUESTS, VERTICAL

SWITCH = "ALTER TABLE serai.audit {} TRIGGER {}"
OTHER_VALUE = "UPDATE serai.audit SET {} = {} WHERE org_id = %(org)s AND number = 4"
RENUMBER = "UPDATE serai.audit SET number = {} WHERE org_id = %(org)s AND number = {}"
CUT = "DELETE FROM serai.audit WHERE org_id = %(org)s AND number {}"
HEAD_10 = "UPDATE serai.org o SET audit_number = 10 WHERE org_id = %(org)s"
HASH_10 = """, audit_hash = (
    SELECT hash FROM serai.audit a WHERE a.org_id = o.org_id AND a.number = 10
) WHERE"""


async def _desk(store: PostgresStore) -> Desk:
    """Return an organisation whose record has 12 entries of every kind."""
    desk = await Desk.open(subject_of(store))
    guest = desk.guest()
    await desk.done(desk.plan(guest))
    await desk.update(GUESTS, guest.id, note="x")
    await desk.delete(GUESTS, guest.id)
    await desk.done(desk.plan(once=mutation(uuid7(), 1), refusal=refused(uuid7())))
    await desk.commit(desk.plan(*(desk.guest(str(n)) for n in range(6))))
    return desk


def _damage(sql: psycopg.Connection, desk: Desk, *statements: str, other: int = 0) -> None:
    """Do what a superuser can do: the triggers away, the damage, the triggers back."""
    sql.execute(SWITCH.format("DISABLE", "ALL"))
    for statement in statements:
        sql.execute(statement.encode(), {"org": desk.org, "other": other})
    sql.execute(SWITCH.format("ENABLE ALWAYS", "append_only"))


async def _broken(store: PostgresStore, desk: Desk) -> tuple[int, str]:
    report = await verify(store, desk.org)
    assert report.broken is not None, "the damage is found"
    assert report.number == report.broken.number - (report.broken.kind != "head"), "the last good"
    return report.broken.number, report.broken.kind


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE serai.audit SET content = 'x'",
        "UPDATE serai.audit SET number = number WHERE number = 1",
        "DELETE FROM serai.audit WHERE number = 1",
        "TRUNCATE serai.audit",
        "UPDATE {part} SET content = 'x'",
        "DELETE FROM {part}",
        "TRUNCATE {part}",
        "UPDATE serai.audit_anchor SET number = 0",
        "DELETE FROM serai.audit_anchor",
        "TRUNCATE serai.audit_anchor",
        "SET session_replication_role = replica; DELETE FROM serai.audit",
        "SET session_replication_role = replica; TRUNCATE {part}",
    ],
)
async def test_the_database_refuses_every_change_to_its_superuser_too(
    store: PostgresStore, sql: psycopg.Connection, statement: str
):
    sql.execute("SELECT serai.turn_audit(1)")
    desk = await _desk(store)
    sql.execute("INSERT INTO serai.audit_anchor VALUES (0, 1, now(), '\\x00')")
    ((part,),) = sql.execute("SELECT DISTINCT tableoid::regclass::text FROM serai.audit").fetchall()
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only grows"):
        sql.execute(statement.format(part=part).encode())
    sql.execute("RESET session_replication_role")
    assert (await verify(store, desk.org)).entries == 12


async def test_a_whole_record_is_found_whole_from_any_entry_on(store: PostgresStore):
    desk = await _desk(store)
    for first in (1, 2, 7, 12):
        report = await verify(store, desk.org, first=first)
        assert (report.broken, report.first, report.entries) == (None, first, 13 - first)
    past = await verify(store, desk.org, first=13)
    assert (past.broken, past.entries) == (None, 0)
    beyond = await verify(store, desk.org, first=14)
    assert beyond.broken == Broken(13, "missing", "entry 13 is missing, on which entry 14 rests")
    with pytest.raises(SeraiError) as raised:
        await verify(store, desk.org + 1)
    assert raised.value.code is Code.NOT_FOUND


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("content", "content || ' '"),
        ("user_id", f"'{UUID(int=1)}'"),
        ("device_id", "NULL"),
        ("at", "at + interval '1 microsecond'"),
        ("version", "version + 1"),
        ("op", "'delete'"),
        ("via", "'push'"),
        ("collection", "collection + 1"),
        ("row_id", f"'{UUID(int=1)}'"),
        ("scope", f"'{UUID(int=1)}'"),
    ],
)
async def test_any_changed_part_of_an_entry_is_found(
    store: PostgresStore, sql: psycopg.Connection, column: str, value: str
):
    desk = await _desk(store)
    _damage(sql, desk, OTHER_VALUE.format(column, value))
    report = await verify(store, desk.org)
    detail = "its text was changed: the next entry rests on the hash that stands here"
    assert report.broken == Broken(4, "changed", detail)
    assert (report.number, report.entries) == (3, 3)


async def test_a_changed_hash_is_told_from_a_changed_text(
    store: PostgresStore, sql: psycopg.Connection
):
    desk = await _desk(store)
    wrong = "UPDATE serai.audit SET hash = '\\x00' WHERE org_id = %(org)s AND number = {}"
    for number in (12, 4):
        _damage(sql, desk, wrong.format(number))
        assert await _broken(store, desk) == (number, "hash")


@pytest.mark.parametrize(("gone", "first"), [("5", 5), ("1", 1), ("3, 4, 5", 3)])
async def test_missing_entries_are_named(
    store: PostgresStore, sql: psycopg.Connection, gone: str, first: int
):
    desk = await _desk(store)
    _damage(sql, desk, CUT.format(f"IN ({gone})"))
    assert await _broken(store, desk) == (first, "missing")


async def test_swapped_entries_are_found(store: PostgresStore, sql: psycopg.Connection):
    desk = await _desk(store)
    moves = ((8, 99), (9, 8), (99, 9))
    _damage(sql, desk, *(RENUMBER.format(new, old) for old, new in moves))
    assert await _broken(store, desk) == (8, "changed")


@pytest.mark.parametrize(
    ("also", "kind"),
    [
        ("", "tail"),
        (HEAD_10, "head"),
        (HEAD_10.replace(" WHERE", HASH_10), "version"),
    ],
)
async def test_a_cut_tail_is_found_whatever_the_head_says(
    store: PostgresStore, sql: psycopg.Connection, also: str, kind: str
):
    desk = await Desk.open(subject_of(store))
    for n in range(10):
        await desk.done(desk.plan(desk.guest(str(n))))
    _damage(sql, desk, CUT.format("> 10"), *([also] if also else []))
    report = await verify(store, desk.org)
    assert report.broken is not None
    assert (report.broken.number, report.broken.kind) == (11 if kind == "tail" else 10, kind)


async def test_a_head_that_says_less_or_something_else_is_found(
    store: PostgresStore, sql: psycopg.Connection
):
    desk = await _desk(store)
    sql.execute("UPDATE serai.org SET audit_number = 11 WHERE org_id = %s", (desk.org,))
    report = await verify(store, desk.org)
    assert report.broken == Broken(12, "head", "the organisation knows 11 entries only")
    sql.execute(
        "UPDATE serai.org SET audit_number = 12, audit_hash = '\\x11' WHERE org_id = %s",
        (desk.org,),
    )
    assert await _broken(store, desk) == (12, "head")


async def test_an_entry_of_another_organisation_does_not_fit(
    store: PostgresStore, sql: psycopg.Connection
):
    desk, other = await _desk(store), await _desk(store)
    take = "UPDATE serai.audit SET org_id = %(org)s WHERE org_id = %(other)s AND number = 6"
    _damage(sql, desk, CUT.format("= 6"), take, other=other.org)
    assert await _broken(store, desk) == (6, "changed")
    assert await _broken(store, other) == (6, "missing")


async def test_a_doubled_entry_is_found(store: PostgresStore, sql: psycopg.Connection):
    desk = await _desk(store)
    sql.execute(
        "INSERT INTO serai.audit SELECT org_id, number, at + interval '1 day', version, user_id, "
        "device_id, row_id, scope, collection, op, via, content, hash FROM serai.audit "
        "WHERE org_id = %s AND number = 5",
        (desk.org,),
    )
    report = await verify(store, desk.org)
    assert report.broken == Broken(5, "doubled", "there are two entries of this number")


async def test_a_record_written_anew_is_found_by_a_head_noted_before(
    store: PostgresStore, sql: psycopg.Connection
):
    desk = await _desk(store)
    noted = await verify(store, desk.org)
    assert (await verify(store, desk.org, expect=(noted.number, noted.hash))).broken is None
    _rewrite(sql, desk.org)
    assert (await verify(store, desk.org)).broken == Broken(
        6, "log", "the log has no such change"
    ), "while the log is there, it tells"
    sql.execute("UPDATE serai.org SET floor = version WHERE org_id = %s", (desk.org,))
    assert (await verify(store, desk.org)).broken is None, "the chain alone cannot tell"
    report = await verify(store, desk.org, expect=(noted.number, noted.hash))
    assert report.broken is not None
    assert (report.broken.number, report.broken.kind) == (12, "expected")
    late = await verify(store, desk.org, expect=(99, bytes(32)))
    assert late.broken is not None
    assert (late.broken.number, late.broken.kind) == (13, "expected")


def _rewrite(sql: psycopg.Connection, org_id: int) -> None:
    """Make the refusal, entry 6, an insert, and a whole new chain for it."""
    sql.execute(SWITCH.format("DISABLE", "ALL"))
    sql.execute(
        "UPDATE serai.audit SET op = 'insert', content = '{}' WHERE org_id = %s AND number = 6",
        (org_id,),
    )
    hashed = bytes(32)
    for number, text in sql.execute(
        "SELECT number, concat_ws(E'\\n', org_id, number, version, "
        "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), user_id, "
        "coalesce(device_id::text, ''), via, op, collection, row_id, scope, content) "
        "FROM serai.audit WHERE org_id = %s ORDER BY number",
        (org_id,),
    ).fetchall():
        hashed = hashlib.sha256(hashed + text.encode()).digest()
        sql.execute(
            "UPDATE serai.audit SET hash = %s WHERE org_id = %s AND number = %s",
            (hashed, org_id, number),
        )
    sql.execute("UPDATE serai.org SET audit_hash = %s WHERE org_id = %s", (hashed, org_id))
    sql.execute(SWITCH.format("ENABLE ALWAYS", "append_only"))


async def test_a_log_that_says_something_else_is_found(
    store: PostgresStore, sql: psycopg.Connection
):
    desk = await _desk(store)
    change = "UPDATE serai.log SET change = replace(change, {}) WHERE org_id = {} AND version = {}"
    sql.execute(change.format("'\"x\"', '\"y\"'", desk.org, 4).encode())
    report = await verify(store, desk.org)
    assert report.broken == Broken(4, "log", "the log has other values in note")


async def test_many_writers_make_one_chain_longer_than_a_page(store: PostgresStore):
    desk = await Desk.open(subject_of(store))
    each = AUDIT_PAGE_ENTRIES // 8
    seen: list[Report] = []

    async def write(n: int) -> None:
        for m in range(each):
            await desk.done(desk.plan(desk.guest(f"{n} {m}")))

    await asyncio.gather(*(write(n) for n in range(9)))
    report = await verify(store, desk.org, progress=seen.append)
    assert (report.broken, report.entries) == (None, 9 * each + 2)
    assert len(seen) >= 2, "it is read page by page"


async def test_a_connection_that_dies_in_the_middle_leaves_the_chain_whole(
    store: PostgresStore, pool: PinnedPool, sql: psycopg.Connection
):
    """Its entries are there or not, with its rows; the next writer goes on from what is there."""
    desk = await Desk.open(subject_of(store))
    with pytest.raises(SeraiError) as raised:
        await _die_before_the_end(desk, pool, sql)
    assert raised.value.code is Code.UNAVAILABLE
    report = await verify(store, desk.org)
    assert (report.broken, report.entries) == (None, 2)
    assert await desk.done(desk.plan(desk.guest("after"))) == 3
    report = await verify(store, desk.org)
    assert (report.broken, report.entries) == (None, 3)


async def _die_before_the_end(desk: Desk, pool: PinnedPool, sql: psycopg.Connection) -> None:
    async with pool.connection() as connection:
        await connection.execute("BEGIN")
        lent = PostgresStore(cast("PinnedPool", Lent(connection)), VERTICAL)
        assert await lent.commit([desk.plan(desk.guest())]) == [Committed(3)]
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        sql.execute("SELECT pg_terminate_backend(%s)", (pid,))
        await connection.execute("COMMIT")
