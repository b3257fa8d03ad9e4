"""What becomes of a log as it grows old: the decisions, without I/O.

Owns four rules. *Marks* tell how old versions are, for a log has no clock: once a day the present
version is noted, and everything up to it is at least that old. The *floor* is the newest mark that
is older than the horizon. *Stretches* of versions are folded: made one version, as if they had been
one write, where that leaves out enough that is superseded; a reader who gets a stretch gets it
whole, so rows that were written together still come together (I9), and a page is never longer than
its bound. *Blocks* are what the rows of a channel are sealed into.

Promises that each rule may be applied again on what it left, in any state. Never knows a database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from serai.core.ids import ALL_SCOPES
from serai.core.limits import (
    FOLD_BYTES_MAX,
    FOLD_ROWS_MAX,
    MARKS_MAX,
    SEGMENT_BEHIND,
    SEGMENT_BLOCK_BYTES,
    SEGMENT_BLOCK_ROWS,
)
from serai.core.token import Position
from serai.ports.life import Block, LogKey, Mark, Part, RowText

LAST_ID: Final = ALL_SCOPES
"""No row has it: where the last part of a channel ends."""
_DAY: Final = timedelta(days=1)
_FOLD_WORTH: Final = 10
"""A stretch is folded if that leaves out at least one change in so many."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a deployment chooses.

    Attributes:
        horizon: how far back the log reaches for a device that was away.
        fold_after: age of the versions that are folded.
        segment_rows: a channel with fewer rows has no segments; 0: none has.
        block_rows: rows of a block.
        behind: versions by which segments may be behind before upkeep goes on with them.
    """

    horizon: timedelta
    fold_after: timedelta = _DAY
    segment_rows: int = 0
    block_rows: int = SEGMENT_BLOCK_ROWS
    behind: int = SEGMENT_BEHIND

    @property
    def part_rows(self) -> int:
        """Rows that are read at once to seal them."""
        return 4 * self.block_rows


def marked(marks: Sequence[Mark], version: int, now: datetime) -> tuple[Mark, ...]:
    """Return the marks with one for this moment, if the last one is a day old.

    Of too many the oldest but one goes: what lies between is then kept a little longer.
    """
    kept = tuple(m for m in marks if m.version <= version and m.at <= now)
    if kept and (kept[-1].version == version or now - kept[-1].at < _DAY):
        return kept
    kept = (*kept, Mark(version, now))
    return kept if len(kept) <= MARKS_MAX else (kept[0], *kept[2:])


def aged(marks: Iterable[Mark], now: datetime, age: timedelta) -> int:
    """Return the newest version of which it is known that it is at least so old, 0 if none is."""
    return max((m.version for m in marks if m.at <= now - age), default=0)


def still_needed(marks: Sequence[Mark], floor: int) -> tuple[Mark, ...]:
    """Return the marks without those that can raise nothing any more; the last one says when the
    next is due.
    """
    return tuple(m for n, m in enumerate(marks) if m.version > floor or n == len(marks) - 1)


def due_next(marks: Sequence[Mark], floor: int, now: datetime, policy: Policy) -> datetime | None:
    """Return when a mark comes of an age at which something is to do, None if none will."""
    ages = [m.at + policy.horizon for m in marks if m.version > floor]
    ages += [m.at + policy.fold_after for m in marks]
    return min((each for each in ages if each > now), default=None)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Versions that may be made one: `before` changes of them, `after` left then. `open`: more
    versions might join it.
    """

    first: int
    last: int
    before: int
    after: int
    open: bool

    @property
    def worth(self) -> bool:
        """Whether folding it leaves out enough."""
        return (self.before - self.after) * _FOLD_WORTH >= self.before and self.before > self.after


