"""One run: a seed becomes an organisation, its people, their devices, and an hour of bad luck.

Owns the scenario: what is set up, what happens when, when all heals, and what is judged. Promises
that a seed decides everything: two runs of one seed have the same trace. Never knows how a promise
is checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from uuid import UUID

from serai.adapters.memory.store import Organisation
from serai.ports.store import Outcome, PlannedWrite
from serai.testing.simulation.buyers import Buyers, moved_in
from serai.testing.simulation.callers import BUYER, BUYER_ORG, ORG
from serai.testing.simulation.device import Device
from serai.testing.simulation.fleet.founding import founded
from serai.testing.simulation.fleet.weather import FleetWeather
from serai.testing.simulation.history import History
from serai.testing.simulation.hotel import HOTEL
from serai.testing.simulation.judge import Judge
from serai.testing.simulation.loop import VirtualClock
from serai.testing.simulation.neighbour import Neighbour
from serai.testing.simulation.network import Link
from serai.testing.simulation.office import Office
from serai.testing.simulation.people import People
from serai.testing.simulation.server import FORGER, Exchange, Server, Setting
from serai.testing.simulation.trace import Trace
from serai.testing.simulation.upkeep import Upkeep
from serai.testing.simulation.weather import CALM, Weather

HEALED_SECONDS = 30
"""I2: after this everything is in step."""
_STEPS = 60


class World:
    """Everything of one run."""

    def __init__(
        self,
        seed: int,
        folder: Path,
        weather: Weather,
        *,
        calm: bool,
        fleet: FleetWeather | None = None,
    ) -> None:
        """Make it; nothing has happened yet. `fleet` None: all live on one shard."""
        loop = self._loop = asyncio.get_running_loop()
        self._seed = seed
        self._random = Random(f"{seed} world")
        self._weather = weather
        self.trace = Trace(loop)
        self._history = History(HOTEL, self.trace, ORG)
        self._clock = VirtualClock(loop)
        # The set-up is not what is tested: it succeeds.
        setting = Setting(
            HOTEL,
            self.trace,
            Random(f"{seed} server"),
            replace(CALM, writes=self._weather.writes, scan=self._weather.scan),
            self._clock,
            self._committed,
            self._answered,
        )
        self._fleet = None if fleet is None else founded(setting, fleet)
        self._server = Server(setting) if self._fleet is None else self._fleet.server
        self._server.start()
        self.judge = Judge(self._history, self._server.sealer)
        self.office = Office(self._server, self._history, self.trace, Random(f"{seed} office"))
        self.neighbour = Neighbour(
            self._server, self._history, self.trace, Random(f"{seed} neighbour")
        )
        self.upkeep = Upkeep(self._server, self.trace, Random(f"{seed} upkeep"))
        self._calm = calm
        self.devices = [self._device(n, folder) for n in range(self._random.choice((2, 2, 3)))]
        self._people = People(self.devices, self._history, self._random)
        self._buyers = self._move_in(folder) if fleet is not None and fleet.transfers else None

    def _move_in(self, folder: Path) -> Buyers:
        """Let somebody be there who buys."""
        assert self._fleet is not None, "only a fleet has buyers"
        random = Random(f"{self._seed} buyer")
        path = folder / "buyer.db"
        found = moved_in(self._server, random, lambda judge: self._made("D", BUYER, path, judge))
        self._fleet.books = {ORG: self._history, BUYER_ORG: found.history}
        return found

    @property
    def _everybody(self) -> list[Device]:
        """All devices."""
        return [*self.devices, *([] if self._buyers is None else [self._buyers.device])]

    def _device(self, number: int, folder: Path) -> Device:
        user = UUID(int=0xA0 + number)
        return self._made("ABC"[number], user, folder / f"{number}.db", self.judge)

    def _made(self, name: str, user: UUID, path: Path, judge: Judge) -> Device:
        key = "ABCD".index(name)
        link = Link(name, user, self._server, self.trace, Random(f"{self._seed} link {key}"))
        link.weather = self._weather
        link.rows = self._random.choice((0, 0, 1, 3, 20))
        random = Random(f"{self._seed} device {key}")
        device = Device(name, user, path, link, self.trace, random, judge.files.look)
        device.crash = self._weather.crash
        judge.devices[device.id] = device
        return device

    def _committed(self, writes: Sequence[PlannedWrite], outcomes: Sequence[Outcome]) -> None:
        version = self._history.version
        self._history.record(writes, outcomes)
        self.judge.committed(writes, outcomes)
        if self._history.version > version:
            for device in self.devices:
                self._ring(device)
        if self._buyers is not None and self._buyers.took(writes, outcomes):
            self._ring(self._buyers.device)

    def _lost(self, org_id: int, kept: Organisation) -> None:
        """Let the record know that a tail was lost."""
        if org_id == ORG:
            self._history.lose(kept)

    def _ring(self, device: Device) -> None:
        """Ring a device's doorbell: lost, late or doubled."""
        if self._happens(device.link.weather.lose_doorbell) or device.link.cut:
            self.trace.fault(device.name, "lose_doorbell")
            return
        self._loop.call_later(0.02 + self._random.random() * 0.1, device.doorbell)

    def _answered(self, exchange: Exchange) -> None:
        bought = self._buyers if exchange.user == BUYER else None
        (bought or self).judge.answers.judge(exchange)
        if exchange.reply.status == 200 and exchange.device != FORGER:
            self.neighbour.notice(exchange.user, exchange.reply.body)

    def _happens(self, chance: float) -> bool:
        return chance > 0.0 and self._random.random() < chance

    async def begin(self) -> None:
        """Set the organisation up, and switch the devices on."""
        await self._server.create_org(ORG)
        await self.neighbour.furnish()
        await self.office.furnish([device.user for device in self.devices])
        if self._buyers is not None:
            await self._buyers.furnish(self._server)
        self._server.worsen(self._weather)
        if self._fleet is not None:
            self._fleet.worsen()
            self._fleet.lost = self._lost
            self.office.wrote = partial(self._fleet.read_own, self.devices[0].user)
        self.upkeep.start()
        for device in self._everybody:
            await device.start()

    def stop(self) -> None:
        """Switch everything off."""
        self.upkeep.stop()
        if self._fleet is not None:
            self._fleet.stop()
        for device in self._everybody:
            device.stop()

    async def live(self) -> None:
        """Let it all happen, heal, and judge."""
        await self.begin()
        for _ in range(_STEPS):
            await asyncio.sleep(self._random.expovariate(1.0))
            self._step()
            if self.trace.broken:
                return
        await self.heal()

    async def heal(self) -> None:
        """End all faults, and judge half a minute later."""
        self.trace.note("world", "all faults end")
        self._server.heal()
        if self._fleet is not None:
            await self._fleet.heal()
        for device in self._everybody:
            device.link.heal()
            device.crash = 0.0
            await device.start()
            device.network(online=True)
            device.background(hidden=False)
        await self.office.finished()
        if self._buyers is not None:
            await self._buyers.office.finished()
        for _ in range(0 if self.trace.broken else HEALED_SECONDS):
            # Only a person ends a halt: by signing in again.
            for device in self._everybody:
                if device.halted:
                    device.ask()
            await asyncio.sleep(1.0)
        if not self.trace.broken:
            self.judge.final(self._server)
            if self._buyers is not None:
                self._buyers.judge.final(self._server)
            if self._fleet is not None:
                self._fleet.settled()

    def _step(self) -> None:
        """Do one thing."""
        happenings: list[tuple[float, Callable[[], None]]] = [
            (10.0, self._people.somebody_writes),
            (2.0, self.office.act),
            (0.5, self.neighbour.act),
            (0.5, lambda: self._random.choice(self.devices).ask()),
            (0.3, self._background),
            (0.7, lambda: self._refusal(self._random.choice(self.devices))),
        ]
        if not self._calm:
            happenings += [
                (0.5, lambda: self.office.grant(self._random.choice(self.devices).user)),
                (0.3, self.office.forget),
                (self._weather.restore, self.office.restore),
                (self._weather.forget, self.office.age),
                (2.0 * self._weather.cut, self._cut),
                (3.0 * self._weather.cut, self._network_flaps),
                (2.0 * self._weather.crash, self._crash),
                (5.0 * self._weather.restart, self._server.die),
                (0.3, self._clock_jumps),
                (0.3, lambda: self.neighbour.forge([each.user for each in self.devices])),
                (self._weather.restore, self._signed_out),
            ]
        if self._fleet is not None:
            happenings += self._fleet.happenings(calm=self._calm)
        if self._buyers is not None:
            happenings += self._buyers.happenings()
        weights = [weight for weight, _ in happenings]
        (happening,) = self._random.choices([each for _, each in happenings], weights)
        happening()

    # What may happen

    def _cut(self) -> None:
        """Cut a device off, or let it back."""
        device = self._random.choice(self.devices)
        device.link.cut = not device.link.cut
        self.trace.fault(device.name, "cut", "begins" if device.link.cut else "ends")
        if not device.link.cut:
            device.network(online=True)
            device.doorbell()

    def _network_flaps(self) -> None:
        """Let a device notice that it has no network, and soon that it has one again."""
        device = self._random.choice(self.devices)
        if device.link.cut or device.client is None:
            return
        self.trace.fault(device.name, "network_lost")
        device.link.cut = True
        device.network(online=False)
        asyncio.get_running_loop().call_later(self._random.random() * 6.0, self._found, device)

    def _found(self, device: Device) -> None:
        device.link.cut = False
        device.network(online=True)

    def _signed_out(self) -> None:
        """End a user's session, or let them sign in again."""
        device = self._random.choice(self.devices)
        out = self._server.signed_out
        self.trace.fault(device.name, "signed_out", "ends" if device.user in out else "begins")
        if device.user in out:
            out.remove(device.user)
            device.ask()
        else:
            out.add(device.user)

    def _background(self) -> None:
        device = self._random.choice(self.devices)
        device.background(hidden=self._random.random() < 0.5)

    def _refusal(self, device: Device) -> None:
        if device.client is not None:
            device.deal(retry=self._random.random() < 0.5)

    def _crash(self) -> None:
        device = self._random.choice(self.devices)
        if device.client is not None:
            self.trace.fault(device.name, "crash_between")
            device.stop()
            asyncio.get_running_loop().call_later(self._random.random() * 5.0, device.revive)

    def _clock_jumps(self) -> None:
        clocks = [("server", self._clock), *((each.name, each.clock) for each in self.devices)]
        who, clock = self._random.choice(clocks)
        seconds = self._random.choice((-86_400.0, -3.0, 2.0, 86_400.0))
        clock.error_seconds += seconds
        where = "server" if who == "server" else "device"
        kind = f"clock_jump_{where}_{'back' if seconds < 0 else 'forward'}"
        self.trace.fault(who, kind, f"now {clock.error_seconds:+.0f} s")
