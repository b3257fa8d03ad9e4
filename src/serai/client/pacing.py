"""When to talk to the server, and how much to ask for.

Owns the client's pace as pure functions of conditions, failures and one random number: backoff with
full jitter, the circuit breaker's threshold, page and batch sizes by link, intervals by battery.
Promises that every wait is bounded, also one that a server asks for. Never reads a clock or a
generator: both come in as arguments.

Full jitter (a wait drawn from zero to the bound) spreads a crowd of devices that lost the same
server evenly; equal jitter was rejected because half of each wait stays synchronised.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from serai.core.limits import MUTATIONS_PER_PUSH_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX

SLOW_LINK_ROWS: Final = 20
CUTS_MAX: Final = 7
"""Halvings of the largest page that still make a difference."""
RETRY_AFTER_SECONDS_MAX: Final = 3_600
MINUTE: Final = 60.0
_BATTERY_MINUTES: Final = ((50, 15), (20, 30))
"""(above this charge in percent, minutes from one sync to the next) in the background."""


class Link(Enum):
    """What carries the bytes."""

    GOOD = "good"
    """Wi-Fi, cable, 4G and better."""
    SLOW = "slow"
    """3G and worse."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the device tells about itself.

    Attributes:
        battery_percent: charge left, 0 to 100.
        foreground: a person is looking.
    """

    link: Link = Link.GOOD
    charging: bool = True
    battery_percent: int = 100
    foreground: bool = True


@dataclass(frozen=True, slots=True)
class Pace:
    """The client's settings. Times are in seconds.

    Attributes:
        fill_rows: rows of a page while a collection is being filled over a good link.
        backoff_first: bound of the first wait after a failure; it doubles with each further one.
        backoff_max: bound of every wait in the foreground, so that a device is back within half a
            minute of a fault's end.
        backoff_max_background: the same while nobody looks.
        failures_to_open: consecutive failures after which the circuit opens.
        foreground_poll: interval of pulls while a person looks; doorbells may be lost.
        request_timeout: for one request and its answer.
    """

    fill_rows: int = 2_000
    backoff_first: float = 0.5
    backoff_max: float = 20.0
    backoff_max_background: float = 300.0
    failures_to_open: int = 5
    foreground_poll: float = 20.0
    request_timeout: float = 60.0

    def __post_init__(self) -> None:
        """Refuse settings that are no pace (ValueError)."""
        if not 1 <= self.fill_rows <= PAGE_ROWS_MAX:
            raise ValueError(f"fill_rows is from 1 to {PAGE_ROWS_MAX}")
        if not 0 < self.backoff_first <= self.backoff_max <= self.backoff_max_background:
            raise ValueError("waits are positive and rise")
        if self.failures_to_open < 1 or self.foreground_poll <= 0 or self.request_timeout <= 0:
            raise ValueError("bounds are positive")


def page_rows(pace: Pace, conditions: Conditions, *, filling: bool, cuts: int = 0) -> int:
    """Return the number of changes to ask for in a pull.

    Args:
        cuts: answers that did not arrive, less those that did since. A line that never holds for a
            whole page would never bring one, so each cut halves the next.
    """
    if conditions.link is Link.SLOW:
        return SLOW_LINK_ROWS
    rows = pace.fill_rows if filling else PAGE_ROWS_DEFAULT
    return max(rows >> cuts, min(rows, SLOW_LINK_ROWS))


def push_rows(conditions: Conditions) -> int:
    """Return the number of mutations to send at once."""
    rows = SLOW_LINK_ROWS if conditions.link is Link.SLOW else PAGE_ROWS_DEFAULT
    return min(rows, MUTATIONS_PER_PUSH_MAX)


def interval(pace: Pace, conditions: Conditions) -> float:
    """Return the seconds from one sync to the next when nothing else asks for one."""
    if conditions.foreground:
        return pace.foreground_poll
    if conditions.charging:
        return 5 * MINUTE
    for above_percent, minutes in _BATTERY_MINUTES:
        if conditions.battery_percent > above_percent:
            return minutes * MINUTE
    return 60 * MINUTE


def backoff_bound(pace: Pace, conditions: Conditions, failures: int) -> float:
    """Return the longest wait after this many consecutive failures (1 or more)."""
    most = pace.backoff_max if conditions.foreground else pace.backoff_max_background
    # The exponent is bounded before the power: 2.0 ** 2000 is an error, not a long wait.
    return min(most, pace.backoff_first * 2.0 ** min(failures - 1, 30))


def retry_wait(
    pace: Pace,
    conditions: Conditions,
    failures: int,
    chance: float,
    retry_after: float | None = None,
) -> float:
    """Return the wait before the next attempt.

    Args:
        chance: a random number from 0 up to 1.
        retry_after: what the server asked for; never undercut, and bounded by an hour.
    """
    if trips(pace, failures):
        bound = backoff_bound(pace, conditions, failures)
        most = pace.backoff_max if conditions.foreground else pace.backoff_max_background
        # An open circuit waits at least half of its bound: a probe is not a hammer.
        wait = max(bound, most) * (0.5 + 0.5 * chance)
    else:
        wait = backoff_bound(pace, conditions, failures) * chance
    return max(wait, asked_wait(retry_after))


def asked_wait(retry_after: float | None) -> float:
    """Return the seconds for which a server may keep the client quiet."""
    return min(max(retry_after or 0.0, 0.0), RETRY_AFTER_SECONDS_MAX)


def trips(pace: Pace, failures: int) -> bool:
    """Tell whether this many consecutive failures open the circuit."""
    return failures >= pace.failures_to_open
