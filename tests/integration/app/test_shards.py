"""`serai shard` and `serai org where` on real databases: what is told, what is refused, what is
noted.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

import psycopg
import pytest

from integration.app.programs import Shell
from integration.conftest import MakeDatabase
from serai.app.fleet import prepare_fleet
from serai.app.settings import Settings

MIB = 2**20
NOBODY = "postgresql://someone:hunter2@127.0.0.1:1/none"


@pytest.fixture
def databases(make_database: MakeDatabase) -> tuple[str, str, str]:
    """URLs of a directory, of its only shard, and of an empty database."""
    directory, shard, empty = make_database(), make_database(), make_database()
    asyncio.run(prepare_fleet(Settings(directory_url=directory), [("shard-1", shard)]))
    return directory, shard, empty


@pytest.fixture
def operator(tmp_path: Path, databases: tuple[str, str, str]) -> Shell:
    """An operator of a fleet of one shard, which is this test's alone."""
    return Shell(tmp_path, {"SERAI_DIRECTORY_URL": databases[0], "SUDO_USER": "ann"})


def ask(url: str, statement: str, *given: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(statement.encode(), given)
        return cursor.fetchall() if cursor.description else []


def by_name(shell: Shell) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in shell.ok("shard", "list", "--json").json}


def test_an_operator_adds_a_shard_and_new_organisations_go_there(
    operator: Shell, databases: tuple[str, str, str]
) -> None:
    operator.ok("org", "create", "first.inn")
    words = ("shard", "add", "shard-2", databases[2], "--orgs", "1000", "--reason", "more room")
    added = operator.ok(*words, "--json").json
    assert added == {"shard": "shard-2", "first": 10_000_001, "stop": 10_001_001}
    assert operator.ok(*words, "--json").json == added
    operator.ok("org", "create", "second.inn")
    shards = by_name(operator)
    assert {name: s["organisations"] for name, s in shards.items()} == {"shard-1": 1, "shard-2": 1}
    assert shards["shard-2"]["ranges"] == [{"first": 10_000_001, "stop": 10_001_001, "given": 1}]
    assert shards["shard-2"]["free"] == 999
    assert shards["shard-2"]["bytes"] > MIB
    assert shards["shard-1"]["schema"] == shards["shard-2"]["schema"] > 0
    where = operator.ok("org", "where", "second.inn", "--json").json
    assert (where["org_id"], where["shard"], where["by"]) == (10_000_001, "shard-2", "range")
    assert (where["state"], where["epoch"], where["version"]) == ("active", 1, 0)
    assert operator.ok("org", "where", "10000001", "--json").json == where
    text = operator.ok("shard", "list").out
    assert "hunter2" not in text
    assert text.splitlines()[1].startswith("shard-2          open               1 organisations")


def test_a_database_in_use_is_never_taken_for_a_new_shard(
    operator: Shell, databases: tuple[str, str, str]
) -> None:
    operator.ok("org", "create", "first.inn")
    twice = operator.run("shard", "add", "other", databases[1], "--reason", "mistake")
    assert (twice.status, "Another shard has this database" in twice.err) == (1, True)
    ask(databases[0], "UPDATE serai_directory.shard SET url = url || '?application_name=x'")
    hidden = operator.run("shard", "add", "other", databases[1], "--reason", "mistake")
    assert (hidden.status, "holds organisations" in hidden.err) == (1, True)
    assert list(by_name(operator)) == ["shard-1"]


def test_a_closed_shard_gets_nobody_new_and_the_audit_says_who_closed_it_and_why(
    operator: Shell, databases: tuple[str, str, str]
) -> None:
    operator.ok("shard", "add", "shard-2", databases[2], "--reason", "more room")
    closed = operator.ok("shard", "close", "shard-1", "--reason", "new disks", "--json").json
    assert closed == {"shard": "shard-1", "state": "closed", "open": ["shard-2"]}
    for n in range(3):
        operator.ok("org", "create", f"inn{n}.example")
    assert {o["shard"] for o in operator.ok("org", "list", "--json").json} == {"shard-2"}
    last = operator.ok("shard", "close", "shard-2", "--reason", "all of them").err
    assert "No shard is open" in last
    refused = operator.run("org", "create", "late.inn")
    assert (refused.status, "No shard has room" in refused.err) == (1, True)
    operator.ok("shard", "open", "shard-1", "--reason", "disks are in")
    operator.ok("org", "create", "late.inn")
    newest, _, older, *_ = operator.ok("shard", "history", "--json").json
    assert newest["actor"].startswith("ann@")
    assert (newest["reason"], newest["what"]["state"]) == ("disks are in", "open")
    assert (older["reason"], older["what"]["name"]) == ("new disks", "shard-1")
    assert "disks are in" in operator.ok("shard", "history", "--limit", "1").out
    without = operator.run("shard", "close", "shard-1")
    assert without.status != 0


