"""Sellers of a fleet: the run of transfers that ships.

Owns what a transfer is given. Promises that the order of steps, signs of life, taking over and
undoing are those of `serai.app.transfer`. Never transfers anything itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any, Final, cast

import psycopg

from serai.app.shard_facts import ShardError
from serai.app.transfer.ports import TransferRecords, TransferShard
from serai.app.transfer.reasons import Untransferable
from serai.app.transfer.records import Claim
from serai.app.transfer.running import Asked, Runner
from serai.readers.move import LostTurn
from serai.testing.simulation.coverage import SELLING
from serai.testing.simulation.fleet.commands import Command, Wired
from serai.testing.simulation.fleet.databases import Databases
from serai.testing.simulation.fleet.standbys import Database
from serai.testing.simulation.fleet.transfer_records import MemoryTransfers
from serai.testing.simulation.fleet.transfer_shard import MemoryShard, Told
from serai.testing.simulation.fleet.weather import FleetWeather
from serai.testing.simulation.fleet.wires import Wires
from serai.testing.simulation.trace import Trace

_CHANGES: Final = frozenset({"claim", "hold", "departed"})
_DOOMED: Final = 0.6
_LAST: Final = frozenset({"turn", "arrived"})
"""Statements that lock the organisation's row: nobody sees a moment between them and the end of
their transaction."""


class Seller(Command):
    """One process that transfers properties."""

    kind = "seller"
    looking = frozenset(
        {"claim", "take_over", "standing", "count", "rows_of", "buried", "referred", "page"}
        | {"out_of_place", "into_place", "grants", "step"}
    )
    deciding = frozenset({"advance_decided", "arrived", "departed"})

    def __init__(
        self,
        name: str,
        databases: Databases,
        wires: Wires,
        trace: Trace,
        random: Random,
        weather: FleetWeather,
        told: Callable[[Database], Told],
    ) -> None:
        """Start nothing yet. `told`: hears what changes in a database."""
        super().__init__(name, databases, wires, trace, random, weather)
        self._runner = Runner(self, databases.vertical, name)
        self.told = told
        if weather.mover_killed and random.random() < _DOOMED:
            self.doom = random.choice(SELLING)

    def start(self, asked: Asked | None) -> None:
        """Transfer a property, as `serai org transfer` does; None: end what others left, as its
        `--resume`.
        """
        self.run(self._do(asked))

    async def _do(self, asked: Asked | None) -> None:
        try:
            if asked is None:
                await self._resume()
            else:
                await self._runner.transfer(asked)
                self.trace.branch("transfer_done")
        except ShardError:
            self.trace.branch("transfer_busy")
        except Untransferable as error:
            self.trace.note(self.name, f"is refused: {error}")
            self.trace.branch("transfer_refused")
        except LostTurn:
            self.trace.branch("transfer_turn_lost")
        except psycopg.Error as error:
            self.trace.note(self.name, f"fails: {error}")
            self.trace.branch("transfer_failed")

    async def _resume(self) -> None:
        ended = await self._runner.end_stale()
        self.trace.note(self.name, f"ends: {ended}")
        self.trace.branch("transfer_finished", bool(ended.finished))
        self.trace.branch("transfer_undone", bool(ended.undone))
        self.trace.branch("transfer_stuck", bool(ended.stuck))

    # ------------------------------------------------------------ the hands of the run

    async def refresh(self) -> None:
        """See `serai.app.transfer.ports.Hands`: `reach` reads what the directory says then."""
        await asyncio.sleep(0)

    @contextmanager
    def records(self) -> Generator[TransferRecords]:
        """See `serai.app.transfer.ports.Hands`."""
        yield self.directory()

    def directory(self) -> TransferRecords:
        """Return the record of transfers, over a wire."""
        lease = self.databases.lease_seconds
        kept = MemoryTransfers(self.databases.directory, lease_seconds=lease)
        return cast("TransferRecords", Wired(kept, self.reach_to))

    def reach(self, claim: Claim) -> Ways:
        """See `serai.app.transfer.ports.Hands`."""
        homes = (self.databases.directory.home(org) for org in (claim.from_org, claim.to_org))
        giver, taker = (self.databases.primary(home) for home in homes)
        return Ways(self, giver, taker)


class Ways:
    """See `serai.app.transfer.ports.TransferReach`: three connections over wires."""

    def __init__(self, seller: Seller, giver: Database, taker: Database) -> None:
        """Connect when it is asked for."""
        self._seller = seller
        self._ends = {"giver": giver, "taker": taker}
        self._open: dict[str, MemoryShard] = {}

    @property
    def records(self) -> TransferRecords:
        """The record of transfers."""
        return self._seller.directory()

    @property
    def giver(self) -> TransferShard:
        """The shard of the organisation that the property leaves."""
        return self._shard("giver")

    @property
    def taker(self) -> TransferShard:
        """The shard of the organisation that gets it."""
        return self._shard("taker")

    def close(self) -> None:
        """End the sessions."""
        for each in self._open.values():
            each.end()

    def _shard(self, end: str) -> TransferShard:
        database, session = self._ends[end], self._open.get(end)
        if session is None or session.broken:
            told = self._seller.told(database)
            session = self._open[end] = MemoryShard(database.store, database.arrivals, told)
        return cast("TransferShard", WiredShard(session, self._seller, database))


class WiredShard:
    """A session of a shard over a wire."""

    def __init__(self, inner: MemoryShard, seller: Seller, end: Database) -> None:
        """Keep the parts."""
        self._inner, self._seller, self._end = inner, seller, end

    def query(self, name: str, /, **given: Any) -> list[tuple[Any, ...]]:
        """Run a statement."""
        return self._sent(name, given["org"], lambda: self._inner.query(name, **given))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a call that only reads."""
        call = getattr(self._inner, name)

        def called(org_id: int, *args: Any, **named: Any) -> Any:
            return self._sent(name, org_id, lambda: call(org_id, *args, **named))

        return called

    def commit(self, now: str, write: Any) -> str:
        """Write, within a transaction that has the row."""
        outcome = self._inner.commit(now, write)
        self._end.wrote((write.org_id,))
        return outcome

    def change(self, org_id: int, term: int, before: str, after: str) -> None:
        """Change a state."""
        change = partial(self._inner.change, org_id, term, before, after)
        self._sent(f"change {after}", org_id, change, wrote=True)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Begin a transaction; its end may be carried out without an answer."""
        with self._inner.transaction():
            yield
            self._end.check()
        if self._inner.arrived_at is not None:
            self._end.wrote((self._inner.arrived_at,))
        self._seller.reach_to(self._end.name, "commit", "after")

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Hold one moment."""
        self._end.check()
        with self._inner.snapshot():
            yield

    def _sent(self, what: str, org_id: int, call: Callable[[], Any], *, wrote: bool = False) -> Any:
        reach = self._seller.reach_to
        reach(self._end.name, what, "before")
        self._end.check()
        found = call()
        if wrote or what in _CHANGES:
            self._end.wrote((org_id,))
        if what not in _LAST:
            reach(self._end.name, what, "after")
        return found
