"""Plans of every statement, of the write path and of the readers, on tables that are full.

Owns the proof that no statement reads a table whole: PostgreSQL counts its own scans in the
transaction that made them. A lost index, or a statement that cannot use one, fails here, and so
does a statement that is new and has no case. Promises counts, never times. Never looks at an
import.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from integration.centre.full import (
    ORG,
    PLACE,
    ROWS,
    USER,
    document,
    fill_directory,
    fill_shard,
)
from integration.centre.people import Lent, subject_of
from integration.centre.statements import (
    BY_WRITES,
    DIRECTORY,
    OWNER,
    SHARD,
    SMALL,
    WHOLE,
    named_statements,
)
from integration.conftest import MakeDatabase
from integration.http.house import Fields
from serai.core.ids import ALL_SCOPES, ORG_SCOPE, uuid7
from serai.log.postgres import PostgresStore
from serai.model import Collection
from serai.ports.store import (
    Author,
    Committed,
    IdempotencyKey,
    ListQuery,
    Op,
    PlannedWrite,
    ReadSetItem,
    Replayed,
    RowOp,
)
from serai.readers.export.contents import SETTINGS as EXPORTERS
from serai.readers.move.ends import End
from serai.readers.move.link import SETTINGS as MOVERS
from serai.readers.restore.link import SETTINGS as RESTORERS
from serai.shard.connection import connect
from serai.shard.pools import PinnedPool
from serai.shard.role import RequestRole
from serai.testing.store_conformance import Case, Desk
from serai.testing.store_conformance.desk import ANNA, mutation, refused
from serai.testing.vertical import GUESTS, PAYMENTS, STAYS, VERTICAL
from serai_hospitality import VERTICAL as HOSPITALITY

READ_MAX = 200
"""Index entries that one small write may read in one table: far below the rows, far above need."""
COMMANDS = {
    "serai.readers.move": MOVERS,
    "serai.app.transfer": MOVERS,
    "serai.readers.restore": RESTORERS,
    "serai.readers.export": EXPORTERS,
}
"""Packages whose connections have settings of their own."""
FILL = """
INSERT INTO serai.org (org_id, version) VALUES (%(org)s, 1) ON CONFLICT (org_id) DO NOTHING;
INSERT INTO trial.guests (org_id, id, name, card)
SELECT %(org)s, gen_random_uuid(), 'n' || g, 'c' || g FROM generate_series(1, %(rows)s) g;
INSERT INTO trial.stays (org_id, id, property_id, guest_id, room)
SELECT %(org)s, gen_random_uuid(), %(sea)s, g.id, g.name FROM trial.guests g
WHERE g.org_id = %(org)s AND g.card LIKE 'c%%';
INSERT INTO trial.payments (org_id, id, property_id, business_date, amount_minor, amount_currency)
SELECT %(org)s, gen_random_uuid(), %(sea)s, date '2026-01-01' + g %% 90, 1, 'EUR'
FROM generate_series(1, %(rows)s) g;
INSERT INTO serai.row (org_id, collection, id, scope, version, created_version, doc)
SELECT %(org)s, 4, id, property_id, 1, 1, '{}' FROM trial.stays WHERE org_id = %(org)s
ON CONFLICT DO NOTHING;
INSERT INTO serai.log (org_id, version, ordinal, collection, scope, id, change)
SELECT org_id, -row_number() OVER (), 0, collection, scope, id, '{}' FROM serai.row
WHERE org_id = %(org)s;
INSERT INTO serai.reply (org_id, key, version, body_hash, reply)
SELECT %(org)s, 'k' || g, 1, '', '' FROM generate_series(1, %(rows)s) g;
INSERT INTO serai.tombstone (org_id, collection, id, version)
SELECT %(org)s, 3, gen_random_uuid(), 1 FROM generate_series(1, %(rows)s) g;
INSERT INTO serai.device (org_id, device_id, user_id, number)
SELECT %(org)s, gen_random_uuid(), gen_random_uuid(), 1 FROM generate_series(1, %(rows)s) g;
INSERT INTO serai.device VALUES (%(org)s, %(phone)s, %(user)s, %(rows)s);
SELECT serai.ensure_past(day::date) FROM unnest(ARRAY['2026-01-1', '2026-02-1', '2026-03-1']) day;
INSERT INTO serai.device_past (org_id, device_id, first, day, hashes)
SELECT %(org)s, %(phone)s, g, date '2026-01-01' + g %% 90, '\\x00000000000000ff'
FROM generate_series(1, %(rows)s) g;
"""
PHONE = UUID(int=0xF0)
DELETED_WHOLE = {
    "properties": "a house is deleted once if ever, and only before its first close; every table"
    " refers to it, and an index for that would be paid by each write"
}
SCANS = """
SELECT t.schemaname || '.' || t.relname AS name, t.seq_tup_read AS whole,
       coalesce(t.idx_tup_fetch, 0)
       + coalesce((SELECT sum(pg_stat_get_xact_tuples_returned(i.indexrelid)) FROM pg_index i
                   WHERE i.indrelid = t.relid), 0) AS fetched
