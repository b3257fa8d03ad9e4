"""How bad the world of one run is: which faults happen, and how often.

Owns the choice. Promises that each run leaves some faults out (swarm testing, Groce et al., ISSTA
2012): a run with every fault at once rarely gets far enough to show what one of them does. Never
makes a fault itself.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from random import Random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

W = TypeVar("W", bound="DataclassInstance")

SILENCE_SECONDS: float = 8.0
"""After this a client gives up on a request whose answer never comes. Half a minute after the last
fault everything must be in step (I2), so this and the longest backoff (20 s) must fit into it."""


@dataclass(frozen=True, slots=True)
class Weather:
    """Chances of faults: of a request for the first group, of a call or an event for the others.

    Attributes:
        slowest: seconds that a message travels at most.
        cut: of a device to be cut off, each time it might be.
        store_before, store_after: of the database to fail before or after it has committed.
        slow: of a call of the store to outlast the deadline of a request.
        restart: of the server to die at a call of the store.
        crash: of a device to die at an await.
        restore: weight of a new epoch among what happens; `forget`: of replies being forgotten.
        scan: log entries that the store reads for one page; 0: as many as asked for.
        writes: writes of one transaction.
    """

    lose_request: float
    lose_reply: float
    duplicate: float
    slowest: float
    cut: float
    store_before: float
    store_after: float
    slow: float
    restart: float
    crash: float
    lose_doorbell: float
    restore: float
    forget: float
    scan: int
    writes: int


CALM = Weather(0.0, 0.0, 0.0, 0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 64)
"""Nothing goes wrong."""


def lessened(weather: W, without: frozenset[str]) -> W:
    """Return the weather with these chances left out, as far as it has them."""
    names = {each.name for each in fields(weather)} & without
    return replace(weather, **dict.fromkeys(names, 0.0))


def draw(random: Random) -> Weather:
    """Return the weather of a run."""
    worst = {
        "lose_request": 0.25,
        "lose_reply": 0.25,
        "duplicate": 0.3,
        "cut": 0.3,
        "store_before": 0.08,
        "store_after": 0.08,
        "slow": 0.04,
        "restart": 0.02,
        "crash": 0.06,
        "lose_doorbell": 0.7,
    }
    chances = {
        each.name: random.random() * worst[each.name] if random.random() < 0.6 else 0.0
        for each in fields(Weather)
        if each.name in worst
    }
    return Weather(
        **chances,
        restore=random.choice((0.0, 0.0, 0.2)),
        forget=random.choice((0.0, 0.0, 0.2)),
        slowest=random.choice((0.05, 0.5, 3.0)),
        scan=random.choice((0, 1, 3)),
        writes=random.choice((1, 2, 64)),
    )
