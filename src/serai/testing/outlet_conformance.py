"""The conformance suite of `serai.ports.outlet.Bus`: what an adapter must do, as cases.

Owns the cases. A case is an async function of a `Subject`: a bus under test that nobody else sends
to, and a way to read it that is not the adapter's. A case which fails raises AssertionError. Never
names an adapter, and needs no test runner:

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
    async def test_bus(case, subject):
        await case(subject)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from serai.core.limits import KIB, OUTLET_MESSAGE_BYTES_MAX
from serai.ports.outlet import Bus, BusDown, BusRefused, Message

_AROUND: Final = 2 * KIB
"""What a bus may need of a message for its own head."""


class Subject(Protocol):
    """A bus under test."""

    @property
    def bus(self) -> Bus:
        """Return it as the outlet uses it."""
        ...

    @property
    def limited(self) -> bool:
        """Tell whether it refuses what is larger than `OUTLET_MESSAGE_BYTES_MAX`."""
        ...

    async def read(self, org_id: int) -> list[tuple[str, bytes]]:
        """Return (id, body) of an organisation's messages, as a reader of the bus gets them."""
        ...

    async def nowhere(self) -> Bus:
        """Return a bus of the same kind whose server does not answer."""
        ...


Case = Callable[[Subject], Awaitable[None]]


def _message(org_id: int, version: int, body: bytes | None = None) -> Message:
    return Message(org_id, f"{org_id}.1.{version}", body or f'{{"version":{version}}}'.encode())


async def an_accepted_message_is_read_as_it_was_sent(subject: Subject) -> None:
    await subject.bus.publish(Message(7, "7.1.1", '{"name":"Ünal \\u0000 ☃"}'.encode()))
    assert await subject.read(7) == [("7.1.1", '{"name":"Ünal \\u0000 ☃"}'.encode())]


async def messages_are_read_in_the_order_of_their_acceptance(subject: Subject) -> None:
    sent = [_message(7, version) for version in range(1, 30)]
    for message in sent:
        await subject.bus.publish(message)
    assert await subject.read(7) == [(m.id, m.body) for m in sent]


async def organisations_that_are_sent_at_once_keep_their_order(subject: Subject) -> None:
    async def send(org_id: int) -> None:
        for version in range(1, 15):
            await subject.bus.publish(_message(org_id, version))

    await asyncio.gather(*map(send, range(1, 9)))
    for org_id in range(1, 9):
        found = [name for name, _ in await subject.read(org_id)]
        assert found == [f"{org_id}.1.{version}" for version in range(1, 15)]


async def a_repetition_leaves_the_first_one_where_it_was(subject: Subject) -> None:
    for version in (1, 2, 2, 1, 3):
        await subject.bus.publish(_message(7, version))
    found = [name for name, _ in await subject.read(7)]
    assert list(dict.fromkeys(found)) == ["7.1.1", "7.1.2", "7.1.3"]


async def the_largest_message_is_taken(subject: Subject) -> None:
    body = b"x" * (OUTLET_MESSAGE_BYTES_MAX - _AROUND)
    await subject.bus.publish(_message(7, 1, body))
    assert await subject.read(7) == [("7.1.1", body)]


async def one_too_large_is_refused_and_the_next_is_taken(subject: Subject) -> None:
    if subject.limited:
        refused = False
        try:
            await subject.bus.publish(_message(7, 1, b"x" * (OUTLET_MESSAGE_BYTES_MAX + _AROUND)))
        except BusRefused:
            refused = True
        assert refused, "a message that is too large was taken"
    await subject.bus.publish(_message(7, 2))
    assert [name for name, _ in await subject.read(7)] == ["7.1.2"]


async def a_bus_that_does_not_answer_says_so(subject: Subject) -> None:
    bus = await subject.nowhere()
    said = ""
    try:
        await bus.publish(_message(7, 1))
    except BusDown as error:
        said = str(error)
    finally:
        await bus.close()
    assert said, "a message was accepted by nobody, or it did not say why not"


async def its_count_rises_with_each_message(subject: Subject) -> None:
    before = await subject.bus.state(0)
    if before is None:
        assert await subject.bus.publish(_message(7, 1)) == 0, "one that does not count says 0"
        return
    for version in range(1, 4):
        number = await subject.bus.publish(_message(7, version))
        state = await subject.bus.state(before.connection)
        assert state is not None
        assert state.store == before.store
        assert before.number < number <= state.number
        assert state.lowest == state.number, "no connection began since"
        before = state


CASES: Final[tuple[Case, ...]] = (
    an_accepted_message_is_read_as_it_was_sent,
    messages_are_read_in_the_order_of_their_acceptance,
    organisations_that_are_sent_at_once_keep_their_order,
    a_repetition_leaves_the_first_one_where_it_was,
    the_largest_message_is_taken,
    one_too_large_is_refused_and_the_next_is_taken,
    a_bus_that_does_not_answer_says_so,
    its_count_rises_with_each_message,
)
