"""The life of the log: what a store lets upkeep do to it, and the segments that fills read.

Owns the forms and the protocol between `serai.log.keeper` and whatever keeps the data. Each method
of `LifeStore` that changes something is one transaction, which leaves everything as readers expect
it: whoever calls them may end between any two. Never decides when to do any of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from serai.core.channels import Channel


class Mark(Struct, frozen=True, gc=False):
    """Every version up to this one was there at that moment."""

    version: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Life:
    """Where the log of one organisation stands in its life.

    Attributes:
        epoch, version, floor: of the organisation.
        known: it was looked at before, in this epoch. If not, what follows says nothing.
        marks: oldest first.
        folded: changes up to this version may be gone because later ones supersede them.
        fold_from: up to here there is nothing more to fold.
        sealed: segments are right as of this version, but for the parts that say otherwise; -1
            if it was not looked yet which channels are to have some.
    """

    org_id: int
    epoch: int
    version: int
    floor: int
    known: bool
    marks: tuple[Mark, ...] = ()
    folded: int = 0
    fold_from: int = 0
    sealed: int = 0


class LogKey(Struct, frozen=True, gc=False):
    """A change of the log without its text. `size`: characters of that text."""

    version: int
    collection: int
    scope: UUID
    id: UUID
    size: int


class Part(Struct, frozen=True, gc=False):
    """A part of a channel: its rows with `after` < id <= `last`. The last part of a channel ends
    with the all-one id.
    """

    channel: Channel
    after: UUID
    last: UUID


class RowText(Struct, frozen=True, gc=False):
    """A live row as the text that goes to a device."""

    id: UUID
    change: str


@dataclass(frozen=True, slots=True)
class PartRows:
    """Rows of a part, in order of id, as of a position."""

    epoch: int
    version: int
    rows: list[RowText]


class Block(Struct, frozen=True, gc=False):
    """A sealed piece of a channel: its rows up to the id `last`.

    Attributes:
        rows: how many.
        size: bytes of their texts, joined by commas.
        body: those texts as one zstd frame; None for a piece that is left open.
    """

    last: UUID
    rows: int
    size: int
    body: bytes | None


@dataclass(frozen=True, slots=True)
class SegmentPage:
    """A stretch of a channel from its segments, as of the version that was asked for.

    Attributes:
        blocks: whole ones, in order; `body` is never None.
        changes: texts to be applied on top: the last change of each row of the stretch that has
            changed since.
    """

    blocks: list[Block]
    changes: list[str]


class LifeStore(Protocol):
    """What upkeep does to the logs of one shard. Guarantees, held by the conformance suite:

    - No method changes what a reader of the log or of rows ends up with.
    - A change that would be wrong because somebody else went on meanwhile is not made.
    """

    async def lives(
        self, after: int, *, scan: int, now: datetime, behind: int
    ) -> tuple[list[Life], int | None]:
        """Look at the next `scan` organisations with a number above `after`.

        Returns those with something to do (a mark that is a day old and behind, segments that are
        `behind` versions behind, work that is due, or never looked at), and the number to go on
        from, None after the last one. Only active organisations have something to do.
        """
        ...

    async def begin(self, org_id: int) -> Life:
        """Begin a life, or begin it anew: without segments, and in another epoch without marks."""
        ...

    async def life(self, org_id: int) -> Life | None:
        """Return where one organisation stands, None if it is not here."""
        ...

    async def note(
        self, org_id: int, marks: Sequence[Mark], fold_from: int, due_at: datetime | None
    ) -> None:
        """End a look: keep the marks, how far was folded, and when there is something to do
        without a write.
        """
        ...

    async def log_keys(self, org_id: int, after: int, *, limit: int) -> list[LogKey]:
        """Return the first `limit` changes above version `after`, oldest first."""
        ...

    async def fold(self, org_id: int, first: int, last: int) -> int:
        """Make one version, `last`, of the versions from `first`: of each row its last change.
        Returns how many changes went.
        """
        ...

    async def raise_floor(self, org_id: int, floor: int) -> None:
        """Let deltas begin at this version. Lower than it is: nothing happens."""
        ...

    async def prune(self, org_id: int, *, limit: int) -> int:
        """Delete at most `limit` changes at or below the floor; return how many went. Ids of
        deleted rows stay.
        """
        ...

    async def channels(self, org_id: int) -> list[Channel]:
        """Return the channels that have rows, each scope by itself."""
        ...

    async def rows_up_to(self, org_id: int, channel: Channel, limit: int) -> int:
        """Return the number of rows of a channel, at most `limit`."""
        ...

    async def open_channel(self, org_id: int, channel: Channel) -> None:
        """Begin the segments of a channel: one open part. Does nothing if they have begun."""
        ...

    async def opened(self, org_id: int, channels: Sequence[Channel]) -> set[Channel]:
        """Return which of these channels have segments."""
        ...

    async def advance(
        self, org_id: int, since: int, through: int, touched: Sequence[LogKey]
    ) -> bool:
        """Let segments be right as of `through`, but for the parts in which a row was touched.

        `touched`: the last change of each row above `since`, up to `through`. False, and nothing
        done, if they are not right as of `since`, or the floor rose above it: what was read of the
        log may then lack what was pruned.
        """
        ...

    async def stale(self, org_id: int, *, limit: int) -> list[Part]:
        """Return parts that are behind or to be looked at again."""
        ...

    async def part_rows(self, org_id: int, part: Part, *, limit: int) -> PartRows | None:
        """Return the first rows of a part, with the position of that moment. None if the
        organisation is not here.
        """
        ...

    async def put(
        self, org_id: int, part: Part, at: PartRows, blocks: Sequence[Block], *, again: bool
    ) -> bool:
        """Put blocks in the place of a part.

        Args:
            at: the position of the rows that they were made of.
            blocks: the last one ends where the part did.
            again: an open block is to be looked at again.

        Returns False, and does nothing, if the part is not there any more.
        """
        ...
