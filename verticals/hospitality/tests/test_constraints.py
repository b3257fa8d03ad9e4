"""What the database holds by itself, if a rule were wrong or went around.

Owns one table of rows that a real PostgreSQL must refuse, each with the constraint that refuses it,
and the proof that real rows pass. Rows are put into the typed tables directly, past every rule.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from functools import lru_cache
from uuid import UUID, uuid4

import psycopg
import pytest_asyncio

from house import CREATED_BY, named

# The fixtures of the platform's integration tests: a server, and a database for each test.
from integration.conftest import (
    make_database,
    migrated_database,
    migrated_template,
    postgres_url,
    request_role,
)
from serai.model import ImportContext, ImportedLine, NewRow
from serai.model.rules import Row
from serai.schema.collections import generate
from serai.schema.database import Options, connected
from serai.schema.vertical import apply_vertical
from serai_hospitality import VERTICAL

__all__ = [
    "make_database",
    "migrated_database",
    "migrated_template",
    "postgres_url",
    "request_role",
]

ORG = 7
SAMPLE_EVERY = 400
NEGATIVE_RATE_LINE = 14_971
OLGA, ANNA = str(named("olga")), str(named("anna"))
STAFF = named("staff")


@lru_cache(maxsize=1)
def sample() -> list[NewRow]:
    """Return some real rows of both files, each once, in order of dependency."""
    rows: dict[UUID, NewRow] = {}
    for importer in VERTICAL.importers.values():
        assert importer.sample is not None
        plain = gzip.decompress(importer.sample.path.read_bytes())
        context = ImportContext("demo.hotels", hashlib.sha256(plain).hexdigest(), CREATED_BY)
        found = list(importer.setup("demo.hotels"))
        for line in importer.lines(plain.decode().splitlines(), context):
            wanted = line.line % SAMPLE_EVERY == 0 or line.line == NEGATIVE_RATE_LINE
            if wanted and isinstance(line, ImportedLine):
                found += [*line.shared, *line.rows]
        rows |= {new.id: new for new in found if new.id not in rows}
    return list(rows.values())


async def put(conn: psycopg.AsyncConnection, collection: str, key: UUID, row: Row) -> None:
    """Insert a row into the typed table of a collection."""
    table = f"hospitality.{collection}"
    # SQL here: the table is the test's parameter
    statement = f"INSERT INTO {table} SELECT * FROM json_populate_record(NULL::{table}, %s)"  # noqa: S608 - a name of our own declaration
    await conn.execute(statement.encode(), (json.dumps({**row, "id": str(key), "org_id": ORG}),))


async def refused(conn: psycopg.AsyncConnection, collection: str, row: Row) -> str | None:
    """Return the constraint that refuses a row, None if it is taken."""
    try:
        async with conn.transaction():
            await put(conn, collection, uuid4(), row)
    except psycopg.IntegrityError as error:
        return error.diag.constraint_name
    return None


@pytest_asyncio.fixture
async def shard(migrated_database):
    async with connected(migrated_database, Options()) as conn:
        await apply_vertical(conn, generate(VERTICAL))
        rows: dict[str, Row] = {}
        for new in sample():
            await put(conn, new.collection, new.id, new.row)
            rows.setdefault(new.collection, new.row)
        here = {"property_id": rows["stays"]["property_id"]}
        person: Row = {**here, "name": "Stan", "department": "rooms", "active": True}
        await put(conn, "staff", STAFF, person)
        rows["day_closes"] = {**here, "business_date": "2026-01-01"}
        rows["memberships"] = {"user_id": OLGA, "role": "owner", "property_id": None}
        rows["shifts"] = {
            **here,
            "staff_id": str(STAFF),
            "business_date": "2026-01-01",
            "starts_at": "2026-01-01T08:00:00Z",
            "ends_at": "2026-01-01T16:00:00Z",
            "break_minutes": 30,
        }
        rows["expenses"] |= {"source": None, "submitted_by": OLGA, "decided_by": ANNA}
        yield conn, rows


BROKEN: list[tuple[str, Row, str]] = [
    ("revenues", {"amount_minor": -1}, "revenues_sign_check"),
    ("revenues", {"kind": "allowance", "amount_minor": 1}, "revenues_sign_check"),
    ("revenues", {"kind": "adjustment"}, "revenues_corrects_check"),
    ("revenues", {"corrects": str(STAFF)}, "revenues_corrects_check"),
    ("expenses", {"kind": "invoice", "amount_minor": -1}, "expenses_sign_check"),
    ("expenses", {"kind": "credit_note", "amount_minor": 1}, "expenses_sign_check"),
    ("expenses", {"kind": "reversal"}, "expenses_corrects_check"),
    ("expenses", {"decided_by": None}, "expenses_four_eyes_check"),
    ("expenses", {"decided_by": OLGA}, "expenses_four_eyes_check"),
    ("expenses", {"created_by": ANNA}, "expenses_four_eyes_check"),
    ("stays", {"departure": "2001-01-01"}, "stays_nights_check"),
    ("stays", {"adults": 100}, "stays_adults_valid"),
    ("stays", {"guest_id": str(STAFF)}, "stays_guest_id_fkey"),
    ("shifts", {"ends_at": "2026-01-01T07:00:00Z", "break_minutes": 0}, "shifts_break_check"),
    ("shifts", {"ends_at": "2026-01-02T08:00:01Z"}, "shifts_length_check"),
    ("shifts", {"break_minutes": 481}, "shifts_break_check"),
]


async def test_real_rows_pass_and_broken_rows_do_not(shard):
    conn, rows = shard
    for collection in ("revenues", "expenses", "stays", "shifts", "memberships", "day_closes"):
        assert await refused(conn, collection, rows[collection]) is None
    found = [(c, b, await refused(conn, c, {**rows[c], **b})) for c, b, _ in BROKEN]
    assert found == BROKEN


async def test_a_day_is_closed_once_and_a_role_given_once_though_its_property_is_null(shard):
    conn, rows = shard
    for collection, constraint in (
        ("memberships", "memberships_user_id_role_property_id_key"),
        ("day_closes", "day_closes_property_id_business_date_key"),
    ):
        assert await refused(conn, collection, rows[collection]) is None
        assert await refused(conn, collection, rows[collection]) == constraint
    at_one = {**rows["memberships"], "property_id": rows["stays"]["property_id"]}
    assert await refused(conn, "memberships", at_one) is None


async def test_every_field_of_the_declaration_has_its_column(shard):
    conn, _ = shard
    for c in VERTICAL.collections:
        table = f"hospitality.{c.name}"
        cursor = await conn.execute(f"TABLE {table} LIMIT 0".encode())
        names = [column.name for column in cursor.description]
        assert sorted(names) == sorted(["org_id", "id", *c.fields])
