"""Promotion: a replica takes the place of its shard's primary.

Owns the order of the steps: the old primary takes no more writes, the replica has all that is to be
had, it is promoted, and the directory names it. Promises that a shard is at one place at a time by
the directory, that a run which was cut off is finished by the same again, and that versions are not
used twice: where the end of the log may be lost, the epoch of every organisation of the shard rises
before anybody writes, and moves from and to it are taken from their movers. Never guesses that an
old primary is down: it looks, or is told.

A replica that commits waited for (`synchronous_standby_names`) has all that was acknowledged, also
when the old primary cannot be asked; only whoever set it up knows that, and says `synchronous`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import psycopg
from psycopg import sql

from serai.app.operator import operator
from serai.app.promotion_moves import settle_moves
from serai.app.settings import Settings
from serai.app.shard_facts import OPTIONS, ShardError, fleet_directory
from serai.app.shards import shard_named
from serai.schema.database import Conn, connected, value
from serai.schema.database_url import failure_of
from serai.shard.directory import Directory
from serai.shard.enrol import take_over
from serai.shard.placement import ReplicaRef, ShardRef
from serai.shard.queries import load_queries

_SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.app", "promotion.sql").items()
}
_POLL_SECONDS: Final = 0.05
_PROMOTE_SECONDS: Final = 60
CATCH_UP_SECONDS_MAX: Final = 30.0
EPOCH_ROWS: Final = 10_000
"""Organisations whose epoch rises in one transaction."""


class Promoted(msgspec.Struct, frozen=True):
    """What a promotion did.

    Attributes:
        old_primary: `fenced`: it answered, and takes no more writes; `down`: as it was told.
        epochs: organisations whose epoch rose; 0 where nothing can be lost.
        left_out: other replicas of the shard. They followed the old primary; to be added again when
            they follow the new one.
        seconds: that it took.
    """

    shard: str
    replica: str
    old_primary: str
    epochs: int
    left_out: list[str]
    seconds: float


class Steps(Protocol):
    """What a promotion does. The simulation has its own; PostgreSQL's are `_Servers`."""

    async def fence(self) -> str | None:
        """Let the old primary take no more writes; return how far its log goes, None if it is
        down.
        """
        ...

    async def catch_up(self, reached: str) -> None:
        """Wait until the replica has replayed all that the old primary has."""
        ...

    async def promote(self) -> None:
        """Promote the replica, unless it is."""
        ...

    async def raise_epochs(self) -> int:
        """Raise the epoch of every organisation here; return of how many."""
        ...

    async def settle_moves(self) -> None:
        """Let what the replica says of organisations on the move be what the directory says."""
        ...

    async def name(self) -> None:
        """Let the directory name the replica as the shard."""
        ...


async def in_order(steps: Steps, *, synchronous: bool) -> tuple[bool, int]:
    """Take the steps; return whether the old primary was fenced, and how many epochs rose."""
    reached = await steps.fence()
    if reached is not None:
        await steps.catch_up(reached)
    await steps.promote()
    epochs = 0
    if not synchronous and reached is None:
        epochs = await steps.raise_epochs()
        await steps.settle_moves()
    await steps.name()
    return reached is not None, epochs


async def promote(
    settings: Settings,
    name: str,
    to: str,
    *,
    synchronous: bool,
    primary_is_down: bool,
    reason: str,
    progress: Callable[[int], None] = lambda _: None,
) -> Promoted:
    """Promote a replica.

    Args:
        synchronous: commits waited for this replica, so it has all that was acknowledged.
        primary_is_down: the old primary does not run, and will not by itself.
        progress: is told how many epochs rose so far.

    Raises:
        ShardError: there is no such shard or replica; the directory is on the old primary;
            the old primary does not answer and was not
            said to be down; the replica does not answer, or has not caught up in time.
    """
    begun = time.monotonic()
    async with fleet_directory(settings) as directory, AsyncExitStack() as stack:
        shard = await shard_named(directory, name)
        replica = _replica(shard, to)
        await _directory_is_elsewhere(settings, shard, to)
        order = _Order(directory, shard, replica, reason, primary_is_down, progress)
        try:
            fenced, epochs = await in_order(_Servers(order, stack), synchronous=synchronous)
        except psycopg.OperationalError as error:
            raise ShardError(f"Replica {to} does not answer: {failure_of(error)}.") from error
        others = [each.name for each in shard.replicas if each.name != to]
    state = "fenced" if fenced else "down"
    return Promoted(name, to, state, epochs, others, round(time.monotonic() - begun, 3))


