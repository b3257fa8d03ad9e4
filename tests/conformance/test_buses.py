"""The conformance suite of the outlet's port, on each bus.

Owns the run of every case on the bus in memory, on a real NATS server, and on a mock of Kafka
brokers.
"""

from __future__ import annotations

import pytest
import pytest_asyncio

from conformance.buses import KafkaSubject, MemorySubject, NatsSubject, mock_kafka
from integration.outlet.nats_server import NatsServer, nats_server
from serai.ports.outlet import Message
from serai.testing.outlet_conformance import (
    CASES,
    Case,
    messages_are_read_in_the_order_of_their_acceptance,
    the_largest_message_is_taken,
)

by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory):
    async with nats_server(tmp_path_factory.mktemp("nats")) as running:
        yield running


@by_name
async def test_the_bus_in_memory_keeps_the_ports_promise(case: Case):
    await case(MemorySubject())


@by_name
async def test_jetstream_keeps_the_ports_promise(case: Case, server: NatsServer):
    subject = NatsSubject(server)
    try:
        await case(subject)
    finally:
        await subject.bus.close()


@by_name
async def test_kafkas_protocol_keeps_the_ports_promise(case: Case):
    async with mock_kafka() as servers:
        subject = KafkaSubject(servers)
        try:
            await case(subject)
        finally:
            await subject.bus.close()


async def test_a_bus_that_swaps_two_messages_is_found():
    subject = MemorySubject()
    take = subject.bus.publish

    async def swapped(message: Message) -> int:
        number = await take(message)
        subject.bus.messages[-2:] = subject.bus.messages[-2:][::-1]
        return number

    subject.bus.publish = swapped
    with pytest.raises(AssertionError):
        await messages_are_read_in_the_order_of_their_acceptance(subject)


async def test_a_bus_that_cuts_a_message_is_found():
    subject = MemorySubject()
    take = subject.bus.publish

    async def cut(message: Message) -> int:
        return await take(Message(message.org_id, message.id, message.body[:1000]))

    subject.bus.publish = cut
    with pytest.raises(AssertionError):
        await the_largest_message_is_taken(subject)
