"""The shards of a fleet: the servers that hold organisations, and the promise of one home (I12).

Owns their durable state, and the directory's. Promises that after each step of whoever changes them
it is judged that at most one home takes writes, that the states of a move are in its table, and
that a write was committed where its organisation lives. Never asks the code under test which
home is right: the directory's record says it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import msgspec

from serai.adapters.memory import MemoryStore
from serai.adapters.memory.directory import MemoryDirectory, MemoryRecords
from serai.adapters.memory.kept import KeptTransfer
from serai.adapters.memory.store import Organisation
from serai.app.transfer.states import Step, Writes
from serai.app.transfer.states import writes as transfer_writes
from serai.model import Vertical
from serai.ports.store import Committed, Outcome, PlannedWrite
from serai.readers.move import writes
from serai.shard.placement import ReplicaRef, ShardRef
from serai.testing.simulation.fleet.standbys import Database, Standby
from serai.testing.simulation.loop import VirtualClock
from serai.testing.simulation.trace import Trace

_PLACE: Final = "property_id"
_MOVES: Final = (
    *("rows", "gone", "left", "departures", "replies", "devices", "past", "refusals", "audit"),
)


def _last_changes(org: Organisation) -> dict[tuple[int, UUID], str]:
    """Return what the log says last of each row; what is folded at one home need not be at the
    other.
    """
    last = {(each.collection, each.id): each.change for each in org.log}
    # By the version of the write: what is folded stands at a later one.
    written = msgspec.json.Decoder(_Written)
    return {
        row: change
        for row, change in last.items()
        if written.decode(change).version > org.head.floor
    }


class _Written(msgspec.Struct):
    """What is needed of a change."""

    version: int


def _ref(number: int, replicas: int) -> ShardRef:
    """Return a shard as the directory names it: its servers' names are their URLs."""
    names = [f"s{number}r{n}" for n in range(1, replicas + 1)]
    copies = tuple(ReplicaRef(name, name) for name in names)
    return ShardRef(number, f"s{number}", f"s{number}", copies)


