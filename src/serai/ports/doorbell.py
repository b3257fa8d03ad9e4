"""Doorbells: "organisation X is at version N".

Owns what a bell may do and must not. A ring may be lost, come twice, late or out of order, and is
never wrong: the organisation has stood at that position. Promises that ringing costs a write
nothing that it waits for, and never fails it. Whoever listens also polls, so without any bell the
same is heard, later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Heard = Callable[[int, int, int], None]
"""Is called with (organisation, epoch, version)."""


class Bell(Protocol):
    """Rings."""

    def ring(self, org_id: int, epoch: int, version: int) -> None:
        """Say that the organisation has reached a position. Returns at once, raises nothing."""
        ...

    async def close(self) -> None:
        """Ring no more."""
        ...


class Ear(Protocol):
    """Listens, from when it was made until it is closed."""

    async def close(self) -> None:
        """Listen no more."""
        ...
