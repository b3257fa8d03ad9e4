"""The network between a device and the server: it loses, doubles, delays and reorders.

Owns what happens to a message. Promises that it never alters one: a request that arrives is the
request that was sent, byte for byte, and so is an answer. A lost message is either an error at once
(a connection that is reset) or silence until the client gives up. After `heal` every message
arrives, and what is on its way still does. Never looks into a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from uuid import UUID

import msgspec

from serai.client import Answer, Unreachable
from serai.client.http import problem
from serai.testing.simulation.server import Reply, Server
from serai.testing.simulation.trace import Trace
from serai.testing.simulation.weather import CALM, Weather
from serai.wire.sync import ChangesRequest, MutationsRequest

Waiter = asyncio.Future[Reply]


class Link:
    """The transport of one device.

    Attributes:
        weather: the chances of faults.
        cut: nothing passes.
        rows: the page size that the device asks for instead of the client's own, so that pages end
            everywhere. 0: the client's own.
        moment: called wherever a device might die; it decides.
    """

    def __init__(self, name: str, user: UUID, server: Server, trace: Trace, random: Random) -> None:
        """Connect a device to the server."""
        self._name = name
        self._user = user
        self._server = server
        self._trace = trace
        self._random = random
        self._requests = 0
        self._latest = 0
        self.weather: Weather = server.weather
        self.cut = False
        self.rows = 0
        self.moment: Callable[[str], None] = _nothing

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        self.weather = CALM
        self.cut = False

    async def account(self) -> str:
        """Return whose requests it carries."""
        return str(self._user)

    async def changes(self, request: ChangesRequest, etag: str | None) -> Answer:
        """Send a pull."""
        return await self._exchange("pull", msgspec.json.encode(self._sized(request)), etag)

    async def mutations(self, request: MutationsRequest) -> Answer:
        """Send a push."""
        pull = None if request.pull is None else self._sized(request.pull)
        sent = msgspec.structs.replace(request, pull=pull)
        return await self._exchange("push", msgspec.json.encode(sent), None)

    def _sized(self, request: ChangesRequest) -> ChangesRequest:
        if not self.rows:
            return request
        return msgspec.structs.replace(request, batch_size=self.rows)

    async def _exchange(self, kind: str, body: bytes, etag: str | None) -> Answer:
        loop = asyncio.get_running_loop()
        self._requests += 1
        what = f"{kind} {self._requests}"
        waiter: Waiter = loop.create_future()
        self._trace.note(self._name, f"-> {what} {len(body)} B")
        if self._happens(self.weather.lose_request) or self.cut:
            self._lose(waiter, what, "lose_request")
        else:
            self._post(waiter, what, kind, body, etag)
        if self._happens(self.weather.duplicate) and not self.cut:
            self._trace.fault(self._name, "duplicate", what)
            self._post(waiter, f"{what} again", kind, body, etag)
        self.moment("sent")
        reply = await waiter
        self._trace.note(self._name, f"<- {what} {reply.status} {len(reply.body)} B")
        if reply.status == 304:
            return Answer(b"", etag, unchanged=True)
        if reply.status != 200:
            raise problem(reply.status, reply.body, reply.retry_after)
        return Answer(reply.body, reply.etag)

    def _post(self, waiter: Waiter, what: str, kind: str, body: bytes, etag: str | None) -> None:
        sent = self._requests

        def arrive() -> None:
            if self.cut:
                self._lose(waiter, what, "lose_request")
                return
            if sent < self._latest:
                self._trace.fault(self._name, "reordered", what)
            self._latest = max(sent, self._latest)
            self._server.receive(self._name, self._user, kind, body, etag, answered)

        def answered(reply: Reply | None) -> None:
            if reply is None:
                self._lose(waiter, what, "server_gone")
            elif self.cut or self._happens(self.weather.lose_reply):
                self._lose(waiter, what, "lose_reply")
            else:
                asyncio.get_running_loop().call_later(self._travel(), deliver, reply)
            self.moment("handled")

        def deliver(reply: Reply) -> None:
            if not waiter.done():
                self.moment("arrived")
                waiter.set_result(reply)
                self.moment("answered")
            else:
                self._trace.branch("late_answer")

        asyncio.get_running_loop().call_later(self._travel(), arrive)

    def _travel(self) -> float:
        # Most messages are quick and some are slow, so that later ones overtake them.
        seconds = self._random.uniform(0.01, 0.05)
        if self._random.random() < 0.25:
            seconds += self._random.random() * self.weather.slowest
            if self.weather.slowest > 1.0:
                self._trace.fault(self._name, "delay", f"{seconds:.1f} s")
        return seconds

    def _lose(self, waiter: Waiter, what: str, kind: str) -> None:
        self._trace.fault(self._name, kind, what)
        if waiter.done() or self._random.random() < 0.5:
            return
        waiter.set_exception(Unreachable("The connection was reset."))

    def _happens(self, chance: float) -> bool:
        return chance > 0.0 and self._random.random() < chance


def _nothing(_: str) -> None:
    """Stand in until a device is there."""
