"""How much of other people's bytes a process holds.

Owns the count of all request bodies that are in memory at once. Promises that a body which does not
fit beside the others is refused, as `overloaded`, before it is kept, so that many large bodies at
once end in an answer and not in a process that the kernel kills. Never holds a body itself.
"""

from __future__ import annotations

from serai.core.errors import Code, SeraiError
from serai.core.limits import BODIES_BYTES_MAX


class Room:
    """What is left for bodies.

    Attributes:
        free: bytes.
    """

    def __init__(self, size: int = BODIES_BYTES_MAX) -> None:
        self.free = size


class Share:
    """What one request has of the room. `give_back` ends it."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held = 0

    def take(self, size: int) -> None:
        """Take room for that many bytes more.

        Raises:
            SeraiError: `overloaded`; nothing was taken.
        """
        if size > self._room.free:
            raise SeraiError(Code.OVERLOADED, "Too many large bodies at once.")
        self._room.free -= size
        self._held += size

    def give_back(self) -> None:
        """Leave all of it to others."""
        self._room.free += self._held
        self._held = 0
