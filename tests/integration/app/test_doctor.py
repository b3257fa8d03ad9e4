"""`serai doctor` on installations that are well and that are hurt, one hurt at a time.

Owns a fleet of its own, which each test hurts by SQL and mends again. Promises that a hurt is found
by its own line and changes no other, and that no answer holds a password.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from integration.app.programs import Shell
from integration.conftest import MakeDatabase
from serai.app.fleet import prepare_fleet
from serai.app.partitions import ensure_partitions
from serai.app.runtime import open_runtime
from serai.app.settings import Settings

NOWHERE = "postgresql://serai:hush@127.0.0.1:1/serai"


@dataclass(frozen=True)
class Fleet:
    """A directory and a shard; `role` is the one that its requests are served as."""

    directory: str
    shard: str
    role: str
    password: str

    def as_role(self) -> str:
        """Return the directory's URL for the role of requests."""
        place = urlsplit(self.directory)
        login = f"{self.role}:{self.password}@{place.netloc.rpartition('@')[2]}"
        return place._replace(netloc=login).geturl()

    def run(self, text: str, *, on: str) -> None:
        """Run SQL as the owner; {role} and {database} stand for those of the place."""
        url = self.directory if on == "directory" else self.shard
        names = {
            "role": sql.Identifier(self.role),
            "database": sql.Identifier(urlsplit(url).path.removeprefix("/")),
        }
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL(text).format(**names))  # pyright: ignore[reportArgumentType] - texts of this file


@pytest.fixture(scope="module")
def own(make_database: MakeDatabase) -> Fleet:
    """A fleet whose upkeep has run."""
    directory, shard = make_database(), make_database()
    settings = Settings(directory_url=directory, pool_min=1)

    async def make() -> None:
        await prepare_fleet(settings, [("shard-1", shard)])
        async with open_runtime(settings, as_owner=True) as runtime:
            [ref] = runtime.directory.shards
            home = await runtime.shard(ref)
            await home.store.create_org(1)
            await ensure_partitions(home.pool, runtime.vertical, runtime.clock.now())

    asyncio.run(make())
    with psycopg.connect(directory) as connection:
        row = connection.execute("SELECT name, password FROM serai_directory.request_role")
        found = row.fetchone()
    assert found is not None
    return Fleet(directory, shard, *found)


@pytest.fixture
def doctor(tmp_path: Path, own: Fleet) -> Shell:
    return Shell(tmp_path, {"SERAI_DIRECTORY_URL": own.directory})


def lines(report: Any, state: str) -> dict[tuple[str, str], str]:
    """Return (place, check) -> what it says, of the findings in a state."""
    return {
        (f["place"], f["check"]): f"{f['means']}. {f['remedy']}"
        for f in report["findings"]
        if f["state"] == state
    }


def test_a_fleet_that_is_well_has_only_lines_that_are_ok(doctor: Shell, own: Fleet) -> None:
    done = doctor.ok("doctor", "--json")
    assert done.json["ok"] is True
    assert lines(done.json, "failed") == lines(done.json, "warning") == {}
    looked_at = lines(done.json, "ok")
    for check in ("server", "clock", "durability", "parameters", "schema", "role of requests"):
        assert ("directory", check) in looked_at
        assert ("shard-1", check) in looked_at
    for check in ("row security", "months", "replies", "audit"):
        assert ("shard-1", check) in looked_at
    text = doctor.ok("doctor").out
    assert len(text.splitlines()) == len(done.json["findings"])
    for url in (own.directory, own.shard):
        password = urlsplit(url).password
        assert password
        assert password not in done.out + text
    assert own.password not in done.out + text


def test_the_role_of_requests_may_ask_too(doctor: Shell, own: Fleet) -> None:
    report = doctor.ok("doctor", "--json", SERAI_DIRECTORY_URL=own.as_role()).json
    assert ("shard-1", "row security") in lines(report, "ok")


