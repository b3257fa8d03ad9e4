"""Movers of a fleet: the run of moves that ships, killed, stalled and cut off at any of its calls.

Owns the processes and what happens to their calls. Promises that order, halving, signs of life,
taking over and undoing are those of `serai.app.move_run` and `serai.readers.move`; that a killed
mover changes nothing any more, and leaves what the databases have. Never moves anything itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, Final, TypeVar, cast

import psycopg

from serai.adapters.memory.moves import MemoryEnd, MemorySource, MemoryTarget
from serai.app.move_run import MoveOptions, MoveReport, MoveRun
from serai.readers.move.link import Mark
from serai.readers.move.ports import MoveEnd, MoveRecords, MoveSource, MoveTarget
from serai.testing.simulation.fleet.databases import Databases
from serai.testing.simulation.fleet.hands import Hand, Killed, wait
from serai.testing.simulation.fleet.standbys import Database
from serai.testing.simulation.fleet.weather import FleetWeather
from serai.testing.simulation.fleet.wires import Wires
from serai.testing.simulation.trace import Trace

T = TypeVar("T")
STALL_SECONDS_MAX: Final = 25.0
_CHANGES: Final = ("change", "claim", "complete", "reopen", "rest", "sweep", "take")
_LOOKING: Final = ("claim", "months", "transferring", "take_over", "under_way", "to_sweep")
_TABLES: Final = ("serai.row", "serai.log", "serai.audit")
"""Stand for all: a mover may be stopped before any of them."""


class Mover:
    """One process that moves.

    Attributes:
        weather: the chances of faults.
    """

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
        self.name = name
        self.weather = weather
        self._databases, self._wires, self._trace = databases, wires, trace
        self._random = random
        self._hands: set[Hand] = set()
        self._drivers: set[asyncio.Task[Any]] = set()
        self._gone = False
        self._at = "begin"
        options = MoveOptions(batch=2, workers=1, grace_seconds=weather.grace_seconds)
        shards = list(databases.directory.shards.values())
        self._run = MoveRun(self, shards, options, self._heard)
        self._run.actor = name
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._task is not None and not self._task.done()

    def start(self, orgs: Sequence[int], target: int | None) -> None:
        """Move organisations, as `serai org move` does; to None: end what others left, as
        `serai shard move --resume`.
        """
        self._task = asyncio.get_running_loop().create_task(self._do(orgs, target))

    async def _do(self, orgs: Sequence[int], target: int | None) -> None:
        run = self._run
        try:
            async with run.alive():
                undone = await run.left.end()
                if target is not None:
                    undone = {target: list(orgs)}
                for shard, found in undone.items():
                    await run.move(found, run.refs[shard])
                await run.left.sweep()
        except psycopg.OperationalError as error:
            self._trace.note(self.name, f"gives up: {error}")
        except Killed:
            return
        report = run.report
        self._trace.note(
            self.name,
            f"ends: moved {report.moved} ended {report.ended} undone {report.undone}"
            f" swept {report.swept} failed {report.failed}",
        )
        self._trace.branch("move_moved", report.moved)
        self._trace.branch("move_ended", report.ended)
        self._trace.branch("move_undone", report.undone)
        self._trace.branch("move_swept", report.swept)
        self._trace.branch("move_stuck", bool(report.stuck))

    def kill(self) -> None:
        """Kill the process."""
        if self.running and not self._gone:
            self._gone = True
            self._trace.fault(self.name, "mover_killed", self._at)
            self._trace.branch(f"mover_killed_at_{_call(self._at)}")
            for hand in self._hands:
                hand.kill()
            assert self._task is not None, "it runs"
            self._task.cancel()

    def interrupt(self) -> None:
        """Interrupt the command, as an operator does."""
        if self.running and not self._gone:
            self._trace.fault(self.name, "mover_interrupted", self._at)
            assert self._task is not None, "it runs"
            self._task.cancel()

    def stop(self) -> None:
        """End at once."""
        for hand in list(self._hands):
            hand.end()
        if self._task is not None:
            self._task.cancel()

    async def ended(self) -> None:
        """Wait for its end."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    def _heard(self, report: MoveReport) -> None:
        for error in report.failed.values():
            self._trace.branch("move_busy", error == "somebody else moves it")
            self._trace.branch("move_turn_lost", error.startswith("Another mover"))

    # ------------------------------------------------------------ the hands of the run

    async def call(self, work: Callable[..., T], *args: object) -> T:
        """See `serai.app.move_run.Hands`."""
        hand = Hand(lambda: work(*args))
        self._hands.add(hand)
        if self._gone:
            hand.kill()
        driver = asyncio.get_running_loop().create_task(hand.drive())
        self._drivers.add(driver)
        driver.add_done_callback(lambda _: self._driven(hand, driver))
        return await asyncio.shield(driver)

    def _driven(self, hand: Hand, driver: asyncio.Task[Any]) -> None:
        self._hands.discard(hand)
        self._drivers.discard(driver)
        if not driver.cancelled():
            driver.exception()

    async def close(self) -> None:
        """See `serai.app.move_run.Hands`."""
        if self._drivers and not self._gone:
            await asyncio.wait(self._drivers)

    @contextmanager
    def records(self) -> Generator[MoveRecords]:
        """See `serai.readers.move.ports`."""
        yield cast("MoveRecords", Wired(self._databases.records, self.reach))

    @contextmanager
    def server(self, url: str) -> Generator[MoveEnd]:
        """See `serai.readers.move.ports`; a replica answers with what it shows."""
        if url in self._databases.standbys and url not in self._databases.servers:
            standby = self._databases.standbys[url]
            standby.show()
            store = standby.store
        else:
            store = self._databases.servers[url].store
        yield cast("MoveEnd", Wired(MemoryEnd(store, Counter()), self.reach, name=url))

    def places(self, source: int, target: int) -> Places:
        """See `serai.readers.move.ports`."""
        return Places(self, self._databases.primary(source), self._databases.primary(target))

    def reach(self, other: str, what: str, when: str) -> None:
        """Within a call: let time pass; perhaps be killed, stand still, or not get through."""
        self._at = what
        self._databases.look()
        if when == "before":
            self._trace.note(self.name, f"{what} at {other}")
        # Most calls of a run look for something to do, where a death shows little; one decides.
        often = 0.2 if what in _LOOKING else 3.0 if what == "flip" else 1.0
        if self._happens(often * self.weather.mover_killed):
            self.kill()
        if self._happens(self.weather.mover_stalled):
            seconds = self._random.random() * STALL_SECONDS_MAX
            self._trace.fault(self.name, "mover_stalled", f"{what} for {seconds:.0f} s")
            wait(seconds)
        wait(self._random.random() * self.weather.slowest)
        if self._happens(often * self.weather.mover_cut):
            self._trace.fault(self.name, f"mover_cut_{when}", what)
        elif self._wires.reaches(self.name, other):
            return
        else:
            self._trace.branch("move_cut_off")
        raise psycopg.OperationalError(f"{other} does not answer {what}")

    def _happens(self, chance: float) -> bool:
        return chance > 0.0 and self._random.random() < chance


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
        return cast("MoveSource", Wired(self._source, self._mover.reach, self._from))

    @property
    def target(self) -> MoveTarget:
        """Where organisations go."""
        return cast("MoveTarget", Wired(self._target, self._mover.reach, self._to))

    def copy(self, orgs: Sequence[int], term: int, on_table: Callable[[str], None]) -> Mark:
        """Copy as of one moment; the target is held meanwhile."""
        reach, source, target = self._mover.reach, self._from.name, self._to.name
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


class Wired:
    """Something at the other end of a wire: each call is a message there and one back."""

    def __init__(
        self,
        inner: object,
        reach: Callable[[str, str, str], None],
        end: Database | None = None,
        name: str = "directory",
    ) -> None:
        """Keep the parts. `end`: the shard that may be changed; `name`: whom a call goes to
        otherwise.
        """
        self._inner, self._reach, self._end = inner, reach, end
        self._name = name if end is None else end.name

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a call."""
        call = getattr(self._inner, name)

        def called(*args: Any, **named: Any) -> Any:
            what = f"{name} {args[-1]}" if name in ("change", "advance") else name
            self._reach(self._name, what, "before")
            if self._end is not None:
                self._end.check()
            found = call(*args, **named)
            if self._end is not None and name in _CHANGES:
                self._end.wrote(args[0])
            self._reach(self._name, what, "after")
            return found

        return called


def _call(what: str) -> str:
    """Return the name of a call, as coverage counts it."""
    return "copy" if what.startswith("copy ") else what.replace(" ", "_")
