"""A seed becomes a run, and the run a verdict.

Owns what a seed decides before anything happens: the weather, and whether there is a fleet.
Promises that a run which fails in the code under test is a failed run, not a crash. Never looks
into a run.
"""

from __future__ import annotations

from random import Random

from serai.testing.simulation.fleet.weather import STILL
from serai.testing.simulation.fleet.weather import draw as draw_fleet
from serai.testing.simulation.loop import Stuck, run
from serai.testing.simulation.result import Result, scratch
from serai.testing.simulation.weather import CALM, draw, lessened
from serai.testing.simulation.world import World

FLEET_EACH = 5
"""Each fifth seed is a fleet's."""


def simulate(
    seed: int,
    *,
    calm: bool = False,
    without: frozenset[str] = frozenset(),
    whole: bool = False,
    fleet: bool | None = None,
) -> Result:
    """Run one seed.

    Args:
        calm: without faults.
        without: names of chances in `Weather` and `FleetWeather` that are left out.
        fleet: on several shards; None: as the seed says.
        whole: keep the whole trace.
    """
    worlds: list[World] = []

    async def main() -> None:
        weather = CALM if calm else draw(Random(f"{seed} weather"))
        of_fleet = None
        if seed % FLEET_EACH == FLEET_EACH - 1 if fleet is None else fleet:
            of_fleet = STILL if calm else draw_fleet(Random(f"{seed} fleet weather"))
            of_fleet = lessened(of_fleet, without)
        world = World(seed, folder, lessened(weather, without), calm=calm, fleet=of_fleet)
        worlds.append(world)
        try:
            await worlds[0].live()
        finally:
            worlds[0].stop()

    with scratch() as folder:
        try:
            run(main())
        except (AssertionError, Stuck) as error:
            worlds[0].trace.require(promise=False, message=f"{type(error).__name__}: {error}")
    trace = worlds[0].trace
    tail = trace.tail(len(trace.lines)) if whole else trace.tail()
    return Result(seed, tuple(trace.broken), trace.counts, trace.digest(), tail)
