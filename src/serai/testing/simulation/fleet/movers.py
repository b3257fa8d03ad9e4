"""Movers of a fleet: the run of moves that ships.

Owns what a mover is given. Promises that order, halving, signs of life, taking over and undoing are
those of `serai.app.move_run` and `serai.readers.move`. Never moves anything itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Final, cast

from serai.adapters.memory.moves import MemoryEnd, MemorySource, MemoryTarget
from serai.app.move_run import MoveOptions, MoveReport, MoveRun
from serai.readers.move.link import Mark
from serai.readers.move.ports import MoveEnd, MoveRecords, MoveSource, MoveTarget
from serai.testing.simulation.fleet.commands import Command, Wired
from serai.testing.simulation.fleet.databases import Databases
from serai.testing.simulation.fleet.standbys import Database
from serai.testing.simulation.fleet.weather import FleetWeather
from serai.testing.simulation.fleet.wires import Wires
from serai.testing.simulation.trace import Trace

_CHANGES: Final = frozenset({"change", "claim", "complete", "reopen", "rest", "sweep", "take"})
_TABLES: Final = ("serai.row", "serai.log", "serai.audit")
"""Stand for all: a mover may be stopped before any of them."""


class Mover(Command):
    """One process that moves."""

    kind = "mover"
    looking = frozenset({"claim", "months", "transferring", "take_over", "under_way", "to_sweep"})
    deciding = frozenset({"flip"})

    def __init__(
        self,
        name: str,
        databases: Databases,
        wires: Wires,
        trace: Trace,
        random: Random,
        weather: FleetWeather,
    ) -> None:
        """Start nothing yet."""
        super().__init__(name, databases, wires, trace, random, weather)
        options = MoveOptions(batch=2, workers=1, grace_seconds=weather.grace_seconds)
        shards = list(databases.directory.shards.values())
        self._run = MoveRun(self, shards, options, self._heard)
        self._run.actor = name

    def start(self, orgs: Sequence[int], target: int | None) -> None:
        """Move organisations, as `serai org move` does; to None: end what others left, as
        `serai shard move --resume`.
        """
        self.run(self._do(orgs, target))

    async def _do(self, orgs: Sequence[int], target: int | None) -> None:
        run = self._run
        async with run.alive():
            undone = await run.left.end()
            if target is not None:
                undone = {target: list(orgs)}
            for shard, found in undone.items():
                await run.move(found, run.refs[shard])
            await run.left.sweep()
        report = run.report
        self.trace.note(
            self.name,
            f"ends: moved {report.moved} ended {report.ended} undone {report.undone}"
            f" swept {report.swept} failed {report.failed}",
        )
        self.trace.branch("move_moved", report.moved)
        self.trace.branch("move_ended", report.ended)
        self.trace.branch("move_undone", report.undone)
        self.trace.branch("move_swept", report.swept)
        self.trace.branch("move_stuck", bool(report.stuck))

    def _heard(self, report: MoveReport) -> None:
        for error in report.failed.values():
            self.trace.branch("move_busy", error == "somebody else moves it")
            self.trace.branch("move_turn_lost", error.startswith("Another mover"))

    @contextmanager
    def records(self) -> Generator[MoveRecords]:
        """See `serai.readers.move.ports`."""
        yield cast("MoveRecords", Wired(self.databases.records, self.reach_to))

    @contextmanager
    def server(self, url: str) -> Generator[MoveEnd]:
        """See `serai.readers.move.ports`; a replica answers with what it shows."""
        if url in self.databases.standbys and url not in self.databases.servers:
            standby = self.databases.standbys[url]
            standby.show()
            store = standby.store
        else:
            store = self.databases.servers[url].store
        yield cast("MoveEnd", Wired(MemoryEnd(store, Counter()), self.reach_to, name=url))

    def places(self, source: int, target: int) -> Places:
        """See `serai.readers.move.ports`."""
        return Places(self, self.databases.primary(source), self.databases.primary(target))


class Places:
    """The two shards and the record, over a mover's wires."""

    def __init__(self, mover: Mover, source: Database, target: Database) -> None:
        """Keep the parts."""
        self._mover = mover
        self._from, self._to = source, target
        self._source = MemorySource(source.store, source.held)
        self._target = MemoryTarget(target.store, target.held)

    @property
    def records(self) -> MoveRecords:
        """The record of moves."""
        with self._mover.records() as records:
            return records

    @property
    def source(self) -> MoveSource:
        """Where organisations come from."""
        return cast("MoveSource", Wired(self._source, self._mover.reach_to, self._from, _CHANGES))

    @property
    def target(self) -> MoveTarget:
        """Where organisations go."""
        return cast("MoveTarget", Wired(self._target, self._mover.reach_to, self._to, _CHANGES))

    def copy(self, orgs: Sequence[int], term: int, on_table: Callable[[str], None]) -> Mark:
        """Copy as of one moment; the target is held meanwhile."""
        reach, source, target = self._mover.reach_to, self._from.name, self._to.name
        reach(source, "snapshot", "before")
        copied = self._source.snapshot(orgs)
        reach(target, "hold", "before")
        with self._target.hold(orgs, term):
            for table in _TABLES:
                on_table(table)
                reach(source, f"copy {table}", "before")
                reach(target, f"copy {table}", "after")
            self._to.check()
            self._target.put(copied)
            self._to.wrote(orgs)
        reach(target, "copied", "after")
        return copied.mark

    def close(self) -> None:
        """There is nothing to close."""
