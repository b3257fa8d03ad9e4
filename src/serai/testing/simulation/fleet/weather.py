"""How bad the world of one fleet is.

Owns the choice, apart from that of `simulation.weather`, so that devices and network of a run are
the same with a fleet. Promises that each run leaves some faults out. Never makes a fault itself.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random
from typing import Final

from serai.readers.move.records import LEASE_SECONDS


@dataclass(frozen=True, slots=True)
class FleetWeather:
    """Chances and sizes.

    Attributes:
        mover_killed, mover_stalled, mover_cut: at each call of a mover.
        wire, directory_down: weights among what happens.
        lose_bell: of a change of placement not to be heard at once.
        moves: weight of moves. slowest: seconds that a call of a mover takes at most.
        lease_seconds: after which a mover without a sign of life is followed by another.
        grace_seconds: for which an old copy stays.
        shards: how many.
    """

    mover_killed: float
    mover_stalled: float
    mover_cut: float
    wire: float
    directory_down: float
    lose_bell: float
    moves: float
    slowest: float
    lease_seconds: float
    grace_seconds: float
    shards: int


STILL: Final = FleetWeather(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.01, LEASE_SECONDS, 5.0, 2)
"""Moves, and nothing goes wrong."""


def draw(random: Random) -> FleetWeather:
    """Return the weather of a fleet."""
    worst = {
        "mover_killed": 0.06,
        "mover_stalled": 0.04,
        "mover_cut": 0.06,
        "wire": 8.0,
        "directory_down": 0.7,
        "lose_bell": 0.9,
    }
    chances = {
        each.name: random.random() * worst[each.name] if random.random() < 0.6 else 0.0
        for each in fields(FleetWeather)
        if each.name in worst
    }
    return FleetWeather(
        **chances,
        moves=random.choice((0.5, 2.0, 4.0)),
        slowest=random.choice((0.01, 0.2, 1.0)),
        lease_seconds=random.choice((1.0, 4.0, LEASE_SECONDS)),
        grace_seconds=random.choice((0.0, 1.0, 5.0)),
        shards=random.choice((2, 2, 3)),
    )
