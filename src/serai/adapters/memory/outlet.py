"""The outlet's bus in memory: the reference that the conformance suite and tests look into.

Owns a list of messages. Promises order and acceptance at once, and to fail when it is told to.
Never drops a repetition: what came twice is there twice.
"""

from __future__ import annotations

import asyncio
import secrets

from serai.ports.outlet import BusDown, BusState, Message


class MemoryBus:
    """Keeps what it is sent.

    Attributes:
        messages: accepted, in order.
        down: nothing is taken.
        swallow: so many further messages are accepted, and said not to be.
        open: messages are taken only while it is set: a bus that is slow.
        taken: set by each message.
    """

    def __init__(self) -> None:
        """Be empty and well."""
        self.messages: list[Message] = []
        self.down = False
        self.swallow = 0
        self.open = asyncio.Event()
        self.open.set()
        self.taken = asyncio.Event()
        self._name = f"memory {secrets.token_hex(8)}"
        self._starts = [0]
        self._broken = False

    async def publish(self, message: Message) -> int:
        """Take a message."""
        await self.open.wait()
        if self._broken:
            raise BusDown("the connection was lost")
        if self.down:
            raise BusDown("it is down")
        self.messages.append(message)
        self.taken.set()
        if self.swallow:
            self.swallow -= 1
            raise BusDown("its answer was lost")
        return len(self.messages)

    def lose(self, count: int) -> None:
        """Lose the last messages and every connection, as a server that loses power does."""
        del self.messages[-count:]
        self._starts.append(len(self.messages))
        self._broken = True

    async def state(self, seen: int) -> BusState | None:
        """Return how many there are."""
        if self.down:
            raise BusDown("it is down")
        self._broken = False
        number = len(self.messages)
        lowest = min(self._starts[seen:], default=number)
        return BusState(self._name, number, lowest, len(self._starts))

    async def close(self) -> None:
        """Do nothing."""
