"""What happens to a fleet: moves, movers that die or stand still, cut wires, a directory away.

Owns the happenings and their end. Promises that they are drawn from the seed, and that after
`heal` an operator ends what movers have left, as the runbooks say. Never judges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final
from uuid import UUID

import msgspec

from serai.adapters.memory.store import Organisation
from serai.app.transfer.running import Asked
from serai.core.token import Position
from serai.shard.placement import ShardRef
from serai.testing.simulation.callers import BUYER_ORG, NEIGHBOUR_ORG, ORG
from serai.testing.simulation.fleet.commands import Command
from serai.testing.simulation.fleet.databases import Databases
from serai.testing.simulation.fleet.heard import Heard
from serai.testing.simulation.fleet.movers import Mover
from serai.testing.simulation.fleet.promotions import Lost, Promotion
from serai.testing.simulation.fleet.sellers import Seller
from serai.testing.simulation.fleet.server import FleetServer
from serai.testing.simulation.fleet.weather import STILL, FleetWeather
from serai.testing.simulation.history import History
from serai.testing.simulation.hotel import COLLECTIONS
from serai.testing.simulation.office import PLACES
from serai.testing.simulation.requests import Reply
from serai.testing.simulation.trace import Trace
from serai.wire.sync import ChangesRequest, WantedCollection

_MOVERS_MAX: Final = 2
_AWAY_SECONDS_MAX: Final = 6.0
_LAG_SECONDS_MAX: Final = 2.0
_JUST_SECONDS: Final = 2.0
"""For so long after its arrival an organisation has just come."""
_HALF: Final = 0.5
_ROUNDS_MAX: Final = 30
"""Of an operator who ends what is left; a lease of 15 s has lapsed by then."""
_KINDS: Final = (
    *(("api", "directory"), ("api", "shard"), ("api", "replica")),
    *(("mover", "directory"), ("mover", "shard")),
)


class Fleet:
    """The operators, and the bad luck, of one run."""

    def __init__(
        self, server: FleetServer, trace: Trace, random: Random, weather: FleetWeather
    ) -> None:
        """Nothing happens yet."""
        self.server = server
        self._databases: Databases = server.databases
        self._trace = trace
        self._random = random
        self._weather = weather
        self._movers: list[Command] = []
        self._numbers = 0
        self._promotions: set[asyncio.Task[None]] = set()
        self.lost: Lost = _untold
        self.books: dict[int, History] = {}
        for each in self._databases.servers.values():
            each.synchronous = weather.synchronous
        for standby in self._databases.standbys.values():
            standby.usual = weather.shipping
            standby.mend()

    def worsen(self) -> None:
        """From now on faults happen."""
        self.server.lose_bell = self._weather.lose_bell

    def happenings(self, *, calm: bool) -> list[tuple[float, Callable[[], None]]]:
        """Return what may happen, with weights."""
        found: list[tuple[float, Callable[[], None]]] = [(self._weather.moves, self._move)]
        if not calm:
            found += [
                (self._weather.transfers, self._sell),
                (0.5, self._resume),
                (8.0 * self._weather.mover_killed, self._kill),
                (0.2, self._interrupt),
                (self._weather.wire, self._cut),
                (self._weather.directory_down, self._directory_down),
                (self._weather.lag if self._databases.standbys else 0.0, self._lag),
                (self._weather.promotion, self._promote),
                (20.0 * self._weather.promotion if self._came() else 0.0, self._promote_home),
            ]
        return found

    def read_own(self, user: UUID, need: Position) -> None:
        """Read what was just written, through any process: it says which version that was."""
        if self.server.replicas and self._random.random() < 0.5:
            names = [WantedCollection(name, None) for name in COLLECTIONS]
            body = msgspec.json.encode(ChangesRequest(names, 100))
            self.server.receive("reader", user, "pull", body, None, _unheard, need)

    async def heal(self) -> None:
        """End all faults; let an operator end what is left of moves."""
        self._weather = STILL
        for standby in self._databases.standbys.values():
            standby.usual = STILL.shipping
            standby.mend()
        for mover in self._movers:
            mover.weather = STILL
        for task in list(self._promotions):
            await task
        for mover in self._movers:
            await mover.ended()
        for _ in range(_ROUNDS_MAX):
            if self._trace.broken or not self._databases.under_way():
                return
            mover, seller = self._new(), self._seller()
            mover.start((), None)
            await mover.ended()
            seller.start(None)
            await seller.ended()
            # A lease has to lapse first.
            await asyncio.sleep(1.0)

    def settled(self) -> None:
        """Judge what is left when everything has healed."""
        self._databases.settled()

    def stop(self) -> None:
        """Switch everything off."""
        for mover in self._movers:
            mover.stop()
        self.server.stop()

    # What may happen

    def _running(self) -> list[Command]:
        self._movers = [mover for mover in self._movers if mover.running]
        return self._movers

    def _new(self) -> Mover:
        self._numbers += 1
        mover = Mover(
            f"mover{self._numbers}",
            self._databases,
            self.server.wires,
            self._trace,
            self._random,
            self._weather,
        )
        self._movers.append(mover)
        return mover

    def _move(self) -> None:
        if len(self._running()) >= _MOVERS_MAX:
            return
        orgs = self._random.choice(((ORG,), (ORG,), (ORG, NEIGHBOUR_ORG)))
        if self._weather.transfers and self._random.random() < _HALF / 2:
            orgs = (BUYER_ORG,)
        homes = {self._databases.directory.home(orgs[0])}
        target = self._random.choice(sorted({*self._databases.directory.shards} - homes))
        mover = self._new()
        self._trace.note(mover.name, f"is to move {orgs} to s{target}")
        mover.start(orgs, target)

    def _seller(self) -> Seller:
        self._numbers += 1
        seller = Seller(
            f"seller{self._numbers}",
            self._databases,
            self.server.wires,
            self._trace,
            self._random,
            self._weather,
            lambda database: Heard(self.server, self.books, database),
        )
        self._movers.append(seller)
        return seller

    def _sell(self) -> None:
        """Sell a property, or, if it is the buyer's, sell it back."""
        if len(self._running()) >= _MOVERS_MAX:
            return
        place = PLACES[-1]
        owner = ORG if place not in self.books[ORG].departed else BUYER_ORG
        other = BUYER_ORG if owner == ORG else ORG
        seller = self._seller()
        self._trace.note(seller.name, f"is to sell {place.int} of {owner} to {other}")
        seller.start(Asked(place, owner, other, "sold"))

    def _resume(self) -> None:
        if len(self._running()) >= _MOVERS_MAX:
            return
        if self._weather.transfers and self._random.random() < _HALF:
            self._seller().start(None)
        else:
            self._new().start((), None)

    def _kill(self) -> None:
        for mover in self._running()[:1]:
            mover.kill()

    def _interrupt(self) -> None:
        for mover in self._running()[:1]:
            mover.interrupt()

    def _cut(self) -> None:
        """Cut a wire between two processes, for a moment or longer."""
        movers = self._running()
        one, other = self._random.choice(_KINDS if movers else _KINDS[:3])
        names = self.server.names if one == "api" else [each.name for each in movers]
        ends = {
            "directory": ["directory"],
            "shard": [self._databases.primary(n).name for n in self._databases.directory.shards],
            "replica": list(self._databases.standbys),
        }[other]
        if not ends:
            return
        start, end = self._random.choice(names), self._random.choice(ends)
        self.server.wires.cut(start, end, f"cut_{one}_{other}")
        seconds = self._random.random() * _AWAY_SECONDS_MAX
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, self.server.wires.join, start, end)

    def _promote(self) -> None:
        """Let a shard's primary be lost, or be replaced by a better one."""
        refs = [ref for ref in self._databases.directory.shards.values() if ref.replicas]
        if not refs:
            return
        # Most likely one that organisations are leaving: then there is most to lose.
        left = {move.source for move in self._databases.directory.moves[-2:]}
        leaving = [ref for ref in refs if ref.id in left]
        ref = self._random.choice(leaving if leaving and self._random.random() < 0.7 else refs)
        self._replace(ref, planned=self._random.random() < 0.3)

    def _came(self) -> ShardRef | None:
        """Return the shard to which the organisation came a moment ago, if it has a replica."""
        last = self._databases.directory.last_flip(ORG)
        now = asyncio.get_running_loop().time()
        if last is None or last.returns or (last.ended_at or now) < now - _JUST_SECONDS:
            return None
        ref = self._databases.directory.shards[last.target]
        return ref if ref.replicas else None

    def _promote_home(self) -> None:
        """Let the primary be lost to which the organisation has just come."""
        ref = self._came()
        if ref is not None:
            self._replace(ref, planned=False)

    def _replace(self, ref: ShardRef, *, planned: bool) -> None:
        if self._promotions:
            return
        promotion = Promotion(
            self._databases, self.server.wires, self._trace, self._random, self.lost
        )
        kind = "planned" if planned else "lossy"
        kind = "synchronous" if not planned and self._weather.synchronous else kind
        if not promotion.begin(ref.id, planned=planned):
            return
        self._trace.fault(ref.name, f"promotion_{kind}")
        task = asyncio.get_running_loop().create_task(self._promoted(promotion))
        self._promotions.add(task)
        task.add_done_callback(self._promotions.discard)

    async def _promoted(self, promotion: Promotion) -> None:
        """Promote; then let the same command end what it has decided, as far as it gets."""
        await promotion.run(synchronous=self._weather.synchronous)
        if promotion.returning:
            self._new().start((), None)

    def _lag(self) -> None:
        """Let a replica fall behind, or stand cut off, and some time later catch up."""
        standby = self._random.choice(list(self._databases.standbys.values()))
        kind = self._random.choice(("replica_lags", "replica_lags", "replica_stuck"))
        self._trace.fault(standby.name, kind)
        if kind == "replica_stuck":
            standby.cut = True
        else:
            standby.replay = self._random.random() * _LAG_SECONDS_MAX
            standby.shipping = self._random.random() * _LAG_SECONDS_MAX
        loop = asyncio.get_running_loop()
        loop.call_later(self._random.random() * _AWAY_SECONDS_MAX, standby.mend)

    def _directory_down(self) -> None:
        self.server.wires.down("directory", "directory_down")
        seconds = self._random.random() * _AWAY_SECONDS_MAX
        asyncio.get_running_loop().call_later(seconds, self.server.wires.up, "directory")


def _untold(org_id: int, kept: Organisation) -> None:
    """Tell nobody of a lost tail."""
    del org_id, kept


def _unheard(_: Reply | None) -> None:
    """Nobody waits for it; the oracle sees every answer."""
