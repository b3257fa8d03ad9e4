"""The second wall: what the role of requests can see and do, when the code in front of it is wrong.

Owns two organisations with a row in every table, found in the catalogue: a table that is added
without a policy, or without a row here, fails. Promises that what is tried is tried as the role
that processes serve as, with its own login. Never tests what the first wall, the code, asks for.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from integration.centre.people import subject_of
from serai.core.ids import ORG_SCOPE, uuid7
from serai.log.postgres import PostgresStore
from serai.ports.store import IdempotencyKey, ListQuery
from serai.shard.connection import Connection
from serai.shard.pools import PinnedPool
from serai.shard.queries import load_queries
from serai.shard.role import RequestRole
from serai.testing.store_conformance import Desk
from serai.testing.store_conformance.desk import ANNA, mutation, refused
from serai.testing.vertical import GUESTS, MEMBERSHIPS, PAYMENTS, STAYS, VERTICAL

FUNCTIONS = {
    "serai.commit",
    "serai.create_org",
    "serai.ensure_months",
    "serai.turn_replies",
    "serai.turn_audit",
    "serai.fold_replies",
    "serai.lives",
    "serai.begin_life",
    "serai.note_life",
    "serai.fold_log",
    "serai.raise_floor",
    "serai.prune_log",
    "serai.open_channel",
    "serai.advance_segments",
    "serai.put_blocks",
    "serai.turn_retention",
    "serai.beat",
    "serai.thaw_restores",
}
TABLES = """
SELECT n.nspname || '.' || c.relname AS name, c.relispartition AS part,
       EXISTS (SELECT FROM pg_attribute a
               WHERE a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped) AS owned
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
AS_ORG = "SELECT set_config('serai.org', %s, true)"


@dataclass(frozen=True)
class Table:
    """One of the catalogue. `owned`: its rows are organisations'; `part`: a partition."""

    name: str
    part: bool
    owned: bool


@dataclass
class House:
    """Two organisations, each with a row everywhere; `owner` and `guest` are connections: the
    owner's, and that of the role of requests.
    """

    ana: Desk
    ben: Desk
    owner: psycopg.Connection[Any]
    guest: psycopg.Connection[Any]

    def tables(self) -> list[Table]:
        found = [Table(*row) for row in self.owner.execute(TABLES)]
        assert {"serai.org", "serai.log", "trial.guests", "trial.payments_2026_01"} <= {
            table.name for table in found
        }
        return found

    def count(self, table: str, org_id: int) -> int:
        query = sql.SQL("SELECT count(*) FROM {} WHERE org_id = %s").format(named(table))
        row = self.owner.execute(query, [org_id]).fetchone()
        assert row is not None
        return row[0]

    def refused(self, statement: str | sql.Composed) -> None:
        """Try it as the role of requests, for its organisation; PostgreSQL says no."""
        text = statement.encode() if isinstance(statement, str) else statement
        with self.guest.transaction(force_rollback=True):
            self.guest.execute(AS_ORG, [str(self.ana.org)])
            with pytest.raises(errors.InsufficientPrivilege), self.guest.transaction():
                self.guest.execute(text)


def named(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split("."))


async def furnish(desk: Desk) -> None:
    """Put a row of the organisation into every table."""
    guest = desk.guest("Ada", card=str(desk.org))
    stay = desk.stay(guest.id, arrives_on="2026-01-05")
    membership = desk.row(MEMBERSHIPS, uuid7(), user_id=str(ANNA), role="owner")
    money = {"amount_minor": 100, "amount_currency": "EUR"}
    payments = [
        desk.row(PAYMENTS, uuid7(), business_date=day, **money)
        for day in ("2026-01-05", "2031-01-05")
    ]
    await desk.done(desk.plan(guest, stay, membership, desk.wage(), *payments))
    lost = desk.guest("Lost")
    await desk.done(desk.plan(lost, once=IdempotencyKey(ANNA, "k")))
    await desk.delete(GUESTS, lost.id)
    await desk.done(desk.plan(once=mutation(uuid7(), 1), refusal=refused(uuid7())))


