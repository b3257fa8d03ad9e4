"""A device that has pulled, for scenes about what becomes of its queue.

Owns the set-up: a server with one row, a client in step with it. Never asserts anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self
from uuid import UUID

import pytest

from serai.client import Pace, SyncClient, Unreachable
from serai.core.errors import SeraiError
from serai.wire.sync import Mutation
from unit.client.fake_server import HOTEL, Doc, FakeServer
from unit.client.fake_transport import FakeTransport, Ids, open_client

STAY = UUID(int=1)
OTHER = UUID(int=2)
ROW = {"property_id": str(HOTEL), "guest": "Ada", "note": "late", "amount_minor": 9000}


class Scene:
    """A device that has pulled one row at version 1."""

    def __init__(self, folder: Path, pace: Pace | None = None) -> None:
        self.folder = folder
        self.pace = pace or Pace()
        self.server = FakeServer()
        self.server.write(("stays", STAY, dict(ROW)))
        self.transport = FakeTransport(self.server)
        self.ids = Ids()

    async def __aenter__(self) -> Self:
        self.client = await self.open()
        await self.client.sync_once()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.client.close()

    async def open(self) -> SyncClient:
        return await open_client(self.folder, self.transport, new_id=self.ids, pace=self.pace)

    async def reopen(self) -> None:
        self.client.close()
        self.client = await self.open()

    async def lose(self, *faults) -> None:
        self.transport.faults = [*faults]
        with pytest.raises((Unreachable, SeraiError)):
            await self.client.sync_once()

    def server_row(self, row_id: UUID = STAY) -> Doc:
        return self.server.docs("stays")[row_id]

    def sent(self, push: int = -1) -> list[Mutation]:
        return self.server.pushes[push].mutations