FROM pg_stat_xact_user_tables t
"""
"""Rows that the transaction read table by table: whole, and by an index; entries of the index alone
count too.
"""


def scans(records: Iterable[Any]) -> dict[str, tuple[int, int]]:
    """Return table -> (rows read whole, rows and entries read by an index)."""
    read = {r["name"]: (r["whole"], int(r["fetched"])) for r in records}
    return {name: counts for name, counts in read.items() if any(counts)}


def too_much(read: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Return what was read of tables that grow, and should not have been."""
    return {
        name: (whole, fetched)
        for name, (whole, fetched) in read.items()
        if (whole > 0 and name not in SMALL) or fetched > READ_MAX
    }


def read_by_a_migrator(
    url: str, text: str, arguments: Mapping[str, object], options: str = ""
) -> dict[str, tuple[int, int]]:
    """Run a statement as the migrator does, with its library; return what it read."""
    with psycopg.connect(url, options=options) as conn:
        conn.execute(text.encode(), arguments)
        found = scans(conn.cursor(row_factory=dict_row).execute(SCANS))
        conn.rollback()
    return found


def writes_of(collection: Collection) -> list[PlannedWrite]:
    """Return an insert, an update (to another month where there are months) and a delete."""
    row_id, fields = uuid7(), document(collection.name)
    moved = fields if collection.month_of is None else {**fields, collection.month_of: "2026-05-01"}
    steps: list[tuple[Op, Fields, int]] = [
        ("insert", fields, 0),
        ("update", moved, 1),
        ("delete", moved, 2),
    ]
    return [
        PlannedWrite(
            org_id=ORG,
            epoch=1,
            ops=(RowOp(op, collection.number, row_id, PLACE, json.dumps(doc), tuple(doc), "{}"),),
            reads=(ReadSetItem(collection.number, row_id, version),),
            once=IdempotencyKey(USER, op),
            body_hash=bytes(32),
            reply="{}",
            author=Author(USER, None, "rest"),
        )
        for op, doc, version in steps
    ]


@pytest.fixture
async def desk(store: PostgresStore, shard_url: str) -> Desk:
    """An organisation with 20,000 rows in each table."""
    desk = await Desk.open(subject_of(store))
    # Plans are made while the tables are empty and known to be, and kept: nobody has counted the
    # rows that come then.
    _analyze(shard_url)
    for write in (a_batch, a_payment_that_moves):
        await write(desk)
    parameters = {"org": desk.org, "rows": ROWS, "sea": desk.sea, "phone": PHONE, "user": ANNA}
    with psycopg.connect(shard_url, autocommit=True) as conn:
        for statement in FILL.split(";\n")[:-1]:
            conn.execute(statement.encode(), parameters)
    return desk