HURTS = {
    "role that bypasses row security": (
        ("directory", "ALTER ROLE {role} BYPASSRLS", "ALTER ROLE {role} NOBYPASSRLS"),
        {("directory", "role of requests"), ("shard-1", "role of requests")},
    ),
    "role that cannot log in": (
        ("directory", "ALTER ROLE {role} NOLOGIN", "ALTER ROLE {role} LOGIN"),
        {("directory", "role of requests")},
    ),
    "policy that shows everything": (
        (
            "shard",
            "CREATE POLICY everything ON serai.org FOR SELECT USING (true)",
            "DROP POLICY everything ON serai.org",
        ),
        {("shard-1", "row security"), ("shard-1", "role of requests")},
    ),
    "table without row security": (
        (
            "shard",
            "ALTER TABLE serai.row DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE serai.row ENABLE ROW LEVEL SECURITY",
        ),
        {("shard-1", "row security")},
    ),
    "right to write past the write path": (
        (
            "shard",
            "GRANT INSERT ON serai.log TO {role}",
            "REVOKE INSERT ON serai.log FROM {role}",
        ),
        {("shard-1", "row security")},
    ),
    "commits that do not wait for the disk": (
        (
            "shard",
            "ALTER DATABASE {database} SET synchronous_commit = off",
            "ALTER DATABASE {database} RESET synchronous_commit",
        ),
        {("shard-1", "synchronous_commit")},
    ),
    "keys that are all retired": (
        (
            "directory",
            "UPDATE serai_directory.secret SET retired_at = now() - interval '1 day'",
            "UPDATE serai_directory.secret SET retired_at = NULL",
        ),
        {("directory", "token keys"), ("directory", "signing keys")},
    ),
    "no room for organisations": (
        (
            "directory",
            "UPDATE serai_directory.shard SET state = 'closed'",
            "UPDATE serai_directory.shard SET state = 'open'",
        ),
        {("directory", "placement")},
    ),
    "shard of newer code": (
        (
            "shard",
            "UPDATE serai_schema.state SET compat = 999 WHERE kind = 'shard'",
            "UPDATE serai_schema.state SET compat = 0 WHERE kind = 'shard'",
        ),
        {("shard-1", "schema")},
    ),
}


@pytest.mark.parametrize("name", HURTS)
def test_a_hurt_is_found_and_no_other(name: str, doctor: Shell, own: Fleet) -> None:
    (where, hurt, mend), expected = HURTS[name]
    own.run(hurt, on=where)
    try:
        done = doctor.run("doctor", "--json")
    finally:
        own.run(mend, on=where)
    found = lines(done.json, "failed")
    assert set(found) == expected
    assert done.status == 1
    assert all(said.endswith(".") for said in found.values()), "each says what to do"
    assert own.password not in done.out


def test_a_shard_that_does_not_answer_hides_nothing_of_the_others(
    doctor: Shell, own: Fleet
) -> None:
    own.run(
        "INSERT INTO serai_directory.shard (name, url, state) VALUES ('a-shard', "
        "'postgresql://serai:hush@127.0.0.1:1/serai', 'closed')",
        on="directory",
    )
    try:
        done = doctor.run("doctor", "--json")
    finally:
        own.run("DELETE FROM serai_directory.shard WHERE name = 'a-shard'", on="directory")
    assert done.status == 1
    assert set(lines(done.json, "failed")) == {("a-shard", "reachable")}
    assert ("shard-1", "audit") in lines(done.json, "ok")
    assert "hush" not in done.out


