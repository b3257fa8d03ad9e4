"""What an operator mistypes or mistakes, on real databases: refused in words before anything is
changed.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest

from integration.app.programs import Shell
from integration.conftest import MakeDatabase
from serai.app.fleet import prepare_fleet
from serai.app.settings import Settings

NOBODY = "postgresql://someone:hunter2@127.0.0.1:1/none"


@pytest.fixture
def databases(make_database: MakeDatabase) -> tuple[str, str]:
    """URLs of a directory and of its only shard, on one server."""
    directory, shard = make_database(), make_database()
    asyncio.run(prepare_fleet(Settings(directory_url=directory), [("shard-1", shard)]))
    return directory, shard


@pytest.fixture
def operator(tmp_path: Path, databases: tuple[str, str]) -> Shell:
    """An operator of that fleet."""
    return Shell(tmp_path, {"SERAI_DIRECTORY_URL": databases[0]})


def ask(url: str, statement: str, *given: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(statement.encode(), given)
        return cursor.fetchall() if cursor.description else []


def test_a_server_that_takes_no_writes_is_not_said_to_be_a_shard(
    operator: Shell, databases: tuple[str, str]
) -> None:
    """As is a primary whose place another has taken: its rows are of yesterday."""
    operator.ok("org", "create", "first.inn")
    fenced = databases[1] + "?options=-c%20default_transaction_read_only%3Don"
    refused = operator.run("shard", "url", "shard-1", fenced, "--reason", "back to the old one")
    assert (refused.status, "takes no writes" in refused.err) == (1, True)
    assert operator.ok("shard", "check").status == 0
    operator.ok("org", "create", "second.inn")


def test_a_dry_run_knows_the_shards(operator: Shell) -> None:
    operator.ok("org", "create", "first.inn")
    said = operator.run("org", "move", "first.inn", "--to", "shrad-2", "--dry-run")
    assert (said.status, "There is no shard 'shrad-2'" in said.err) == (1, True)


def test_a_change_of_placement_says_why(operator: Shell) -> None:
    for reason, why in (("  ", "Say why"), ("x" * 501, "at most 500 characters")):
        refused = operator.run("shard", "close", "shard-1", "--reason", reason)
        assert (refused.status, why in refused.err + refused.out) == (2, True)
    assert operator.ok("shard", "close", "shard-1", "--reason", "it is full").status == 0


def test_a_key_that_reads_as_anothers_number_is_refused(operator: Shell) -> None:
    operator.ok("org", "create", "first.inn")
    refused = operator.run("org", "create", "1")
    assert (refused.status, "has digits alone" in refused.err) == (1, True)
    assert operator.ok("org", "where", "1", "--json").json["key"] == "first.inn"


def test_a_promotion_never_fences_the_directory_that_is_to_note_it(
    operator: Shell, databases: tuple[str, str]
) -> None:
    ask(databases[0], "INSERT INTO serai_directory.replica VALUES (1, 'copy-1', %s)", NOBODY)
    words = ("shard", "promote", "shard-1", "--to", "copy-1", "--reason", "a larger machine")
    for more in ((), ("--primary-is-down",)):
        refused = operator.run(*words, *more)
        assert (refused.status, "set SERAI_DIRECTORY_URL to that copy" in refused.err) == (1, True)
    assert ask(databases[0], "SHOW default_transaction_read_only") == [("off",)]
    operator.ok("org", "create", "first.inn")
