"""The replicas of one shard, as a process uses them: connections, heartbeat, and who is asked.

Owns a pool for each replica and the task that looks at them four times a second: it beats on the
primary, and reads the heartbeat and the replay position on each replica. Promises that a replica
which lags, is gone or is cut off is not offered, that it is offered again when it is well, and that
without replicas, or before the first read that could use one, nothing runs. Never decides whether
an answer is new enough: whoever reads compares versions in the same statement. Judged by
`serai.shard.lag`, which is pure.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from serai.core.errors import SeraiError
from serai.core.limits import REPLICA_BEAT_SECONDS
from serai.shard.connection import PostgresError
from serai.shard.lag import Health
from serai.shard.placement import ReplicaRef
from serai.shard.pools import PinnedPool
from serai.shard.queries import load_queries

_log = logging.getLogger(__name__)
_SQL: Final = load_queries("serai.shard", "replicas.sql")
_LOOK_SECONDS_MAX: Final = 2 * REPLICA_BEAT_SECONDS
LATE_IN_A_ROW: Final = 5
_ERRORS: Final = (SeraiError, PostgresError, OSError)
"""What a server that is away makes of a look at it; a timeout is an OSError."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Replica:
    """One replica. `in_flight`: reads that it is answering for this process; `unanswered`: those
    in a row that it did not answer in time. `eyes`: a connection to look at it, for those of `pool`
    may all be waiting for an answer.
    """

    ref: ReplicaRef
    pool: PinnedPool
    eyes: PinnedPool
    in_flight: int = 0
    unanswered: int = 0
    opened: bool = False


class Replicas:
    """Use `offer` for each read, and `close` at the end.

    Args:
        primary: connections to the shard's primary.
        connections_max: to one replica.
        opened: makes the connections to one.
    """

    def __init__(
        self,
        primary: PinnedPool,
        connections_max: int,
        *,
        opened: Callable[..., PinnedPool] = PinnedPool,
    ) -> None:
        """Know of no replica."""
        self._primary = primary
        self._pool = opened
        self._connections_max = connections_max
        self._known: dict[str, Replica] = {}
        self._health = Health()
        self._watching: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def any(self) -> bool:
        """Whether the shard has a replica at all."""
        return bool(self._known)

    def follow(self, refs: Sequence[ReplicaRef]) -> None:
        """Know these replicas and no others. What is read on one that is left out ends there."""
        wanted = {ref.name: ref for ref in refs}
        for name in [name for name, r in self._known.items() if wanted.get(name) != r.ref]:
            self._spawn_close(self._known.pop(name))
            self._health.follow(frozenset(self._known))
        for name, ref in wanted.items():
            if name not in self._known:
                eyes = self._pool(
                    ref.url, size_min=0, size_max=1, application_name="serai heartbeat"
                )
                pool = self._pool(
                    ref.url,
                    size_min=1,
                    size_max=self._connections_max,
                    application_name="serai reads",
                )
                self._known[name] = Replica(ref, pool, eyes)
        self._health.follow(frozenset(self._known))

    def offer(self) -> Replica | None:
        """Return the replica to ask, None if none is well."""
        if not self._known:
            return None
        # A look that failed in a way nobody foresaw has ended the task: it begins anew.
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        loads = {name: replica.in_flight for name, replica in self._known.items()}
        chosen = self._health.choose(loads, asyncio.get_running_loop().time())
        return None if chosen is None else self._known[chosen]

    def suspect(self, replica: Replica, *, late: bool) -> None:
        """Offer it no more until it has been looked at: it is gone, or `late` once too often. On a
        busy machine a single answer may be late, and no replica means more work for the primary.
        """
        replica.unanswered += 1
        if late and replica.unanswered < LATE_IN_A_ROW:
            return
        if self._known.get(replica.ref.name) is replica:
            self._health.failed(replica.ref.name)

    def worth_waiting(self, replica: Replica) -> bool:
        """Tell whether it is likely to have in a moment what it lacks now."""
        return self._health.worth_waiting(replica.ref.name)

    def states(self) -> dict[str, tuple[bool, float, int]]:
        """Return replica -> (offered, seconds behind, bytes behind)."""
        now = asyncio.get_running_loop().time()
        usable = set(self._health.usable(now))
        return {name: (name in usable, *lag) for name, lag in self._health.lags().items()}

    async def close(self) -> None:
        """Stop looking and close every connection."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None
        self.follow(())
        await asyncio.gather(*self._closing)

    # ------------------------------------------------------------ looking

    async def _watch(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(REPLICA_BEAT_SECONDS)

    async def look(self) -> None:
        """Look once at the primary and at each replica; the task does so four times a second."""
        await self._beat()
        await asyncio.gather(*(self._look_at(each) for each in list(self._known.values())))

    async def _beat(self) -> None:
        # A primary that is down keeps no replica from answering; no beat comes, none is missed.
        try:
            async with asyncio.timeout(_LOOK_SECONDS_MAX), self._primary.connection() as c:
                row = await c.fetchrow(_SQL["beat"], round(REPLICA_BEAT_SECONDS * 1_000))
        except _ERRORS as error:
            _log.debug("the primary did not beat: %s", error)
            return
        assert row is not None, "the function answers or raises"
        now = asyncio.get_running_loop().time()
        self._health.primary_said(row["beat"], row["position_bytes"], now)

    async def _look_at(self, replica: Replica) -> None:
        name = replica.ref.name
        try:
            async with asyncio.timeout(_LOOK_SECONDS_MAX):
                async with replica.eyes.connection() as c:
                    row = await c.fetchrow(_SQL["seen"])
                if not replica.opened:
                    await replica.pool.open()
                    replica.opened = True
        except _ERRORS as error:
            if self._known.get(name) is replica:
                self._health.failed(name)
            _log.debug("replica %s did not answer: %s", name, error)
            return
        assert row is not None, "the heartbeat is one row"
        if self._known.get(name) is replica:
            self._health.replica_said(
                name,
                row["beat"],
                row["position_bytes"],
                asyncio.get_running_loop().time(),
                follows=row["follows"],
            )

    def _spawn_close(self, replica: Replica) -> None:
        task = asyncio.get_running_loop().create_task(self._close(replica))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, replica: Replica) -> None:
        await replica.eyes.close()
        await replica.pool.close()
