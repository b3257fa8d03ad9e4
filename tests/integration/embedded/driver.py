"""A program that uses the embedded PostgreSQL, in a process of its own that can be killed.

Usage: driver.py UID GID PYTHON, the user to become first; then one order a line on its input, as
JSON, and one answer a line on its output. Ends with its input, without stopping anything: what a
stop or a death must clean up is for the server's supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib

# All that a start imports late: the user to become may not reach this Python's library.
import encodings.ascii
import encodings.idna
import encodings.latin_1
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import psycopg.pq

from serai.embedded.postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    EmbeddedPostgresSettings,
)

LATE = (encodings.ascii, encodings.idna, encodings.latin_1, psycopg.pq)


class Driver:
    """One server, and what is ordered about it."""

    def __init__(self):
        self._postgres: EmbeddedPostgres | None = None

    @property
    def postgres(self) -> EmbeddedPostgres:
        assert self._postgres is not None, "the first order is to start"
        return self._postgres

    async def start(self, **settings: Any):
        places: dict[str, Any] = {
            name: Path(value) if name in {"data_dir", "cache_dir"} else value
            for name, value in settings.items()
        }
        self._postgres = EmbeddedPostgres(
            EmbeddedPostgresSettings(**places), on_stage=lambda stage: tell(stage=stage)
        )
        return await self.again()

    async def again(self):
        """Start what was started before."""
        await self.postgres.start()
        return self.where()

    def where(self):
        return {
            "pid": self.postgres.pid,
            "url": self.postgres.url(),
            "socket_url": self.postgres.socket_url(),
        }

    async def stop(self):
        await self.postgres.stop()

    async def stop_and_leave(self):
        """What a second Ctrl-C does: the stop is cancelled, and this process ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await self.postgres.stop()

    async def wait(self):
        await self.postgres.wait()

    async def fork(self):
        """A child that knows nothing of the server and lives on; it holds a copy of every
        descriptor.
        """
        child = os.fork()
        if child == 0:
            signal.pause()
        return child

    async def descriptors(self):
        return numbers_of_open_files()


def numbers_of_open_files():
    return sorted(link.name for link in Path("/proc/self/fd").iterdir())


def tell(**answer):
    os.write(1, json.dumps(answer).encode() + b"\n")


async def answered(driver, order):
    """Carry out one order. Returns whether it was the last one."""
    name = order.pop("do")
    try:
        tell(ok=await getattr(driver, name)(**order))
    except (EmbeddedPostgresError, RuntimeError, psycopg.Error) as error:
        tell(error=type(error).__name__, text=str(error), pid=getattr(error, "pid", None))
    return name == "stop_and_leave"


async def main():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    driver = Driver()
    tell(ok="began")
    while line := await reader.readline():
        if await answered(driver, json.loads(line)):
            return


def become(uid, gid, python):
    if uid != os.geteuid():
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        sys.executable = python
    os.chdir("/")


if __name__ == "__main__":
    become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    if "blocked" in sys.argv[4:]:
        # As a library does in its threads: what is started there inherits the mask.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
        assert threading.current_thread() is threading.main_thread()
    asyncio.run(main())
