"""Deadlines of requests: one timer looks after all of them.

Owns when a request, or the body that it waits for, has taken too long. Promises that a request
which waits beyond its moment is cancelled at most a quarter of a second later, once, and that this
cancellation is told from any other. To begin, move and end a deadline costs next to nothing,
because each request needs it and one in thousands is late: two `asyncio.timeout` a request took 8 %
of a server's processor time. Never decides what is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic

from serai.core.limits import DEADLINE_STEP_SECONDS


class Deadline:
    """The moment of one request, in the time of its event loop. Whoever works on the request moves
    it; nothing else has to be told.

    Attributes:
        until: the moment.
        now: tells the time.
    """

    __slots__ = ("_cancelling", "_passed", "_task", "now", "until")

    def __init__(
        self,
        task: asyncio.Task[object] | None = None,
        until: float = inf,
        now: Callable[[], float] = monotonic,
    ) -> None:
        """Watch `task`; without one it never passes."""
        self.until = until
        self.now = now
        self._task = task
        self._cancelling = 0 if task is None else task.cancelling()
        self._passed = False

    def pass_by(self) -> None:
        """Cancel the task, if nobody has yet."""
        if self._task is not None and not self._passed:
            self._passed = True
            self._task.cancel()

    def took_it(self) -> bool:
        """Tell whether the CancelledError that was just caught came from here and from nowhere
        else; then the task goes on, with a deadline that has to be moved before it waits again.
        """
        if self._task is None or not self._passed:
            return False
        self._passed = False
        return self._task.uncancel() <= self._cancelling


class Deadlines:
    """Those of one process. For one event loop."""

    def __init__(self, step_seconds: float = DEADLINE_STEP_SECONDS) -> None:
        """Start with none."""
        self._step_seconds = step_seconds
        self._running: set[Deadline] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, seconds: float) -> Deadline:
        """Return a deadline of the present task, so many seconds from now."""
        # Asked once: to find the running loop is a system call in Python 3.11.
        loop = self._loop = self._loop or asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "a request is served in a task"
        made = Deadline(task, loop.time() + seconds, loop.time)
        self._running.add(made)
        if self._timer is None:
            self._timer = loop.call_later(self._step_seconds, self._look)
        return made

    def end(self, deadline: Deadline) -> None:
        """Forget a deadline."""
        self._running.discard(deadline)

    def _look(self) -> None:
        """Cancel what is late; go on looking while there is something."""
        assert self._loop is not None, "a deadline has begun"
        now = self._loop.time()
        for each in self._running:
            if each.until <= now:
                each.pass_by()
        self._timer = (
            self._loop.call_later(self._step_seconds, self._look) if self._running else None
        )