def test_a_shard_that_does_not_answer_is_told_and_hides_no_other(
    operator: Shell, databases: tuple[str, str, str]
) -> None:
    operator.ok("org", "create", "first.inn")
    ask(
        databases[0],
        "INSERT INTO serai_directory.shard (name, url) VALUES ('gone', %s)",
        NOBODY,
    )
    listed = operator.run("shard", "list", "--json")
    shards = {each["name"]: each for each in listed.json}
    assert listed.status == 1
    assert shards["gone"]["problem"] == "OperationalError: nothing listens there"
    assert shards["shard-1"]["problem"] is None
    checked = operator.run("shard", "check", "--json")
    found = {(f["place"], f["check"]): f["state"] for f in checked.json["findings"]}
    assert checked.status == 1
    assert found["gone", "reachable"] == "failed"
    assert found["shard-1", "organisations"] == "ok"
    assert "hunter2" not in listed.out + listed.err + checked.out + checked.err
    assert operator.ok("org", "where", "first.inn", "--json").json["state"] == "active"


def test_the_check_finds_who_is_missing_and_who_takes_writes_where_nobody_looks(
    operator: Shell, databases: tuple[str, str, str]
) -> None:
    directory, one, two = databases
    operator.ok("shard", "add", "shard-2", two, "--reason", "more room")
    for n in range(6):
        operator.ok("org", "create", f"inn{n}.example")
    assert operator.ok("shard", "check", "--json").json["ok"] is True
    ask(one, "DELETE FROM serai.org WHERE org_id = 2")
    ask(one, "INSERT INTO serai.org (org_id) VALUES (10000001)")
    ask(two, "UPDATE serai.org SET state = 'frozen' WHERE org_id = 10000002")
    done = operator.run("shard", "check", "--json")
    said = {(f["place"], f["check"]): f for f in done.json["findings"] if f["remedy"]}
    assert done.status == 1
    assert set(said) == {("shard-1", "missing"), ("shard-1", "foreign"), ("shard-2", "frozen")}
    assert said["shard-1", "missing"]["means"].endswith(" 2")
    assert said["shard-1", "foreign"]["means"].endswith(" 10000001")
    assert operator.run("org", "where", "2", "--json").json["state"] == "absent"
    operator.ok("org", "create", "inn2.example")
    ask(one, "UPDATE serai.org SET state = 'moved' WHERE org_id = 10000001")
    assert operator.ok("shard", "check", "--json").json["ok"] is True
    assert ask(directory, "SELECT count(*) FROM serai_directory.organisation") == [(6,)]


def test_a_shard_is_not_said_to_be_where_its_organisations_are_not(
    operator: Shell, databases: tuple[str, str, str], make_database: MakeDatabase
) -> None:
    operator.ok("org", "create", "first.inn")
    words = ("shard", "url", "shard-1")
    refused = operator.run(*words, databases[2], "--reason", "new machine")
    assert (refused.status, "Restore it first" in refused.err) == (1, True)
    copy = make_database(databases[1])
    told = operator.ok(*words, copy, "--reason", "new machine", "--json").json
    assert told["shard"] == "shard-1"
    assert ask(databases[0], "SELECT url FROM serai_directory.shard") == [(copy,)]
    assert operator.ok("org", "where", "first.inn", "--json").json["state"] == "active"


def test_a_shard_that_has_used_up_its_numbers_gets_more(
    operator: Shell, databases: tuple[str, str, str]
) -> None:
    tiny = ("shard", "add", "tiny", databases[2], "--orgs", "1", "--reason", "try")
    operator.ok(*tiny)
    operator.ok("shard", "close", "shard-1", "--reason", "fill the other")
    operator.ok("org", "create", "first.inn")
    assert operator.run("org", "create", "second.inn").status == 1
    more = operator.ok("shard", "extend", "tiny", "--orgs", "5", "--reason", "full", "--json").json
    assert more == {"shard": "tiny", "first": 10_000_002, "stop": 10_000_007}
    operator.ok("org", "create", "second.inn")
    assert operator.ok("org", "where", "second.inn", "--json").json["org_id"] == 10_000_002


