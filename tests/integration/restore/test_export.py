"""Everything of an organisation in a folder: what is in it, and what a changed one is told as.

Owns the comparison of files with rows read by SQL. The chain of the exported record is computed
here by hand, as the README of the folder says it. Never exports an organisation of another test.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integration.moves.street import Fleet, House
from serai.app.export_check import check_export
from serai.app.exporting import Exported, export_organisation
from serai.app.shard_facts import ShardError
from serai.core.errors import SeraiError


async def exported(house: House, folder: Path, **given: Any) -> Exported:
    return await export_organisation(house.fleet.owner.settings, str(house.org_id), folder, **given)


def lines(folder: Path, path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / path).read_bytes().splitlines()]


async def test_rows_record_and_manifest_are_those_of_one_moment(
    house: House, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    done = await exported(house, folder)
    fleet, home, org = house.fleet, house.home, house.org_id
    for name, collection in fleet.runtime.vertical.by_name.items():
        rows = fleet.sql(
            home,
            "SELECT id, version, doc FROM serai.row WHERE org_id = %s AND collection = %s"
            " ORDER BY id",
            org,
            collection.number,
        )
        assert rows, name
        assert lines(folder, f"rows/{name}.jsonl") == [
            {"id": str(row_id), "version": version, "data": json.loads(doc)}
            for row_id, version, doc in rows
        ]
    ((epoch, version, number, sha),) = fleet.sql(
        home,
        "SELECT epoch, version, audit_number, audit_hash FROM serai.org WHERE org_id = %s",
        org,
    )
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert (manifest["epoch"], manifest["version"]) == (epoch, version)
    assert (manifest["orgId"], manifest["recordLast"]) == (org, number)
    assert manifest["recordHash"] == sha.hex() == chain(folder, manifest)
    assert len(lines(folder, "refusals.jsonl")) == 1
    assert done.folder == folder
    found = check_export(folder)
    assert (found.problems, found.entries) == ([], number)
    assert names_in(tmp_path) == ["out"]


def chain(folder: Path, manifest: dict[str, Any]) -> str:
    """Compute the record's last hash as the README says."""
    names = ("orgId", "number", "version", "at", "userId", "deviceId", "via", "op", "collection")
    before = bytes.fromhex(manifest["recordBefore"])
    for line in lines(folder, "audit.jsonl"):
        parts = [line[name] for name in (*names, "rowId", "scope", "content")]
        text = "\n".join("" if part is None else str(part) for part in parts)
        before = hashlib.sha256(before + text.encode()).digest()
        assert before.hex() == line["hash"]
    return before.hex()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_sha256sum_checks_it_without_serai(house: House, tmp_path: Path) -> None:
    await exported(house, tmp_path / "out")
    checked = await asyncio.to_thread(sha256sum, tmp_path / "out")
    assert checked.returncode == 0, checked
    assert "manifest.json: OK" in checked.stdout


