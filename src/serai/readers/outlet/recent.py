"""What the bus accepted last, by its own numbers: what is sent again when it loses its tail.

Owns the memory of one process, for one shard. Promises to say so when it does not reach back far
enough. Never is written down: after the death of the process only readers of the bus see a gap.
"""

from __future__ import annotations

from collections import deque
from typing import Final

RECENT_MAX: Final = 50_000


class Recent:
    """The last messages that were accepted.

    Attributes:
        highest: number that the bus gave, 0 if it gave none.
    """

    def __init__(self, limit: int = RECENT_MAX) -> None:
        """Remember nothing yet."""
        self.highest = 0
        self._kept: deque[tuple[int, int, int]] = deque(maxlen=limit)
        self._dropped = 0

    def note(self, number: int, org_id: int, after: int) -> None:
        """Remember a message; it comes again if its organisation goes on after that version."""
        if not number:
            return
        if len(self._kept) == self._kept.maxlen:
            self._dropped = max(self._dropped, self._kept[0][0])
        self.highest = max(self.highest, number)
        self._kept.append((number, org_id, after))

    def lost_after(self, number: int) -> tuple[dict[int, int], bool]:
        """Return organisation -> version after which it must go on if the bus has nothing above
        this number, and whether that is all; forget what is lost.
        """
        lost: dict[int, int] = {}
        for given, org_id, after in self._kept:
            if given > number:
                lost[org_id] = min(lost.get(org_id, after), after)
        whole = self._dropped <= number
        self._kept = deque((k for k in self._kept if k[0] <= number), maxlen=self._kept.maxlen)
        self.highest = min(self.highest, number)
        self._dropped = min(self._dropped, number)
        return lost, whole
