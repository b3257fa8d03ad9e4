"""Commands typed by hand, right and wrong: words that say what to do, JSON that is JSON, no secret
but the one that was asked for.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from integration.app.programs import SERAI, Shell
from integration.conftest import MakeDatabase
from serai.embedded.ports import free_port

NOWHERE = "postgresql://serai:hush@127.0.0.1:1/serai"


@pytest.mark.parametrize(
    "words",
    [
        ("org", "list"),
        ("org", "create", "a"),
        ("user", "create", "a@b.example"),
        ("user", "password", "a@b.example"),
        ("user", "sign-out", "a@b.example"),
        ("user", "disable", "a@b.example"),
        ("user", "enable", "a@b.example"),
        ("user", "link", "a@b.example", "https://id.example", "1"),
        ("user", "unlink", "a@b.example"),
        ("user", "add", "a@b.example", "--org", "a", "--role", "owner"),
        ("import", "hotel-bookings", "a.csv", "--org", "a"),
        ("migrate",),
        ("serve",),
    ],
    ids=" ".join,
)
def test_a_command_without_a_directory_says_which_variable_to_set(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    done = Shell(tmp_path).run(*words)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("serai: SERAI_DIRECTORY_URL is not set.")


@pytest.mark.parametrize("words", [("org", "list"), ("serve",), ("dev",)], ids=" ".join)
def test_a_database_that_does_not_answer_is_told_without_its_password(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    shell = Shell(tmp_path, {"SERAI_DIRECTORY_URL": NOWHERE, "SERAI_PORT": str(free_port())})
    done = shell.run(*words)
    assert (done.status, done.out) == (1, "")
    assert "Check SERAI_DIRECTORY_URL." in done.err
    assert "hush" not in done.err


def test_a_failed_migration_is_told_as_json_with_the_remedy(tmp_path: Path) -> None:
    done = Shell(tmp_path, {"SERAI_DIRECTORY_URL": NOWHERE}).run("migrate", "--json")
    assert done.status == 1
    assert done.json["ok"] is False
    assert done.json["databases"][0]["remedy"].endswith(".")
    assert "hush" not in done.out + done.err


def test_serving_a_database_that_was_never_migrated_ends_at_once_and_says_so(
    tmp_path: Path, fresh_database: str
) -> None:
    shell = Shell(tmp_path, {"SERAI_DIRECTORY_URL": fresh_database})
    done = shell.run("serve", "--port", str(free_port()))
    assert done.status == 1
    assert "is older than this code" in done.err
    assert "serai migrate --phase pre" in done.err


def test_old_code_does_not_serve_or_touch_a_newer_schema(
    tmp_path: Path, migrated_database: str
) -> None:
    with psycopg.connect(migrated_database) as connection:
        connection.execute("UPDATE serai_schema.state SET compat = 999")
    shell = Shell(tmp_path, {"SERAI_DIRECTORY_URL": migrated_database})
    for words in (("serve", "--port", str(free_port())), ("org", "create", "a")):
        done = shell.run(*words)
        assert done.status == 1
        assert "Deploy the release that migrated this database" in done.err


def test_migrating_twice_changes_nothing_and_says_so(shell: Shell) -> None:
    report = shell.ok("migrate", "--json").json
    assert [d["name"] for d in report["databases"]] == ["directory", "shard-1"]
    assert {d["outcome"] for d in report["databases"]} == {"current"}
    assert all(d["applied"] == [] for d in report["databases"])


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("org", "list", "--limit", "-1"),
        ("migrate", "--parallel", "0"),
        ("migrate", "--phase", "never"),
        ("user", "add", "a@b.example", "--org", "a", "--role", "owner", "--property", "x"),
        ("import", "hotel-bookings", "a.csv"),
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_2_and_touches_nothing(words: tuple[str, ...], shell: Shell) -> None:
    done = shell.run(*words)
    assert (done.status, done.out) == (2, "")
    assert "Error" in done.err


def test_settings_show_every_variable_and_no_password(shell: Shell) -> None:
    shell.variables["SERAI_CORS_ORIGINS"] = "https://a.example.com,https://b.example.com"
    url = shell.variables["SERAI_DIRECTORY_URL"]
    password = url.partition("://")[2].partition("@")[0].partition(":")[2]
    rows = shell.ok("settings", "--json").json
    text = shell.ok("settings").out
    assert len(rows) == 26
    assert all(row["meaning"] and f"{row['variable']}=" in text for row in rows)
    assert "SERAI_CORS_ORIGINS=https://a.example.com,https://b.example.com\n" in text
    assert "SERAI_DOCS=true\n" in text
    assert f"{password}@" not in text + str(rows)


def test_an_organisation_is_made_once_and_its_owners_password_shown_once(
    shell: Shell, key: str
) -> None:
    words = (
        "org",
        "create",
        key,
        "--owner",
        f"{key}@example.com",
        "--name",
        "The [b]Inn",
        "--json",
    )
    first, again = shell.ok(*words).json, shell.ok(*words).json
    assert len(first["password"]) == 16
    assert again == {**first, "password": None}
    listed = shell.ok("org", "list", "--limit", "10000", "--json").json
    assert {
        "org_id": first["org_id"],
        "key": key,
        "name": "The [b]Inn",
        "shard": "shard-1",
    } in listed
    assert key in shell.ok("org", "list", "--limit", "10000").out


@pytest.mark.parametrize(
    "words",
    [
        ("org", "create", "Not A Key", "--owner", "WHO"),
        ("user", "add", "WHO", "--org", "KEY", "--role", "king"),
        ("user", "add", "WHO", "--org", "KEY", "--role", "owner", "--property", "0" * 32),
    ],
    ids=["no key", "no role", "no property"],
)
def test_a_command_that_fails_does_not_lose_the_password_of_a_new_user(
    words: tuple[str, ...], shell: Shell, key: str
) -> None:
    who = f"{key}@example.com"
    shell.ok("org", "create", key)
    failed = shell.run(*(w.replace("WHO", who).replace("KEY", key) for w in words))
    assert failed.status == 1
    assert "valid" in failed.err or "not exist" in failed.err
    added = shell.ok("user", "add", who, "--org", key, "--role", "front_desk", "--json").json
    assert len(added["password"]) == 16


def test_a_user_is_made_once_and_a_lost_password_can_be_replaced(shell: Shell, key: str) -> None:
    who = f"{key}@example.com"
    made = shell.ok("user", "create", who, "--json").json
    again = shell.run("user", "create", who)
    assert again.status == 1
    assert f"serai user password {who}" in again.err
    replaced = shell.ok("user", "password", who, "--json").json
    assert replaced["user_id"] == made["user_id"]
    assert replaced["password"] != made["password"]
    assert shell.run("user", "password", f"no-{who}").status == 1


@pytest.mark.parametrize("who", ["no-address", "a b@example.com", "@example.com"])
def test_what_is_no_address_makes_no_user(who: str, shell: Shell) -> None:
    done = shell.run("user", "create", who)
    assert (done.status, done.err) == (
        1,
        "serai: Fields are not valid: email is not an e-mail address.\n",
    )


def test_an_unknown_organisation_is_told_with_the_command_that_makes_it(shell: Shell) -> None:
    done = shell.run("user", "add", "a@b.example", "--org", "nobody.inn", "--role", "owner")
    assert done.status == 1
    assert "serai org create nobody.inn" in done.err


def test_output_that_nobody_reads_any_more_is_no_error(shell: Shell) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [SERAI, "settings"],
            env=shell.environment(),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_empty_postgresql_becomes_directory_and_shard_and_a_fleet_is_left_alone(
    tmp_path: Path, make_database: MakeDatabase
) -> None:
    port = free_port()
    shell = Shell(tmp_path, {"SERAI_DIRECTORY_URL": make_database(), "SERAI_PORT": str(port)})
    with shell.started("dev") as first:
        first.until("made the database a directory and its only shard")
        first.until("Ctrl-C stops it.")
        assert shell.ok("org", "create", "inn", "--json").json["org_id"] == 1
        first.process.terminate()
        assert first.process.wait() == 130
    with shell.started("dev") as second:
        second.until("Ctrl-C stops it.")
        assert not any("made the database" in line for line in second.heard)
        assert [o["key"] for o in shell.ok("org", "list", "--json").json] == ["inn"]