def sha256sum(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


async def test_nobody_signs_in_with_what_is_in_it(house: House, tmp_path: Path) -> None:
    """Neither hashes of passwords nor any key of the platform are in a file."""
    fleet = house.fleet
    user = "INSERT INTO serai_directory.users (user_id, email, name, password_hash, state)"
    fleet.sql(
        "directory",
        f"{user} VALUES (%s, %s, 'Ana', '$canary$of$a$password', 'active')",
        house.user_id,
        f"{house.user_id}@example.com",
    )
    fleet.sql(
        "directory",
        "INSERT INTO serai_directory.user_org (user_id, org_id) VALUES (%s, %s)",
        house.user_id,
        house.org_id,
    )
    await exported(house, tmp_path / "out")
    assert lines(tmp_path / "out", "people.jsonl") == [
        {"userId": str(house.user_id), "email": f"{house.user_id}@example.com", "name": "Ana"}
    ]
    secrets = fleet.sql("directory", "SELECT material FROM serai_directory.secret")
    assert secrets
    for path in (tmp_path / "out").rglob("*.*"):
        data = path.read_bytes()
        assert b"canary" not in data
        assert not any(material in data for (material,) in secrets)


def rename_entry(folder: Path) -> None:
    (folder / "audit.jsonl").rename(folder / "audit.txt")


def drop_row(folder: Path) -> None:
    path = folder / "rows/guests.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def forge_record(folder: Path) -> None:
    """Change an entry and every sum: only the chain tells."""
    path = folder / "audit.jsonl"
    told = path.read_bytes().splitlines(keepends=True)
    told[3] = told[3].replace(b'"via":"', b'"via":"x', 1)
    data = b"".join(told)
    path.write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    sums = dict.fromkeys([])
    for each in manifest["files"]:
        if each["path"] == "audit.jsonl":
            each |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        sums[each["path"]] = each["sha256"]
    text = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(text)
    sums["manifest.json"] = hashlib.sha256(text).hexdigest()
    said = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    (folder / "SHA256SUMS").write_text(said)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (drop_row, "rows/guests.jsonl was changed"),
        (rename_entry, "audit.jsonl is missing"),
        (lambda folder: (folder / "more.txt").write_text("x"), "more.txt is no file"),
        (lambda folder: (folder / "manifest.json").unlink(), "There is no manifest.json"),
        (lambda folder: (folder / "SHA256SUMS").write_text("x"), "do not say the same"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "cannot be read"),
        (forge_record, "the chain is broken at entry 4"),
    ],
)
async def test_an_export_that_was_changed_is_told(
    house: House, tmp_path: Path, change: Callable[[Path], object], told: str
) -> None:
    await exported(house, tmp_path / "out")
    assert check_export(tmp_path / "out").problems == []
    change(tmp_path / "out")
    assert any(told in problem for problem in check_export(tmp_path / "out").problems)


async def test_nothing_is_overwritten(house: House, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ShardError, match="there already"):
        await exported(house, tmp_path / "out")
    (tmp_path / "out").rmdir()
    await exported(house, tmp_path / "out")
    with pytest.raises(ShardError, match="there already"):
        await exported(house, tmp_path / "out")


async def test_an_export_that_fails_leaves_nothing(
    fleet: Fleet, house: House, tmp_path: Path
) -> None:
    """A record that was tampered with is not handed out as if it were whole."""
    home = house.home
    fleet.sql(home, "ALTER TABLE serai.audit DISABLE TRIGGER append_only")
    try:
        fleet.sql(
            home, "UPDATE serai.audit SET via = 'x' WHERE org_id = %s AND number = 5", house.org_id
        )
    finally:
        fleet.sql(home, "ALTER TABLE serai.audit ENABLE ALWAYS TRIGGER append_only")
    with pytest.raises(SeraiError, match="entry 5"):
        await exported(house, tmp_path / "out")
    assert names_in(tmp_path) == []


async def test_what_a_killed_export_left_is_removed_by_the_next_one(
    house: House, tmp_path: Path
) -> None:
    left = tmp_path / "out.partial"
    (left / "rows").mkdir(parents=True)
    (left / "rows" / "old.jsonl").write_text("x")
    (left / "manifest.json").write_text("x")
    await exported(house, tmp_path / "out")
    assert check_export(tmp_path / "out").problems == []
    assert not left.exists()
    shutil.rmtree(tmp_path / "out")


async def test_nothing_of_anybody_else_is_removed_and_nobody_else_reads_it(
    house: House, tmp_path: Path
) -> None:
    """A folder with the name of an unfinished export, and a link under it that leads elsewhere."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "manifest.json").write_text("my work")
    partial = tmp_path / "out.partial"
    partial.symlink_to(mine)
    with pytest.raises(ShardError, match="no export made it"):
        await exported(house, tmp_path / "out")
    partial.unlink()
    partial.mkdir()
    (partial / "my work").touch()
    with pytest.raises(ShardError, match="no export made it"):
        await exported(house, tmp_path / "out")
    assert (names_in(mine), names_in(partial)) == (["manifest.json"], ["my work"])
    (partial / "my work").unlink()
    await exported(house, tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0
