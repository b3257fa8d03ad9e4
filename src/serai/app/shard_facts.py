"""What is known of shards: by the directory, and by the shards themselves.

Owns the questions that operators' commands ask. Promises that a shard which does not answer is told
as such, in time, and hides no other; and that no URL is in an answer. Never changes anything.

The directory's answers come from its database, not from a process's copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg

from serai.app.settings import Settings, SettingsError
from serai.schema.compat import check_database
from serai.schema.database import Conn, Options, connected, read_state, value
from serai.schema.database_url import address_of, failure_of, fault_of
from serai.shard.directory import Directory
from serai.shard.queries import load_queries

SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.app", "shard_facts.sql").items()
}
OPTIONS: Final = Options(connect_seconds=5)
_LOOK_SECONDS_MAX: Final = 10.0
"""For all that is asked of one shard: a stopped one must not hold up the list."""
PAGE_ORGS: Final = 10_000


class ShardError(Exception):
    """A change of the fleet that is refused. The message says why and what to do."""


class RangeFacts(msgspec.Struct, frozen=True):
    """Numbers of organisations from `first` up to, not with, `stop`; `given` are in use."""

    first: int
    stop: int
    given: int


class ShardFacts(msgspec.Struct, frozen=True):
    """A shard as `serai shard list` shows it.

    Attributes:
        address: host and port, without user and password.
        state: `open` takes new organisations; `closed` keeps those it has; `draining`: they are
            being moved away.
        organisations: that live there by the directory: numbers given in its ranges, those moved
            away not counted, those moved to it counted.
        free: numbers that it can still give.
        bytes: of its database on disk; None if it does not answer, like what follows.
        schema: version of its schema. compat: the oldest code that may run on it.
        problem: why it does not answer.
    """

    name: str
    address: str
    state: str
    organisations: int
    free: int
    ranges: list[RangeFacts]
    bytes: int | None = None
    schema: int | None = None
    compat: int | None = None
    problem: str | None = None


class Change(msgspec.Struct, frozen=True):
    """One change of placement, from the audit table. `what`: the row after it, before it if it is
    gone.
    """

    version: int
    at: datetime
    actor: str
    reason: str
    action: str
    subject: str
    what: dict[str, Any]


@asynccontextmanager
async def fleet_directory(settings: Settings) -> AsyncGenerator[Directory]:
    """Open the directory as its owner, whatever becomes of the shards.

    Raises:
        SettingsError: no directory is set.
        SchemaError: its schema and this code do not fit together.
    """
    if not settings.directory_url:
        raise SettingsError(
            "SERAI_DIRECTORY_URL is not set. Set it to the directory's PostgreSQL URL; "
            "`serai dev` prints its own."
        )
    await check_database(settings.directory_url, "directory")
    async with await Directory.open(settings.directory_url) as directory:
        yield directory


async def list_shards(settings: Settings) -> list[ShardFacts]:
    """Return every shard, by its number; all are asked at once."""
    async with (
        fleet_directory(settings),
        connected(settings.directory_url, OPTIONS) as conn,
    ):
        shards = await (await conn.execute(SQL["shards"])).fetchall()
        ranges = await (await conn.execute(SQL["ranges"])).fetchall()
    found: dict[int, list[RangeFacts]] = {shard_id: [] for shard_id, *_ in shards}
    for shard_id, first, stop, given in ranges:
        found[shard_id].append(RangeFacts(first, stop, given))
    facts = [
        ShardFacts(
            name=name,
            address="?" if fault_of(url) else address_of(url),
            state=state,
            organisations=orgs,
            free=sum(r.stop - r.first - r.given for r in found[shard_id]),
            ranges=found[shard_id],
        )
        for shard_id, name, state, orgs, url in shards
    ]
    looked = await asyncio.gather(*(_look(url) for *_, url in shards))
    return [msgspec.structs.replace(each, **seen) for each, seen in zip(facts, looked, strict=True)]


async def _look(url: str) -> dict[str, Any]:
    async def ask(conn: Conn) -> dict[str, Any]:
        state = await read_state(conn, "shard")
        size = await value(conn, SQL["size"])
        return {"bytes": size, "schema": state.version, "compat": state.compat}

    try:
        async with asked(url) as conn:
            return await ask(conn)
    except ShardError as error:
        return {"problem": str(error)}


@asynccontextmanager
async def asked(url: str) -> AsyncGenerator[Conn]:
    """Connect to a shard to ask it something short.

    Raises:
        ShardError: it does not answer in time; the message says how, without the URL.
    """
    fault = fault_of(url)
    if fault is not None:
        raise ShardError(f"its URL is {fault}")
    try:
        async with asyncio.timeout(_LOOK_SECONDS_MAX), connected(url, OPTIONS) as conn:
            yield conn
    except TimeoutError as error:
        raise ShardError("no answer in time") from error
    except psycopg.Error as error:
        raise ShardError(failure_of(error)) from error


async def history(settings: Settings, limit: int) -> list[Change]:
    """Return the last changes of placement, newest first."""
    async with fleet_directory(settings), connected(settings.directory_url, OPTIONS) as conn:
        rows = await (await conn.execute(SQL["history"], {"limit": limit})).fetchall()
    return [Change(*row) for row in rows]


async def list_states(settings: Settings) -> dict[str, str]:
    """Return name -> state of every shard."""
    async with connected(settings.directory_url, OPTIONS) as conn:
        rows = await (await conn.execute(SQL["shards"])).fetchall()
    return {name: state for _, name, state, *_ in rows}


async def page_here(conn: Conn, after: int) -> list[tuple[int, str]]:
    """Return (organisation, state) of those that have their home on this shard by its own word."""
    cursor = await conn.execute(SQL["here"], {"after": after, "limit": PAGE_ORGS})
    return [(org_id, state) for org_id, state in await cursor.fetchall()]
