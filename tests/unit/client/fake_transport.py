"""A transport to the server in memory, with faults on demand, and a loop in which time costs
nothing.

Owns how requests and answers get lost, doubled, garbled or held up, in the order a test asks for.
Never changes what a request or an answer says, but for the garbled one.
"""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from random import Random
from typing import Any, Literal, ParamSpec, TypeVar
from uuid import UUID

from serai.client import Answer, Pace, Row, SyncClient, Unreachable
from serai.core.errors import SeraiError
from serai.wire.sync import ChangesRequest, MutationsRequest
from unit.client.fake_server import Doc, FakeServer

Fault = Literal["lose_request", "lose_answer", "double", "garble", "hang"] | SeraiError
T = TypeVar("T")


class FakeTransport:
    """Carries requests to a server. `faults` are used up one request at a time."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.faults: list[Fault | None] = []
        self.down = False
        self.sent: list[ChangesRequest | MutationsRequest] = []
        self.at: list[float] = []
        self.unchanged = 0
        self.before_answer: Callable[[], object] | None = None
        self.user = "1/ada"

    async def account(self) -> str:
        return self.user

    async def changes(self, request: ChangesRequest, etag: str | None) -> Answer:
        answer = await self._carry(request, lambda: self.server.pull(request))
        tag = json.dumps([part["nextToken"] for part in answer["collections"]])
        same = tag == json.dumps([wanted.since_token for wanted in request.collections])
        if same and tag == etag:
            self.unchanged += 1
            return Answer(b"", tag, unchanged=True)
        return Answer(json.dumps(answer).encode(), tag)

    async def mutations(self, request: MutationsRequest) -> Answer:
        answer = await self._carry(request, lambda: self.server.push(request))
        return Answer(json.dumps(answer).encode())

    async def _carry(
        self, request: ChangesRequest | MutationsRequest, serve: Callable[[], Doc]
    ) -> Doc:
        self.sent.append(request)
        self.at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        fault = self.faults.pop(0) if self.faults else None
        if self.down or fault == "lose_request":
            raise Unreachable("The request was lost.")
        if isinstance(fault, SeraiError):
            raise fault
        if fault == "hang":
            await passed(FOREVER)
        answer = serve()
        if fault == "double":
            answer = serve()
        if self.before_answer is not None:
            self.before_answer()
        if fault == "lose_answer":
            raise Unreachable("The answer was lost.")
        if fault == "garble":
            return {"collections": [], "results": "<html>Welcome to our Wi-Fi</html>"}
        return answer


class _Selector(selectors.SelectSelector):
    """Never waits: the time that would pass is added to the loop's clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everything waits and nothing is due: a deadlock"
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next thing that is due."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a test in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


P = ParamSpec("P")


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test that runs in virtual time."""

    @wraps(test)
    def runs(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return runs


def there(client: SyncClient, row_id: UUID) -> Row:
    """Return a stay that must be there."""
    row = client.get("stays", row_id)
    assert row is not None
    return row


FOREVER = 10_000.0


async def passed(seconds: float) -> None:
    """Let virtual time pass: everything that is due within it happens, in order, at no cost."""
    await asyncio.sleep(seconds)


class Ids:
    """Ids 1, 2, 3 ... as UUIDs."""

    def __init__(self) -> None:
        self.last = 0xF000

    def __call__(self) -> UUID:
        self.last += 1
        return UUID(int=self.last)


COLLECTIONS = ("stays", "expenses")


async def open_client(
    folder: Path, transport: FakeTransport, *, pace: Pace | None = None, **more: Any
) -> SyncClient:
    """Open the client of a test."""
    given: dict[str, Any] = {"collections": COLLECTIONS, "random": Random(7), **more}
    return await SyncClient.open(folder / "device.db", transport=transport, pace=pace, **given)
