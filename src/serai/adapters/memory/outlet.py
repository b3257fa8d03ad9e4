"""The outlet's bus in memory: the reference that the conformance suite and tests look into.

Owns a list of messages. Promises order and acceptance at once, and to fail when it is told to.
Never drops a repetition: what came twice is there twice.
"""

from __future__ import annotations

import asyncio

from serai.ports.outlet import BusDown, BusState, Message


class MemoryBus:
    """Keeps what it is sent.

    Attributes:
        messages: accepted, in order.
        down: nothing is taken.
        swallow: so many further messages are accepted, and said not to be.
        open: messages are taken only while it is set: a bus that is slow.
    """

    def __init__(self) -> None:
        """Be empty and well."""
        self.messages: list[Message] = []
        self.down = False
        self.swallow = 0
        self.open = asyncio.Event()
        self.open.set()

    async def publish(self, message: Message) -> int:
        """Take a message."""
        await self.open.wait()
        if self.down:
            raise BusDown("it is down")
        self.messages.append(message)
        if self.swallow:
            self.swallow -= 1
            raise BusDown("its answer was lost")
        return len(self.messages)

    def lose(self, count: int) -> None:
        """Lose the last messages, as a server that loses power does."""
        del self.messages[-count:]

    async def state(self) -> BusState | None:
        """Return how many there are."""
        return BusState("memory", len(self.messages))

    async def close(self) -> None:
        """Do nothing."""