@pytest.mark.parametrize("sign", "@/?#%[:")
def test_no_part_of_a_shard_s_password_is_printed_whatever_it_holds(
    sign: str, doctor: Shell, own: Fleet
) -> None:
    url = f"postgresql://serai:left{sign}right@127.0.0.1:1/db"
    own.run(
        "INSERT INTO serai_directory.shard (name, url, state) "  # noqa: S608 - of this file
        f"VALUES ('a-shard', '{url}', 'closed')",
        on="directory",
    )
    try:
        done, text = doctor.run("doctor", "--json"), doctor.run("doctor")
        token = doctor.run("doctor", "token", "hello")
        as_role = doctor.run("doctor", SERAI_DIRECTORY_URL=own.as_role())
    finally:
        own.run("DELETE FROM serai_directory.shard WHERE name = 'a-shard'", on="directory")
    [(where, said)] = lines(done.json, "failed").items()
    assert where == ("a-shard", "reachable")
    for printed in (done, text, token, as_role):
        assert "left" not in printed.out + printed.err
        assert "right" not in printed.out + printed.err
    expected = "127.0.0.1:1: OperationalError" if sign == ":" else "the shard's URL is "
    assert said.startswith(expected)
    assert ("shard-1", "audit") in lines(done.json, "ok")


UNREADABLE = {
    "keys": ("secret", ("directory", "keys")),
    "placement": ("org_range", ("directory", "placement")),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_table_that_may_not_be_read_hides_nothing_that_was_found(
    name: str, doctor: Shell, own: Fleet
) -> None:
    table, expected = UNREADABLE[name]
    revoke = f"REVOKE SELECT ON serai_directory.{table} FROM {{role}}"  # noqa: S608 - of this file
    own.run(revoke, on="directory")
    try:
        done = doctor.run("doctor", "--json", SERAI_DIRECTORY_URL=own.as_role())
    finally:
        own.run(f"GRANT SELECT ON serai_directory.{table} TO {{role}}", on="directory")
    assert done.status == 1
    failures = lines(done.json, "failed")
    assert expected in failures
    assert "permission denied" in failures[expected]
    assert ("directory", "durability") in lines(done.json, "ok")
    if name == "keys":
        assert ("shard-1", "audit") in lines(done.json, "ok")


def test_partitions_that_nobody_makes_are_told_before_they_are_missed(
    tmp_path: Path, fleet: tuple[str, str]
) -> None:
    # A fleet that was migrated and never served: nothing has turned its partitions.
    report = Shell(tmp_path, {"SERAI_DIRECTORY_URL": fleet[0]}).ok("doctor", "--json").json
    assert report["ok"] is True
    told = lines(report, "warning")
    if ("shard-1", "replies") in told:
        assert "serai serve" in told["shard-1", "replies"]
    else:
        assert "days ahead" in lines(report, "ok")["shard-1", "replies"]


def test_a_directory_that_does_not_answer_is_a_finding_without_its_password(
    tmp_path: Path,
) -> None:
    shell = Shell(tmp_path, {"SERAI_DIRECTORY_URL": NOWHERE})
    done = shell.run("doctor", "--json")
    text = shell.run("doctor")
    assert (done.status, text.status) == (1, 1)
    assert text.out.count("failed   directory reachable") == 1
    [(where, said)] = lines(done.json, "failed").items()
    assert where == ("directory", "reachable")
    assert "check SERAI_DIRECTORY_URL" in said
    assert "hush" not in done.out + done.err + text.out


def test_a_database_that_was_never_migrated_is_told_with_the_command(
    tmp_path: Path, fresh_database: str
) -> None:
    done = Shell(tmp_path, {"SERAI_DIRECTORY_URL": fresh_database}).run("doctor", "--json")
    assert done.status == 1
    assert set(lines(done.json, "failed")) == {("directory", "schema")}


@pytest.mark.parametrize(
    "words",
    [
        ("doctor",),
        ("doctor", "device", "inn", "00000000-0000-7000-8000-000000000001"),
        ("doctor", "token", "AgE"),
    ],
    ids=" ".join,
)
def test_without_a_directory_it_says_which_variable_to_set(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    done = Shell(tmp_path).run(*words)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("serai: SERAI_DIRECTORY_URL is not set.")
