"""Promotion: a replica takes the place of its shard's primary.

Owns the order of the steps: the old primary takes no more writes, the replica has all that is to be
had, it is promoted, and the directory names it. Promises that a shard is at one place at a time by
the directory, that a run which was cut off is finished by the same again, and that versions are not
used twice: where the end of the log may be lost, the epoch of every organisation of the shard rises
before anybody writes, moves from and to it are taken from their movers, and an organisation that
had just moved in and is lost is opened again where a copy was kept, or told by name. Never guesses
that an old primary is down: it looks, or is told.

A replica that commits waited for (`synchronous_standby_names`) has all that was acknowledged, also
when the old primary cannot be asked; only whoever set it up knows that, and says `synchronous`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import psycopg

from serai.app.moving import Order, end_moves_of
from serai.app.operator import operator
from serai.app.promotion_moves import Placed, Settled, raise_epochs, settle_moves
from serai.app.promotion_servers import caught_up, fenced, promoted
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


class Lost(msgspec.Struct, frozen=True):
    """An organisation that should live on the shard, and that the replica does not have.

    Attributes:
        shard: where a copy was kept, None if nowhere.
        waits: why that is not open yet, None if it is.
    """

    org_id: int
    key: str
    shard: str | None
    waits: str | None = None


class Promoted(msgspec.Struct, frozen=True):
    """What a promotion did.

    Attributes:
        old_primary: `fenced`: it answered, and takes no more writes; `down`: as it was told.
        epochs: organisations whose epoch rose; 0 where nothing can be lost.
        left_out: other replicas of the shard. They followed the old primary; to be added again when
            they follow the new one.
        brought_back: they live again on the shard that they had just left. waiting: they will, as
            soon as that can be done; any process that serves does it. missing: no copy is known.
        seconds: that it took.
    """

    shard: str
    replica: str
    old_primary: str
    epochs: int
    left_out: list[str]
    brought_back: list[Lost]
    waiting: list[Lost]
    missing: list[Lost]
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
        """Let what the replica says of organisations be what the directory says, and find those
        that it should have and has not.
        """
        ...

    async def name(self) -> None:
        """Let the directory name the replica as the shard, and place what that has lost where a
        copy was kept.
        """
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
        servers = _Servers(order, stack)
        try:
            fenced, epochs = await in_order(servers, synchronous=synchronous)
        except psycopg.OperationalError as error:
            raise ShardError(f"Replica {to} does not answer: {failure_of(error)}.") from error
        names = {each.id: each.name for each in directory.shards}
    found = servers.settled
    told = await _brought_back(settings, found.lost, names | {None: name}, reason)
    return Promoted(
        name,
        to,
        "fenced" if fenced else "down",
        epochs,
        [each.name for each in shard.replicas if each.name != to],
        [each for each in told if each.waits is None],
        [each for each in told if each.waits is not None],
        [Lost(each.org_id, each.key, None) for each in found.missing],
        round(time.monotonic() - begun, 3),
    )


async def _brought_back(
    settings: Settings, lost: list[Placed], names: dict[int | None, str], reason: str
) -> list[Lost]:
    """Open the copies that were kept; tell of each organisation where it is, and whether it waits.

    The directory has decided it: whoever comes next does what is left to do.
    """
    if not lost:
        return []
    orgs = [each.org_id for each in lost]
    try:
        waits = await end_moves_of(settings, orgs, Order(reason))
    except psycopg.OperationalError as error:
        waits = dict.fromkeys(orgs, failure_of(error))
    return [
        Lost(
            each.org_id,
            each.key,
            names[None if each.returns else each.came_from],
            waits.get(each.org_id),
        )
        for each in lost
    ]


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
        self.settled = Settled()

    async def _conn(self) -> Conn:
        if self._opened is None:
            self._opened = await self._stack.enter_async_context(
                connected(self._order.replica.url, OPTIONS)
            )
        return self._opened

    async def fence(self) -> str | None:
        return await fenced(self._order.shard, primary_is_down=self._order.primary_is_down)

    async def catch_up(self, reached: str) -> None:
        await caught_up(await self._conn(), self._order.replica.name, reached)

    async def promote(self) -> None:
        await promoted(await self._conn())

    async def raise_epochs(self) -> int:
        return await raise_epochs(await self._conn(), self._order.progress)

    async def settle_moves(self) -> None:
        order = self._order
        self.settled = await settle_moves(await self._conn(), order.directory, order.shard)

    async def name(self) -> None:
        order = self._order
        words = f"promoted {order.replica.name}: {order.reason}"
        lost = [each.org_id for each in self.settled.lost]
        url = order.replica.url
        await take_over(order.directory, order.shard.id, url, lost, actor=operator(), reason=words)


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
