"""A new fleet: its databases, its server, where its organisations live.

Owns what there is at the start. Promises that it is drawn from the seed.
"""

from __future__ import annotations

import asyncio
from typing import Final

from serai.testing.simulation.callers import BUYER_ORG, NEIGHBOUR_ORG, ORG
from serai.testing.simulation.fleet.databases import Databases
from serai.testing.simulation.fleet.fleet import Fleet
from serai.testing.simulation.fleet.server import FleetServer
from serai.testing.simulation.fleet.weather import FleetWeather
from serai.testing.simulation.server import Setting

_FAR: Final = 0.5
"""The chance that the buyer lives elsewhere."""


def founded(setting: Setting, weather: FleetWeather) -> Fleet:
    """Return a new fleet."""
    orgs = (ORG, NEIGHBOUR_ORG, BUYER_ORG)[: 3 if weather.transfers else 2]
    databases = Databases(
        setting.vertical,
        setting.clock,
        setting.trace,
        size=(weather.shards, weather.replicas),
        orgs=orgs,
        now=asyncio.get_running_loop().time,
        lease_seconds=weather.lease_seconds,
    )
    if weather.transfers and setting.random.random() < _FAR:
        databases.settle(BUYER_ORG, 2)
    server = FleetServer(setting, databases)
    return Fleet(server, setting.trace, setting.random, weather)
