"""A run whose events a test chooses: the simulation without luck.

Owns the setting of a scene: two devices, A and B, of managers of one place, no fault but those that
the script makes, and the oracle, which judges as in every run. Promises that a script which ends
without a broken promise has also converged. Never decides what is right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from serai.model.fields import Value
from serai.testing.simulation import Result
from serai.testing.simulation.device import Device
from serai.testing.simulation.hotel import till_of
from serai.testing.simulation.loop import run
from serai.testing.simulation.office import PLACES, Wish
from serai.testing.simulation.result import scratch
from serai.testing.simulation.weather import CALM
from serai.testing.simulation.world import World
from unit.client.fake_transport import passed

HERE, THERE = PLACES
TILL = till_of(THERE)
STAY = UUID(int=0x5001)
KEY = UUID(int=0x6001)
KEY_AT_FIRST: dict[str, Value] = {"property_id": str(HERE), "number": 7, "holder": None}
STAY_AT_FIRST: dict[str, Value] = {"property_id": str(THERE), "room": "a", "paid": 0}


class Stage:
    """What a script works with.

    `due`: interruptions that were asked for and have not happened yet.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.a, self.b = world.devices[:2]
        self.office = world.office
        self.server = world._server
        self.due = 0
        self._ids = 0x9000

    async def begin(self) -> None:
        """Let both be managers of the first place, with large pages, and in step."""
        await self.world.begin()
        for device in self.world.devices:
            device.link.rows = 100
            await self.roles(device, ("manager", HERE))
        await self.office.write(("keys", "insert", KEY, dict(KEY_AT_FIRST)))
        await self.office.write(("stays", "insert", STAY, dict(STAY_AT_FIRST)))
        await self.in_step()

    async def in_step(self) -> None:
        """Let everybody pull."""
        for device in self.world.devices:
            device.ask()
        await passed(3.0)
        assert not self.world.trace.broken, self.world.trace.broken

    async def roles(self, device: Device, *roles: tuple[str, UUID]) -> None:
        """Give a user these roles instead of those before, in one write."""
        held = [
            row
            for row, doc in self.office._live("memberships")
            if doc["user_id"] == str(device.user)
        ]
        gone: list[Wish] = [("memberships", "delete", row, {}) for row in held]
        await self.office.write(*gone, *(self._membership(device, *each) for each in roles))

    def _membership(self, device: Device, role: str, place: UUID) -> Wish:
        self._ids += 1
        fields: dict[str, Value] = {
            "user_id": str(device.user),
            "role": role,
            "property_id": str(place),
        }
        return ("memberships", "insert", UUID(int=self._ids), fields)

    async def pay(self) -> None:
        """Pay the stay of the second place: its till changes in the same write."""
        fields: dict[str, Value] = {"paid": 1, "amount_minor": 4, "amount_currency": "EUR"}
        await self.office.write(("stays", "update", STAY, fields))

    def dies_when_answered(self, device: Device) -> None:
        """Let a device die with the next answer in its file, before the app has looked."""

        def moment(where: str) -> None:
            if where == "answered":
                device.link.moment = still
                asyncio.get_running_loop().call_soon(device.stop)

        device.link.moment = moment

    def before(self, call: str, act: Callable[[], Awaitable[None]], *, times: int = 1) -> None:
        """Let something happen between a server's question and what the store reads for it."""
        store: Any = self.server.durable
        right = getattr(store, call)
        left = times
        self.due += times

        async def interrupted(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            if left:
                left -= 1
                self.due -= 1
                await act()
            return await right(*arguments, **named)

        setattr(store, call, interrupted)

    def scan(self, entries: int) -> None:
        """Let the store read so many entries of the log for one page."""
        self.server.worsen(replace(CALM, scan=entries))

    def no_bell(self, device: Device) -> None:
        """Lose each doorbell of a device."""
        device.link.weather = replace(CALM, lose_doorbell=1.0)

    def deaf(self, device: Device, *, lost: bool) -> None:
        """Lose each answer to a device, or none."""
        device.link.weather = replace(CALM, lose_reply=1.0 if lost else 0.0)


def still(_: str) -> None:
    """Let nobody die."""


def played(script: Callable[[Stage], Awaitable[None]]) -> Result:
    """Play a script, heal, and let the oracle judge."""
    worlds: list[World] = []

    async def main() -> None:
        with scratch() as folder:
            world = World(0, folder, CALM, calm=True)
            worlds.append(world)
            try:
                stage = Stage(world)
                await stage.begin()
                await script(stage)
                assert not stage.due, "what the script asked for did not happen"
                await world.heal()
            finally:
                world.stop()

    run(main())
    trace = worlds[0].trace
    return Result(0, tuple(trace.broken), trace.counts, trace.digest(), trace.tail(200))