class Databases:
    """All durable state of a fleet.

    Args:
        size: how many shards, and replicas of each.
        orgs: organisations; all begin on the first shard.
        now: the directory's clock.

    Attributes:
        servers: by URL; standbys: replicas, by URL.
        directory: placement and moves; `records` is its record of moves.
        arrivals: of each organisation that moved, version and length of its audit record then.
    """

    def __init__(
        self,
        vertical: Vertical,
        clock: VirtualClock,
        trace: Trace,
        *,
        size: tuple[int, int],
        orgs: Sequence[int],
        now: Callable[[], float],
        lease_seconds: float,
    ) -> None:
        """Make them, empty."""
        self._trace = trace
        self.lease_seconds = lease_seconds
        self.vertical, self.clock = vertical, clock
        self._homes = dict.fromkeys(orgs, 1)
        self.arrivals: dict[int, tuple[int, int]] = {}
        shards, replicas = size
        refs = [_ref(n, replicas) for n in range(1, shards + 1)]
        self.servers = {
            ref.url: Database(ref.url, MemoryStore(vertical, clock), now) for ref in refs
        }
        self.standbys = {
            each.url: Standby(each.url, self.servers[ref.url], vertical, clock)
            for ref in refs
            for each in ref.replicas
        }
        self.directory = MemoryDirectory(refs, [(1, 1_000, 1)], now)
        self.records = MemoryRecords(self.directory, lease_seconds=lease_seconds)

    def primary(self, shard: int) -> Database:
        """Return the server that takes a shard's writes, as the directory says."""
        return self.servers[self.directory.shards[shard].url]

    def home(self, org_id: int) -> Organisation:
        """Return an organisation's state, where it lives."""
        return self.primary(self.directory.home(org_id)).store.organisations[org_id]

    def committed(
        self, database: Database, planned: Sequence[PlannedWrite], outcomes: Sequence[Outcome]
    ) -> None:
        """Judge where writes were committed."""
        for write, outcome in zip(planned, outcomes, strict=True):
            home = self.primary(self.directory.home(write.org_id))
            self._trace.require(
                not isinstance(outcome, Committed) or home is database,
                f"I12: {database.name} took a write of {write.org_id}, which lives at {home.name}",
            )
            if isinstance(outcome, Committed) and write.author.via != "transfer":
                for scope in {op.scope for op in write.ops}:
                    self._owned(write.org_id, scope)

    def _owned(self, org_id: int, scope: UUID) -> None:
        """Judge that a write to a property came to the one organisation that may write to it."""
        found = [each for each in self.directory.transfers if each.property_id == scope]
        if not found or org_id not in (found[0].from_org, found[0].to_org):
            return
        may: int | None = self._owner(scope)
        last = found[-1]
        if last.under_way and last.from_org == may:
            who = transfer_writes(Step(last.step), *self._sides(last))
            may = {Writes.GIVER: may, Writes.TAKER: last.to_org}.get(who)
        told = f"I12: {org_id} took a write to property {scope.int}, which {may} may write to"
        self._trace.require(org_id == may, told)

    def _owner(self, scope: UUID) -> int:
        """Return whose a property is, by the transfers that have ended."""
        found = [each for each in self.directory.transfers if each.property_id == scope]
        over = [each for each in found if each.step == "done"]
        return over[-1].to_org if over else found[0].from_org

    def _sides(self, transfer: KeptTransfer) -> tuple[bool, str]:
        """Return whether the giver holds the property, and the taker's state."""
        giver, taker = self.home(transfer.from_org), self.home(transfer.to_org)
        return giver.held == transfer.property_id, shown(taker)

    def arrived(self, org_id: int, scope: UUID) -> None:
        """Judge that a property arrived as it left: nothing of it was lost or made on the way."""
        rows = [self._property(org, scope) for org in (self._owner(scope), org_id)]
        self._trace.branch("property_arrived")
        self._trace.require(
            rows[0] == rows[1], f"I3: property {scope.int} arrived at {org_id} with other rows"
        )

    def _property(self, org_id: int, scope: UUID) -> dict[tuple[int, UUID], dict[str, Any]]:
        """Return what an organisation has of a property, but for what leads out of it."""
        found: dict[tuple[int, UUID], dict[str, Any]] = {}
        for (number, row_id), row in self.home(org_id).rows.items():
            if row.scope == scope:
                fields = self.vertical.by_number[number].fields
                doc = msgspec.json.decode(row.doc)
                wide = [n for n, f in fields.items() if f.target is not None and n != _PLACE]
                found[number, row_id] = {n: v for n, v in doc.items() if n not in wide}
        return found

    def settle(self, org_id: int, shard: int) -> None:
        """Let an organisation that is not there yet live on a shard."""
        self.directory.place(org_id, shard)
        self._homes[org_id] = shard

    def under_way(self) -> bool:
        """Tell whether a move or a transfer has no end yet."""
        transfers = any(each.under_way for each in self.directory.transfers)
        return transfers or bool(self.records.under_way())

    def look(self) -> None:
        """Judge that each organisation has one home."""
        for org_id in self._homes:
            states = {shard: self._state(shard, org_id) for shard in sorted(self.directory.shards)}
            active = [shard for shard, state in states.items() if state == "active"]
            self._trace.require(len(active) <= 1, f"I12: {org_id} takes writes at shards {active}")
            home = self.directory.home(org_id)
            if home != self._homes[org_id]:
                last = self.directory.last_flip(org_id)
                if last is not None and last.returns:
                    self._trace.branch("brought_back")
                else:
                    self._arrived(org_id, self._homes[org_id], home)
                self._homes[org_id] = home
            moves = [move for move in self.directory.moves if move.org_id == org_id]
            # What a transfer does to an organisation says nothing about a move that has ended.
            if moves and not self.directory.transferring([org_id]):
                # One that returns a second time is older than the move that this ended.
                last = next((move for move in moves if move.under_way), moves[-1])
                at = (str(last.step), states[last.source], states[last.target])
                try:
                    writes(last.step, *at[1:])
                except ValueError as error:
                    self._trace.require(promise=False, message=f"I12: {org_id}: {error}")

        for transfer in self.directory.transfers:
            if transfer.under_way:
                try:
                    transfer_writes(Step(transfer.step), *self._sides(transfer))
                except ValueError as error:
                    self._trace.require(promise=False, message=f"I12: {error}")

    def _arrived(self, org_id: int, source: int, target: int) -> None:
        """Judge that nothing was lost or doubled on the way: both hold the same when the directory
        names the new home.
        """
        here = self.primary(source).store.organisations[org_id]
        there = self.primary(target).store.organisations[org_id]
        differ = [name for name in _MOVES if getattr(here, name) != getattr(there, name)]
        if replace(here.head, state="") != replace(there.head, state=""):
            differ.append("head")
        if _last_changes(here) != _last_changes(there):
            differ.append("log")
        self._trace.branch("arrived")
        self.arrivals[org_id] = (there.head.version, len(there.audit))
        self._trace.require(not differ, f"I12: {org_id} arrived at s{target} with other {differ}")

    def settled(self) -> None:
        """Judge that nothing is under way, and that each organisation is active at its home."""
        left = self.records.under_way()
        self._trace.require(not left, f"I12: moves without an end: {left}")
        open_ = [each for each in self.directory.transfers if each.under_way]
        self._trace.require(not open_, f"I12: transfers without an end: {open_}")
        for scope in {each.property_id for each in self.directory.transfers}:
            owner = self._owner(scope)
            both = {o for e in self.directory.transfers for o in (e.from_org, e.to_org)}
            for other in sorted(both - {owner}):
                told = f"I12: property {scope.int} is {owner}'s, and {other} has rows of it"
                self._trace.require(not self._property(other, scope), told)
        for org_id in self._homes:
            state = self.home(org_id).head.state
            self._trace.require(state == "active", f"I12: {org_id} is {state} where it lives")
        self.look()

    def _state(self, shard: int, org_id: int) -> str:
        found = self.primary(shard).store.organisations.get(org_id)
        return "absent" if found is None else shown(found)


def shown(org: Organisation) -> str:
    """Return the state of an organisation, as far as moves and transfers made it."""
    return "active" if org.restoring else org.head.state
