"""Retention of the audit record: which months there are, and dropping them.

Owns what an operator does about it, on every shard. Promises that a month goes as a whole, oldest
first, and that of each organisation the last entry which went stays as an anchor, so that what is
left of its record can still be verified. Never drops the present month, the one before, or
anything that nobody asked to be dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from serai.app.runtime import Runtime, Shard
from serai.core.errors import Code, SeraiError
from serai.shard.connection import PostgresError, sqlstate
from serai.shard.queries import load_queries

_SQL: Final = load_queries("serai.app", "retention.sql")
_LOCK_TIMEOUT: Final = "55P03"


@dataclass(frozen=True, slots=True)
class AuditMonth:
    """A month of the audit record on one shard.

    Attributes:
        entries: about so many, as PostgreSQL last counted them.
        bytes: on disk, indexes included.
    """

    shard: str
    month: date
    entries: int
    bytes: int


async def audit_months(runtime: Runtime, before: date) -> list[AuditMonth]:
    """Return the months of every shard that lie wholly before a day and may go, oldest first."""
    found: list[AuditMonth] = []
    for ref in runtime.directory.shards:
        shard = await runtime.shard(ref)
        async with shard.pool.connection() as connection:
            records = await connection.fetch(_SQL["audit_months"], before)
        found += [AuditMonth(ref.name, r["month"], r["entries"], r["bytes"]) for r in records]
    return sorted(found, key=lambda each: (each.month, each.shard))


async def drop_audit_month(runtime: Runtime, month: AuditMonth) -> int:
    """Drop a month; return how many organisations had entries in it.

    Raises:
        SeraiError: `unavailable` if something holds the table for longer than two seconds: nothing
        was dropped, and it may be tried again.
    """
    shard = await _shard_named(runtime, month.shard)
    try:
        async with shard.pool.connection() as connection:
            return int(await connection.fetchval(_SQL["drop_audit_month"], month.month))
    except PostgresError as error:
        if sqlstate(error) != _LOCK_TIMEOUT:
            raise
        raise SeraiError(
            Code.UNAVAILABLE,
            f"The audit record of {month.shard} is in use: run it again in a while.",
            retry_after_seconds=5,
        ) from None


async def keep_audit(runtime: Runtime, months: int | None) -> None:
    """Keep so many whole months beside the present one on every shard; None: all, for ever."""
    for ref in runtime.directory.shards:
        shard = await runtime.shard(ref)
        async with shard.pool.connection() as connection:
            await connection.execute(_SQL["keep_audit_months"], months)


async def kept_audit(runtime: Runtime) -> dict[str, int | None]:
    """Return how many months each shard keeps; None: all, for ever."""
    kept: dict[str, int | None] = {}
    for ref in runtime.directory.shards:
        shard = await runtime.shard(ref)
        async with shard.pool.connection() as connection:
            kept[ref.name] = await connection.fetchval(_SQL["kept_audit_months"])
    return kept


async def _shard_named(runtime: Runtime, name: str) -> Shard:
    (ref,) = (ref for ref in runtime.directory.shards if ref.name == name)
    return await runtime.shard(ref)