def stretches(keys: Sequence[LogKey], through: int) -> list[Stretch]:
    """Cut the changes of whole versions, oldest first, none above `through`, into stretches.

    A stretch holds as many versions as leave `FOLD_ROWS_MAX` rows and `FOLD_BYTES_MAX` of text at
    most; one version that holds more is a stretch by itself.
    """
    found: list[Stretch] = []
    rows: dict[tuple[int, UUID], int] = {}
    first = last = before = size = 0
    for version, group in _versions(keys):
        if version > through:
            break
        more = {(k.collection, k.id): k.size for k in group}
        joined = {**rows, **more}
        grown = sum(joined.values())
        if rows and (len(joined) > FOLD_ROWS_MAX or grown > FOLD_BYTES_MAX):
            found.append(Stretch(first, last, before, len(rows), open=False))
            rows, before, joined, grown = {}, 0, more, sum(more.values())
        if not rows:
            first = version
        rows, size, last = joined, grown, version
        before += len(group)
    if rows:
        full = len(rows) >= FOLD_ROWS_MAX or size >= FOLD_BYTES_MAX
        found.append(Stretch(first, last, before, len(rows), open=not full))
    return found


def next_fold(cut: Sequence[Stretch], since: int) -> int:
    """Return the version after which the next round begins: a stretch that is open may grow."""
    if not cut:
        return since
    return cut[-1].first - 1 if cut[-1].open else cut[-1].last


def whole_versions(keys: Sequence[LogKey], limit: int) -> list[LogKey]:
    """Return the changes without those of the last version if the limit may have cut it in two."""
    if len(keys) < limit or keys[0].version == keys[-1].version:
        return list(keys)
    return [k for k in keys if k.version < keys[-1].version]


def last_changes(keys: Iterable[LogKey]) -> list[LogKey]:
    """Return the last change of each row."""
    return [*{(k.collection, k.id): k for k in keys}.values()]


def _versions(keys: Sequence[LogKey]) -> Iterable[tuple[int, list[LogKey]]]:
    group: list[LogKey] = []
    for key in keys:
        if group and key.version != group[0].version:
            yield group[0].version, group
            group = []
        group.append(key)
    if group:
        yield group[0].version, group


def pieces(
    part: Part, rows: Sequence[RowText], size: int, *, whole: bool
) -> list[tuple[UUID, list[RowText]]]:
    """Cut the rows of a part into blocks: (last id, rows) of each.

    Args:
        size: rows of a block.
        whole: these are all rows of the part. Then the last block ends where the part does, but for
            the last part of a channel, in which only full blocks are made: its end is where new
            rows come, and they are read one by one.
    """
    tail = part.last == LAST_ID
    blocks: list[list[RowText]] = []
    text = 0
    for row in rows:
        if not blocks or len(blocks[-1]) >= size or text >= SEGMENT_BLOCK_BYTES:
            blocks.append([])
            text = 0
        blocks[-1].append(row)
        text += len(row.change)
    if not whole or tail:
        full = bool(blocks) and (len(blocks[-1]) >= size or text >= SEGMENT_BLOCK_BYTES)
        return [(each[-1].id, each) for each in (blocks if full else blocks[:-1])]
    if not blocks:
        return [(part.last, [])]
    if len(blocks) > 1 and len(blocks[-1]) < size // 2 and text < SEGMENT_BLOCK_BYTES // 2:
        # A small one at the end would be small for ever.
        blocks[-2:] = [blocks[-2] + blocks[-1]]
    lasts = [each[-1].id for each in blocks[:-1]] + [part.last]
    return list(zip(lasts, blocks, strict=True))


@dataclass(frozen=True, slots=True)
class Sealed:
    """A block as it is kept: where it begins, and as of which position it is right."""

    after: UUID
    at: Position
    block: Block


def page_of_blocks(
    found: Sequence[Sealed], cursor: UUID, at: Position
) -> tuple[UUID, int, list[Block]] | None:
    """Return (where the stretch begins, version as of which all of it is right, blocks) of the
    blocks that follow each other from the cursor on, None if there is none.

    A block that holds the cursor counts: its first rows come a second time. One that is newer than
    the position does not: it may hold what the device is not to see yet.
    """
    blocks: list[Block] = []
    start, since, end = cursor, at.version, cursor
    for each in found:
        follows = each.after == end if blocks else each.after <= end
        right = each.at.epoch == at.epoch and each.at.version <= at.version
        if not follows or not right or each.block.body is None:
            break
        start = start if blocks else each.after
        since, end = min(since, each.at.version), each.block.last
        blocks.append(each.block)
    return (start, since, blocks) if blocks else None
