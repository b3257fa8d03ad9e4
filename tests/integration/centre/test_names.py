"""Names of fields that mean something to SQL, on real PostgreSQL.

Owns the proof that a declared name never becomes syntax, and that names longer than PostgreSQL
keeps do not run into one another. Never tests what a field holds.
"""

from __future__ import annotations

import pytest

from serai.core.errors import Code
from serai.core.ids import ORG_SCOPE, uuid7
from serai.log.postgres import PostgresStore
from serai.model import (
    Collection,
    GrantSource,
    Index,
    Scope,
    Vertical,
    choice,
    date,
    integer,
    reference,
    text,
    user,
)
from serai.ports.store import Committed, Failed, ListQuery, PlannedWrite, RowOp
from serai.schema.collections import generate
from serai.schema.database import Options, connected
from serai.schema.vertical import apply_vertical
from serai.shard.pools import PinnedPool
from serai.testing.store_conformance.desk import Doc, author_of, doc_text

LONG = "a" * 38
WORDS = Vertical(
    name="words",
    title="Words of SQL",
    collections=(
        Collection(
            name="properties",
            number=1,
            doc="Places",
            scope=Scope.SELF,
            fields={"table": text("Name"), "select": text("Other", optional=True)},
            unique=(("table", "select"),),
        ),
        Collection(
            name="memberships",
            number=2,
            doc="Roles",
            scope=Scope.ORGANISATION,
            fields={
                "user": user("Who"),
                "group": choice("Role", "owner", "from"),
                "where": reference("properties", "Where", optional=True),
            },
        ),
        Collection(
            name="orders",
            number=3,
            doc="By month",
            scope=Scope.ORGANISATION,
            fields={
                "order": date("Day"),
                "limit": integer("Bound", minimum=0, maximum=9, optional=True),
                "end": text("Text", optional=True),
                "references": reference("properties", "Place", optional=True),
                "values": integer("A number", optional=True),
                "row": text("A text", optional=True),
            },
            indexes=(Index(("limit", "end")),),
            month_of="order",
        ),
        Collection(
            name="long_" + LONG[:33],
            number=4,
            doc="Names that are longer than PostgreSQL keeps",
            scope=Scope.ORGANISATION,
            fields={LONG + "_x": integer("One", maximum=1), LONG + "_y": integer("Two", maximum=2)},
            unique=((LONG + "_x", LONG + "_y"),),
        ),
    ),
    permissions={("owner", "orders"): frozenset({"read"})},
    owner_role="owner",
    grants=GrantSource("memberships", "user", "group", "where"),
)


@pytest.fixture
async def store(migrated_database: str):
    async with connected(migrated_database, Options()) as conn:
        await apply_vertical(conn, generate(WORDS))
        assert (await apply_vertical(conn, generate(WORDS))).applied == ()
    async with PinnedPool(migrated_database, size_min=1) as pool:
        store = PostgresStore(pool, WORDS)
        await store.create_org(1)
        yield store


def write(op: RowOp) -> PlannedWrite:
    return PlannedWrite(1, 1, (op,), (), None, bytes(32), "", author_of(None))


def insert(number: int, doc: Doc) -> RowOp:
    row_id = uuid7()
    scope = row_id if number == 1 else ORG_SCOPE
    fields = dict.fromkeys(WORDS.by_number[number].fields) | doc
    return RowOp("insert", number, row_id, scope, doc_text(fields))


async def test_fields_may_be_called_what_sql_calls_its_words(store: PostgresStore):
    place = insert(1, {"table": "t"})
    someone = uuid7()
    member = insert(2, {"user": str(someone), "group": "from", "where": str(place.id)})
    first = insert(3, {"order": "2026-01-31", "limit": 3, "end": "e", "references": str(place.id)})
    assert await store.commit([write(place), write(member), write(first)]) == [
        Committed(1),
        Committed(2),
        Committed(3),
    ]
    moved = dict.fromkeys(WORDS.by_number[3].fields) | {"order": "2026-02-01", "limit": 4}
    update = RowOp("update", 3, first.id, ORG_SCOPE, doc_text(moved), ("order", "limit"))
    assert await store.commit([write(update)]) == [Committed(4)]
    assert await store.grants(1, someone) == (0, [("from", place.id)])
    for name, value in (("order", "2026-02-01"), ("limit", 4)):
        query = ListQuery(1, 3, None, ((name, "eq", value), ("end", "null", True)), name)
        assert [row_id for row_id, _ in await store.list_rows(query)] == [first.id]
    mark = ListQuery(1, 3, None, order="order", descending=True, after=("2026-02-02", uuid7()))
    assert [row_id for row_id, _ in await store.list_rows(mark)] == [first.id]
    gone = RowOp("delete", 3, first.id, ORG_SCOPE, doc_text(moved))
    assert await store.commit([write(gone)]) == [Committed(5)]
    assert await store.list_rows(ListQuery(1, 3, None)) == []


async def test_an_error_names_the_field_that_is_a_word_of_sql(store: PostgresStore):
    cases: list[tuple[Doc, Code, str]] = [
        ({"order": "2026-01-31", "limit": 10}, Code.FIELDS_INVALID, "limit"),
        ({"order": "2026-01-31", "references": str(uuid7())}, Code.REFERENCE_MISSING, "references"),
        ({"limit": 1}, Code.FIELDS_INVALID, "order"),
    ]
    for doc, code, field in cases:
        (outcome,) = await store.commit([write(insert(3, doc))])
        assert isinstance(outcome, Failed)
        assert (outcome.code, outcome.fields) == (code, (field,))


async def test_names_too_long_for_postgres_stay_apart(store: PostgresStore):
    one, two = LONG + "_x", LONG + "_y"
    good = insert(4, {one: 1, two: 2})
    assert await store.commit([write(good)]) == [Committed(1)]
    cases: list[tuple[Doc, Code, tuple[str, ...]]] = [
        ({one: 2, two: 2}, Code.FIELDS_INVALID, (one,)),
        ({one: 1, two: 3}, Code.FIELDS_INVALID, (two,)),
        ({one: 1, two: 2}, Code.NOT_UNIQUE, (one, two)),
    ]
    for doc, code, fields in cases:
        (outcome,) = await store.commit([write(insert(4, doc))])
        assert isinstance(outcome, Failed)
        assert (outcome.code, outcome.fields) == (code, fields)


@pytest.mark.parametrize("name", ["ctid", "xmin", "tableoid", "id", "version"])
def test_a_name_that_every_table_has_already_is_refused_when_it_is_declared(name: str):
    with pytest.raises(ValueError, match="is reserved"):
        Collection(
            name="rooms", number=9, doc="", scope=Scope.ORGANISATION, fields={name: text("")}
        )
