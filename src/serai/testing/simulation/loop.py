"""An event loop in which waiting costs nothing, and the clocks that read it.

Owns virtual time: when nothing is ready, the clock jumps to the next timer. Promises that a run
depends on its code and seed only: no descriptor is ever polled, no thread is started, the wall
clock is not read. A run in which everything waits and nothing is due, or in which time stands still
for ever, ends with an error instead of hanging. Never used outside simulations.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

T = TypeVar("T")

ORIGIN: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_STEPS_AT_ONE_TIME_MAX: Final = 20_000


class Stuck(Exception):
    """Everything waits and nothing is due, or the run goes on for ever without time passing."""


class _Selector(selectors.SelectSelector):
    """Never polls: the wait that is asked for is added to the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._steps = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("Everything waits and nothing is due.")
        if timeout > 0:
            self.now += timeout
            self._steps = 0
        self._steps += 1
        if self._steps > _STEPS_AT_ONE_TIME_MAX:
            raise Stuck(f"Time stands still at {self.now:.3f} s.")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop of one run. Use `run`."""

    def __init__(self) -> None:
        """Start at 0 seconds."""
        self._virtual = _Selector()
        super().__init__(self._virtual)
        self.complaints: list[str] = []
        self.set_exception_handler(self._complain)

    def time(self) -> float:
        """Return the virtual seconds since the start."""
        return self._virtual.now

    def _complain(self, _: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        self.complaints.append(f"{context.get('message', '')}: {error!r}")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` in a loop of its own.

    Raises:
        Stuck: it would never end.
        AssertionError: something failed in a task that nobody waited for.
    """
    loops: list[VirtualLoop] = []

    def make() -> VirtualLoop:
        loops.append(VirtualLoop())
        return loops[0]

    with asyncio.Runner(loop_factory=make) as runner:
        result = runner.run(main)
    complaints = loops[0].complaints
    assert not complaints, f"failed where nobody waited: {complaints}"
    return result


class VirtualClock:
    """A wall clock of one machine in the run: the loop's time and an error of its own.

    Attributes:
        error_seconds: how far it is off; a jump changes it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start right."""
        self._loop = loop
        self.error_seconds = 0.0

    def now(self) -> datetime:
        """Return what this machine takes for the present moment."""
        return ORIGIN + timedelta(seconds=self._loop.time() + self.error_seconds)
