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
from serai.adapters.memory.kept import KeptMove
from serai.adapters.memory.store import Organisation
from serai.app import promotion_moves
from serai.app.promotion import in_order
from serai.app.promotion_moves import Placed, Row
from serai.ports.store import Head
from serai.shard.placement import ShardRef
from serai.testing.simulation.fleet.databases import Databases
from serai.testing.simulation.fleet.standbys import Database, Standby
from serai.testing.simulation.fleet.wires import Wires
from serai.testing.simulation.trace import Trace

Lost = Callable[[int, Organisation], None]
"""Is told that of an organisation only this state is left."""


class Promotion:
    """One promotion: the steps of `serai.app.promotion.Steps`.

    Attributes:
        returning: organisations that the new primary has lost and that a kept copy is opened of.
    """

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
        self.returning: list[int] = []

    def begin(self, shard: int, *, planned: bool) -> bool:
        """Choose a replica; lose the primary, unless it is `planned`. False, and nothing happens,
        if an organisation would be lost of which nobody has a copy: see decision 31.
        """
        self._ref = self._databases.directory.shards[shard]
        self._old = self._databases.servers[self._ref.url]
        self._planned = planned
        names = [each.url for each in self._ref.replicas]
        standbys = [self._databases.standbys[name] for name in names]
        for each in standbys:
            each.receive()
        self._new = max(standbys, key=lambda each: each.received)
        if not planned and not self._old.synchronous and self._nothing_left():
            return False
        if not planned:
            self._wires.lost(self._old.name)
            self._old.read_only = True
        return True

    def _nothing_left(self) -> bool:
        """Tell whether an organisation that lives here would be nowhere."""
        shown = {o: state for _, o, state in self._old.written[: self._new.received] if state}
        kept = {org_id: self._kept(org_id, shown.get(org_id)) for org_id in self._here()}
        return any(each is None or each.partial for each in kept.values())

    def _here(self) -> list[int]:
        """Return the organisations that live on the shard."""
        directory = self._databases.directory
        known = self._old.store.organisations
        return [org_id for org_id in known if directory.home(org_id) == self._ref.id]

    def _kept(self, org_id: int, here: Organisation | None) -> Organisation | None:
        """Return what is left of an organisation if the new primary has `here`: that, unless it is
        older than what arrived; then what its old home keeps.
        """
        last = self._databases.directory.last_flip(org_id)
        if last is None or last.returns:
            return here
        if here is not None and here.head.state != "moved" and not here.partial:
            stood = (here.head.version, len(here.audit))
            return here if stood >= self._databases.arrivals[org_id] else self._old_copy(last)
        return self._old_copy(last)

    def _old_copy(self, move: KeptMove) -> Organisation | None:
        source = self._databases.primary(move.source).store
        return source.organisations.get(move.org_id)

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
        for org_id in self._here() if not self._sure else ():
            found = new.store.organisations.get(org_id)
            kept = self._kept(org_id, found)
            assert kept is not None, "a loss of all copies does not begin"
            self._trace.branch("tail_lost", kept != self._old.store.organisations[org_id])
            self._trace.branch("arrival_lost", kept is not found)
            self._lost(org_id, kept)
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
        self._settle_lost()
        for org_id, org in self._server.store.organisations.items():
            if org.head.state == "moved":
                continue
            if directory.home(org_id) != shard:
                state = "frozen" if org_id in moving else "moved"
                org.head = replace(org.head, state=state)
            elif org.head.state == "frozen" and org_id not in moving:
                org.head = replace(org.head, state="active")

    def _settle_lost(self) -> None:
        """Find what should be here and is not, by the verdicts that ship."""
        known = self._server.store.organisations
        for org_id in self._here():
            last, org = self._databases.directory.last_flip(org_id), known.get(org_id)
            placed = Placed(org_id, "", 0, kept=False, returns=False, came_from=None)
            if last is not None:
                since, kept = last.first_term, not last.swept
                placed = Placed(org_id, "", since, kept, last.returns, last.source)
            row = None if org is None else Row(org.head.state, org.term, org.partial)
            if promotion_moves.judged(placed, row) is promotion_moves.Verdict.LOST:
                self.returning.append(org_id)
                if org is None:
                    org = known[org_id] = Organisation(Head(1, 0, 0, 0, "moved"), partial=True)
                org.head = replace(org.head, state="moved")

    async def name(self) -> None:
        """See `Steps`."""
        await self._time()
        ref, records = self._ref, self._databases.records
        with self._databases.directory.together():
            records.give_back(self.returning, ref.id, actor="operator")
            self._databases.directory.change_shard(ShardRef(ref.id, ref.name, self._new.name))
        self._trace.note(self._new.name, f"is {ref.name} now")

    @property
    def _server(self) -> Database:
        return self._databases.servers[self._new.name]

    async def _time(self) -> None:
        await asyncio.sleep(self._random.random() * 0.3)
