"""Moves as an operator asks for them: one organisation, a share of a shard, all of it.

Owns which organisations go where, and the order of a run: the moves that a dead mover left are
ended first, then come those that are asked for, then old copies are removed. Promises that doing a
thing again goes on where it stopped: a share is chosen by the organisations' numbers, so it is the
same share each time. Never moves anything by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Final

from serai.app.move_hands import ThreadHands
from serai.app.move_run import MoveOptions, MoveReport, MoveRun, Progress
from serai.app.operator import operator
from serai.app.settings import Settings
from serai.app.shard_facts import ShardError, fleet_directory
from serai.app.shards import shard_named
from serai.core.errors import SeraiError
from serai.readers.move import Records
from serai.readers.move.link import connect, query
from serai.shard.directory import Directory
from serai.shard.placement import ShardRef

_PAGE: Final = 1_000
"""Organisations that are chosen at once: those of a drain go to the shard that is emptiest then."""


@dataclass(frozen=True, slots=True)
class Share:
    """The organisations of a shard whose numbers fall into a share of all numbers.

    Attributes:
        percent: of all numbers, above 0, at most 100; a larger share holds a smaller one.
    """

    shard: ShardRef
    percent: float = 100.0


def _nothing(_: MoveReport) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants it, why, how; who is told how far it is."""

    reason: str
    options: MoveOptions = field(default_factory=MoveOptions)
    progress: Progress = _nothing


async def move_organisations(
    settings: Settings, orgs: Sequence[int], target: str, order: Order
) -> MoveReport:
    """Move organisations to a shard.

    Raises:
        ShardError: there is no such shard.
        psycopg.OperationalError: the directory or a shard does not answer.
    """
    async with _run(settings, order) as (directory, run):
        ref = await shard_named(directory, target)
        run.report.asked = len(orgs)
        await run.left.end()
        await run.move(orgs, ref)
        await run.left.sweep()
    return run.report


async def move_share(
    settings: Settings, source: str, percent: float, target: str, order: Order
) -> MoveReport:
    """Move a share of a shard's organisations to another one.

    Raises:
        ShardError: there is no such shard, or both are the same.
        psycopg.OperationalError: the directory or a shard does not answer.
    """
    async with _run(settings, order) as (directory, run):
        share = Share(await shard_named(directory, source), percent)
        ref = await shard_named(directory, target)
        if ref == share.shard:
            raise ShardError(f"{source} and {target} are the same shard.")
        run.report.asked = await asyncio.to_thread(count, settings, share)
        await run.left.end()
        after = 0
        while page := await asyncio.to_thread(chosen, settings, share, after):
            await run.move(page, ref)
            after = page[-1]
        await run.left.sweep()
    return run.report


async def drain(settings: Settings, source: str, order: Order) -> MoveReport:
    """Move every organisation of a shard away, each to the open shard that is emptiest then. The
    shard gets no new ones from now on.

    Raises:
        ShardError: there is no such shard, or no open one to take them.
        psycopg.OperationalError: the directory or a shard does not answer.
    """
    async with _run(settings, order) as (directory, run):
        share = Share(await shard_named(directory, source))
        await directory.set_shard_state(
            share.shard.id, "draining", actor=operator(), reason=order.reason
        )
        run.report.asked = await asyncio.to_thread(count, settings, share)
        await run.left.end()
        after = 0
        while page := await asyncio.to_thread(chosen, settings, share, after):
            emptiest = await asyncio.to_thread(_emptiest, settings, share.shard)
            await run.move(page, run.refs[emptiest])
            after = page[-1]
        await run.left.sweep()
    return run.report


async def resume_moves(settings: Settings, order: Order) -> MoveReport:
    """End the moves that a dead mover left: finish those that had flipped, and begin the others
    again.
    """
    async with _run(settings, order) as (_, run):
        for target, orgs in (await run.left.end()).items():
            run.report.asked += len(orgs)
            await run.move(orgs, run.refs[target])
        await run.left.sweep()
    return run.report


async def end_moves_of(settings: Settings, orgs: Sequence[int], order: Order) -> dict[int, str]:
    """End moves of these organisations that nobody is at; return organisation -> why, of those that
    have no end yet.
    """
    async with _run(settings, order) as (_, run):
        await run.left.end(orgs=orgs)
        left = await asyncio.to_thread(_under_way, settings, orgs)
        return {org: run.report.stuck.get(org, "another process is at it") for org in left}


async def end_left(settings: Settings, order: Order) -> MoveReport:
    """End moves that a dead mover left, one batch of them: finish those that had flipped and undo
    the others; then remove one batch of old copies.
    """
    async with _run(settings, order) as (_, run):
        await run.left.end(batches=1)
        await run.left.sweep(batches=1)
    return run.report


async def share_of(
    settings: Settings, source: str, percent: float, target: str | None = None
) -> int:
    """Return how many organisations a share would move now.

    Raises:
        ShardError: there is no such shard.
    """
    async with fleet_directory(settings) as directory:
        if target is not None:
            await shard_named(directory, target)
        share = Share(await shard_named(directory, source), percent)
    return await asyncio.to_thread(count, settings, share)


def count(settings: Settings, share: Share) -> int:
    """Return how many organisations of the share are on its shard now."""
    with connect(settings.directory_url) as conn:
        given = {"shard": share.shard.id, "percent": share.percent}
        found: int = query(conn, "count_homed", **given)[0][0]
    return found


def chosen(settings: Settings, share: Share, after: int) -> list[int]:
    """Return the next organisations of the share that are on its shard now, in order."""
    with connect(settings.directory_url) as conn:
        given = {"shard": share.shard.id, "percent": share.percent, "after": after, "limit": _PAGE}
        return [row[0] for row in query(conn, "homed", **given)]


def _under_way(settings: Settings, orgs: Sequence[int]) -> list[int]:
    with connect(settings.directory_url) as conn:
        return [org for org, *_ in Records(conn).under_way(orgs, limit=len(orgs))]


def _emptiest(settings: Settings, leaving: ShardRef) -> int:
    with connect(settings.directory_url) as conn:
        found = query(conn, "emptiest", leaving=leaving.id)
    if not found:
        raise ShardError(f"No open shard can take the organisations of {leaving.name}: add one.")
    return found[0][0]


@contextlib.asynccontextmanager
async def _run(settings: Settings, order: Order) -> AsyncGenerator[tuple[Directory, MoveRun]]:
    async with fleet_directory(settings) as directory:
        hands = ThreadHands(settings.directory_url, directory.shards, order.options.workers)
        run = MoveRun(hands, directory.shards, order.options, order.progress)
        run.actor, run.reason = operator(), order.reason
        async with run.alive():
            yield directory, run
        # Every process hears of it by itself; this one is about to end.
        with contextlib.suppress(SeraiError):
            await directory.refresh()