@dataclass(frozen=True, slots=True)
class _Order:
    """What was ordered; see `promote`."""

    directory: Directory
    shard: ShardRef
    replica: ReplicaRef
    reason: str
    primary_is_down: bool
    progress: Callable[[int], None]


class _Servers:
    """The steps, on servers of PostgreSQL."""

    def __init__(self, order: _Order, stack: AsyncExitStack) -> None:
        self._order, self._stack = order, stack
        self._opened: Conn | None = None

    async def _conn(self) -> Conn:
        if self._opened is None:
            self._opened = await self._stack.enter_async_context(
                connected(self._order.replica.url, OPTIONS)
            )
        return self._opened

    async def fence(self) -> str | None:
        return await _fenced(self._order.shard, primary_is_down=self._order.primary_is_down)

    async def catch_up(self, reached: str) -> None:
        await _caught_up(await self._conn(), self._order.replica.name, reached)

    async def promote(self) -> None:
        await _promoted(await self._conn())

    async def raise_epochs(self) -> int:
        return await _raise_epochs(await self._conn(), self._order.progress)

    async def settle_moves(self) -> None:
        await settle_moves(await self._conn(), self._order.directory, self._order.shard)

    async def name(self) -> None:
        order = self._order
        words = f"promoted {order.replica.name}: {order.reason}"
        await take_over(
            order.directory, order.shard.id, order.replica.url, actor=operator(), reason=words
        )


def _replica(shard: ShardRef, name: str) -> ReplicaRef:
    for each in shard.replicas:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in shard.replicas) or "none"
    raise ShardError(f"{shard.name} has no replica {name!r}. Replicas: {known}.")


async def _directory_is_elsewhere(settings: Settings, shard: ShardRef, to: str) -> None:
    """Refuse if the server that is about to take no more writes has the directory, too: nobody
    could name the new primary there.
    """
    try:
        async with connected(shard.url, OPTIONS) as primary:
            server = await value(primary, _SQL["server"])
    except psycopg.OperationalError:
        return
    async with connected(settings.directory_url, OPTIONS) as conn:
        if await value(conn, _SQL["server"]) != server:
            return
    raise ShardError(
        f"The directory is on the server of {shard.name}'s primary: it would take no writes either,"
        f" and {to} has a copy of it. Stop every `serai serve`, set SERAI_DIRECTORY_URL to that"
        f" copy, at the host and port of {to}, and type this again; then start them with the same."
    )


async def _fenced(shard: ShardRef, *, primary_is_down: bool) -> str | None:
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


async def _caught_up(conn: Conn, name: str, reached: str) -> None:
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


async def _promoted(conn: Conn) -> None:
    """Promote it unless it is, and let its commits wait for nobody: its copies do not follow it
    yet.
    """
    await conn.execute(_SQL["promote"], {"seconds": _PROMOTE_SECONDS})
    for name in ("default_transaction_read_only", "synchronous_standby_names"):
        # It may have been copied with the settings of its primary.
        await conn.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
    await conn.execute(_SQL["reload"])


async def _raise_epochs(conn: Conn, progress: Callable[[int], None]) -> int:
    """Raise the epoch of every organisation here, so that no version means two writes. Cut off, it
    begins anew: an epoch that rose twice is no harm.
    """
    done, after = 0, 0
    while True:
        row = await (
            await conn.execute(_SQL["raise_epochs"], {"after": after, "limit": EPOCH_ROWS})
        ).fetchone()
        assert row is not None, "an aggregate has one row"
        count, last = row
        if not count:
            return done
        done, after = done + count, last
        progress(done)
