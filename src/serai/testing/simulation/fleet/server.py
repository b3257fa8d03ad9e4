"""The processes of a fleet that serve, and the databases behind them.

Owns two processes with a copy of the placement each, who may be stale in different ways. Promises
what `simulation.server` does, for each of them. Never knows what a request is about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from serai.adapters.memory import MemoryStore
from serai.adapters.memory.store import Organisation
from serai.ports.store import Outcome, PlannedWrite
from serai.testing.simulation.callers import NEIGHBOUR_ORG, ORG
from serai.testing.simulation.fleet.databases import Databases
from serai.testing.simulation.fleet.rooms import FleetRooms
from serai.testing.simulation.fleet.standbys import Database
from serai.testing.simulation.fleet.wires import Wires
from serai.testing.simulation.server import Server, Setting


class FleetServer(Server):
    """The serving side of a fleet.

    Attributes:
        databases: all that is durable.
        wires: who reaches whom.
        lose_bell: the chance of a change of placement not to be heard.
    """

    names = ("api1", "api2")

    def __init__(self, setting: Setting, databases: Databases) -> None:
        """Keep the parts; `start` starts."""
        super().__init__(setting)
        self.databases = databases
        self.wires = Wires(setting.trace)
        self.replicas = bool(databases.standbys)
        self.lose_bell = 0.0
        self._bells: dict[str, FleetRooms] = {}
        self._asides: set[asyncio.Task[Any]] = set()
        databases.directory.rung = self._ring

    def home(self, org_id: int) -> Organisation:
        """Return the durable state of an organisation, where it lives."""
        return self.databases.home(org_id)

    def store(self, org_id: int) -> MemoryStore:
        """Return the store in which it lives."""
        home = self.databases.primary(self.databases.directory.home(org_id))
        # Whoever asks changes something by hand.
        self.loop.call_soon(home.wrote, (org_id,))
        return home.store

    def takes_writes(self, org_id: int) -> bool:
        """Tell whether an organisation can be changed where it lives."""
        home = self.databases.primary(self.databases.directory.home(org_id))
        # One that was lost with a tail is nowhere until it is brought back.
        here = org_id in home.store.organisations
        return here and not home.read_only and super().takes_writes(org_id)

    def restore(self) -> None:
        """Restore each organisation that is not on the move from a copy of this moment."""
        for org_id in (ORG, NEIGHBOUR_ORG):
            selling = self.databases.directory.transferring([org_id])
            if self.takes_writes(org_id) and not selling:
                org = self.home(org_id)
                org.head = replace(org.head, epoch=org.head.epoch + 1)
                self.store(org_id)

    def forget_replies(self, org_id: int) -> bool:
        """Let the replies of mutations be forgotten: days pass on every shard, and no move takes
        them.
        """
        if self.databases.records.under_way([org_id]):
            return False
        for shard in self.databases.directory.shards:
            database = self.databases.primary(shard)
            if org_id in database.store.organisations:
                database.store.forget_replies(org_id, keys=False)
                self.loop.call_soon(database.wrote, (org_id,))
        return True

    def rooms(self, name: str) -> FleetRooms:
        """Return what a process has that starts now."""
        rooms = FleetRooms(self, name, self.random)
        self._bells[name] = rooms
        return rooms

    def took(
        self, database: Database, writes: Sequence[PlannedWrite], outcomes: Sequence[Outcome]
    ) -> None:
        """Note what a database has committed."""
        self.databases.committed(database, writes, outcomes)
        database.wrote({write.org_id for write in writes})
        self.record(writes, outcomes)

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        self.wires.mend()
        self.lose_bell = 0.0
        super().heal()

    def stop(self) -> None:
        """Switch every process off."""
        for process in self._processes.values():
            process.rooms.leave()
        self._processes.clear()

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Close something of a process that is gone."""
        task = asyncio.get_running_loop().create_task(work)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    def _ring(self) -> None:
        """Let each process hear of a change of placement: late, or not at all."""
        self.databases.look()
        for name, rooms in self._bells.items():
            lost = self.random.random() < self.lose_bell
            if lost or not self.wires.reaches(name, "directory"):
                self.trace.fault(name, "lose_placement_bell")
            else:
                self.loop.call_later(self.random.random() * 0.05, rooms.bell.ring)
