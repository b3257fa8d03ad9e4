"""Promotions of a fleet: a replica takes the place of its primary, in the order that ships.

Owns the steps on servers in memory. Promises the order of `serai.app.promotion.in_order`; that a
lost tail is told to the record (`lost`) in the moment in which it is lost. Never decides what is to
be promoted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random

from serai.adapters.memory import MemoryStore
from serai.adapters.memory.store import Organisation
from serai.app.promotion import in_order
from serai.shard.placement import ShardRef
from serai.testing.simulation.fleet.databases import Databases
from serai.testing.simulation.fleet.standbys import Database, Standby
from serai.testing.simulation.fleet.wires import Wires
from serai.testing.simulation.trace import Trace

Lost = Callable[[int, Organisation], None]
"""Is told that of an organisation only this state is left."""


class Promotion:
    """One promotion: the steps of `serai.app.promotion.Steps`."""

    def __init__(
        self, databases: Databases, wires: Wires, trace: Trace, random: Random, lost: Lost
    ) -> None:
        """Keep the parts."""
        self._databases, self._wires, self._trace = databases, wires, trace
        self._random, self._lost = random, lost
        self._ref: ShardRef
        self._old: Database
        self._new: Standby
        self._planned = self._sure = False

    def begin(self, shard: int, *, planned: bool) -> bool:
        """Choose a replica; lose the primary, unless it is `planned`. False, and nothing happens,
        if an organisation would be lost that has just come: see decision 31.
        """
        self._ref = self._databases.directory.shards[shard]
        self._old = self._databases.servers[self._ref.url]
        self._planned = planned
        names = [each.url for each in self._ref.replicas]
        standbys = [self._databases.standbys[name] for name in names]
        for each in standbys:
            each.receive()
        self._new = max(standbys, key=lambda each: each.received)
        if not planned and not self._old.synchronous and self._comes(shard):
            return False
        if not planned:
            self._wires.lost(self._old.name)
            self._old.read_only = True
        return True

    def _comes(self, shard: int) -> bool:
        """Tell whether an organisation comes here, or has come and the replica lacks it."""
        directory = self._databases.directory
        if any(move.under_way and move.target == shard for move in directory.moves):
            return True
        shown = {org: state for _, org, state in self._old.written[: self._new.received] if state}
        return any(
            org.head.state == "active"
            and directory.home(org_id) == shard
            and (org_id not in shown or shown[org_id].head.state == "moved")
            for org_id, org in self._old.store.organisations.items()
        )

    async def run(self, *, synchronous: bool) -> None:
        """Do it."""
        self._sure = self._planned or synchronous
        await in_order(self, synchronous=synchronous)

    async def fence(self) -> str | None:
        """See `Steps`."""
        await self._time()
        if not self._planned:
            return None
        self._old.read_only = True
        return str(len(self._old.written))

    async def catch_up(self, reached: str) -> None:
        """See `Steps`."""
        while self._new.received < int(reached):
            self._new.receive()
            await self._time()

    async def promote(self) -> None:
        """See `Steps`."""
        await self._time()
        new = self._new
        new.show(everything=True)
        new.follows = False
        for org_id, org in self._old.store.organisations.items():
            found = new.store.organisations.get(org_id)
            home = self._databases.primary(self._databases.directory.home(org_id))
            if home is self._old and found is not None and not self._sure:
                self._trace.branch("tail_lost", found != org)
                self._lost(org_id, found)
        store = MemoryStore(self._databases.vertical, self._databases.clock)
        store.organisations = {o: each.copied() for o, each in new.store.organisations.items()}
        self._databases.servers[new.name] = Database(new.name, store, self._old.now)

    async def raise_epochs(self) -> int:
        """See `Steps`."""
        await self._time()
        found = self._server.store.organisations
        for org in found.values():
            org.head = replace(org.head, epoch=org.head.epoch + 1)
        return len(found)

    async def settle_moves(self) -> None:
        """See `serai.app.promotion_moves`."""
        await self._time()
        directory, shard = self._databases.directory, self._ref.id
        moving = self._databases.records.seize(shard)
        for org_id, org in self._server.store.organisations.items():
            if org.head.state == "moved":
                continue
            if directory.home(org_id) != shard:
                state = "frozen" if org_id in moving else "moved"
                org.head = replace(org.head, state=state)
            elif org.head.state == "frozen" and org_id not in moving:
                org.head = replace(org.head, state="active")

    async def name(self) -> None:
        """See `Steps`."""
        await self._time()
        ref = self._ref
        self._databases.directory.change_shard(ShardRef(ref.id, ref.name, self._new.name))
        self._trace.note(self._new.name, f"is {ref.name} now")

    @property
    def _server(self) -> Database:
        return self._databases.servers[self._new.name]

    async def _time(self) -> None:
        await asyncio.sleep(self._random.random() * 0.3)
