"""What a process of a run has of its own between its requests and the stores.

Owns the form, and the rooms of a process that has one shard. Promises that all of it is lost with
the process. Never decides when that is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, cast

from serai.adapters.memory import MemoryStore
from serai.gate.grants import GrantSource
from serai.http.services import AtHome
from serai.log.coalesce import Coalescer
from serai.log.copies import Copies
from serai.ports.life import LifeStore
from serai.ports.store import Store
from serai.testing.simulation.store import KeptLogs, ShardConnection
from serai.testing.simulation.weather import Weather

T = TypeVar("T")


class Rooms(Protocol):
    """What a process has of its own between the requests and the stores; it is lost with it."""

    @property
    def grants(self) -> GrantSource:
        """Where grants are read."""
        ...

    @property
    def at_home(self) -> AtHome:
        """Runs work at an organisation's home."""
        ...

    @property
    def copies_for(self) -> Callable[[int], Awaitable[Copies]] | None:
        """Reads of replicas."""
        ...

    @property
    def ready(self) -> bool:
        """Whether it can serve."""
        ...

    def logs(self) -> LifeStore:
        """The logs of one shard, for upkeep."""
        ...

    def worsen(self, weather: Weather) -> None:
        """From now on these faults happen."""
        ...

    def leave(self) -> None:
        """The process has died: change nothing any more."""
        ...


class OneShard:
    """The rooms of a process that has one shard and no directory."""

    copies_for = None
    ready = True

    def __init__(self, connection: ShardConnection, store: MemoryStore, writes: Coalescer) -> None:
        """Keep the parts."""
        self.grants = self._connection = connection
        self._store = store
        self._coalescer = writes

    async def at_home(
        self,
        org_id: int,  # noqa: ARG002 - all live in one place
        work: Callable[[Store, Coalescer], Awaitable[T]],
        *,
        verified: bool = False,  # noqa: ARG002 - nobody moves here
    ) -> T:
        """Run work."""
        return await work(self._connection, self._coalescer)

    def logs(self) -> LifeStore:
        """See `Rooms`."""
        return cast("LifeStore", KeptLogs(self._connection, self._store.lives))

    def worsen(self, weather: Weather) -> None:
        """See `Rooms`."""
        self._connection.weather = weather

    def leave(self) -> None:
        """See `Rooms`."""
        self._connection.gone = True