@pytest.mark.parametrize(
    "words",
    [
        ("add", "x", "postgresql://me:pa@ss@host/db", "--reason", "r"),
        ("add", "x", "not a url with secret", "--reason", "r"),
        ("url", "shard-1", "postgresql://me:secret%zz@host/db", "--reason", "r"),
        ("close", "nowhere", "--reason", "r"),
    ],
)
def test_what_cannot_be_meant_is_refused_without_a_secret(
    words: tuple[str, ...], operator: Shell
) -> None:
    done = operator.run("shard", *words)
    assert done.status == 1
    assert not any(word in done.err for word in ("pa@ss", "secret", "ss@host"))


def test_an_organisation_that_nobody_made_is_nowhere(operator: Shell) -> None:
    for name in ("nobody", "77", "9" * 30, secrets.token_hex(4)):
        done = operator.run("org", "where", name)
        assert (done.status, "There is no organisation" in done.err) == (1, True)


def test_a_replica_that_is_none_is_not_added_and_nothing_is_noted(
    operator: Shell, databases: tuple[str, str, str]
) -> None:
    """The shard itself, another database, nobody, a shard that there is not, no reason."""
    assert operator.ok("shard", "replica", "list", "--json").json == []
    before = operator.ok("shard", "history", "--json").json
    why = ("--reason", "reads")
    for url, words in (
        (databases[1], "What answers there is no streaming replica of shard-1."),
        (databases[2], "What answers there is no streaming replica of shard-1."),
        (NOBODY, "It cannot be compared: "),
    ):
        refused = operator.run("shard", "replica", "add", "shard-1", "copy-1", url, *why, "--json")
        assert (refused.status, refused.out, words in refused.err) == (1, "", True), refused
        assert "hunter2" not in refused.err
    unknown = operator.run("shard", "replica", "add", "shard-9", "copy-1", databases[1], *why)
    assert (unknown.status, "shard-9" in unknown.err, "shard-1" in unknown.err) == (1, True, True)
    without = operator.run("shard", "replica", "add", "shard-1", "copy-1", databases[1])
    assert without.status != 0
    assert operator.ok("shard", "history", "--json").json == before
    assert operator.ok("shard", "replica", "list", "--json").json == []


def test_a_replica_that_is_away_is_listed_as_such_and_removed_with_who_and_why(
    operator: Shell, databases: tuple[str, str, str]
) -> None:
    ask(
        databases[0],
        "INSERT INTO serai_directory.replica (shard_id, name, url) VALUES (1, 'copy-1', %s)",
        NOBODY,
    )
    listed = operator.run("shard", "replica", "list", "--json")
    assert listed.status == 1
    assert listed.json == [
        {
            "shard": "shard-1",
            "name": "copy-1",
            "address": "127.0.0.1:1",
            "state": "away",
            "behind_bytes": None,
        }
    ]
    assert "hunter2" not in operator.run("shard", "replica", "list").out
    wrong = operator.run("shard", "replica", "remove", "shard-1", "copy-9", "--reason", "slip")
    assert (wrong.status, "has no replica 'copy-9'. Replicas: copy-1." in wrong.err) == (1, True)
    removed = operator.ok(
        "shard", "replica", "remove", "shard-1", "copy-1", "--reason", "it burned", "--json"
    ).json
    assert removed == {"shard": "shard-1", "replica": "copy-1"}
    newest = operator.ok("shard", "history", "--json").json[0]
    assert newest["actor"].startswith("ann@")
    assert (newest["action"], newest["reason"]) == ("delete", "it burned")
    again = operator.run("shard", "replica", "remove", "shard-1", "copy-1", "--reason", "again")
    assert (again.status, "Replicas: none." in again.err) == (1, True)


def test_a_promotion_to_nobody_touches_nothing(
    operator: Shell, databases: tuple[str, str, str]
) -> None:
    before = operator.ok("shard", "history", "--json").json
    for words, said in (
        (("shard-9", "--to", "copy-1", "--reason", "slip"), "shard-9"),
        (("shard-1", "--to", "copy-1", "--reason", "slip"), "no replica 'copy-1'. Replicas: none"),
    ):
        refused = operator.run("shard", "promote", *words, "--json")
        assert (refused.status, refused.out, said in refused.err) == (1, "", True), refused
    assert operator.run("shard", "promote", "shard-1", "--to", "copy-1").status != 0
    assert operator.ok("shard", "history", "--json").json == before
    # Its primary was not fenced.
    assert ask(databases[1], "SHOW default_transaction_read_only") == [("off",)]
