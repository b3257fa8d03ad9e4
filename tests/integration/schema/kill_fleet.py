"""Migrate a fleet and die without a word when so many shards are done.

Usage: kill_fleet.py DIRECTORY_URL SHARDS.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from serai.schema.generated import GeneratedStatement
from serai.schema.migrate import Progress, migrate_fleet

directory, last = sys.argv[1], int(sys.argv[2])
STATEMENT = GeneratedStatement("rooms", "table", "CREATE TABLE public.rooms (id uuid)")
done: list[str] = []


def told(progress: Progress) -> None:
    if progress.state == "finished" and progress.database != "directory":
        done.append(progress.database)
        if len(done) == last:
            os.kill(os.getpid(), signal.SIGKILL)


asyncio.run(migrate_fleet(directory, statements=[STATEMENT], progress=told))
sys.exit("it lived")
