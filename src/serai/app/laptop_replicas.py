"""The replicas of `serai dev`: copies of each shard's server, which answer reads.

Owns where their data lies, and that the directory knows those that run and no others. Promises that
a copy which cannot catch up any more is made anew, that a data directory goes on with as many as it
had, and that all have stopped when the context ends. Never touches the data of one that somebody
promoted: it is newer than the primary's.

    <data directory>/replica-1-2   the second replica of the first shard, and so on
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from serai.app.laptop import Laptop, Primary
from serai.app.settings import Settings, SettingsError
from serai.core.limits import LAPTOP_REPLICAS_MAX
from serai.embedded.postgres import (
    EmbeddedPostgresSettings,
    EmbeddedReplica,
    Follows,
    StartFailed,
)
from serai.shard.directory import Directory
from serai.shard.enrol import add_replica, remove_replica

_WHO: Final = {"actor": "serai dev", "reason": "start"}


@contextlib.asynccontextmanager
async def replicated(
    settings: Settings, laptop: Laptop, data_dir: Path | None, count: int
) -> AsyncGenerator[int]:
    """Start the replicas of each shard, enter them in the directory, yield how many a shard has.

    Args:
        settings: name the directory.
        data_dir: None for one that is removed at the end.
        count: for each shard at least; those that the data directory has start in any case.

    Raises:
        EmbeddedPostgresError: one did not start.
        SettingsError: one was promoted: its shard lives there now.
    """
    count = max(count, 0 if data_dir is None else _held(data_dir))
    running: dict[str, dict[str, str]] = {}
    async with AsyncExitStack() as stack:
        for primary in laptop.primaries:
            known = running[primary.name] = {}
            for number in range(1, count + 1):
                home = None if data_dir is None else _home(data_dir, primary, number)
                replica = await _started(primary, number, home)
                stack.push_async_callback(replica.stop)
                known[f"copy-{number}"] = replica.url(primary.database)
        await _enter(settings, running)
        yield count


async def _started(primary: Primary, number: int, home: Path | None) -> EmbeddedReplica:
    follows = Follows(primary.server.url(), f"copy_{number}")
    replica = EmbeddedReplica(follows, EmbeddedPostgresSettings(data_dir=home))
    try:
        await replica.start()
    except StartFailed:
        if home is None or not (home / "data" / "standby.signal").exists():
            raise
        # Away for longer than the primary keeps its log, or a copy of data that is gone.
        shutil.rmtree(home)
        await replica.start()
    if not await replica.is_replica():
        await replica.stop()
        raise SettingsError(
            f"Replica {number} of {primary.name} was promoted, so {home} is newer than the "
            "primary's data. Put it in the place of the primary's, or remove it to go on with that."
        )
    return replica


async def _enter(settings: Settings, running: dict[str, dict[str, str]]) -> None:
    """Let the directory know these replicas, by shard, and no others."""
    async with await Directory.open(settings.directory_url) as directory:
        for shard in directory.shards:
            known = running.get(shard.name, {})
            for each in shard.replicas:
                if each.name not in known:
                    await remove_replica(directory, shard.id, each.name, **_WHO)
            for name, url in known.items():
                await add_replica(directory, shard.id, name, url, **_WHO)


def _home(data_dir: Path, primary: Primary, number: int) -> Path:
    return data_dir / f"replica-{primary.number}-{number}"


def _held(data_dir: Path) -> int:
    """Return how many replicas a shard of the data directory has had."""
    home = data_dir.expanduser()
    numbers = range(1, LAPTOP_REPLICAS_MAX + 1)
    return max((n for n in numbers if any(home.glob(f"replica-*-{n}"))), default=0)
