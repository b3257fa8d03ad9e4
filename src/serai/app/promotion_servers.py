"""What a promotion does to the two servers: the old primary, and the replica.

Owns these statements. Promises that an old primary which was fenced commits nothing more, and that
one which does not answer is taken for down only on the operator's word. Never knows of moves, and
never changes the directory.
"""

from __future__ import annotations

import asyncio
from typing import Final

import psycopg
from psycopg import sql

from serai.app.shard_facts import OPTIONS, ShardError
from serai.schema.database import Conn, connected, value
from serai.schema.database_url import failure_of
from serai.shard.placement import ShardRef
from serai.shard.queries import load_queries

_SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.app", "promotion.sql").items()
}
_POLL_SECONDS: Final = 0.05
_PROMOTE_SECONDS: Final = 60
CATCH_UP_SECONDS_MAX: Final = 30.0


async def fenced(shard: ShardRef, *, primary_is_down: bool) -> str | None:
    """Let the old primary take no more writes; return how far its log goes, None if it is down."""
    try:
        async with connected(shard.url, OPTIONS) as conn:
            await conn.execute(_SQL["fence"])
            await conn.execute(_SQL["reload"])
            # Until nobody is left who may be committing: then the end of the log stands.
            while True:
                if await value(conn, _SQL["end_sessions"]) == 0:
                    break
                await asyncio.sleep(_POLL_SECONDS)
            return str(await value(conn, _SQL["flushed"]))
    except psycopg.OperationalError as error:
        if primary_is_down:
            return None
        raise ShardError(
            f"The primary of {shard.name} does not answer: {failure_of(error)}. If it writes on "
            "unseen, what it acknowledges is lost. Make sure that it does not run and will not by "
            "itself, then say so: --primary-is-down."
        ) from error


async def caught_up(conn: Conn, name: str, reached: str) -> None:
    """Wait until the replica has replayed all that the old primary has."""
    try:
        async with asyncio.timeout(CATCH_UP_SECONDS_MAX):
            while True:
                if await value(conn, _SQL["has_replayed"], {"position": reached}):
                    return
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        raise ShardError(
            f"{name} has not caught up in {CATCH_UP_SECONDS_MAX:g} s. The old primary takes no "
            "writes now. Mend the replica and run this again, or let the old one write again: "
            "ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf();"
        ) from error


async def promoted(conn: Conn) -> None:
    """Promote it unless it is, and let its commits wait for nobody: its copies do not follow it
    yet.
    """
    await conn.execute(_SQL["promote"], {"seconds": _PROMOTE_SECONDS})
    for name in ("default_transaction_read_only", "synchronous_standby_names"):
        # It may have been copied with the settings of its primary.
        await conn.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
    await conn.execute(_SQL["reload"])
