"""A process's way to a replica: over a wire that may be cut, to a copy that may be behind.

Owns what stands for the connections of `serai.shard.replicas`, whose judgement runs as it is.
Promises that a look and a read see what the replica shows at that moment. Never chooses a replica.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from serai.adapters.memory.copies import MemoryCopyReads
from serai.core.errors import Code, SeraiError
from serai.log.copy_reads import CopyReads
from serai.shard.replicas import Replica
from serai.telemetry.recorder import Recorder
from serai.testing.simulation.fleet.standbys import Standby
from serai.testing.simulation.trace import Trace

if TYPE_CHECKING:
    from serai.testing.simulation.fleet.rooms import FleetRooms


class ReplicaPool:
    """What `Replicas` uses of a pool."""

    def __init__(self, rooms: FleetRooms, url: str, **_: object) -> None:
        """Keep the parts."""
        self._rooms = rooms
        self.standby = rooms.server.databases.standbys[url]

    async def open(self) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """There is nothing to close."""

    async def arrive(self) -> None:
        """Get there, or fail: at once, or after long."""
        await asyncio.sleep(self._rooms.random.random() * 0.003)
        if not self._rooms.server.wires.reaches(self._rooms.name, self.standby.name):
            await asyncio.sleep(self._rooms.random.choice((0.0, 5.0)))
            raise SeraiError(Code.UNAVAILABLE)
        self.standby.show()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[_Seen]:
        """Yield a connection."""
        await self.arrive()
        yield _Seen(self.standby)


class _Seen:
    def __init__(self, standby: Standby) -> None:
        self._standby = standby

    async def fetchrow(self, *_: object) -> dict[str, int | bool]:
        """Answer a look."""
        return self._standby.seen()


class _Reads:
    """Reads of a replica, each of which takes time on both ways."""

    def __init__(self, pool: ReplicaPool) -> None:
        self._pool = pool
        self._reads = MemoryCopyReads(pool.standby.store)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        read = getattr(self._reads, name)

        async def asked(*args: Any, **named: Any) -> Any:
            await self._pool.arrive()
            found = await read(*args, **named)
            await self._pool.arrive()
            return found

        return asked


def copy_reads(replica: Replica) -> CopyReads:
    """Return what is asked of a replica."""
    return cast("CopyReads", _Reads(cast("ReplicaPool", replica.pool)))


class Told(Recorder):
    """Counts who answered a read."""

    def __init__(self, trace: Trace) -> None:
        """Keep where it is counted."""
        self._trace = trace

    def read_by(self, who: str, waited_seconds: float) -> None:
        """Hear who answered."""
        self._trace.branch(f"read_{who}")
        self._trace.branch("read_waited", who == "replica" and waited_seconds > 0)
