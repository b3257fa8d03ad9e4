"""The generated part of a shard on a real database."""

from __future__ import annotations

import pytest

from serai.schema.database import Options, connected
from serai.schema.errors import DestructiveChangeError, SchemaTooOldError, StatementFailedError
from serai.schema.generated import GeneratedStatement as Statement
from serai.schema.vertical import apply_vertical, check_vertical

TABLE = Statement("rooms", "table", "CREATE TABLE public.rooms (id int PRIMARY KEY)")
NUMBER = Statement("rooms.number", "column", "ALTER TABLE public.rooms ADD COLUMN number int")
POSITIVE = Statement(
    "rooms.positive",
    "constraint",
    "ALTER TABLE public.rooms DROP CONSTRAINT IF EXISTS positive,"
    " ADD CONSTRAINT positive CHECK (number > 0)",
    drop="ALTER TABLE public.rooms DROP CONSTRAINT IF EXISTS positive",
)
COUNT = Statement(
    "rooms.count",
    "function",
    "CREATE OR REPLACE FUNCTION public.room_count() RETURNS bigint LANGUAGE sql"
    " AS 'SELECT count(*) FROM public.rooms'",
)
ALL = [TABLE, NUMBER, POSITIVE, COUNT]


@pytest.fixture
async def conn(fresh_database):
    async with connected(fresh_database, Options()) as conn:
        yield conn


async def first(conn, statement: str) -> object:
    return (await (await conn.execute(statement.encode())).fetchone())[0]


async def test_what_is_declared_is_there_and_runs_once(conn):
    assert (await apply_vertical(conn, ALL)).applied == (
        "rooms",
        "rooms.number",
        "rooms.positive",
        "rooms.count",
    )
    assert (await apply_vertical(conn, ALL)).applied == ()
    assert await first(conn, "SELECT public.room_count()") == 0


async def test_a_new_collection_and_a_new_optional_field_keep_the_rows(conn):
    await apply_vertical(conn, [TABLE])
    await conn.execute("INSERT INTO public.rooms VALUES (1)")
    guests = Statement("guests", "table", "CREATE TABLE public.guests ()")
    assert (await apply_vertical(conn, [TABLE, NUMBER, guests])).applied == (
        "rooms.number",
        "guests",
    )
    assert await first(conn, "SELECT number IS NULL FROM public.rooms") is True


async def test_a_dropped_field_is_refused_and_stays(conn):
    await apply_vertical(conn, ALL)
    with pytest.raises(DestructiveChangeError, match=r"rooms\.number is a column with data"):
        await apply_vertical(conn, [TABLE, COUNT])
    assert await first(conn, "SELECT count(number) FROM public.rooms") == 0


async def test_a_required_field_on_old_rows_is_refused_in_words(conn):
    await apply_vertical(conn, [TABLE])
    await conn.execute("INSERT INTO public.rooms VALUES (1)")
    required = Statement(
        "rooms.floor", "column", "ALTER TABLE public.rooms ADD COLUMN floor int NOT NULL"
    )
    with pytest.raises(StatementFailedError, match="Declare the field as optional"):
        await apply_vertical(conn, [TABLE, required])


async def test_a_rule_that_old_rows_break_changes_nothing_at_all(conn):
    await apply_vertical(conn, [TABLE, NUMBER])
    await conn.execute("INSERT INTO public.rooms VALUES (1, -1)")
    with pytest.raises(StatementFailedError, match=r"rooms\.positive: rows exist that break it"):
        await apply_vertical(conn, [TABLE, NUMBER, COUNT, POSITIVE])
    assert await first(conn, "SELECT to_regproc('public.room_count') IS NULL") is True
    assert (await apply_vertical(conn, [TABLE, NUMBER])).applied == ()


async def test_a_changed_function_replaces_the_old_one(conn):
    await apply_vertical(conn, ALL)
    doubled = Statement("rooms.count", "function", COUNT.sql.replace("count(*)", "count(*) + 100"))
    assert (await apply_vertical(conn, [TABLE, NUMBER, POSITIVE, doubled])).applied == (
        "rooms.count",
    )
    assert await first(conn, "SELECT public.room_count()") == 100


async def test_a_rule_that_was_taken_back_no_longer_refuses_rows(conn):
    await apply_vertical(conn, ALL)
    assert (await apply_vertical(conn, [TABLE, NUMBER, COUNT])).dropped == ("rooms.positive",)
    await conn.execute("INSERT INTO public.rooms VALUES (1, -1)")
    assert (await apply_vertical(conn, [TABLE, NUMBER, COUNT])).dropped == ()


async def test_code_refuses_a_shard_without_its_collections(conn):
    with pytest.raises(SchemaTooOldError, match="rooms and 3 more of the vertical"):
        await check_vertical(conn, ALL)
    await apply_vertical(conn, ALL)
    await check_vertical(conn, ALL)
    newer = Statement("rooms.count", "function", COUNT.sql.replace("count(*)", "count(id)"))
    await check_vertical(conn, [TABLE, NUMBER, POSITIVE, newer])


async def test_a_syntax_error_names_the_object(conn):
    with pytest.raises(StatementFailedError, match='rooms: syntax error at or near "TABEL"'):
        await apply_vertical(conn, [Statement("rooms", "table", "CREATE TABEL rooms ()")])


async def test_statements_hold_percent_signs_and_dollars_as_they_are(conn):
    odd = Statement(
        "odd", "function", "CREATE OR REPLACE FUNCTION public.odd() RETURNS text LANGUAGE sql"
        " AS $x$ SELECT '%s %% $1' $x$"
    )  # fmt: skip
    await apply_vertical(conn, [odd])
    assert await first(conn, "SELECT public.odd()") == "%s %% $1"
