"""A NATS server of the tests' own: started, killed with signal 9, started again, its tail cut off.

Owns one process and its folder. Promises that "up" means that it answers. Reads streams with the
library itself, not with the adapter. Never kills a process that it did not start.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import NotFoundError

from serai.embedded.ports import free_port

SERVER = Path(sys.executable).parent / "nats-server"
SECONDS = 60.0


class NatsServer:
    """One server on one port; its folder outlives it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(SERVER, "-js", "-a", "127.0.0.1", "-p", str(self.port), "-sd", self.folder / "js"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(SECONDS):
            while True:
                assert self._process.returncode is None, "the server ended"
                with contextlib.suppress(OSError, NatsError):
                    await (await self._connect()).close()
                    return

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        self._process = None

    async def stop(self) -> None:
        if self._process is not None:
            await self.kill()

    def save(self) -> None:
        """Keep a copy of what a killed server has on disk."""
        shutil.copytree(self.folder / "js", self.folder / "saved")

    def restore(self) -> None:
        """Put that copy back: what was stored since is lost."""
        shutil.rmtree(self.folder / "js")
        shutil.move(self.folder / "saved", self.folder / "js")

    async def read(self, stream: str, subject: str) -> list[tuple[str, bytes]]:
        """Return (id, body) of every message of a subject, in order."""
        client = await self._connect()
        try:
            js = client.jetstream()
            where = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
            reader = await js.pull_subscribe(subject, stream=stream, config=where)
            waiting = (await reader.consumer_info()).num_pending or 0
            found: list[tuple[str, bytes]] = []
            while len(found) < waiting:
                for message in await reader.fetch(min(waiting - len(found), 200), timeout=SECONDS):
                    assert message.headers is not None
                    found.append((message.headers["Nats-Msg-Id"], message.data))
                    await message.ack()
            return found
        except NotFoundError:
            return []
        finally:
            await client.close()

    async def make(self, stream: str, subject: str, *, forgets: bool) -> None:
        """Make a stream; one that `forgets` remembers ids for a tenth of a second."""
        client = await self._connect()
        try:
            config = StreamConfig(stream, subjects=[subject])
            if forgets:
                vars(config)["duplicate_window"] = 0.1
            await client.jetstream().add_stream(config)
        finally:
            await client.close()

    async def count(self, stream: str) -> int:
        """Return how many messages a stream has; 0 if there is none."""
        client = await self._connect()
        try:
            return (await client.jetstream().stream_info(stream)).state.messages
        except NotFoundError:
            return 0
        finally:
            await client.close()

    async def _connect(self) -> Client:
        async def quiet(_: Exception) -> None:
            pass

        again = {"max_reconnect_attempts": 1, "reconnect_time_wait": 0}
        return await nats.connect(self.url, allow_reconnect=False, error_cb=quiet, **again)


@asynccontextmanager
async def nats_server(folder: Path) -> AsyncGenerator[NatsServer]:
    server = NatsServer(folder, free_port())
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
