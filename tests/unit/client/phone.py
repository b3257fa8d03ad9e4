"""A phone for scenes: a client, its server, what is between them, and the states to bring it to.

Owns the set-up of the tests of states. It asserts that each state was reached, so that a scene
begins where it says. Never asserts anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from serai.client import Pace, Row, State, SyncClient, Unreachable
from serai.core.errors import Code, SeraiError
from unit.client.fake_server import HOTEL, FakeServer
from unit.client.fake_transport import FakeTransport, open_client, passed

PACE = Pace(foreground_poll=20.0, backoff_first=0.5, backoff_max=20.0, request_timeout=60.0)
STAY = UUID(int=1)
GUEST = {"property_id": str(HOTEL), "guest": "Ada", "note": "late", "amount_minor": 9000}


class Phone:
    """A client, its server, what is between them, and the loop that runs it."""

    def __init__(self, client: SyncClient, transport: FakeTransport, server: FakeServer) -> None:
        self.client, self.transport, self.server = client, transport, server
        self.running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.running = asyncio.create_task(self.client.run())

    @property
    def state(self) -> State:
        return self.client.status.state

    def shown(self, row_id: UUID = STAY) -> Row:
        row = self.client.get("stays", row_id)
        assert row is not None
        return row

    async def in_step(self) -> None:
        """Sync for the first time, then run."""
        await self.client.sync_once()
        assert self.state is State.IDLE
        self.start()
        await passed(1.0)
        assert self.state is State.IDLE

    async def broken(self) -> None:
        """Run against a server that is down, until the circuit is open."""
        await self.in_step()
        self.transport.down = True
        self.client.wake()
        await passed(25.0)
        assert self.state is State.OPEN

    async def waiting(self) -> None:
        """Fail once, with a long Retry-After."""
        await self.in_step()
        self.transport.faults = [SeraiError(Code.OVERLOADED, retry_after_seconds=100)]
        self.client.wake()
        await passed(1.0)
        assert self.state is State.WAITING

    async def halted(self) -> None:
        """Be refused for good."""
        await self.in_step()
        self.transport.faults = [SeraiError(Code.UNAUTHENTICATED)]
        self.client.wake()
        await passed(1.0)
        assert self.state is State.HALTED

    async def requesting(self) -> None:
        """Have a request in flight that is never answered."""
        await self.in_step()
        self.transport.faults = ["hang"]
        self.client.wake()
        await passed(1.0)
        assert self.state is State.SYNCING


@asynccontextmanager
async def a_phone(folder: Path) -> AsyncGenerator[Phone]:
    server = FakeServer()
    server.write(("stays", STAY, dict(GUEST)))
    transport = FakeTransport(server)
    client = await open_client(folder, transport, pace=PACE)
    phone = Phone(client, transport, server)
    try:
        yield phone
    finally:
        client.close()
        if phone.running is not None:
            phone.running.cancel()
            await asyncio.gather(phone.running, return_exceptions=True)


@asynccontextmanager
async def a_filling_phone(folder: Path) -> AsyncGenerator[Phone]:
    """A client that has had two pages of five when the network broke."""
    server = FakeServer()
    for number in range(1, 51):
        server.write(("stays", UUID(int=number), {"property_id": str(HOTEL), "note": "old"}))
    transport = FakeTransport(server)
    async with await open_client(folder, transport, pace=Pace(fill_rows=10)) as client:
        transport.faults = [None, None, "lose_answer"]
        with pytest.raises(Unreachable):
            await client.sync_once()
        assert client.count("stays") == 20
        yield Phone(client, transport, server)
