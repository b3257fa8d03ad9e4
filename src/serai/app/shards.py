"""Changes of the fleet, by an operator: a new shard, its numbers, its address, its state.

Owns the order of their steps. Promises that a shard is in the directory only when its database is
ready to serve, that a database in use is never taken for a new shard, that a step which was cut off
is finished by the same command, and that who and why are in the audit table. Never moves an
organisation.
"""

from __future__ import annotations

from typing import Literal

from serai.app.fleet import ORGS_PER_SHARD
from serai.app.operator import operator
from serai.app.runtime import load_vertical
from serai.app.settings import Settings
from serai.app.shard_facts import (
    OPTIONS,
    SQL,
    RangeFacts,
    ShardError,
    asked,
    fleet_directory,
    page_here,
)
from serai.schema.admission import admit, fleet_role
from serai.schema.collections import generate
from serai.schema.compat import check_database
from serai.schema.database import connected, read_state, value
from serai.schema.database_url import fault_of
from serai.schema.errors import SchemaError
from serai.schema.migrate import OnProgress, migrate_database
from serai.shard.directory import Directory
from serai.shard.placement import ShardRef

ShardState = Literal["open", "closed", "draining"]


async def shard_named(directory: Directory, name: str) -> ShardRef:
    """Return the shard with this name.

    Raises:
        ShardError: there is none.
    """
    for ref in directory.shards:
        if ref.name == name:
            return ref
    known = ", ".join(ref.name for ref in directory.shards) or "none"
    raise ShardError(f"There is no shard {name!r}. Shards: {known}.")


async def known_shard(settings: Settings, name: str) -> ShardRef:
    """Return the shard with this name, as the directory has it now.

    Raises:
        ShardError: there is none.
    """
    async with fleet_directory(settings) as directory:
        return await shard_named(directory, name)


async def set_state(settings: Settings, name: str, state: ShardState, *, reason: str) -> None:
    """Say whether the shard gets new organisations. Doing it again changes nothing.

    Raises:
        ShardError: there is no such shard.
    """
    async with fleet_directory(settings) as directory:
        ref = await shard_named(directory, name)
        await directory.set_shard_state(ref.id, state, actor=operator(), reason=reason)


async def add_shard(
    settings: Settings,
    name: str,
    url: str,
    *,
    orgs: int = ORGS_PER_SHARD,
    reason: str,
    progress: OnProgress | None = None,
) -> RangeFacts:
    """Make an empty database a shard: schema, role of requests, then its place in the directory
    with a range of `orgs` numbers behind all others. A run that was stopped is finished by the
    same again.

    Raises:
        ShardError: the URL cannot be read, the name is another shard's, or the database holds
            organisations.
        SchemaError: the database could not be migrated.
    """
    check_url(url)
    async with fleet_directory(settings) as directory:
        known = {ref.name: ref.url for ref in directory.shards}
        if known.get(name, url) != url:
            raise ShardError(
                f"{name} is there already, at another address. To say where its database is now: "
                f"serai shard url {name} URL"
            )
        if name not in known and url in known.values():
            raise ShardError("Another shard has this database. Name one that is empty.")
        await _make_ready(settings, name, url, known=name in known, progress=progress)
        shard_id = await directory.add_shard(name, url, actor=operator(), reason=reason)
        return await _give_range(directory, shard_id, orgs, reason)


async def _make_ready(
    settings: Settings, name: str, url: str, *, known: bool, progress: OnProgress | None
) -> None:
    """Migrate the database of a shard that is none yet; one that is known may be in use."""
    async with asked(url) as conn:
        ready = (await read_state(conn, "shard")).version > 0
        if ready and not known and await value(conn, SQL["used"]):
            raise ShardError("The database holds organisations. Name one that is empty.")
    statements = generate(load_vertical(settings.vertical))
    report = await migrate_database(url, "shard", name, statements=statements, progress=progress)
    if report.error is not None:
        raise SchemaError(report.error, report.remedy or "")
    async with connected(settings.directory_url, OPTIONS) as conn:
        role = await fleet_role(conn)
    async with connected(url, OPTIONS) as conn:
        await admit(conn, url, "shard", role, OPTIONS)


async def _give_range(directory: Directory, shard_id: int, orgs: int, reason: str) -> RangeFacts:
    """Give a shard that has no range one; return its first."""
    held = directory.placement.ranges_of(shard_id)
    if not held:
        first = directory.placement.end
        await directory.add_range(shard_id, first, first + orgs, actor=operator(), reason=reason)
        held = [(first, first + orgs)]
    return RangeFacts(*held[0], given=0)


async def extend(settings: Settings, name: str, orgs: int, *, reason: str) -> RangeFacts:
    """Give a shard another range of `orgs` numbers, behind all others. Each call gives one.

    Raises:
        ShardError: there is no such shard.
    """
    async with fleet_directory(settings) as directory:
        ref = await shard_named(directory, name)
        first = directory.placement.end
        await directory.add_range(ref.id, first, first + orgs, actor=operator(), reason=reason)
    return RangeFacts(first, first + orgs, 0)


async def set_url(settings: Settings, name: str, url: str, *, reason: str) -> None:
    """Say where the shard's database is now. Processes go there at once.

    Raises:
        ShardError: there is no such shard, or the database there takes no writes, or does not hold
            its organisations.
        SchemaError: the schema there and this code do not fit together.
    """
    check_url(url)
    statements = generate(load_vertical(settings.vertical))
    async with fleet_directory(settings) as directory:
        ref = await shard_named(directory, name)
        async with connected(settings.directory_url, OPTIONS) as conn:
            orgs = await value(conn, SQL["load"], {"shard_id": ref.id})
        async with asked(url) as conn:
            if await value(conn, SQL["read_only"]):
                raise ShardError(
                    "What answers there takes no writes: a replica, or a primary whose place"
                    f" another has taken. Replicas: serai shard promote {name} --to REPLICA."
                )
            ready = (await read_state(conn, "shard")).version > 0
            there = await page_here(conn, 0) if ready else []
        if orgs and not any(directory.placement.resolve(org_id) == ref for org_id, _ in there):
            raise ShardError(
                f"The database holds none of the {orgs} organisations of {name}. Restore it first."
            )
        await check_database(url, "shard", statements=statements, options=OPTIONS)
        await directory.add_shard(name, url, actor=operator(), reason=reason)


def check_url(url: str) -> None:
    """Refuse a shard's URL that cannot be read in one way.

    Raises:
        ShardError: without the URL, which may hold a password.
    """
    fault = fault_of(url)
    if fault is not None:
        raise ShardError(f"The shard's URL is {fault}.")
