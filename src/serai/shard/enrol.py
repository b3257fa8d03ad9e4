"""Replicas in the directory: added, left out.

Owns these two changes of placement; the directory's triggers raise its version and write the audit.
Promises that doing one again changes nothing. Never connects to a replica.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from serai.core.errors import Code, SeraiError
from serai.shard.connection import PostgresError, sqlstate
from serai.shard.directory import Directory
from serai.shard.queries import load_queries

_SQL: Final = load_queries("serai.shard", "enrol.sql")
_FOREIGN_KEY_VIOLATION: Final = "23503"


async def add_replica(
    directory: Directory, shard_id: int, name: str, url: str, *, actor: str, reason: str
) -> None:
    """Let reads go to a replica of the shard, or change the URL of the one with this name.

    Raises:
        SeraiError: `not_found` if there is no such shard.
    """
    try:
        async with directory.change(actor, reason) as c:
            await c.execute(_SQL["add_replica"], shard_id, name, url)
    except PostgresError as error:
        if sqlstate(error) != _FOREIGN_KEY_VIOLATION:
            raise
        raise SeraiError(Code.NOT_FOUND, "There is no such shard.") from error
    await directory.refresh()


async def remove_replica(
    directory: Directory, shard_id: int, name: str, *, actor: str, reason: str
) -> None:
    """Send no more reads to a replica. Does nothing if it is not known."""
    async with directory.change(actor, reason) as c:
        await c.execute(_SQL["remove_replica"], shard_id, name)
    await directory.refresh()


async def take_over(
    directory: Directory, shard_id: int, url: str, lost: Sequence[int], *, actor: str, reason: str
) -> None:
    """Let the shard be at `url`, where a replica was promoted, with no replicas: the others
    followed the old primary. Organisations that it has `lost` are placed where a copy was kept.
    """
    async with directory.change(actor, reason) as c:
        if lost:
            await c.execute(_SQL["give_back"], list(lost), shard_id, actor, reason)
        await c.execute(_SQL["new_primary"], shard_id, url)
        await c.execute(_SQL["forget_replicas"], shard_id)
    await directory.refresh()
