"""The outlet's bus on Kafka.

Owns one producer and the topic's name. Promises what `serai.ports.outlet.Bus` says: a message
counts as accepted when all replicas that are in sync have it (`acks=all`); the producer is an
idempotent one, so its own repetitions do not double. All messages of an organisation go to one
partition, chosen by its number alone; the key is the message's id, organisation and version, so a
topic that is compacted keeps every version. Never sees that a broker lost what it had accepted:
Kafka's offsets belong to partitions, and nobody tells them here.
"""

from __future__ import annotations

import asyncio
import threading
import zlib
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Delivered

from serai.core.limits import OUTLET_MESSAGE_BYTES_MAX
from serai.ports.outlet import BusDown, BusRefused, BusState, Message

_ANSWER_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.1
_REFUSED: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})


def partition_of(org_id: int, partitions: int) -> int:
    """Return the partition of an organisation: CRC-32 of its number in decimal, modulo."""
    return zlib.crc32(str(org_id).encode()) % partitions


class KafkaBus:
    """Messages as a Kafka topic keeps them.

    Args:
        servers: `host:port`, separated by commas.
        topic: its name. It is not made here: how many partitions it has cannot be changed later
            without mixing the order of organisations.
        settings: of librdkafka, such as `security.protocol`.
        seconds: after which a message that is not accepted has failed.

    Raises:
        ValueError: librdkafka does not know a setting.
    """

    def __init__(
        self, servers: str, topic: str, settings: dict[str, str], seconds: float = _ANSWER_SECONDS
    ) -> None:
        """Make the producer; it connects by itself."""
        self._topic = topic
        self._partitions = 0
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._closed = threading.Event()
        given: dict[str, Any] = {
            **settings,
            "bootstrap.servers": servers,
            "client.id": "serai-outlet",
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 0,
            "message.timeout.ms": int(seconds * 1000),
            "message.max.bytes": OUTLET_MESSAGE_BYTES_MAX,
            # What it says is in the error of the message that it concerns.
            "log_level": 0,
        }
        try:
            self._producer = Producer(given)
        except KafkaException as error:
            raise ValueError(_said(error)) from error
        self._thread = threading.Thread(target=self._poll, name="serai-kafka", daemon=True)
        self._thread.start()

    async def publish(self, message: Message) -> int:
        """Send a message and wait until all replicas in sync have it."""
        partitions = self._partitions or await self._look()
        answered: asyncio.Future[KafkaError | None] = self._loop.create_future()

        def told(error: KafkaError | None, _: Delivered) -> None:
            """Runs in the thread that polls."""
            self._loop.call_soon_threadsafe(_settle, answered, error)

        try:
            self._producer.produce(
                self._topic,
                message.body,
                message.id.encode(),
                partition_of(message.org_id, partitions),
                told,
            )
        except (KafkaException, BufferError) as error:
            raise _meaning(error.args[0] if error.args else None) from error
        failed = await answered
        if failed is not None:
            raise _meaning(failed)
        return 0

    async def state(self, seen: int) -> BusState | None:
        """Nothing: each partition counts for itself."""
        del seen
        return None

    async def close(self) -> None:
        """End the producer; what is in flight is given up."""
        self._closed.set()
        await asyncio.to_thread(self._thread.join)
        self._producer.purge()
        await asyncio.to_thread(self._producer.flush, 1.0)

    async def _look(self) -> int:
        """Return how many partitions the topic has."""
        try:
            found = await asyncio.to_thread(self._producer.list_topics, self._topic, self._seconds)
        except KafkaException as error:
            raise _meaning(error.args[0]) from error
        topic = found.topics[self._topic]
        if topic.error is not None or not topic.partitions:
            raise BusDown(f"the topic {self._topic} cannot be had: {topic.error}. Make it first.")
        self._partitions = len(topic.partitions)
        return self._partitions

    def _poll(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(_POLL_SECONDS)


def _said(error: KafkaException) -> str:
    first = error.args[0] if error.args else None
    return first.str() if isinstance(first, KafkaError) else str(error)


def _settle(answered: asyncio.Future[KafkaError | None], error: KafkaError | None) -> None:
    if not answered.done():
        answered.set_result(error)


def _meaning(error: object) -> BusDown | BusRefused:
    if isinstance(error, KafkaError):
        if error.code() in _REFUSED:
            return BusRefused("it is larger than the broker or the topic takes")
        return BusDown(f"Kafka: {error.str()} ({error.name()})")
    return BusDown(f"Kafka: {error}")
