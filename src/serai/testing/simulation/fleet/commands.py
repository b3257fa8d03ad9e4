"""Commands of operators in a fleet: processes that are killed, stalled and cut off at any call.

Owns the process and what happens to its calls. Promises that blocking code which ships runs in
virtual time (`hands`), that a process which was killed changes nothing any more and leaves what the
databases have, and that each call at which it died is counted. Never knows what a command is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, ClassVar, Final, TypeVar

import psycopg

from serai.testing.simulation.fleet.databases import Databases
from serai.testing.simulation.fleet.hands import Hand, Killed, wait
from serai.testing.simulation.fleet.standbys import Database
from serai.testing.simulation.fleet.weather import FleetWeather
from serai.testing.simulation.fleet.wires import Wires
from serai.testing.simulation.trace import Trace

T = TypeVar("T")
STALL_SECONDS_MAX: Final = 25.0


class Command:
    """One process of an operator.

    Attributes:
        kind: of command, as its faults and branches are named.
        looking: calls that look for something to do: most of them, and a death shows little there.
        deciding: calls that decide.
        doom: the call at which it dies, if it gets there.
        weather: the chances of faults.
    """

    kind: ClassVar[str]
    looking: ClassVar[frozenset[str]] = frozenset()
    deciding: ClassVar[frozenset[str]] = frozenset()

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
        self.databases, self._wires, self.trace = databases, wires, trace
        self.random = random
        self._hands: set[Hand] = set()
        self._drivers: set[asyncio.Task[Any]] = set()
        self._gone = False
        self._at = "begin"
        self.doom: str | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._task is not None and not self._task.done()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run until it ends, or is killed."""

        async def until_killed() -> None:
            try:
                await work
            except psycopg.OperationalError as error:
                self.trace.note(self.name, f"gives up: {error}")
            except Killed:
                return
            except Exception as error:  # noqa: BLE001 - whatever ends a command otherwise is a defect
                self.trace.require(promise=False, message=f"{self.name} fails: {error!r}")

        self._task = asyncio.get_running_loop().create_task(until_killed())
        # One that is killed before it began has nothing to end.
        self._task.add_done_callback(lambda _: work.close())

    def kill(self) -> None:
        """Kill the process."""
        if self.running and not self._gone:
            self._gone = True
            self.trace.fault(self.name, f"{self.kind}_killed", self._at)
            self.trace.branch(f"{self.kind}_killed_at_{_call(self._at)}")
            for hand in self._hands:
                hand.kill()
            assert self._task is not None, "it runs"
            self._task.cancel()

    def interrupt(self) -> None:
        """Interrupt the command, as an operator does."""
        if self.running and not self._gone:
            self.trace.fault(self.name, f"{self.kind}_interrupted", self._at)
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

    async def call(self, work: Callable[..., T], *args: object) -> T:
        """Run blocking work, at whose calls time passes."""
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
        """Wait for what is under way."""
        if self._drivers and not self._gone:
            await asyncio.wait(self._drivers)

    def reach_to(self, other: str, what: str, when: str) -> None:
        """Within a call: let time pass; perhaps be killed, stand still, or not get through."""
        self._at = what
        self.databases.look()
        if when == "before":
            self.trace.note(self.name, f"{what} at {other}")
        call = _call(what)
        often = 0.2 if call in self.looking else 3.0 if call in self.deciding else 1.0
        if self._happens(often * self.weather.mover_killed) or call == self.doom:
            self.kill()
        if self._happens(self.weather.mover_stalled):
            seconds = self.random.random() * STALL_SECONDS_MAX
            self.trace.fault(self.name, f"{self.kind}_stalled", f"{what} for {seconds:.0f} s")
            wait(seconds)
        wait(self.random.random() * self.weather.slowest)
        if self._happens(often * self.weather.mover_cut):
            self.trace.fault(self.name, f"{self.kind}_cut_{when}", what)
        elif self._wires.reaches(self.name, other):
            return
        else:
            self.trace.branch(f"{self.kind}_cut_off")
        raise psycopg.OperationalError(f"{other} does not answer {what}")

    def _happens(self, chance: float) -> bool:
        return chance > 0.0 and self.random.random() < chance


class Wired:
    """Something at the other end of a wire: each call is a message there and one back.

    Args:
        end: the shard that may be changed; None: what is called `name`.
        changes: calls after which what was written goes to replicas.
    """

    def __init__(
        self,
        inner: object,
        reach: Callable[[str, str, str], None],
        end: Database | None = None,
        changes: frozenset[str] = frozenset(),
        name: str = "directory",
    ) -> None:
        """Keep the parts."""
        self._inner, self._reach, self._end, self._changes = inner, reach, end, changes
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
            if self._end is not None and name in self._changes:
                self._end.wrote(args[0])
            self._reach(self._name, what, "after")
            return found

        return called


def _call(what: str) -> str:
    """Return the name of a call, as coverage counts it."""
    return "copy" if what.startswith("copy ") else what.replace(" ", "_")
