"""The directory's database as a process sees it: its named statements, answered from memory.

Owns what stands for PostgreSQL behind `serai.shard.follow`, whose code runs as it is. Promises that
a transaction sees one moment, that each statement asks whether the directory can be reached, and
that a statement nobody has an answer for is an error. Never changes placement.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from serai.adapters.memory.directory import MemoryDirectory
from serai.shard.placement import ShardRef
from serai.shard.queries import load_queries

_NAMES: Final = {text: name for name, text in load_queries("serai.shard", "directory.sql").items()}
Reach = Callable[[], Awaitable[None]]
"""Lets time pass, and raises `unavailable` if there is no way to the directory."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """The placement at one moment."""

    version: int
    shards: tuple[ShardRef, ...]
    ranges: tuple[tuple[int, int, int], ...]
    overrides: dict[int, int]

    @classmethod
    def of(cls, directory: MemoryDirectory) -> _Moment:
        shards, ranges = tuple(directory.shards.values()), tuple(directory.ranges)
        return cls(directory.version, shards, ranges, dict(directory.overrides))


class DirectoryConnection:
    """What `Follower` uses of a connection."""

    def __init__(self, directory: MemoryDirectory, reach: Reach) -> None:
        """Connect."""
        self._directory, self._reach = directory, reach
        self._seen: _Moment | None = None

    @asynccontextmanager
    async def transaction(self, **_: object) -> AsyncGenerator[None]:
        """See one moment."""
        await self._reach()
        self._seen = _Moment.of(self._directory)
        try:
            yield
        finally:
            self._seen = None

    async def fetchval(self, query: str, *_: object) -> int:
        """Answer a statement that gives one number."""
        await self._reach()
        assert _NAMES[query] == "version", f"nobody answers {_NAMES[query]} here"
        return self._moment().version

    async def fetch(self, query: str, *given: Any) -> list[dict[str, Any]]:
        """Answer a statement that gives rows."""
        await self._reach()
        moment = self._moment()
        match _NAMES[query]:
            case "changes":
                after, limit = given
                names = ("version", "subject", "org_id", "shard_id")
                rows = [each for each in self._directory.changes if each[0] > after]
                return [dict(zip(names, each, strict=True)) for each in rows[:limit]]
            case "shards":
                return [
                    {"shard_id": each.id, "name": each.name, "url": each.url}
                    for each in moment.shards
                ]
            case "replicas":
                return [
                    {"shard_id": each.id, "name": replica.name, "url": replica.url}
                    for each in moment.shards
                    for replica in each.replicas
                ]
            case "ranges":
                names = ("first", "stop", "shard_id")
                return [dict(zip(names, each, strict=True)) for each in moment.ranges]
            case "overrides":
                return [
                    {"org_id": org_id, "shard_id": shard}
                    for org_id, shard in moment.overrides.items()
                ]
            case other:
                raise AssertionError(f"nobody answers {other} here")

    def _moment(self) -> _Moment:
        return self._seen or _Moment.of(self._directory)


class DirectoryPool:
    """What `Follower` uses of a pool."""

    def __init__(self, directory: MemoryDirectory, reach: Reach) -> None:
        """Keep the parts."""
        self._directory, self._reach = directory, reach

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[DirectoryConnection]:
        """Yield a connection."""
        await self._reach()
        yield DirectoryConnection(self._directory, self._reach)

    def suspend(self) -> None:
        """There is no connection to be ended: a statement here is answered or fails."""

    def resume(self) -> None:
        """See `suspend`."""

    async def close(self) -> None:
        """There is nothing to close."""
