"""Plans of the write path and of the readers, on tables that are full.

Owns the proof that no statement of a request reads a table whole: PostgreSQL counts its own scans
in the transaction that made them. A lost index, or a statement that cannot use one, fails here.
Promises counts, never times. Never looks at an import.
"""

from __future__ import annotations

from typing import cast

import psycopg
import pytest

from integration.centre.people import Lent, subject_of
from serai.core.ids import ALL_SCOPES, ORG_SCOPE, uuid7
from serai.log.postgres import PostgresStore
from serai.ports.store import Committed, IdempotencyKey, ListQuery
from serai.shard.pools import PinnedPool
from serai.testing.store_conformance import Case, Desk
from serai.testing.store_conformance.desk import ANNA, mutation, refused
from serai.testing.vertical import GUESTS, PAYMENTS, STAYS, VERTICAL

ROWS = 20_000
READ_MAX = 200
"""Index entries that one small write may read in one table: far below the rows, far above need."""
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
SELECT %(org)s, 4, id, property_id, 1, 1, '{}' FROM trial.stays WHERE org_id = %(org)s;
INSERT INTO serai.log (org_id, version, ordinal, collection, scope, id, change)
SELECT org_id, -row_number() OVER (), 0, collection, scope, id, '{}' FROM serai.row
WHERE org_id = %(org)s;
INSERT INTO serai.reply (org_id, key, version, body_hash, reply)
SELECT %(org)s, 'k' || g, 1, '', '' FROM generate_series(1, %(rows)s) g;
INSERT INTO serai.tombstone (org_id, collection, id, version)
SELECT %(org)s, 3, gen_random_uuid(), 1 FROM generate_series(1, %(rows)s) g;
INSERT INTO serai.device (org_id, device_id, user_id, number)
SELECT %(org)s, gen_random_uuid(), gen_random_uuid(), 1 FROM generate_series(1, %(rows)s) g;
"""
SCANS = """
SELECT schemaname || '.' || relname AS name, seq_tup_read AS whole,
       coalesce(idx_tup_fetch, 0) AS fetched
FROM pg_stat_xact_user_tables
WHERE seq_tup_read > 0 OR idx_tup_fetch > 0
"""


@pytest.fixture
async def desk(store: PostgresStore, shard_url: str) -> Desk:
    """An organisation with 20,000 rows in each table."""
    # Plans are made while the tables are empty, as on a new shard, and kept.
    desk = await Desk.open(subject_of(store))
    parameters = {"org": desk.org, "rows": ROWS, "sea": desk.sea}
    with psycopg.connect(shard_url, autocommit=True) as conn:
        for statement in FILL.split(";\n")[:-1]:
            conn.execute(statement.encode(), parameters)
        conn.execute("ANALYZE")
    return desk


async def a_batch(desk: Desk) -> None:
    guest, phone = desk.guest("new"), uuid7()
    known = desk.guest("known")
    await desk.done(desk.plan(known))
    outcomes = await desk.commit(
        desk.plan(guest, desk.stay(guest.id), once=IdempotencyKey(ANNA, "new")),
        await desk.change(GUESTS, known.id, note="n"),
        desk.plan(once=mutation(phone, 1), refusal=refused(uuid7())),
    )
    assert all(isinstance(o, Committed) for o in outcomes), outcomes


async def a_delete(desk: Desk) -> None:
    guest = desk.guest("new")
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
    pool: PinnedPool, desk: Desk, act: Case
):
    async with pool.connection() as connection:
        await connection.execute("BEGIN")
        lent = PostgresStore(cast("PinnedPool", Lent(connection)), VERTICAL)
        try:
            await act(Desk(subject_of(lent), desk.org, desk.sea, desk.hill))
            records = await connection.fetch(SCANS)
        finally:
            await connection.execute("ROLLBACK")
    read = {r["name"]: (r["whole"], r["fetched"]) for r in records}
    assert read, "PostgreSQL counts what the transaction read"
    assert {n: r for n, r in read.items() if r[0] > 0 or r[1] > READ_MAX} == {}
