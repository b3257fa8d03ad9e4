"""The buses that the conformance suite runs on, each with a way to read it that is not its own."""

from __future__ import annotations

import secrets

from integration.app.programs import free_port
from integration.outlet.nats_server import NatsServer
from serai.adapters.memory import MemoryBus
from serai.adapters.nats import NatsBus
from serai.ports.outlet import Bus


class MemorySubject:
    """The reference."""

    limited = False

    def __init__(self) -> None:
        self.bus = MemoryBus()

    async def read(self, org_id: int) -> list[tuple[str, bytes]]:
        return [(m.id, m.body) for m in self.bus.messages if m.org_id == org_id]

    async def nowhere(self) -> Bus:
        bus = MemoryBus()
        bus.down = True
        return bus


class NatsSubject:
    """JetStream, a stream for each case."""

    limited = True

    def __init__(self, server: NatsServer) -> None:
        self._server = server
        self._name = f"S{secrets.token_hex(4)}"
        self.bus = NatsBus([server.url], self._name, f"case.{self._name}")

    async def read(self, org_id: int) -> list[tuple[str, bytes]]:
        return await self._server.read(self._name, f"case.{self._name}.{org_id}")

    async def nowhere(self) -> Bus:
        return NatsBus([f"nats://127.0.0.1:{free_port()}"], self._name, "case")
