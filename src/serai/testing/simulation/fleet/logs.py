"""Upkeep of a shard that may have replicas.

Owns that what upkeep writes goes to them, and that a server which was fenced off takes none of it.
Never decides what is due.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from serai.core.errors import Code, SeraiError
from serai.testing.simulation.fleet.standbys import Database
from serai.testing.simulation.store import KeptLogs, ShardConnection


class WrittenLogs(KeptLogs):
    """Upkeep of a shard that may have replicas."""

    def __init__(self, connection: ShardConnection, database: Database) -> None:
        """Go by the connection of a process."""
        super().__init__(connection, database.store.lives)
        self._database = database

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """Return a step of `LifeStore`."""
        step = super().__getattr__(name)

        async def taken(*args: Any, **named: Any) -> Any:
            if self._database.read_only:
                raise SeraiError(Code.UNAVAILABLE, retry_after_seconds=1)
            try:
                return await step(*args, **named)
            finally:
                self._database.wrote(args[:1])

        return taken
