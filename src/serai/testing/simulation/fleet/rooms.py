"""What a process of a fleet has between its requests and the shards: the code that ships.

Owns the wiring of one life of one process: its copy of the placement, homes, breakers and write
paths, as `serai.app.runtime` does it. Promises that all of it is lost with the process, and that
every call to a database goes over a wire that may be cut. Never decides where anything lives.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from uuid import UUID

from serai.app.homes import Homes
from serai.core.errors import Code, SeraiError
from serai.log.coalesce import Coalescer
from serai.log.copies import Copies
from serai.log.departures import Asked
from serai.ports.life import LifeStore
from serai.ports.store import Outcome, PlannedWrite, Store
from serai.shard.directory import POLL_SECONDS_DEFAULT, Directory
from serai.shard.doorbell import Doorbell
from serai.shard.follow import CHANNEL, Follower, load_placement
from serai.shard.guard import ShardGuard
from serai.shard.placement import ShardRef
from serai.shard.replicas import Replicas
from serai.testing.simulation.fleet.copies import ReplicaPool, Told, copy_reads
from serai.testing.simulation.fleet.directory import DirectoryPool
from serai.testing.simulation.fleet.logs import WrittenLogs
from serai.testing.simulation.fleet.standbys import Database
from serai.testing.simulation.store import ShardConnection
from serai.testing.simulation.weather import Weather

if TYPE_CHECKING:
    from serai.app.runtime import Shard
    from serai.shard.pools import PinnedPool
    from serai.testing.simulation.fleet.server import FleetServer

T = TypeVar("T")
_HANG_SECONDS_MAX: Final = 20.0
_AGAIN_SECONDS: Final = 0.5


class FleetConnection(ShardConnection):
    """A process's way to a database of the fleet: over a wire, and through a pool that its guard
    may suspend.
    """

    def __init__(self, rooms: FleetRooms, database: Database) -> None:
        """Connect."""
        fleet = rooms.server
        super().__init__(database.store, fleet.trace, rooms.random, partial(fleet.took, database))
        self._rooms, self._name = rooms, database.name
        self.database = database
        self._broken = asyncio.Event()
        self.weather = rooms.weather
        self.die = rooms.die

    async def pause(self, where: str = "read") -> None:
        """Let time pass; the wire may be cut, which is an error now or none for long."""
        await super().pause(where)
        await self.arrive()
        if self.gone:
            raise asyncio.CancelledError

    async def _taken(self, writes: Sequence[PlannedWrite]) -> list[Outcome]:
        # A server that was fenced off takes none.
        if self.database.read_only:
            raise SeraiError(Code.UNAVAILABLE, retry_after_seconds=1)
        return await super()._taken(writes)

    async def arrive(self) -> None:
        """Get through, or fail. A pool of a primary has no connection to one that was fenced off
        (`serai.shard.connection.connect_primary`).
        """
        if self.database.read_only:
            self._trace.branch("fenced_off")
            raise SeraiError(Code.UNAVAILABLE, retry_after_seconds=1)
        wires = self._rooms.server.wires
        if not wires.reaches(self._rooms.name, self._name) and self._rooms.random.random() < 0.5:
            self._trace.branch("call_hangs")
            # Then the other end has given the connection up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HANG_SECONDS_MAX):
                    await self._broken.wait()
        if self._broken.is_set() or not wires.reaches(self._rooms.name, self._name):
            raise SeraiError(Code.UNAVAILABLE, retry_after_seconds=1)

    async def departed(self, asked: Sequence[Asked]) -> Mapping[int, Code]:
        """See `serai.log.departures`."""
        await self.pause()
        return await self._store.departed(asked)

    # What a guard and its probe use of a pool

    def suspend(self) -> None:
        """Break what hangs, and let nothing through."""
        self._trace.branch("breaker_opens")
        self._broken.set()

    def resume(self) -> None:
        """Let through again."""
        self._trace.branch("breaker_closes")
        self._broken.clear()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[_Asked]:
        """Yield a connection."""
        await self.arrive()
        yield _Asked(self.database)

    async def probe(self) -> None:
        """Ask the shard over a connection of its own."""
        wires = self._rooms.server.wires
        if self.gone:
            raise asyncio.CancelledError
        if self.database.read_only or not wires.reaches(self._rooms.name, self._name):
            raise SeraiError(Code.UNAVAILABLE)


class _Asked:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def execute(self, _: str) -> str:
        return "SELECT 1"

    async def fetchrow(self, *_: object) -> dict[str, int]:
        """Beat."""
        return self._database.beat()


@dataclass(frozen=True, slots=True)
class Opened:
    """A shard as a process has opened it; what `Homes` uses of `serai.app.runtime.Shard`."""

    ref: ShardRef
    store: FleetConnection
    coalescer: Coalescer
    guard: ShardGuard
    copies: Copies


class _Roles:
    """Where grants are read: at home."""

    def __init__(self, rooms: FleetRooms) -> None:
        self._rooms = rooms

    async def grants(self, org_id: int, user_id: UUID) -> tuple[int, list[tuple[str, UUID | None]]]:
        """See `Homes.grants`."""
        return await self._rooms.homes.grants(org_id, user_id)


class FleetRooms:
    """The rooms of one life of one process. `homes` is there when it is `ready`."""

    def __init__(self, server: FleetServer, name: str, random: Random) -> None:
        """Begin to start."""
        self.server = server
        self.name = name
        self.random = random
        self.weather = server.weather
        self.grants = _Roles(self)
        self.bell = Doorbell(_never, CHANNEL)
        self._gone = False
        self._opened: dict[int, Opened] = {}
        self._directory: Directory | None = None
        self._pool = DirectoryPool(server.databases.directory, self._to_directory)
        self._starting = asyncio.get_running_loop().create_task(self._start())

    @property
    def ready(self) -> bool:
        """Whether it has read the placement."""
        return self._directory is not None

    async def _start(self) -> None:
        pool = cast("PinnedPool", self._pool)
        while True:
            try:
                async with pool.connection() as c:
                    placement = await load_placement(c, None)
                break
            except SeraiError:
                self.server.trace.branch("start_waits")
                await asyncio.sleep(_AGAIN_SECONDS)
        follower = Follower(pool, None, placement, self.bell)
        follower.start(POLL_SECONDS_DEFAULT, listen=False)
        self._directory = Directory(pool, follower)
        self.homes = Homes(
            self._directory, cast("Callable[[ShardRef], Awaitable[Shard]]", self._open)
        )

    async def _to_directory(self) -> None:
        await asyncio.sleep(self.random.random() * 0.005)
        if self._gone:
            raise asyncio.CancelledError
        if not self.server.wires.reaches(self.name, "directory"):
            self.server.trace.branch("directory_away")
            raise SeraiError(Code.UNAVAILABLE, retry_after_seconds=1)

    async def at_home(
        self,
        org_id: int,
        work: Callable[[Store, Coalescer], Awaitable[T]],
        *,
        verified: bool = False,
    ) -> T:
        """See `serai.app.homes`."""
        return await self.homes.at_home(org_id, work, verified=verified)

    async def _open(self, ref: ShardRef) -> Opened:
        """Return a shard, opened once, as `serai.app.runtime.Runtime.shard` does."""
        known = self._opened.get(ref.id)
        if known is not None and known.ref == ref:
            return known
        if known is not None and replace(ref, replicas=()) == replace(known.ref, replicas=()):
            known.copies.replicas.follow(ref.replicas)
            self._opened[ref.id] = replace(known, ref=ref)
            return self._opened[ref.id]
        database = self.server.databases.servers[ref.url]
        connection = FleetConnection(self, database)
        coalescer = Coalescer(
            connection,
            self.server.vertical,
            clock=self.server.clock,
            writes_max=self.weather.writes,
        )
        coalescer.departed = connection.departed
        pool = cast("PinnedPool", connection)
        guard = ShardGuard(ref.name, pool, connection.probe)
        guard.start()
        made = cast("Callable[..., PinnedPool]", partial(ReplicaPool, self))
        replicas = Replicas(pool, 1, opened=made)
        replicas.follow(ref.replicas)
        told = Told(self.server.trace)
        copies = Copies(replicas, self.server.vertical, told, reads=copy_reads)
        self._opened[ref.id] = Opened(ref, connection, coalescer, guard, copies)
        if known is not None:
            self._closed(known)
        return self._opened[ref.id]

    async def copies_for(self, org_id: int) -> Copies:
        """Reads of the replicas of an organisation's shard."""
        assert self._directory is not None, "it is ready"
        return (await self._open(self._directory.resolve(org_id))).copies

    def logs(self) -> LifeStore:
        """The logs of any shard."""
        shard = self.random.choice(sorted(self.server.databases.directory.shards))
        database = self.server.databases.primary(shard)
        return cast("LifeStore", WrittenLogs(FleetConnection(self, database), database))

    def worsen(self, weather: Weather) -> None:
        """See `Rooms`."""
        self.weather = weather
        for each in self._opened.values():
            each.store.weather = weather

    def die(self, where: str) -> None:
        """Die at a call."""
        self.server.die(where, self.name)

    def leave(self) -> None:
        """See `Rooms`."""
        self._gone = True
        self._starting.cancel()
        for each in self._opened.values():
            each.store.gone = True
            self._closed(each)
        if self._directory is not None:
            self.server.aside(self._directory.close())

    def _closed(self, opened: Opened) -> None:
        self.server.aside(opened.guard.close())
        self.server.aside(opened.copies.replicas.close())


async def _never() -> Any:
    """The doorbell rings without a connection here."""
    raise SeraiError(Code.UNAVAILABLE)
