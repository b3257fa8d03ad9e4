"""How bad the world of one fleet is.

Owns the choice, apart from that of `simulation.weather`, so that devices and network of a run are
the same with a fleet. Promises that each run leaves some faults out. Never makes a fault itself.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
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
        shipping: seconds that a write takes to arrive at a replica.
        promotion: weight of primaries being lost, or replaced. synchronous: commits wait for a
            replica.
        shards: how many; replicas: of each. lag: weight of replicas falling behind.
        transfers: weight of properties changing their organisation; 0: nobody buys.
    """

    mover_killed: float = 0.0
    mover_stalled: float = 0.0
    mover_cut: float = 0.0
    wire: float = 0.0
    directory_down: float = 0.0
    lose_bell: float = 0.0
    moves: float = 1.0
    slowest: float = 0.01
    lease_seconds: float = LEASE_SECONDS
    grace_seconds: float = 5.0
    shipping: float = 0.002
    promotion: float = 0.0
    synchronous: bool = True
    shards: int = 2
    replicas: int = 0
    lag: float = 0.0
    transfers: float = 0.0


STILL: Final = FleetWeather()
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
    found = FleetWeather(
        **chances,
        moves=random.choice((0.5, 2.0, 4.0)),
        slowest=random.choice((0.01, 0.2, 1.0)),
        lease_seconds=random.choice((1.0, 4.0, LEASE_SECONDS)),
        grace_seconds=random.choice((0.0, 1.0, 5.0)),
        shipping=random.choice((0.002, 0.8, 3.0)),
        promotion=random.choice((0.0, 0.6, 1.5)),
        synchronous=random.choice((False, True)),
        shards=random.choice((2, 2, 3)),
        replicas=random.choice((0, 1, 1, 2)),
        lag=random.choice((0.0, 1.0, 3.0)),
    )
    # A shard that loses a tail loses what has arrived while the giver's deletes stand: decision 30.
    transfers = random.choice((0.0, 3.0, 6.0)) if found.synchronous or not found.promotion else 0.0
    # An organisation that is moved is not handed over meanwhile.
    moves = min(found.moves, 1.0) if transfers else found.moves
    return replace(found, transfers=transfers, moves=moves)
