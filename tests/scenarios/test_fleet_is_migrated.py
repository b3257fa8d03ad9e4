"""A new release is rolled out: `pre` files, its processes beside the old ones, `post` files.

Owns that between `pre` and `post` a worker of the release before serves as if nothing were, also
one that starts then, and that afterwards it is refused with what to do. The new release is a copy
of this one with one more file of each kind for the directory and for shards, run by the command
that ships. Never decides what is right but by the ledgers of the loads and the devices.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import serai
from integration.app.programs import Ended, Shell
from scenarios.fleet import Fleet, a_fleet
from scenarios.house import Server
from scenarios.load import Load, under_load
from scenarios.town import phones
from serai.schema.files import KINDS, Kind, shipped

BETWEEN = 40
PRE: dict[Kind, str] = {
    "directory": "ALTER TABLE serai_directory.organisation ADD COLUMN stars smallint DEFAULT 3;",
    # The tables that every write and every pull goes through.
    "shard": """
ALTER TABLE serai.org ADD COLUMN stars smallint NOT NULL DEFAULT 3;
ALTER TABLE serai.row ADD COLUMN stars smallint NOT NULL DEFAULT 3;
ALTER TABLE serai.log ADD COLUMN stars smallint NOT NULL DEFAULT 3;
""",
}
POST: dict[Kind, str] = {
    "directory": "ALTER TABLE serai_directory.organisation ALTER COLUMN stars SET NOT NULL;",
    "shard": "ALTER TABLE serai.org ALTER COLUMN stars DROP DEFAULT;",
}


@dataclass
class Release:
    """A release as its operator has it: its commands, and what its processes are started with."""

    shell: Shell

    async def typed(self, *words: str) -> Ended:
        """Type a command while everything else goes on."""
        return await asyncio.to_thread(self.shell.run, *words)

    async def migrated(self, phase: str) -> dict[str, str]:
        """Run the migrator; return database -> outcome."""
        done = await self.typed("migrate", "--phase", phase, "--json")
        assert done.status == 0, done
        return {each["name"]: each["outcome"] for each in done.json["databases"]}

    async def deployed(self, server: Server) -> None:
        """Restart a process as one of this release."""
        assert await server.stop() == 0
        server.more = {n: v for n, v in self.shell.variables.items() if n == "PYTHONPATH"}
        await server.start()


def releases(folder: Path, fleet: Fleet) -> tuple[Release, Release]:
    """Return this release, and the next one."""
    known = {"SERAI_DIRECTORY_URL": fleet.directory_url}
    code = folder / "next" / "serai"
    # With what was compiled: it is valid for the same text of the same time.
    shutil.copytree(Path(serai.__file__).parent, code)
    for kind in KINDS:
        number = shipped(kind).version + 1
        (code / "schema" / kind / f"{number:04}_stars.pre.sql").write_text(PRE[kind])
        (code / "schema" / kind / f"{number:04}_stars.post.sql").write_text(POST[kind])
    after = {**known, "PYTHONPATH": str(code.parent)}
    return Release(Shell(folder, known)), Release(Shell(folder, after))


async def test_old_and_new_code_serve_side_by_side_between_pre_and_post_and_old_code_never_after(
    tmp_path: Path,
):
    os.chmod(tmp_path, 0o755)  # noqa: PTH101, S103 - as in conftest
    async with a_fleet(tmp_path, replicas=False) as fleet:
        old, new = releases(tmp_path, fleet)
        refused = await new.typed("serve")
        assert refused.status == 1
        assert "Type `serai migrate --phase pre` of this release" in refused.err
        first, second = fleet.houses
        async with (
            # Two devices of one organisation: in the middle one is served by each release.
            phones(tmp_path, first, replace(first, server=fleet.servers[1])),
            under_load(first, desks=2, phones=1) as one,
            under_load(second, desks=2, phones=1) as other,
        ):
            await progress(one, other)
            assert {*(await new.migrated("pre")).values()} == {"migrated"}
            await progress(one, other)
            await new.deployed(fleet.servers[1])
            await progress(one, other)
            await old.deployed(fleet.servers[0])
            assert {*(await old.migrated("all")).values()} == {"newer"}
            await progress(one, other)
            await new.deployed(fleet.servers[0])
            assert {*(await new.migrated("post")).values()} == {"migrated"}
            await progress(one, other)
            await old_code_is_refused(old)
            await progress(one, other)
            for load in (one, other):
                assert (load.refused, load.replayed) == ({}, 0), "somebody noticed"
        for server in fleet.servers:
            assert not [line for line in server.words if "Traceback" in line]


async def progress(*loads: Load) -> None:
    """Wait until each has more writes acknowledged."""
    for load in loads:
        await load.reached(BETWEEN)


async def old_code_is_refused(old: Release) -> None:
    """Its processes do not start and its migrator does nothing; both say what to do."""
    floor = shipped("directory").version + 1
    serving, migrating = await old.typed("serve"), await old.typed("migrate")
    for refused in (serving, migrating):
        assert refused.status == 1
        assert f"needs code of version {floor} or newer" in refused.err
        assert "Deploy the release that migrated this database" in refused.err
