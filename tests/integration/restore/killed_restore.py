"""A restore or an export in a process of its own that dies without a word before a step.

Usage: killed_restore.py DIRECTORY_URL ORG AT STEP [KEY SHARD], or killed_restore.py DIRECTORY_URL
ORG FOLDER export, which dies in the middle of its lines.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from serai.app.exporting import export_organisation
from serai.app.restoring import RestoreOrder, restore_organisation
from serai.app.settings import Settings

directory, org, what, last, *new = sys.argv[1:]
settings = Settings(directory_url=directory)


def step(name: str, _done: int, _total: int) -> None:
    if name == last:
        os.kill(os.getpid(), signal.SIGKILL)


def progress(done: int, total: int) -> None:
    # All rows are written by then; the manifest is not.
    if done == total:
        os.kill(os.getpid(), signal.SIGKILL)


if last == "export":
    asyncio.run(export_organisation(settings, org, Path(what), progress=progress))
else:
    into, to = new or (None, None)
    order = RestoreOrder(org, int(what), "to die", into=into, to=to, step=step)
    asyncio.run(restore_organisation(settings, order))
sys.exit("it lived")