def _analyze(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("ANALYZE")


async def a_batch(desk: Desk) -> None:
    name, phone = str(uuid7()), uuid7()
    guest, known = desk.guest(name), desk.guest(f"known {name}")
    await desk.done(desk.plan(known))
    outcomes = await desk.commit(
        desk.plan(guest, desk.stay(guest.id), once=IdempotencyKey(ANNA, name)),
        await desk.change(GUESTS, known.id, note="n"),
        desk.plan(once=mutation(phone, 1), refusal=refused(uuid7())),
    )
    assert all(isinstance(o, Committed) for o in outcomes), outcomes


async def a_copy_of_an_old_file(desk: Desk) -> None:
    numbers = (70, 700, 7_000)
    outcomes = [await desk.commit_one(desk.plan(once=mutation(PHONE, n))) for n in numbers]
    assert outcomes == [Replayed(0, None, same_body=False)] * 3


async def a_delete(desk: Desk) -> None:
    guest = desk.guest(str(uuid7()))
    await desk.done(desk.plan(guest))
    await desk.delete(GUESTS, guest.id)


async def a_payment_that_moves(desk: Desk) -> None:
    op = desk.row(
        PAYMENTS, uuid7(), business_date="2026-01-01", amount_minor=1, amount_currency="EUR"
    )
    await desk.done(desk.plan(op))
    await desk.update(PAYMENTS, op.id, business_date="2026-02-01")
    await desk.delete(PAYMENTS, op.id)


async def a_page_of_the_log(desk: Desk) -> None:
    version = await desk.version()
    page = await desk.store.log_page(
        desk.org, version - 1, scan=10, scopes=[desk.sea], collections=2**62
    )
    assert page is not None


async def a_page_of_a_fill(desk: Desk) -> None:
    channels = [(ORG_SCOPE, GUESTS), (desk.sea, STAYS), (ALL_SCOPES, STAYS)]
    page = await desk.store.snapshot_page(desk.org, channels, None, rows=10, max_bytes=10**6)
    assert len(page.rows) == 10


async def small_reads(desk: Desk) -> None:
    await desk.store.grants(desk.org, ANNA)
    await desk.store.refusals(desk.org, user_id=ANNA, after=0, limit=10)
    await desk.store.refusal(desk.org, uuid7(), 1)
    await desk.store.replayed(desk.org, IdempotencyKey(ANNA, "1"), bytes(32))


async def a_page_of_a_list(desk: Desk) -> None:
    for query in (
        ListQuery(desk.org, STAYS, None, limit=10),
        ListQuery(desk.org, STAYS, None, order="arrives_on", limit=10),
        ListQuery(desk.org, GUESTS, None, filters=(("name", "eq", "n7"),), limit=10),
    ):
        await desk.store.list_rows(query)


@pytest.mark.parametrize(
    "act",
    [
        a_batch,
        a_copy_of_an_old_file,
        a_delete,
        a_payment_that_moves,
        a_page_of_the_log,
        a_page_of_a_fill,
        small_reads,
        a_page_of_a_list,
    ],
    ids=lambda act: act.__name__,
)
async def test_nothing_that_a_request_does_reads_a_table_whole(
    pool: PinnedPool, desk: Desk, shard_url: str, act: Case
):
    if act is a_page_of_a_list:
        # It has several indexes to choose from, and no way to choose but what is in them.
        _analyze(shard_url)
    async with pool.connection() as connection:
        await connection.execute("BEGIN")
        lent = PostgresStore(cast("PinnedPool", Lent(connection)), VERTICAL)
        try:
            await act(Desk(subject_of(lent), desk.org, desk.sea, desk.hill))
            records = await connection.fetch(SCANS)
        finally:
            await connection.execute("ROLLBACK")
    read = scans(records)
    assert read, "PostgreSQL counts what the transaction read"
    assert too_much(read) == {}


@pytest.fixture(scope="module")
def full_url(make_database: MakeDatabase, migrated_template: str) -> str:
    """URL of a directory that is a shard too, with full tables."""
    url = make_database(migrated_template)
    fill_directory(url)
    fill_shard(url)
    return url


def test_every_named_statement_has_a_case_here():
    assert named_statements().keys() == SHARD.keys() | DIRECTORY.keys() | BY_WRITES.keys()


@pytest.mark.parametrize("name", [*SHARD, *DIRECTORY])
async def test_no_statement_reads_a_table_whole(
    full_url: str, request_role: RequestRole, name: str
):
    arguments, text = {**SHARD, **DIRECTORY}[name], named_statements()[name]
    if isinstance(arguments, Mapping):
        options = COMMANDS.get(name.partition("/")[0], "")
        read = read_by_a_migrator(full_url, text, arguments, options)
    else:
        connection = await connect(full_url if name in OWNER else request_role.url(full_url))
        try:
            await connection.execute("BEGIN")
            await connection.fetch(text, *arguments)
            read = scans(await connection.fetch(SCANS))
        finally:
            await connection.close()
    assert name in WHOLE or too_much(read) == {}


def test_no_statement_of_a_move_reads_a_table_whole(full_url: str):
    """Those made from the catalogue; the organisation has no rows, so nothing is to be read."""
    with psycopg.connect(full_url, options=MOVERS) as conn:
        texts = End(conn).texts
    given = {"orgs": [9_998], "versions": [5], "numbers": [5], "since": "5", "limit": 50}
    one = {"rows": json.dumps([{"org_id": 9_998, "number": 1, "version": 1, "ordinal": 1}])}
    statements = [(texts.changes, given), (texts.counts, given)]
    statements += [(text, given) for text in texts.clear.values()]
    statements += [(text, one) for text in texts.remove.values()]
    for text, arguments in statements:
        read = read_by_a_migrator(full_url, text.decode(), arguments, MOVERS)
        assert too_much(read) == {}, text


def test_what_is_read_while_an_organisation_is_frozen_looks_at_no_reply_that_was_copied(
    full_url: str,
):
    with psycopg.connect(full_url, options=MOVERS) as conn:
        texts = End(conn).texts
        (since,) = conn.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text").fetchall()[
            0
        ]
    given = {"orgs": [ORG], "versions": [ROWS], "numbers": [ROWS], "since": since, "limit": 50}
    read = read_by_a_migrator(full_url, texts.changes.decode(), given, MOVERS)
    assert [name for name in too_much(read) if name.startswith("serai.reply")] == []


