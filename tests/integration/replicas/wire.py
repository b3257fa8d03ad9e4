"""A TCP line that can be cut and mended.

Owns the line and what is on it. Promises that a cut ends what is connected and refuses what comes,
until it is mended. Never looks at a byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Wire:
    """A line to a port of this machine."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._open = True
        self._carrying: set[asyncio.Task[None]] = set()
        self.port = 0

    def url(self, url: str) -> str:
        """Return the URL of the same server through this line."""
        parts = urlsplit(url)
        login, _, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{login}@127.0.0.1:{self.port}").geturl()

    def cut(self) -> None:
        """Break every connection, and let no new one through."""
        self._open = False
        for each in self._carrying:
            each.cancel()

    def mend(self) -> None:
        """Let new connections through again."""
        self._open = True

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        task = asyncio.create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._open:
                to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to)
                try:
                    ways = (_copy(reader, to_writer), _copy(to_reader, writer))
                    await asyncio.wait(
                        [asyncio.create_task(way) for way in ways],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                finally:
                    to_writer.transport.abort()
        except ConnectionError:
            # Nobody is there: so is this line.
            return
        finally:
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        # The other way was cut, and this one with it.
        return


@asynccontextmanager
async def wire(to: int) -> AsyncGenerator[Wire]:
    """Yield a line to the port."""
    line = Wire(to)
    server = await asyncio.start_server(line.accept, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        line.cut()
        server.close()
