"""A shard's breaker: when requests for a shard that does not answer are refused at once.

Owns the states and what leads from one to another. Promises that only a probe opens it and only a
probe closes it, so that no error that had another cause shuts out a shard; and that a shard which
comes and goes is asked less and less often. Pure: it is told what happened and when, and does
nothing itself. Times are seconds of one monotonic clock.

    closed   requests pass. Failures in a row, or silence, make it suspect.
    suspect  requests pass; a probe is due. It answers: closed. It does not: open.
    open     requests are refused. Probes, further apart each time; the first answer closes it.

A busy shard is none that does not answer: refusals for want of a connection count only when nothing
has succeeded for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

FAILURES_MAX: Final = 3
"""In a row, none of them for want of a connection."""
SILENCE_SECONDS: Final = 1.0
"""Without a success while requests wait."""
PROBE_SECONDS_MIN: Final = 0.25
PROBE_SECONDS_MAX: Final = 5.0
CALM_SECONDS: Final = 30.0
"""Closed for so long, probes begin close together again."""


class State(Enum):
    """See the module."""

    CLOSED = "closed"
    SUSPECT = "suspect"
    OPEN = "open"


@dataclass(slots=True)
class Breaker:
    """One shard's.

    Attributes:
        since: when it came into its state.
        opened: how often it has opened.
        probe_at: when the next probe is due, while it is suspect or open.
    """

    since: float
    state: State = State.CLOSED
    opened: int = 0
    probe_at: float = 0.0
    last_success: float = 0.0
    _failures: int = 0
    _pause: float = PROBE_SECONDS_MIN

    def __post_init__(self) -> None:
        """Begin as if a success had just been."""
        self.last_success = self.since

    @property
    def passes(self) -> bool:
        """Whether requests may try."""
        return self.state is not State.OPEN

    def succeeded(self, now: float) -> None:
        """Hear that the shard answered a request."""
        self.last_success = now
        self._failures = 0
        if self.state is State.SUSPECT:
            self._turn(State.CLOSED, now)

    def failed(self, now: float, *, busy: bool = False) -> None:
        """Hear that a request got no answer; `busy`: because no connection was free."""
        if busy:
            self.waited(now, self.last_success)
            return
        self._failures += 1
        if self.state is State.CLOSED and self._failures >= FAILURES_MAX:
            self._turn(State.SUSPECT, now)

    def suspect(self, now: float) -> None:
        """Hear that nothing is known of the shard."""
        if self.state is State.CLOSED:
            self._turn(State.SUSPECT, now)

    def waited(self, now: float, oldest: float) -> None:
        """Hear that a request which began at `oldest` still waits."""
        silent = now - max(oldest, self.last_success) >= SILENCE_SECONDS
        if self.state is State.CLOSED and silent:
            self._turn(State.SUSPECT, now)

    def probe_due(self, now: float) -> bool:
        """Tell whether the shard is to be asked now."""
        return self.state is not State.CLOSED and now >= self.probe_at

    def probed(self, now: float, *, answered: bool) -> None:
        """Hear how a probe went."""
        if self.state is State.CLOSED:
            return
        if answered:
            self._failures = 0
            self.last_success = now
            self._turn(State.CLOSED, now)
            return
        if self.state is State.SUSPECT:
            self.opened += 1
            self._turn(State.OPEN, now)
        self.probe_at = now + self._pause
        self._pause = min(2 * self._pause, PROBE_SECONDS_MAX)

    def _turn(self, state: State, now: float) -> None:
        if self.state is State.CLOSED and now - self.since >= CALM_SECONDS:
            self._pause = PROBE_SECONDS_MIN
        self.state, self.since = state, now
        self.probe_at = now