@pytest.fixture
async def house(store: PostgresStore, shard_url: str, request_role: RequestRole):
    url = request_role.url(shard_url)
    with (
        psycopg.connect(shard_url, autocommit=True) as owner,
        psycopg.connect(url, autocommit=True) as guest,
    ):
        owner.execute(
            "SELECT serai.ensure_months"
            "('trial', 'payments', 'business_date', '2026-01-01', '2026-02-01'),"
            " serai.turn_replies(1), serai.turn_audit(1), serai.ensure_past('2026-01-05')"
        )
        desks = [await Desk.open(subject_of(store)) for _ in range(2)]
        for desk in desks:
            await furnish(desk)
            owner.execute(
                "INSERT INTO serai.audit_anchor VALUES (%s, 1, now(), '\\x00')", [desk.org]
            )
            owner.execute("SELECT serai.begin_life(%s)", [desk.org])
            owner.execute("INSERT INTO serai.outlet VALUES (%s, 1, 1)", [desk.org])
            owner.execute("INSERT INTO serai.restore_hold VALUES (%s, 'ana', 'why')", [desk.org])
            owner.execute("INSERT INTO serai.move_reply VALUES (%s, 'k', now())", [desk.org])
            owner.execute(
                "INSERT INTO serai.departure VALUES (%s, gen_random_uuid(), 1, 1, 1, now())",
                [desk.org],
            )
            owner.execute("SELECT serai.open_channel(%s, 3::smallint, %s)", [desk.org, ORG_SCOPE])
            owner.execute(
                "INSERT INTO serai.device_past"
                " VALUES (%s, gen_random_uuid(), 1, '2026-01-05', '\\x00')",
                [desk.org],
            )
        yield House(desks[0], desks[1], owner, guest)


def roots(house: House) -> Iterator[Table]:
    yield from (table for table in house.tables() if table.owned and not table.part)


def test_every_table_has_rows_of_both_organisations(house: House):
    # The tests below say nothing about a table that is empty.
    empty = [
        (table.name, desk.org)
        for table in roots(house)
        for desk in (house.ana, house.ben)
        if not house.count(table.name, desk.org)
    ]
    assert empty == []


def test_a_forgotten_filter_shows_one_organisation_only(house: House):
    for table in roots(house):
        with house.guest.transaction():
            house.guest.execute(AS_ORG, [str(house.ana.org)])
            query = sql.SQL("SELECT org_id, count(*) FROM {} GROUP BY org_id").format(
                named(table.name)
            )
            found = house.guest.execute(query).fetchall()
        assert found == [(house.ana.org, house.count(table.name, house.ana.org))], table


def test_nothing_is_visible_until_an_organisation_is_named(house: House):
    for table in roots(house):
        query = sql.SQL("SELECT count(*) FROM {}").format(named(table.name))
        assert house.guest.execute(query).fetchall() == [(0,)], table


def test_what_one_statement_named_is_gone_for_the_next(house: House):
    # The same connection, after a transaction that named an organisation.
    with house.guest.transaction():
        house.guest.execute(AS_ORG, [str(house.ana.org)])
    test_nothing_is_visible_until_an_organisation_is_named(house)


def test_a_partition_is_closed_by_itself(house: House):
    partitions = [table for table in house.tables() if table.part]
    assert {table.name for table in partitions} > {"trial.payments_default", "serai.reply_default"}
    for table in partitions:
        house.refused(sql.SQL("SELECT * FROM {}").format(named(table.name)))
    bare = house.owner.execute(
        "SELECT c.relname FROM pg_class c WHERE c.relispartition AND c.relkind = 'r'"
        " AND NOT c.relrowsecurity"
    ).fetchall()
    assert bare == []


def test_no_table_can_be_written_but_by_the_one_function(house: House):
    for table in house.tables():
        first = house.owner.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1",
            [named(table.name).as_string(house.owner)],
        ).fetchall()[0][0]
        names = {"table": named(table.name), "column": sql.Identifier(first)}
        for statement in (
            "INSERT INTO {table} DEFAULT VALUES",
            "UPDATE {table} SET {column} = {column}",
            "DELETE FROM {table}",
            "TRUNCATE {table}",
            "LOCK TABLE {table} IN ROW EXCLUSIVE MODE",
            "SELECT 1 FROM {table} FOR UPDATE",
        ):
            house.refused(sql.SQL(statement).format(**names))


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE serai.row DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE serai.row NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY one_organisation ON serai.row",
        "CREATE POLICY all_of_it ON serai.row USING (true)",
        "CREATE TABLE serai.mine (org_id bigint)",
        "CREATE FUNCTION trial.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT trial.remove_guests('{1}', ARRAY[gen_random_uuid()])",
        "SELECT serai.admit('postgres')",
        "SET LOCAL row_security = off; SELECT count(*) FROM serai.row",
        "CREATE ROLE another SUPERUSER",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY serai.row TO PROGRAM 'cat'",
    ],
)
def test_the_wall_cannot_be_taken_down_from_inside(house: House, statement: str):
    house.refused(statement)


