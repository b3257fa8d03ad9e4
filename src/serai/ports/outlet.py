"""The bus that the outlet hands changes to: what it must give, and what it need not.

Owns the protocol between `serai.readers.outlet` and a bus. An adapter gives, for each organisation:

- **Accepted means stored once, as far as the bus can tell.** `publish` returns when the bus has
  said so, and not before. That is no proof: JetStream says so before its disk has it, and may lose
  the end of what it stored. Nothing of Serai's own log depends on it.
- **Order.** A message whose `publish` was called after another one's returned is read after it, by
  every reader of that organisation's messages. The caller has one message of an organisation in
  flight at a time, so an adapter need not keep order between messages in flight.
- **At least once.** A `publish` that raises may have stored the message or not; the caller sends it
  again under the same id. A bus that recognises the id may drop the repetition; none has to.

Never keeps a message that was not accepted: there is no buffer between the log and the bus, so a
slow bus slows the outlet and costs no memory.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Message(Struct, frozen=True, gc=False):
    """One message.

    Attributes:
        org_id: messages of one organisation keep their order.
        id: the same whenever this message is sent again; of the organisation and its version.
        body: JSON, as `protocol/OUTLET.md` says.
    """

    org_id: int
    id: str
    body: bytes


class BusState(Struct, frozen=True):
    """How far a bus that counts its messages has come.

    Attributes:
        store: which one it is: a bus that was made anew is another one.
        number: of the last message that it has. It rises with each one.
        lowest: the lowest that this was when a connection began, of those asked about.
        connection: how many connections to it there were in this process.
    """

    store: str
    number: int
    lowest: int = 0
    connection: int = 0


class BusDown(Exception):
    """The bus does not answer or takes nothing. The message says why, without a password."""


class BusRefused(Exception):
    """The bus will not take this message, however often it is sent. The message says why."""


class Bus(Protocol):
    """A bus that keeps the order of each organisation's messages, and takes each at least once."""

    async def publish(self, message: Message) -> int:
        """Return when the bus has accepted the message: its number, 0 from a bus that does not
        count.

        Raises:
            BusDown: nothing is known of the message; the same again, later.
            BusRefused: this message cannot be sent as it is.
        """
        ...

    async def state(self, seen: int) -> BusState | None:
        """Return how far the bus has come, and had come when the connections after the first `seen`
        ones began; None if it does not count.

        A server that loses what it had accepted also loses its connections. After that `publish`
        raises until this was asked, so that no loss hides behind messages sent since.

        Raises:
            BusDown: it does not answer.
        """
        ...

    async def close(self) -> None:
        """Part from the bus. What is in flight is unknown then."""
        ...
