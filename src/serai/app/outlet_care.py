"""What an operator does about the outlet: look, rewind, switch off.

Owns the steps of those commands. Promises that a rewind of many organisations goes in small
transactions and may be typed again, and that the directory's audit table has who, when and why of a
rewind and of switching off before anything is done. Never sends anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import msgspec

from serai.app.operator import operator
from serai.app.outlet_shard import LAG_ORGS_MAX
from serai.app.settings import Settings
from serai.app.shard_facts import ShardError, fleet_directory
from serai.app.shards import shard_named
from serai.app.whereabouts import home_of
from serai.core.errors import SeraiError
from serai.readers.outlet.notes import Notes
from serai.shard.connection import PostgresError
from serai.shard.directory import Directory
from serai.shard.pools import PinnedPool
from serai.shard.queries import load_queries

_SQL: Final = load_queries("serai.app", "outlet_care.sql")
_REWIND_ORGS: Final = 500


class OutletFacts(msgspec.Struct, frozen=True):
    """The outlet of a shard.

    Attributes:
        state: `sends`, `stopped` (no process serves it), `off` (nothing is noted for it), or
            `unknown` (the shard does not answer).
        since: when organisations began to be noted.
        looking: those that wrote before are being looked through.
        orgs: with something that was not accepted yet; `more`: at least so many.
        versions: of the one that is furthest behind. seconds: of the one that waits longest.
        bus: where messages go, and the number of the last one that was noted there.
        problem: why the shard does not answer.
    """

    shard: str
    state: str
    since: datetime | None = None
    looking: bool = False
    orgs: int = 0
    more: bool = False
    versions: int = 0
    seconds: float = 0.0
    bus: str = ""
    bus_number: int = 0
    problem: str | None = None


async def outlet_status(settings: Settings) -> list[OutletFacts]:
    """Return the outlet of every shard; all are asked at once."""
    async with fleet_directory(settings) as directory:
        asked = [_look(ref.name, ref.url) for ref in directory.shards]
        return list(await asyncio.gather(*asked))


async def _look(name: str, url: str) -> OutletFacts:
    try:
        async with _notes(url) as notes:
            told = await notes.shard()
            lag = await notes.lag(LAG_ORGS_MAX)
    except (SeraiError, PostgresError, OSError) as error:
        return OutletFacts(name, "unknown", problem=str(error))
    state = "off" if told.since is None else "sends" if told.served else "stopped"
    return OutletFacts(
        shard=name,
        state=state,
        since=told.since,
        looking=told.looking,
        orgs=lag.orgs,
        more=lag.orgs == LAG_ORGS_MAX,
        versions=lag.versions,
        seconds=lag.seconds,
        bus=told.bus,
        bus_number=told.bus_number,
    )


async def rewind_one(settings: Settings, name: str, version: int, *, reason: str) -> bool:
    """Let an organisation, by key or number, be sent again from after a version on; tell whether
    it was sent beyond it.

    Raises:
        ShardError: there is none.
    """
    org_id, _, home = await home_of(settings, name)
    async with fleet_directory(settings) as directory, _notes(home.url) as notes:
        await _note(directory, "rewind", reason, org_id=org_id, to=version)
        return await notes.rewind([org_id], version) == 1


async def rewind_all(
    settings: Settings,
    version: int,
    *,
    reason: str,
    only: str | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Let every organisation be sent again from after a version on; return how many were sent
    beyond it.

    Args:
        reason: why; for the audit table.
        only: a shard; None for all.
        progress: is told how many so far.

    Raises:
        ShardError: there is no such shard.
    """
    done = 0
    async with fleet_directory(settings) as directory:
        shards = directory.shards if only is None else [await shard_named(directory, only)]
        await _note(directory, "rewind", reason, shard=only or "all", to=version)
        for ref in shards:
            async with _notes(ref.url) as notes:
                after = 0
                while orgs := await notes.sent_after(after, version, _REWIND_ORGS):
                    done += await notes.rewind(orgs, version)
                    after = orgs[-1]
                    progress(done)
    return done


async def switch_off(settings: Settings, shard: str, *, reason: str) -> bool:
    """Let organisations of a shard be noted no more; tell whether they were.

    Raises:
        ShardError: there is no such shard, or it is being served.
    """
    async with fleet_directory(settings) as directory:
        ref = await shard_named(directory, shard)
        async with _notes(ref.url) as notes:
            told = await notes.shard()
            if told.served:
                raise ShardError(
                    f"A process is the outlet of {shard}, and would switch it on again. "
                    "End it first."
                )
            if told.since is None:
                return False
            await _note(directory, "off", reason, shard=shard)
            return await notes.switch_off()


async def _note(directory: Directory, action: str, reason: str, **what: object) -> None:
    """Write an entry of the audit table of placement: first, so that an act which is cut off has
    one too.
    """
    async with directory.change(operator(), reason) as connection:
        await connection.execute(_SQL["note_act"], action, msgspec.json.encode(what).decode())


@asynccontextmanager
async def _notes(url: str) -> AsyncGenerator[Notes]:
    async with PinnedPool(url, size_min=1, size_max=1) as pool:
        yield Notes(pool)
