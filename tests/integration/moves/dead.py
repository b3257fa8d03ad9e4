"""Movers that die: a process of its own that gets SIGKILL before a step.

Owns how one is run. Promises that it is dead afterwards, and that its lease is as it left it. Never
ends what it left.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from integration.moves.street import Fleet, House

PROGRAM = Path(__file__).with_name("killed_mover.py")


def other(home: str) -> str:
    return "b" if home == "a" else "a"


async def kill_mover(fleet: Fleet, house: House, step: str, *fault: str) -> None:
    """Run a mover that dies before `step`."""
    home = house.home
    shard_ids = dict(fleet.sql("directory", "SELECT name, shard_id FROM serai_directory.shard"))
    given = (str(house.org_id), str(shard_ids[other(home)]), step, *fault)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(PROGRAM)),
        *(fleet.directory, fleet.url(home), fleet.url(other(home)), *given),
        stderr=subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == -9, said