async def test_an_arrival_looks_at_no_tombstone_but_those_of_its_rows(
    store: PostgresStore, shard_url: str
):
    """Its plan is made, and kept, while there are none; then there are many."""
    desk = await Desk.open(subject_of(store))
    _analyze(shard_url)
    guest = desk.guest("g")
    text = named_statements()["serai.app.transfer/ends.sql:arrive"].encode()
    where = {"org": desk.org, "collection": GUESTS, "scope": ORG_SCOPE}
    stands = {"version": 100, "number": 100, "hash": b"", "at": "2026-01-01T00:00:00Z"}
    given = {**where, **stands, "author": USER, "ids": [guest.id], "docs": [guest.doc]}
    with psycopg.connect(shard_url, options=MOVERS) as conn:
        conn.execute(text, given)
        conn.rollback()
        with psycopg.connect(shard_url, autocommit=True) as other:
            other.execute(
                "INSERT INTO serai.tombstone (org_id, collection, id, version, left_with)"
                " SELECT %s, %s, gen_random_uuid(), 1, %s FROM generate_series(1, %s)",
                (desk.org, GUESTS, desk.sea, ROWS),
            )
        conn.execute(text, given)
        read = scans(conn.cursor(row_factory=dict_row).execute(SCANS))
        conn.rollback()
    assert read, "PostgreSQL counts what the transaction read"
    assert too_much(read) == {}


@pytest.mark.parametrize("name", HOSPITALITY.by_name)
def test_no_arrival_of_a_property_reads_a_table_whole(house_url: str, name: str):
    given = {
        "org": ORG,
        "version": 10 * ROWS,
        "number": 10 * ROWS,
        "hash": b"",
        "author": USER,
        "at": "2026-03-14T07:00:00Z",
        "collection": HOSPITALITY.by_name[name].number,
        "scope": PLACE,
        "ids": [uuid7()],
        "docs": [json.dumps(document(name))],
    }
    text = named_statements()["serai.app.transfer/ends.sql:arrive"]
    assert too_much(read_by_a_migrator(house_url, text, given, MOVERS)) == {}


@pytest.mark.parametrize("name", HOSPITALITY.by_name)
async def test_no_write_of_the_vertical_reads_a_table_whole(
    house_url: str, request_role: RequestRole, name: str
):
    collection = HOSPITALITY.by_name[name]
    connection = await connect(request_role.url(house_url))
    store = PostgresStore(cast("PinnedPool", Lent(connection)), HOSPITALITY)
    try:
        await connection.execute("BEGIN")
        for write in writes_of(collection):
            if write.ops[0].op != "delete" or name not in DELETED_WHOLE:
                outcomes = await store.commit([write])
                assert isinstance(outcomes[0], Committed), outcomes
        read = scans(await connection.fetch(SCANS))
    finally:
        await connection.close()
    assert f"hospitality.{name}" in {table.partition("_default")[0] for table in read}
    assert too_much(read) == {}
