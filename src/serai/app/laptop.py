"""The PostgreSQL servers of `serai dev`: one for each shard, the directory in the first.

Owns where their data lies and the order in which they start and stop. Promises that they start side
by side, that all have stopped when the context ends however it ends, and that a data directory is
given all the servers that it ever had, for the organisations of each are nowhere else. Never
migrates or asks a database.

    <data directory>           the home of the first server
    <data directory>/shard-2   that of the second, and so on
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serai.core.limits import LAPTOP_SHARDS_MAX
from serai.embedded.postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresSettings,
)

DIRECTORY_DATABASE: Final = "serai_directory"


@dataclass(frozen=True, slots=True)
class Primary:
    """The primary of one shard, on a server of its own. `number` counts from 1."""

    number: int
    server: EmbeddedPostgres

    @property
    def name(self) -> str:
        """The shard's name in the directory."""
        return f"shard-{self.number}"

    @property
    def database(self) -> str:
        """The database of the shard."""
        return f"serai_shard_{self.number}"

    @property
    def url(self) -> str:
        """Where the shard's database is, password included. Another one after each start."""
        return self.server.url(self.database)


@dataclass(frozen=True, slots=True)
class Laptop:
    """Servers that run."""

    primaries: list[Primary]

    @property
    def directory_url(self) -> str:
        """Where the directory's database is, password included."""
        return self.primaries[0].server.url(DIRECTORY_DATABASE)

    async def until_the_directory_ends(self, say: Callable[[str], None]) -> Path:
        """Wait until the first server has ended by itself; return the path of its log. Another
        server that ends is told, and the others go on.
        """
        left = {
            asyncio.create_task(primary.server.wait()): (primary, primary.server.log_path)
            for primary in self.primaries
        }
        try:
            while True:
                await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in left if task.done()]:
                    primary, log = left.pop(task)
                    if primary is self.primaries[0]:
                        return log
                    say(
                        f"PostgreSQL of {primary.name} has ended by itself; its log: {log}. Its "
                        "organisations wait until this is started again, the others do not."
                    )
        finally:
            for task in left:
                task.cancel()


@contextlib.asynccontextmanager
async def running(data_dir: Path | None, shards: int) -> AsyncGenerator[Laptop]:
    """Start the servers, yield, stop them.

    Args:
        data_dir: None for one that is removed at the end.
        shards: how many at least; those that the data directory has start in any case.

    Raises:
        EmbeddedPostgresError: one did not start; none runs any more.
    """
    count = max(shards, 1 if data_dir is None else _held(data_dir))
    locked = asyncio.Event()

    def on_stage(stage: str) -> None:
        if stage == "locked":
            locked.set()

    primaries = [
        Primary(
            number,
            EmbeddedPostgres(
                EmbeddedPostgresSettings(data_dir=_home(data_dir, number)),
                on_stage=on_stage if number == 1 else None,
            ),
        )
        for number in range(1, count + 1)
    ]
    try:
        await _start(primaries, locked)
        yield Laptop(primaries)
    finally:
        # Each stops what it started, also where only some did.
        await _all([primary.server.stop() for primary in primaries])


async def make_databases(laptop: Laptop) -> None:
    """Create the directory's database and that of each shard, unless they are there."""
    await _all(
        [
            laptop.primaries[0].server.create_database(DIRECTORY_DATABASE),
            *(primary.server.create_database(primary.database) for primary in laptop.primaries),
        ]
    )


async def _start(primaries: list[Primary], locked: asyncio.Event) -> None:
    """Start the first; as soon as it has the data directory, the others, whose homes are in it."""
    first = asyncio.create_task(primaries[0].server.start())
    held = asyncio.create_task(locked.wait())
    try:
        await asyncio.wait((first, held), return_when=asyncio.FIRST_COMPLETED)
        others = primaries[1:] if locked.is_set() else []
        await _all([first, *(primary.server.start() for primary in others)])
    finally:
        for task in (first, held):
            task.cancel()
        await asyncio.gather(first, held, return_exceptions=True)


async def _all(work: list[asyncio.Task[None] | Coroutine[object, object, None]]) -> None:
    """Do everything to its end, side by side, then raise the first failure."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _home(data_dir: Path | None, number: int) -> Path | None:
    if data_dir is None or number == 1:
        return data_dir
    return data_dir / f"shard-{number}"


def _held(data_dir: Path) -> int:
    """Return how many servers the data directory has had."""
    numbers = range(2, LAPTOP_SHARDS_MAX + 1)
    home = data_dir.expanduser()
    return max((n for n in numbers if (home / f"shard-{n}").is_dir()), default=1)
