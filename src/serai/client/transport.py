"""What carries requests to a server and answers back.

Owns the protocol between the client and its network, so that a simulation can put a lossy one in
its place. Promises nothing about delivery: an answer may be lost, late or doubled, and a request
may have been carried out without one. Never retries on its own, except after it has refreshed an
expired access token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from serai.wire.sync import ChangesRequest, MutationsRequest


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that arrived.

    Attributes:
        body: JSON text of a `ChangesAnswer` or a `MutationsAnswer`; empty if `unchanged`.
        etag: validator to send with the next pull of the same tokens.
        unchanged: the server has nothing new (304).
    """

    body: bytes
    etag: str | None = None
    unchanged: bool = False


class Transport(Protocol):
    """Sends one request and waits for its answer.

    Both methods raise `serai.client.Unreachable` when there is no answer that can be read, and
    `SeraiError` with the catalogue's code when the server refused; `extra["expected"]` and
    `retry_after_seconds` are filled in where they apply.
    """

    async def account(self) -> str:
        """Return whose requests it carries: any text that differs for each user of each
        organisation.

        From then on it carries nobody else's: once another account has signed in, every request is
        `unauthenticated` and does not leave the device.
        """
        ...

    async def changes(self, request: ChangesRequest, etag: str | None) -> Answer:
        """Send a pull."""
        ...

    async def mutations(self, request: MutationsRequest) -> Answer:
        """Send a push."""
        ...
