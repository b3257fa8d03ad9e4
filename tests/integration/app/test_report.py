"""`serai report` over two shards: what is added, who is named, what is missing.

Owns the tests of the command. Rows come from INSERTs of its own, so that what is expected is added
up by hand.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from integration.app.programs import Shell
from integration.conftest import MakeDatabase
from serai.app.fleet import prepare_fleet
from serai.app.settings import Settings

DEAD = "postgresql://someone:hunter2@127.0.0.1:1/none"
_BOOKED = """
    INSERT INTO hospitality.revenues
        (org_id, id, property_id, account_id, kind, business_date, amount_minor, amount_currency)
    VALUES (%s, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'charge', %s, %s, %s)
"""


@pytest.fixture(scope="module")
def urls(make_database: MakeDatabase) -> dict[str, str]:
    """A directory and two shards with three houses and their revenues."""
    found = {name: make_database() for name in ("directory", "a", "b")}
    shards = [(name, found[name]) for name in ("a", "b")]
    asyncio.run(prepare_fleet(Settings(directory_url=found["directory"]), shards))
    booked = {
        ("a", 1): [("2026-01-31", 100, "EUR"), ("2026-02-01", 50, "EUR"), ("2026-02-01", 9, "USD")],
        ("a", 2): [("2026-02-02", 700, "EUR")],
        ("b", 10_000_001): [("2026-02-28", 300, "EUR"), ("2026-03-01", 1_000, "EUR")],
    }
    with psycopg.connect(found["directory"]) as conn:
        for (_, org_id), key in zip(booked, ("one.inn", "two.inn", "three.inn"), strict=True):
            conn.execute(
                "INSERT INTO serai_directory.organisation (org_id, key) VALUES (%s, %s)",
                (org_id, key),
            )
    for (name, org_id), rows in booked.items():
        with psycopg.connect(found[name]) as conn:
            conn.execute("SET session_replication_role = replica")
            conn.execute("INSERT INTO serai.org (org_id) VALUES (%s)", (org_id,))
            for row in rows:
                conn.execute(_BOOKED, (org_id, *row))
    return found


@pytest.fixture
def operator(tmp_path: Path, urls: dict[str, str]) -> Shell:
    return Shell(tmp_path, {"SERAI_DIRECTORY_URL": urls["directory"]})


def test_all_shards_are_added_up_and_currencies_are_not(operator: Shell) -> None:
    found = operator.ok("report", "revenues", "--sum", "amount_minor", "--top", "2", "--json").json
    assert found["totals"] == [
        {"currency": "EUR", "rows": 5, "sum": 2_150},
        {"currency": "USD", "rows": 1, "sum": 9},
    ]
    assert [(s["key"], s["currency"], s["sum"]) for s in found["top"]] == [
        ("three.inn", "EUR", 1_300),
        ("two.inn", "EUR", 700),
        ("one.inn", "USD", 9),
    ]
    assert (found["shards"], found["missing"], found["partial"]) == (2, [], False)
    text = operator.ok("report", "revenues", "--sum", "amount_minor", "--top", "1").out
    assert "revenues: 5 rows  sum 2,150 minor units of EUR" in text
    assert "1. three.inn" in text


def test_days_are_both_included(operator: Shell) -> None:
    days = ("--from", "2026-02-01", "--to", "2026-02-28")
    found = operator.ok("report", "revenues", "--sum", "amount_minor", *days, "--json").json
    assert [(t["currency"], t["rows"], t["sum"]) for t in found["totals"]] == [
        ("EUR", 3, 1_050),
        ("USD", 1, 9),
    ]
    counted = operator.ok("report", "revenues", *days, "--top", "1", "--json").json
    assert counted["totals"] == [{"currency": None, "rows": 4, "sum": None}]
    assert [(s["key"], s["rows"]) for s in counted["top"]] == [("one.inn", 2)]


def test_a_copy_on_its_way_is_not_counted_twice(operator: Shell, urls: dict[str, str]) -> None:
    """House 2 is frozen at its home; shard b holds its whole copy, frozen; and an old, moved one
    of house 1.
    """
    with psycopg.connect(urls["a"]) as a:
        a.execute("UPDATE serai.org SET state = 'frozen' WHERE org_id = 2")
    with psycopg.connect(urls["b"]) as b:
        b.execute("SET session_replication_role = replica")
        b.execute("INSERT INTO serai.org (org_id, state) VALUES (1, 'moved'), (2, 'frozen')")
        for org_id in (1, 2):
            b.execute(_BOOKED, (org_id, "2026-02-02", 700, "EUR"))
    found = operator.ok("report", "revenues", "--sum", "amount_minor", "--json").json
    assert found["totals"][0] == {"currency": "EUR", "rows": 5, "sum": 2_150}
    with psycopg.connect(urls["b"]) as b:
        b.execute("SET session_replication_role = replica")
        b.execute("DELETE FROM serai.org WHERE org_id IN (1, 2)")
        b.execute("DELETE FROM hospitality.revenues WHERE org_id IN (1, 2)")
    with psycopg.connect(urls["a"]) as a:
        a.execute("UPDATE serai.org SET state = 'active'")


def test_a_shard_that_does_not_answer_is_named_and_the_status_says_so(
    operator: Shell, urls: dict[str, str]
) -> None:
    with psycopg.connect(urls["directory"]) as conn:
        conn.execute("UPDATE serai_directory.shard SET url = %s WHERE name = 'b'", (DEAD,))
    try:
        done = operator.run("report", "revenues", "--json")
        told = operator.run("report", "revenues")
    finally:
        with psycopg.connect(urls["directory"]) as conn:
            conn.execute("UPDATE serai_directory.shard SET url = %s WHERE name = 'b'", (urls["b"],))
    assert done.status == told.status == 1
    assert [each["shard"] for each in done.json["missing"]] == ["b"]
    assert (done.json["partial"], done.json["totals"][0]["rows"]) == (True, 4)
    assert "PARTIAL: without b" in told.err
    assert "hunter2" not in done.out + done.err + told.out + told.err


def test_a_shard_that_is_too_slow_is_given_up_at_its_deadline(
    operator: Shell, urls: dict[str, str]
) -> None:
    """Somebody holds the table of shard a; the statement ends, and shard b is told."""
    with psycopg.connect(urls["a"]) as holder:
        holder.execute("LOCK TABLE hospitality.revenues IN ACCESS EXCLUSIVE MODE")
        done = operator.run("report", "revenues", "--deadline", "0.5", "--json")
        holder.rollback()
    assert done.status == 1
    assert done.json["missing"] == [{"shard": "a", "why": "not done within 0.5 s"}]
    assert done.json["totals"] == [{"currency": None, "rows": 2, "sum": None}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("reviews",), "There is no collection reviews."),
        (("revenues", "--sum", "note"), "note is no number of revenues."),
        (("guests", "--from", "2026-01-01"), "Say which day of guests"),
        (("revenues", "--from", "2026-01-01", "--by", "kind"), "Say which day of revenues"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_in_words(
    operator: Shell, words: tuple[str, ...], said: str
) -> None:
    done = operator.run("report", *words)
    assert done.status == 1
    assert said in done.err
