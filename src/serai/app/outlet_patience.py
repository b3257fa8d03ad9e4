"""How long the outlet waits for what does not answer.

Owns the pauses, and who still has to look at a bus that came back. Promises that pauses grow to ten
seconds and no further, and that each wait ends at once when the process is told to stop. Never
gives up.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

_log = logging.getLogger(__name__)
_SECONDS_MIN: Final = 0.1
_SECONDS_MAX: Final = 10.0


async def paused(stop: asyncio.Event, seconds: float, other: asyncio.Event | None = None) -> None:
    """Wait so long, or until one of the events is set."""
    waits = [asyncio.ensure_future(each.wait()) for each in (stop, other) if each is not None]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()


class Patience:
    """With one thing that may not answer."""

    def __init__(self) -> None:
        """Begin with trust."""
        self._pause = 0.0
        self._until = 0.0
        self._trusting: set[str] = set()

    def failed(self, error: Exception | None = None) -> bool:
        """Note a failure; tell whether it is the first after a success."""
        now = asyncio.get_running_loop().time()
        first = not self._pause
        if now >= self._until:
            self._pause = min(max(2 * self._pause, _SECONDS_MIN), _SECONDS_MAX)
            self._until = now + self._pause
        self._trusting.clear()
        if first and error is not None:
            _log.warning("the outlet waits for the bus: %s", error)
        return first

    def succeeded(self) -> None:
        """Note that it answers."""
        self._pause = self._until = 0.0

    async def over(self, stop: asyncio.Event) -> None:
        """Wait until it may be asked again."""
        left = self._until - asyncio.get_running_loop().time()
        if left > 0:
            await paused(stop, left)

    def doubt(self, who: str) -> None:
        """Let one who uses it look at it first."""
        self._trusting.discard(who)

    def doubted(self, who: str) -> bool:
        """Tell whether that one has to look at it first."""
        return who not in self._trusting

    def trust(self, who: str) -> None:
        """Note that one has looked and it answers."""
        if self._pause:
            _log.info("the bus answers the outlet again")
        self.succeeded()
        self._trusting.add(who)
