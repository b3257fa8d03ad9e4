"""The server of a run: the application that ships, on the reference store, and its deaths.

Owns the processes: what is in memory (write path, grants, requests in flight) dies with them, what
is in the store stays. There is one process on one store here; `fleet` has several. Promises that
a request runs the code that ships from the ASGI scope to the store and back: pipeline, sync routes,
pull, push, coalescer, decide, merge. Only who asks is not found out by signatures but told by a
header. Never answers for a server that is down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar, cast
from uuid import UUID

from serai.adapters.memory import MemoryStore
from serai.adapters.memory.store import Organisation
from serai.core.token import Position, TokenSealer
from serai.http.operations import Routes
from serai.http.pipeline import Pipeline
from serai.http.services import HttpServices, HttpSettings, IdentityRoutes
from serai.http.table import operations
from serai.log.coalesce import Coalescer
from serai.log.intent import WriteAnswer, WriteIntent
from serai.model import Vertical
from serai.ports.life import LifeStore
from serai.ports.store import Head, Store
from serai.testing.simulation.callers import Identity, org_of
from serai.testing.simulation.loop import VirtualClock
from serai.testing.simulation.requests import Reply, serve
from serai.testing.simulation.rooms import OneShard, Rooms
from serai.testing.simulation.store import DEADLINE_SECONDS, Record, ShardConnection
from serai.testing.simulation.trace import Trace
from serai.testing.simulation.weather import CALM, Weather

T = TypeVar("T")
FORGER = "X"
"""Sends tokens that are not its own."""
DOWN_SECONDS_MAX = 4.0


Answered = Callable[[Reply | None], None]
"""Called once with the answer, or with None if there will be none."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that was answered.

    Attributes:
        floor: of the log when the request arrived.
        epoch: of the organisation then, and `version`.
        now: where the organisation stands when the answer leaves.
        need: what the request said it must see. replicas: one may have answered.
    """

    device: str
    user: UUID
    kind: str
    body: bytes
    reply: Reply
    floor: int
    epoch: int
    version: int
    now: Head
    need: Position | None = None
    replicas: bool = False


Watch = Callable[[Exchange], None]
"""Called for each answer, before the network has it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a server is given.

    Attributes:
        weather: while it is set up; `Server.worsen` makes it worse.
        record: is told of each commit. watch: sees every answer.
    """

    vertical: Vertical
    trace: Trace
    random: Random
    weather: Weather
    clock: VirtualClock
    record: Record
    watch: Watch


class _Process:
    """One life of a server: everything that is lost when it dies."""

    def __init__(self, server: Server, rooms: Rooms) -> None:
        vertical = server.vertical
        self.rooms = rooms
        self.identity = Identity(rooms.grants, vertical, server.clock)
        self.identity.signed_out = server.signed_out
        self.tasks: list[asyncio.Task[Any]] = []
        services = HttpServices(
            vertical=vertical,
            # Signing in is not simulated: the sync routes ask for `identity` and `grants` only.
            identity=cast("IdentityRoutes", self.identity),
            at_home=rooms.at_home,
            copies_for=rooms.copies_for,
            sealer=server.sealer,
            clock=server.clock,
            version="simulation",
            settings=HttpSettings(
                deadline_seconds=DEADLINE_SECONDS, docs=False, compression=False, block_rows=1
            ),
        )
        self.app = Pipeline(_routes(vertical), services)

    def run(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start something that dies with the process."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.append(task)
        task.add_done_callback(self.tasks.remove)
        return task


_made: dict[int, tuple[Vertical, Routes]] = {}


def _routes(vertical: Vertical) -> Routes:
    """Return the routes of a vertical; made once, they hold no state."""
    found = _made.get(id(vertical))
    if found is None:
        found = _made[id(vertical)] = (vertical, Routes(operations(vertical)))
    return found[1]


class Server:
    """The server, through all its lives.

    Attributes:
        durable: the store, which survives.
        signed_out: users whose session has ended.
    """

    names: tuple[str, ...] = ("server",)
    """Of its processes."""
    replicas = False
    """Whether a replica may answer a read."""

    def __init__(self, setting: Setting) -> None:
        """Keep the parts; `start` starts."""
        self.vertical = setting.vertical
        self.weather = setting.weather
        self.clock = setting.clock
        self.durable = MemoryStore(setting.vertical, setting.clock)
        self.sealer = TokenSealer({1: b"the key of a simulation"})
        self.trace = setting.trace
        self.random = setting.random
        self.record = setting.record
        self.loop = asyncio.get_running_loop()
        self._watch = setting.watch
        self._processes: dict[str, _Process] = {}
        self.signed_out: set[UUID] = set()

    def home(self, org_id: int) -> Organisation:
        """Return the durable state of an organisation, where it lives."""
        return self.durable.organisations[org_id]

    def store(self, org_id: int) -> MemoryStore:
        """Return the store in which it lives."""
        del org_id
        return self.durable

    def takes_writes(self, org_id: int) -> bool:
        """Tell whether an organisation can be changed where it lives."""
        return self.home(org_id).head.state == "active"

    async def create_org(self, org_id: int) -> None:
        """Make an organisation."""
        await self.store(org_id).create_org(org_id)

    def restore(self) -> None:
        """Restore everything from a copy of this moment."""
        self.durable.restore(self.durable.snapshot())

    def forget_replies(self, org_id: int) -> bool:
        """Let the replies of mutations be forgotten; tell whether they were."""
        self.durable.forget_replies(org_id, keys=False)
        return True

    def rooms(self, name: str) -> Rooms:
        """Return what a process has that starts now."""
        connection = ShardConnection(self.durable, self.trace, self.random, self.record)
        connection.weather = self.weather
        connection.die = lambda where: self.die(where, name)
        writes = Coalescer(
            connection, self.vertical, clock=self.clock, writes_max=self.weather.writes
        )
        return OneShard(connection, self.durable, writes)

    def start(self) -> None:
        """Start each process that is down, with nothing but what is durable."""
        for name in self.names:
            self._start(name)

    def _start(self, name: str) -> None:
        if name not in self._processes:
            self._processes[name] = _Process(self, self.rooms(name))

    def die(self, where: str = "between", name: str | None = None) -> None:
        """Lose everything in memory, every request in flight with it; start again soon after."""
        name = name or self._chosen()
        process = self._processes.pop(name, None)
        if process is None:
            return
        self.trace.fault(name, f"restart_{where}")
        process.rooms.leave()
        for task in [*process.tasks]:
            task.cancel()
        seconds = self.random.random() * DOWN_SECONDS_MAX
        asyncio.get_running_loop().call_later(seconds, self._start, name)

    def worsen(self, weather: Weather) -> None:
        """From now on faults happen."""
        self.weather = weather
        for process in self._processes.values():
            process.rooms.worsen(weather)

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        self.signed_out.clear()
        self.worsen(CALM)
        self.start()

    def stop(self) -> None:
        """Switch everything off."""

    def _chosen(self) -> str:
        return self.names[0] if len(self.names) == 1 else self.random.choice(self.names)

    def _process(self) -> _Process | None:
        """Return a process that serves, if the one that is asked does."""
        process = self._processes.get(self._chosen())
        return process if process is not None and process.rooms.ready else None

    async def upkeep(self, work: Callable[[LifeStore], Coroutine[Any, Any, None]]) -> None:
        """Look after the logs, as a process that is up does; its death ends it anywhere."""
        process = self._process()
        if process is not None:
            await asyncio.wait([process.run(work(process.rooms.logs()))])

    async def write(self, intent: WriteIntent) -> WriteAnswer | None:
        """Write without HTTP, as an import does. None: nobody knows what became of it."""
        process = self._process()
        if process is None:
            return None

        async def written(_: Store, writes: Coalescer) -> WriteAnswer:
            return await writes.submit(intent)

        async def sent() -> WriteAnswer:
            return await process.rooms.at_home(intent.org_id, written)

        task = process.run(sent())
        await asyncio.wait([task])
        return None if task.cancelled() else task.result()

    def receive(
        self,
        device: str,
        user: UUID,
        kind: str,
        body: bytes,
        etag: str | None,
        answered: Answered,
        need: Position | None = None,
    ) -> None:
        """Take a request from the network."""
        process = self._process()
        if process is None:
            answered(None)
            return

        head = self.home(org_of(user)).head

        def done(finished: asyncio.Task[Reply]) -> None:
            if finished.cancelled():
                answered(None)
                return
            reply = finished.result()
            now = self.home(org_of(user)).head
            then = (head.floor, head.epoch, head.version)
            whom = (need, self.replicas)
            self._watch(Exchange(device, user, kind, body, reply, *then, now, *whom))
            answered(reply)

        process.run(serve(process.app, user, kind, body, etag, need)).add_done_callback(done)
