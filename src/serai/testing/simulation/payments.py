"""What was put into tills, by the record: the oracle's own sums.

Owns the payments of one organisation, with what a till brings along that comes with its property.
Promises the sums as of any version. Never looks at a till.
"""

from __future__ import annotations

from uuid import UUID


class Payments:
    """What was put into tills: (payments, cents) of each property, as of any version."""

    def __init__(self) -> None:
        """Start empty."""
        self._events: list[tuple[int, str, UUID, int, int]] = []

    def paid(self, version: int, scope: UUID, price: int) -> None:
        """Note a payment."""
        self._events.append((version, "paid", scope, 1, price))

    def arrived(self, version: int, scope: UUID, payments: int, cents: int) -> None:
        """Note what a till held that came with its property."""
        self._events.append((version, "arrived", scope, payments, cents))

    def lose(self, version: int) -> None:
        """Forget what is later than a version."""
        self._events = [each for each in self._events if each[0] <= version]

    def at(self, version: int) -> dict[UUID, tuple[int, int]]:
        """Return what there was at a version."""
        found: dict[UUID, tuple[int, int]] = {}
        for when, what, scope, payments, cents in self._events:
            if when > version:
                break
            before = (0, 0) if what == "arrived" else found.get(scope, (0, 0))
            found[scope] = (before[0] + payments, before[1] + cents)
        return found
