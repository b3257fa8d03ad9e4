"""The server of a run: the application that ships, on the reference store, and its deaths.

Owns the process: what is in memory (write path, grants, requests in flight) dies with it, what is
in the store stays. Promises that a request runs the code that ships from the ASGI scope to the
store and back: pipeline, sync routes, pull, push, coalescer, decide, merge. Only who asks is not
found out by signatures but told by a header. Never answers for a server that is down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar, cast
from uuid import UUID

from serai.adapters.memory import MemoryStore
from serai.core.errors import Code, SeraiError
from serai.core.token import TokenSealer
from serai.gate.caller import Caller
from serai.gate.grants import GrantCache
from serai.http.operations import Routes
from serai.http.pipeline import Pipeline
from serai.http.services import HttpServices, HttpSettings, IdentityRoutes
from serai.http.table import operations
from serai.log.coalesce import Coalescer
from serai.log.intent import WriteAnswer, WriteIntent
from serai.model import Vertical
from serai.ports.life import LifeStore
from serai.ports.store import Store
from serai.testing.simulation.loop import VirtualClock
from serai.testing.simulation.requests import Reply, serve
from serai.testing.simulation.store import DEADLINE_SECONDS, KeptLogs, Record, ShardConnection
from serai.testing.simulation.trace import Trace
from serai.testing.simulation.weather import CALM, Weather

T = TypeVar("T")
ORG = 7
NEIGHBOUR_ORG = 8
NEIGHBOUR = UUID(int=0xE)
"""The one user of the neighbour."""
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
    """

    device: str
    user: UUID
    kind: str
    body: bytes
    reply: Reply
    floor: int
    epoch: int
    version: int


Watch = Callable[[Exchange], None]
"""Called for each answer, before the network has it."""


class _Identity:
    """Who asks is what the header says; what they may see is read as ever."""

    def __init__(
        self, connection: ShardConnection, vertical: Vertical, clock: VirtualClock
    ) -> None:
        self.grants = GrantCache(clock)
        self.identity = self
        self.signed_out: set[UUID] = set()
        self._connection = connection
        self._vertical = vertical

    async def resolve(self, authorization: str | None) -> Caller:
        """Return the caller whose id is in the header."""
        assert authorization is not None, "devices say who they are"
        return await self.caller(UUID(authorization.removeprefix("Bearer ")))

    async def resolve_own(self, authorization: str | None) -> Caller:
        """Return the caller whose id is in the header."""
        return await self.resolve(authorization)

    async def caller(self, user: UUID) -> Caller:
        """Return the caller of a user."""
        if user in self.signed_out:
            raise SeraiError(Code.UNAUTHENTICATED)
        org_id = NEIGHBOUR_ORG if user == NEIGHBOUR else ORG
        grant = await self.grants.get(self._connection, org_id, user, self._vertical)
        return Caller(org_id, user, grant, self._vertical)


class _Process:
    """One life of the server: everything that is lost when it dies."""

    def __init__(self, server: Server, connection: ShardConnection) -> None:
        vertical = server.vertical
        self.connection = connection
        self.identity = _Identity(connection, vertical, server.clock)
        self.identity.signed_out = server.signed_out
        self.coalescer = Coalescer(
            connection, vertical, clock=server.clock, writes_max=server.weather.writes
        )
        self.tasks: list[asyncio.Task[Any]] = []
        services = HttpServices(
            vertical=vertical,
            # Signing in is not simulated: the sync routes ask for `identity` and `grants` only.
            identity=cast("IdentityRoutes", self.identity),
            at_home=self._at_home,
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

    async def _at_home(
        self,
        org_id: int,  # noqa: ARG002 - all live in one place
        work: Callable[[Store, Coalescer], Awaitable[T]],
        *,
        verified: bool = False,  # noqa: ARG002 - nobody moves here
    ) -> T:
        return await work(self.connection, self.coalescer)


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
        watch: sees every answer.
        signed_out: users whose session has ended.
    """

    def __init__(
        self,
        vertical: Vertical,
        trace: Trace,
        random: Random,
        weather: Weather,
        clock: VirtualClock,
        record: Record,
        watch: Watch,
    ) -> None:
        """Start."""
        self.vertical = vertical
        self.weather = weather
        self.clock = clock
        self.durable = MemoryStore(vertical, clock)
        self.sealer = TokenSealer({1: b"the key of a simulation"})
        self._trace = trace
        self._random = random
        self._record = record
        self._watch = watch
        self._requests = 0
        self._process: _Process | None = None
        self.signed_out: set[UUID] = set()
        self.start()

    def start(self) -> None:
        """Start, or start again with nothing but the store."""
        if self._process is not None:
            return
        connection = ShardConnection(self.durable, self._trace, self._random, self._record)
        connection.weather = self.weather
        connection.die = self.die
        self._process = _Process(self, connection)

    def die(self, where: str = "between") -> None:
        """Lose everything in memory, every request in flight with it; start again soon after."""
        process = self._process
        if process is None:
            return
        self._trace.fault("server", f"restart_{where}")
        self._process = None
        process.connection.gone = True
        for task in [*process.tasks]:
            task.cancel()
        seconds = self._random.random() * DOWN_SECONDS_MAX
        asyncio.get_running_loop().call_later(seconds, self.start)

    def worsen(self, weather: Weather) -> None:
        """From now on faults happen."""
        self.weather = weather
        if self._process is not None:
            self._process.connection.weather = weather

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        self.signed_out.clear()
        self.worsen(CALM)
        self.start()

    async def upkeep(self, work: Callable[[LifeStore], Coroutine[Any, Any, None]]) -> None:
        """Look after the logs, as the process that is up does; its death ends it anywhere."""
        process = self._process
        if process is not None:
            logs = KeptLogs(process.connection, self.durable)
            await asyncio.wait([process.run(work(cast("LifeStore", logs)))])

    async def write(self, intent: WriteIntent) -> WriteAnswer | None:
        """Write without HTTP, as an import does. None: nobody knows what became of it."""
        process = self._process
        if process is None:
            return None
        task = process.run(process.coalescer.submit(intent))
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
    ) -> None:
        """Take a request from the network."""
        process = self._process
        if process is None:
            answered(None)
            return

        head = self.durable.organisations[ORG].head

        def done(finished: asyncio.Task[Reply]) -> None:
            if finished.cancelled():
                answered(None)
                return
            reply = finished.result()
            self._watch(
                Exchange(device, user, kind, body, reply, head.floor, head.epoch, head.version)
            )
            answered(reply)

        process.run(serve(process.app, user, kind, body, etag)).add_done_callback(done)
