"""A migrator in a process of its own, to be killed: prints each step, then the report's outcome.

Usage: kill_me.py URL FOLDER
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from serai.schema.database import Options
from serai.schema.files import load
from serai.schema.migrate import Progress, migrate_database


def tell(progress: Progress) -> None:
    sys.stdout.write(f"{progress.state} {progress.detail}\n")
    sys.stdout.flush()


asyncio.run(
    migrate_database(
        sys.argv[1],
        load("shard", Path(sys.argv[2])),
        options=Options(lock_timeout_seconds=300.0),
        progress=tell,
    )
)