@pytest.mark.parametrize(
    ("schema", "table", "column"),
    [
        ("serai", "reply", "created_on"),
        ("serai", "audit", "at"),
        ("serai", "log", "version"),
        ("serai", "row", "version"),
        ("public", "payments", "business_date"),
        ("pg_catalog", "pg_class", "relname"),
        ("trial", "guests", "name"),
        ("trial", "payments", "amount_minor"),
        ("trial", "payments", "org_id"),
        ("trial", "payments_default", "business_date"),
        ("trial", "payments_2026_01", "business_date"),
        ("trial", "Payments", "business_date"),
        ("trial", "payments; DROP TABLE serai.org", "business_date"),
        ("trial", "nothing", "business_date"),
        ("nowhere", "payments", "business_date"),
    ],
)
def test_months_are_made_of_a_collections_own_table_only(
    house: House, schema: str, table: str, column: str
):
    # The function has the owner's rights: without a check it would move any table's rows.
    before = house.tables()
    call = sql.SQL("SELECT serai.ensure_months({}, {}, {}, '2040-01-01', '2040-01-01')")
    house.refused(call.format(*map(sql.Literal, (schema, table, column))))
    assert house.tables() == before
    good = call.format(*map(sql.Literal, ("trial", "payments", "business_date")))
    assert house.guest.execute(good).fetchall() == [(1,)]


def test_the_role_makes_no_temporary_table(house: House):
    # Rights on a database are not copied with a template, so here they are given as `migrate` does.
    house.owner.execute("SELECT serai.admit(%s)", [house.guest.info.user])
    house.refused("CREATE TEMPORARY TABLE mine (org_id bigint)")
    house.refused("CREATE TABLE pg_temp.mine (org_id bigint)")
    house.owner.execute("CREATE TEMPORARY TABLE mine (org_id bigint)")


def test_the_role_cannot_become_anybody_else(house: House):
    others = house.owner.execute(
        "SELECT rolname FROM pg_roles WHERE rolname <> %s", [house.guest.info.user]
    ).fetchall()
    assert others
    for (name,) in others:
        for statement in ("SET ROLE {}", "SET SESSION AUTHORIZATION {}"):
            house.refused(sql.SQL(statement).format(sql.Identifier(name)))
    # RESET leads back to the login, which is the role itself.
    house.guest.execute("RESET ROLE")
    house.guest.execute("RESET SESSION AUTHORIZATION")
    assert house.guest.execute("SELECT current_user").fetchall() == [(house.guest.info.user,)]


def test_the_role_has_no_power_and_owns_nothing(house: House):
    role = house.guest.info.user
    powers = house.owner.execute(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolinherit"
        " FROM pg_roles WHERE rolname = %s",
        [role],
    ).fetchall()
    assert powers == [(False,) * 6]
    owned = house.owner.execute(
        "SELECT count(*) FROM pg_shdepend WHERE deptype = 'o' AND refobjid ="
        " (SELECT oid FROM pg_roles WHERE rolname = %s)",
        [role],
    ).fetchall()
    assert owned == [(0,)]


def test_the_role_calls_the_functions_that_it_needs(house: House):
    found = house.owner.execute(
        "SELECT n.nspname || '.' || p.proname, p.prosecdef, p.proconfig::text"
        " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname IN ('serai', 'trial') AND has_function_privilege(%s, p.oid, 'EXECUTE')",
        [house.guest.info.user],
    ).fetchall()
    assert {name for name, _, _ in found} == FUNCTIONS
    assert all(definer and "search_path=pg_catalog, pg_temp" in told for _, definer, told in found)


# ------------------------------------------------------------ Serai's own statements, made wrong

FILTER = re.compile(r"\b\w+\.org_id = (?:me|k|o|t)\.org_id\b")


class Careless:
    """A pool whose connections forget every filter by organisation. The setting is there from the
    start: without a filter PostgreSQL may look at a table before the statement names anybody, and
    then what it shows nobody would prove nothing.
    """

    def __init__(self, pool: PinnedPool, org_id: int) -> None:
        self._pool = pool
        self._org = str(org_id)
        self.forgotten = 0

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Forgetful]:
        async with self._pool.connection() as connection:
            await connection.execute("BEGIN")
            await connection.fetch(AS_ORG.replace("%s", "$1"), self._org)
            yield Forgetful(connection, self)
            await connection.execute("ROLLBACK")


