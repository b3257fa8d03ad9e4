"""The commands as they are typed: what they print for machines, their status, what they refuse.

Owns the words of `serai org restore` and `serai org export`. What they do is tried elsewhere.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from integration.app.programs import Ended, Shell
from integration.moves.street import Fleet, House
from integration.restore.past import now, version


@pytest.fixture
def shell(house: House, tmp_path: Path) -> Shell:
    return Shell(tmp_path, {"SERAI_DIRECTORY_URL": house.fleet.directory})


async def typed(shell: Shell, *words: str) -> Ended:
    return await asyncio.to_thread(shell.run, "org", *words)


async def test_a_machine_reads_what_a_restore_did(house: House, shell: Shell) -> None:
    org, at, was = str(house.org_id), version(house), now(house)
    await house.rest()
    words = ("restore", org, "--at", str(at), "--reason", "tried", "--json")
    tried, done, again = [await typed(shell, *words, *more) for more in (("--dry-run",), (), ())]
    assert [each.status for each in (tried, done, again)] == [0, 0, 0]
    assert tried.json["rows"] == done.json["rows"] == {"vendors": {"delete": 1}}
    assert (done.json["at"], done.json["before"], done.json["after"]) == (at, at + 1, at + 2)
    assert (tried.json["dry_run"], done.json["dry_run"]) == (True, False)
    assert (again.json["rows"], again.json["after"]) == ({}, at + 2)
    assert now(house) == was


async def test_a_restore_on_a_shard_with_an_older_schema_says_what_to_type(
    house: House, shell: Shell
) -> None:
    was = now(house)
    set_version = "UPDATE serai_schema.state SET version = %s WHERE kind = 'shard'"
    ((newest,),) = house.fleet.sql(
        house.home, "SELECT version FROM serai_schema.state WHERE kind = 'shard'"
    )
    house.fleet.sql(house.home, set_version, 1)
    try:
        words = ("restore", str(house.org_id), "--at", "1", "--reason", "r")
        for more in ((), ("--into", "second")):
            refused = await typed(shell, *words, *more)
            assert refused.status == 1
            assert "schema is older than this code" in refused.err
            assert "`serai migrate --phase pre`" in refused.err
    finally:
        house.fleet.sql(house.home, set_version, newest)
    assert now(house) == was


async def test_an_export_that_was_changed_has_status_1(
    house: House, shell: Shell, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    done = await typed(shell, "export", str(house.org_id), "--to", str(folder), "--json")
    assert (done.status, done.json["version"]) == (0, version(house))
    checked = await typed(shell, "export", "--verify", str(folder), "--json")
    assert (checked.status, checked.json["ok"]) == (0, True)
    assert checked.json["manifest"]["files"] == done.json["files"]
    (folder / "people.jsonl").write_text("x")
    checked = await typed(shell, "export", "--verify", str(folder), "--json")
    assert (checked.status, checked.json["ok"]) == (1, False)
    assert len(checked.json["problems"]) == 1


WRONG = (
    (("restore", "nobody", "--at", "1", "--reason", "r"), "There is no organisation"),
    (("restore", "1", "--at", "2026-01-31T12:00:00", "--reason", "r"), "a moment with its zone"),
    (("restore", "1", "--at", "1", "--reason", " "), "Say why"),
    (("restore", "1", "--at", "1", "--reason", "r", "--to", "b"), "are for a new"),
    (("export", "nobody", "--to", "there"), "There is no organisation"),
    (("export", "1"), "Say which organisation"),
    (("export", "--verify", "there"), "There is no manifest.json"),
)


async def test_a_wrong_use_is_told_in_words(fleet: Fleet, tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"SERAI_DIRECTORY_URL": fleet.directory})
    for words, told in WRONG:
        ended = await typed(shell, *words)
        assert (ended.status, told in ended.err) == (1, True), ended
