"""The buses that the conformance suite runs on, each with a way to read it that is not its own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from confluent_kafka import Consumer, Producer, TopicPartition

from integration.outlet.nats_server import NatsServer
from serai.adapters.kafka import KafkaBus
from serai.adapters.kafka.outlet import partition_of
from serai.adapters.memory import MemoryBus
from serai.adapters.nats import NatsBus
from serai.embedded.ports import free_port
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


class KafkaSubject:
    """Kafka's protocol, spoken to the mock cluster that librdkafka has for its own tests: it keeps
    messages in memory, in partitions, with keys, and checks the sequence of an idempotent producer.
    It stores nothing, has no replicas that lag, and refuses no large message.
    """

    limited = True
    partitions = 4

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._topic = f"case-{secrets.token_hex(4)}"
        self.bus = KafkaBus(servers, self._topic, {})

    async def read(self, org_id: int) -> list[tuple[str, bytes]]:
        return await asyncio.to_thread(self._read, partition_of(org_id, self.partitions), org_id)

    def _read(self, partition: int, org_id: int) -> list[tuple[str, bytes]]:
        consumer = Consumer({"bootstrap.servers": self._servers, "group.id": "case"})
        place = TopicPartition(self._topic, partition, 0)
        try:
            _, end = consumer.get_watermark_offsets(place, timeout=30)
            consumer.assign([place])
            found: list[tuple[str, bytes]] = []
            for _ in range(end):
                message = consumer.poll(30)
                assert message is not None
                assert message.error() is None
                key, value = message.key(), message.value()
                assert isinstance(key, bytes)
                assert isinstance(value, bytes)
                found.append((key.decode(), value))
            return [(key, body) for key, body in found if key.startswith(f"{org_id}.")]
        finally:
            consumer.close()

    async def nowhere(self) -> Bus:
        return KafkaBus(f"127.0.0.1:{free_port()}", "case", {}, seconds=0.3)


@asynccontextmanager
async def mock_kafka() -> AsyncGenerator[str]:
    """Yield the address of a mock cluster, which lives as long as the producer that made it."""
    owner = Producer({"bootstrap.servers": "-", "test.mock.num.brokers": 1, "log_level": 0})
    found = await asyncio.to_thread(owner.list_topics, None, 30)
    (broker,) = found.brokers.values()
    yield f"{broker.host}:{broker.port}"
    await asyncio.to_thread(owner.flush, 1)
