"""Replicas of shards, by an operator: listed, added, left out.

Owns the checks before a replica may answer reads. Promises that it is a streaming copy of that very
shard, by the heartbeat that both show. Never starts or stops a server.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
import psycopg

from serai.app.operator import operator
from serai.app.settings import Settings
from serai.app.shard_facts import OPTIONS, ShardError, fleet_directory
from serai.app.shards import check_url, shard_named
from serai.schema.database import Conn, connected, value
from serai.schema.database_url import address_of, failure_of
from serai.shard.enrol import add_replica, remove_replica
from serai.shard.placement import ReplicaRef, ShardRef
from serai.shard.queries import load_queries

_SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.app", "replicas.sql").items()
}


class ReplicaFacts(msgspec.Struct, frozen=True):
    """A replica as `serai shard replica list` shows it.

    Attributes:
        state: `follows`; `primary`: it was promoted; `away`: it does not answer; `alone`: its
            primary does not.
        behind_bytes: of its primary's log; None where it cannot be told.
    """

    shard: str
    name: str
    address: str
    state: str
    behind_bytes: int | None = None


async def list_replicas(settings: Settings) -> list[ReplicaFacts]:
    """Return every replica, by shard and name; all are asked at once."""
    async with fleet_directory(settings) as directory:
        shards = directory.shards
    return await asyncio.gather(*(_look(s, r) for s in shards for r in s.replicas))


async def add(settings: Settings, shard_name: str, name: str, url: str, *, reason: str) -> None:
    """Let a replica answer reads.

    Raises:
        ShardError: there is no such shard; the URL cannot be read; what answers there is no replica
            of the shard.
    """
    check_url(url)
    async with fleet_directory(settings) as directory:
        shard = await shard_named(directory, shard_name)
        try:
            async with connected(shard.url, OPTIONS) as primary, connected(url, OPTIONS) as copy:
                same = await value(primary, _SQL["system"]) == await value(copy, _SQL["system"])
                follows = await value(copy, _SQL["follows"])
        except psycopg.Error as error:
            raise ShardError(f"It cannot be compared: {failure_of(error)}.") from error
        if not (same and follows):
            raise ShardError(f"What answers there is no streaming replica of {shard_name}.")
        await add_replica(directory, shard.id, name, url, actor=operator(), reason=reason)


async def remove(settings: Settings, shard_name: str, name: str, *, reason: str) -> None:
    """Send no more reads to a replica.

    Raises:
        ShardError: there is no such shard or replica.
    """
    async with fleet_directory(settings) as directory:
        shard = await shard_named(directory, shard_name)
        if name not in {each.name for each in shard.replicas}:
            known = ", ".join(each.name for each in shard.replicas) or "none"
            raise ShardError(f"{shard_name} has no replica {name!r}. Replicas: {known}.")
        await remove_replica(directory, shard.id, name, actor=operator(), reason=reason)


async def _look(shard: ShardRef, replica: ReplicaRef) -> ReplicaFacts:
    state, behind = "away", None
    try:
        async with connected(replica.url, OPTIONS) as copy:
            state, behind = await _follows(shard, copy)
    except psycopg.OperationalError:
        # Told as such.
        state = "away"
    return ReplicaFacts(shard.name, replica.name, address_of(replica.url), state, behind)


async def _follows(shard: ShardRef, copy: Conn) -> tuple[str, int | None]:
    if not await value(copy, _SQL["follows"]):
        return "primary", None
    try:
        async with connected(shard.url, OPTIONS) as primary:
            reached = await value(primary, _SQL["flushed"])
    except psycopg.OperationalError:
        return "alone", None
    return "follows", max(int(reached) - int(await value(copy, _SQL["replayed"])), 0)
