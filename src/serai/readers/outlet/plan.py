"""What comes next for an organisation, from how far it was sent and where it stands.

Owns the one decision of the outlet. Pure: no I/O, no clock. Promises that an organisation goes on
from its log only where the log has everything since what was sent, in the same epoch; else it
begins again, aloud.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from serai.readers.outlet.messages import Entry, Reason

ANEW = -1
"""In place of a version."""
FIRST = (-1, UUID(int=0))
"""Before the first row of a fill: (collection, id)."""


@dataclass(frozen=True, slots=True)
class Sent:
    """How far an organisation was sent.

    Attributes:
        epoch, version: the bus accepted everything up to here. `ANEW`: it is to begin again.
        term: rises when somebody rewinds; who notes under an old one notes nothing.
        fill: while its rows are being sent, the last of them; else None.
    """

    epoch: int
    version: int
    term: int = 0
    fill: tuple[int, UUID] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Where an organisation stands, and the log after what was sent, as of one moment.

    Attributes:
        sent: None if it was never sent.
        entries: whole versions, in order.
        through: everything up to this version is in `entries`.
    """

    epoch: int
    head: int
    floor: int
    sent: Sent | None
    entries: Sequence[Entry]
    through: int


@dataclass(frozen=True, slots=True)
class Begin:
    """Say that it begins again, then send its rows."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Fill:
    """Send rows after this one."""

    sent: Sent
    after: tuple[int, UUID]


@dataclass(frozen=True, slots=True)
class Follow:
    """Send these versions: (version, the one before it, changes)."""

    sent: Sent
    versions: list[tuple[int, int, list[Entry]]]


def next_step(page: Page) -> Begin | Fill | Follow:
    """Return what comes next; a `Follow` without versions is nothing."""
    sent = page.sent
    if sent is None:
        if page.floor > 0:
            return Begin("new")
        sent = Sent(page.epoch, 0)
    reason = _why_again(sent, page)
    if reason is not None:
        return Begin(reason)
    if sent.fill is not None:
        return Fill(sent, sent.fill)
    return Follow(sent, list(_versions(sent.version, page)))


def _why_again(sent: Sent, page: Page) -> Reason | None:
    if sent.version == ANEW:
        return "asked"
    if sent.epoch != page.epoch:
        return "epoch"
    if sent.version > page.head:
        return "ahead"
    return "floor" if sent.version < page.floor else None


def _versions(previous: int, page: Page) -> Iterator[tuple[int, int, list[Entry]]]:
    for version, entries in groupby(page.entries, key=lambda e: e.version):
        yield version, previous, list(entries)
        previous = version
    if previous < page.through:
        # A version without changes: said all the same, or the next one would look like a gap.
        yield page.through, previous, []
