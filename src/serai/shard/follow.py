"""A process's copy of the placement, kept close to the directory.

Owns the copy and when it is read: at a poll, at the doorbell, and when somebody asks because a
shard said that an organisation is not there. Promises that a copy is whole or a move further, never
half of one; that many who ask at once cost the directory one or two reads; that the doorbell only
makes it sooner, for the poll finds all that it would have told; and that a directory which is down
leaves the copy as it is, and one which falls silent is found out in seconds. Never trusts the copy
for safety: the shard's own fence does that.

The copy follows the directory's version. The last changes are taken from its audit; anything but
moved organisations, or a version that is too far behind, is read whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any, Final

from serai.core.errors import SeraiError
from serai.core.limits import REQUEST_DEADLINE_SECONDS
from serai.shard.connection import Connection, PostgresError, Record, unavailable
from serai.shard.doorbell import Doorbell
from serai.shard.placement import Placement, ReplicaRef, ShardRef
from serai.shard.pools import PinnedPool
from serai.shard.queries import load_queries
from serai.shard.role import RequestRole

_log = logging.getLogger(__name__)
CHANGES_MAX: Final = 1_000
"""Changes taken one by one; with more, the placement is read whole."""
CHANNEL: Final = "serai_placement"
RINGS_APART_SECONDS: Final = 0.005
"""A fleet that moves a thousand organisations a second rings as often; reads are this far apart."""
ANSWER_SECONDS_MAX: Final = 3.0
"""For the directory to say its version. It is asked each second, and whoever waits for it is told
then that it is away: connections into a network that swallows packets would stay for hours."""
PROBE_SECONDS_MAX: Final = 1.0

_SQL: Final = load_queries("serai.shard", "directory.sql")


@dataclass(slots=True)
class FollowStats:
    """Counters. `stale_resolves`: answers given while the directory could not be asked."""

    refreshes: int = 0
    reloads: int = 0
    refresh_failures: int = 0
    stale_resolves: int = 0
    key_misses: int = 0


class Follower:
    """The copy and what keeps it close.

    Attributes:
        placement: the copy.
        stale: the directory could not be asked the last time.
        bell: hears of changes.
    """

    def __init__(
        self, pool: PinnedPool, role: RequestRole | None, placement: Placement, bell: Doorbell
    ) -> None:
        """Keep the parts; `start` begins to follow."""
        self._pool, self._role = pool, role
        self.placement = placement
        self.stale = False
        self.bell = bell
        self.stats = FollowStats()
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._now = asyncio.get_running_loop().time
        self._heard_at = self._now()
        self._asked = 0
        self._answered = 0
        self._failed = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, poll_seconds: float, *, listen: bool) -> None:
        """Follow until `close`."""
        self._tasks = [asyncio.create_task(self._follow(poll_seconds))]
        if listen:
            self._tasks.append(asyncio.create_task(self.bell.listen()))

    async def close(self) -> None:
        """Stop following."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def refresh(self) -> bool:
        """Catch up with the directory as it is now or later; tell whether anything changed.

        Raises:
            SeraiError: `unavailable`; the copy stays as it is.
        """
        self._asked += 1
        mine, before = self._asked, self.placement.version
        async with self._turn:
            if self._answered < mine:
                # For all who asked up to now: who waits for the turn is answered by this one. Also
                # by its failure, or a thousand would wait for a directory that is cut off, one
                # after another.
                asked = self._asked
                try:
                    await self._read()
                except SeraiError:
                    self._failed, self._answered = True, asked
                    raise
                self._failed, self._answered = False, asked
            elif self._failed:
                raise unavailable()
        return self.placement.version != before

    async def changed(self, seconds: float) -> bool:
        """Wait for a change of the copy, so long at most; tell whether there was one."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _read(self) -> None:
        before = self.placement.version
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX) as patience:
                async with self._pool.connection() as c:
                    version: int = await c.fetchval(_SQL["version"])
                    # It is there: a large placement may take its time.
                    patience.reschedule(self._now() + REQUEST_DEADLINE_SECONDS)
                    await self._catch_up(c, version)
        except PostgresError:
            self.stats.refresh_failures += 1
            self.stale = True
            self._heard_at = self._now()
            raise
        except (SeraiError, TimeoutError) as error:
            self.stats.refresh_failures += 1
            self.stale = True
            await self._give_up_a_silent_one()
            raise error if isinstance(error, SeraiError) else unavailable() from error
        self._heard_at = self._now()
        self.stale = False
        self.stats.refreshes += 1
        if self.placement.version != before:
            self._changed.set()
            self._changed = asyncio.Event()

    async def _give_up_a_silent_one(self) -> None:
        """End every connection to a directory that has not answered for a while and answers no new
        one either: whoever waits for it waits for nothing. One that is only busy is left alone.
        """
        if self._now() - self._heard_at < ANSWER_SECONDS_MAX:
            return
        if not await self.bell.answers(PROBE_SECONDS_MAX):
            self._pool.suspend()
            self._pool.resume()
        self._heard_at = self._now()

    async def _catch_up(self, c: Connection, version: int) -> None:
        behind = version - self.placement.version
        if behind == 0:
            return
        if 0 < behind <= CHANGES_MAX:
            changes = await c.fetch(_SQL["changes"], self.placement.version, CHANGES_MAX)
            if _only_moves(self.placement.version, changes):
                moves = [(row["org_id"], row["shard_id"]) for row in changes]
                self.placement.move(changes[-1]["version"], moves)
                return
        self.placement = await load_placement(c, self._role)
        self.stats.reloads += 1

    async def _follow(self, poll_seconds: float) -> None:
        while True:
            if await self.bell.rung(poll_seconds):
                await asyncio.sleep(RINGS_APART_SECONDS)
            # Counted by refresh; the next round tries again.
            with contextlib.suppress(SeraiError):
                try:
                    await self.refresh()
                except PostgresError as error:
                    _log.warning("the directory cannot be read: %s", error)


def _as(role: RequestRole | None, url: str) -> str:
    return url if role is None else role.url(url)


async def load_placement(c: Connection, role: RequestRole | None) -> Placement:
    """Read the placement whole."""
    # One snapshot: the version is that of the rows.
    async with c.transaction(isolation="repeatable_read", readonly=True):
        version: int = await c.fetchval(_SQL["version"])
        shards: list[Any] = await c.fetch(_SQL["shards" if role is None else "addresses"])
        copies = await c.fetch(_SQL["replicas" if role is None else "replica_addresses"])
        ranges = await c.fetch(_SQL["ranges"])
        overrides = await c.fetch(_SQL["overrides"])
    replicas: dict[int, list[ReplicaRef]] = {}
    for r in copies:
        ref = ReplicaRef(r["name"], _as(role, r["url"]))
        replicas.setdefault(r["shard_id"], []).append(ref)
    return Placement(
        version,
        {
            s["shard_id"]: ShardRef(
                s["shard_id"],
                s["name"],
                _as(role, s["url"]),
                tuple(replicas.get(s["shard_id"], ())),
            )
            for s in shards
        },
        [(r["first"], r["stop"], r["shard_id"]) for r in ranges],
        {o["org_id"]: o["shard_id"] for o in overrides},
    )


def _only_moves(version: int, changes: list[Record]) -> bool:
    """Tell whether these are all the changes after `version`, and only of overrides."""
    numbers = [row["version"] for row in changes]
    return (
        numbers == list(range(version + 1, version + 1 + len(changes)))
        and bool(changes)
        and all(row["subject"] == "org_override" for row in changes)
    )