class Forgetful:
    """A connection that leaves the filters out of what it sends."""

    def __init__(self, connection: Connection, pool: Careless) -> None:
        self._connection = connection
        self._pool = pool

    def _bare(self, statement: str) -> str:
        bare, found = FILTER.subn("true", statement)
        assert found, statement
        self._pool.forgotten += 1
        return bare

    async def fetch(self, statement: str, *arguments: object) -> Any:
        return await self._connection.fetch(self._bare(statement), *arguments)

    async def fetchrow(self, statement: str, *arguments: object) -> Any:
        return await self._connection.fetchrow(self._bare(statement), *arguments)


async def test_no_statement_of_serai_shows_another_organisation_when_its_filter_is_lost(
    house: House, pool: PinnedPool
):
    careless: Any = Careless(pool, house.ana.org)
    store = PostgresStore(careless, VERTICAL)
    other = await house.ben.store.log_page(
        house.ben.org, 0, scan=500, scopes=None, collections=2**62
    )
    assert other is not None
    theirs = {entry.id for entry in other.entries}
    mine = house.ana.org
    page = await store.log_page(mine, 0, scan=500, scopes=None, collections=-1)
    assert page is not None
    assert {e.id for e in page.entries} & theirs == set()
    assert len(page.entries) == house.count("serai.log", mine)
    fill = await store.snapshot_page(mine, [(ORG_SCOPE, GUESTS)], None, rows=100, max_bytes=10**6)
    assert [row.id for row in fill.rows if row.id in theirs] == []
    assert len(fill.rows) == 1
    listed = await store.list_rows(ListQuery(mine, STAYS, None, limit=100))
    assert len(listed) == 1
    refusals = await store.refusals(mine, user_id=None, after=0, limit=100)
    assert len(refusals) == 1
    _, grants = await store.grants(mine, ANNA)
    assert grants == [("owner", None)]
    assert await store.read([(mine, GUESTS, each) for each in theirs]) == [None] * len(theirs)
    head = await store.head(mine)
    assert head == await house.ana.store.head(mine)
    told = await store.replayed(mine, IdempotencyKey(ANNA, "k"), bytes(32))
    assert told is not None
    audited = await store.audit_page(mine, 0, limit=500)
    assert audited is not None
    assert {entry.org_id for entry in audited.entries} == {mine}
    recent = await store.audit_list(mine, before=None, row_id=None, user_id=None, limit=500)
    assert {entry.org_id for entry in recent} == {mine}
    assert careless.forgotten == 10


def test_every_statement_that_reads_names_its_organisation():
    statements = load_queries("serai.log", "postgres.sql")
    silent = [name for name, text in statements.items() if "set_config('serai.org'" not in text]
    assert silent == ["commit", "create_org"]


async def test_an_injected_condition_shows_nothing_of_others(house: House, pool: PinnedPool):
    # As if a value had been pasted into the statement of a list.
    statement = """
        WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint
            AS org_id)
        SELECT p.org_id FROM me CROSS JOIN LATERAL (
            SELECT t.org_id FROM trial.guests t WHERE t.org_id = me.org_id AND t.name = '' OR true
            UNION ALL SELECT org_id FROM serai.row
            UNION ALL SELECT org_id FROM serai.log
            UNION ALL SELECT org_id FROM trial.wages
            UNION ALL SELECT org_id FROM serai.org
        ) p
    """
    async with pool.connection() as connection:
        found = await connection.fetch(statement, house.ana.org)
    assert {row["org_id"] for row in found} == {house.ana.org}


async def test_a_pinned_connection_remembers_no_organisation(house: House, pool: PinnedPool):
    keys = [(desk.org, GUESTS, uuid7()) for desk in (house.ana, house.ben)]
    async with pool.connection() as connection:
        lent: Any = Lent(connection)
        await PostgresStore(lent, VERTICAL).read(keys)
        left = await connection.fetchval("SELECT current_setting('serai.org', true)")
        seen = await connection.fetchval("SELECT count(*) FROM serai.row")
    assert (left or "", seen) == ("", 0)


class Lent:
    """One connection, lent again and again."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def connection(self) -> Lent:
        return self

    async def __aenter__(self) -> Connection:
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        """Keep it."""
