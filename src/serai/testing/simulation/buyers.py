"""Another organisation, with a device, which may get a property of the first.

Owns what happens there. Promises a record and an oracle of its own. Never sells anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from uuid import UUID

from serai.model.fields import Value
from serai.ports.store import Outcome, PlannedWrite
from serai.testing.simulation.callers import BUYER, BUYER_ORG
from serai.testing.simulation.device import Device
from serai.testing.simulation.history import History
from serai.testing.simulation.hotel import HOTEL
from serai.testing.simulation.judge import Judge
from serai.testing.simulation.office import PLACES, Office
from serai.testing.simulation.people import People
from serai.testing.simulation.server import Server

BUYERS_PLACE = UUID(int=0x3000)


@dataclass(frozen=True, slots=True)
class Buyers:
    """Another organisation, with a device, which may get a property of the first."""

    history: History
    judge: Judge
    office: Office
    device: Device
    people: People

    async def furnish(self, server: Server) -> None:
        """Make it, with a place of its own and one user who manages all."""
        await server.create_org(BUYER_ORG)
        await self.office.furnish([])
        fields: dict[str, Value] = {"user_id": str(BUYER), "role": "manager", "property_id": None}
        await self.office.write(("memberships", "insert", UUID(int=0xB1), fields))

    def took(self, writes: Sequence[PlannedWrite], outcomes: Sequence[Outcome]) -> bool:
        """Take in and judge what a call of `commit` did; tell whether there is something new."""
        version = self.history.version
        self.history.record(writes, outcomes)
        self.judge.committed(writes, outcomes)
        return self.history.version > version

    def happenings(self) -> list[tuple[float, Callable[[], None]]]:
        """Return what may happen, with weights."""
        return [
            (3.0, self.people.somebody_writes),
            (0.7, self.office.act),
            (0.5, self.device.ask),
        ]


def moved_in(server: Server, random: Random, made: Callable[[Judge], Device]) -> Buyers:
    """Return buyers; `made` makes their device."""
    history = History(HOTEL, server.trace, BUYER_ORG)
    judge = Judge(history, server.sealer)
    places = (BUYERS_PLACE, PLACES[-1])
    device = made(judge)
    office = Office(server, history, server.trace, random, places)
    return Buyers(history, judge, office, device, People([device], history, random, places))
