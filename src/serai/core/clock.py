"""Where time comes from: one protocol, one real clock.

Owns the only call of the wall clock in the package. Everything that needs the time takes a `Clock`,
so the simulation can run weeks in milliseconds. Order never comes from here: order is the
organisation's version.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time. `now` is timezone-aware UTC."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        return datetime.now(UTC)


def timestamp_text(moment: datetime) -> str:
    """Return `moment` as the one spelling used on the wire: `2026-01-31T12:00:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
