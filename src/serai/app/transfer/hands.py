"""The threads of transfers, and their connections.

Owns both. Promises that a connection that was lost is opened again on its next use. Never knows
what a thread does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator
from typing import TypeVar

from serai.app.transfer.records import Claim, Records
from serai.app.transfer.shard import SqlShard
from serai.readers.move.link import Conn, connect
from serai.shard.directory import Directory

T = TypeVar("T")
_NAME = "serai transfer"


class Connections:
    """See `serai.app.transfer.ports.TransferReach`.

    Args:
        schema: of the vertical's tables.
        directory, giver, taker: URLs, as their owners. It may be one shard.
    """

    def __init__(self, schema: str, directory: str, giver: str, taker: str) -> None:
        """Keep the addresses; connections are opened on first use."""
        self._schema = schema
        self._urls = {"directory": directory, "giver": giver, "taker": taker}
        self._conns: dict[str, Conn] = {}

    @property
    def records(self) -> Records:
        """The record of transfers."""
        return Records(self._conn("directory"))

    @property
    def giver(self) -> SqlShard:
        """The shard of the organisation that the property leaves."""
        return SqlShard(self._conn("giver"), self._schema)

    @property
    def taker(self) -> SqlShard:
        """The shard of the organisation that gets it."""
        return SqlShard(self._conn("taker"), self._schema)

    def close(self) -> None:
        """Close what is open."""
        for conn in self._conns.values():
            conn.close()
        self._conns.clear()

    def _conn(self, end: str) -> Conn:
        """Return the connection to one of the three, opened again if it was lost."""
        conn = self._conns.get(end)
        if conn is None or conn.closed:
            conn = self._conns[end] = connect(self._urls[end], name=_NAME)
        return conn


class ThreadHands:
    """See `serai.app.transfer.ports.Hands`."""

    def __init__(self, schema: str, directory_url: str, directory: Directory) -> None:
        """Keep the parts."""
        self._schema, self._url, self._directory = schema, directory_url, directory

    async def refresh(self) -> None:
        """Learn anew where organisations live."""
        await self._directory.refresh()

    async def call(self, work: Callable[..., T], *args: object) -> T:
        """Run `work` in a thread."""
        return await asyncio.to_thread(work, *args)

    @contextlib.contextmanager
    def records(self) -> Generator[Records]:
        """Yield the record of transfers, over a connection of its own."""
        with connect(self._url, name=_NAME) as conn:
            yield Records(conn)

    def reach(self, claim: Claim) -> Connections:
        """Return the way to the two organisations."""
        giver, taker = (self._directory.resolve(o).url for o in (claim.from_org, claim.to_org))
        return Connections(self._schema, self._url, giver, taker)
