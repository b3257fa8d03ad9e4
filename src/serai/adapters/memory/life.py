"""The life of logs in memory: the reference for `serai.ports.life.LifeStore`.

Owns the simplest code that gives its guarantees: lists that are gone through. What is frozen, or
lives elsewhere, is left alone as the functions of the schema do. Never awaits, so each call is
atomic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from msgspec import structs

from serai.core.channels import Channel, contains
from serai.core.errors import Code, SeraiError
from serai.core.ids import ALL_SCOPES
from serai.ports.life import Block, Life, LogKey, Mark, Part, PartRows, RowText
from serai.ports.store import LogEntry

if TYPE_CHECKING:
    from serai.adapters.memory.store import Organisation

_DAY: Final = timedelta(days=1)
_NO_UUID: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class KeptPart:
    """A part of a channel, see the table `serai.segment`."""

    part: Part
    epoch: int
    version: int
    stale: bool
    block: Block


@dataclass(slots=True)
class KeptLife:
    """What is kept of one organisation, see the table `serai.log_life`."""

    epoch: int
    marks: tuple[Mark, ...] = ()
    folded: int = 0
    fold_from: int = 0
    sealed: int = -1
    due_at: datetime | None = None
    due: bool = True
    parts: list[KeptPart] = field(default_factory=list["KeptPart"])

    def copied(self) -> KeptLife:
        """Return the same in a list of its own."""
        return replace(self, parts=list(self.parts))


class MemoryLifeStore:
    """The logs of a store in memory. `organisations`: returns its durable state."""

    def __init__(self, organisations: Mapping[int, Organisation]) -> None:
        """Look after these."""
        self._organisations = organisations

    async def lives(
        self, after: int, *, scan: int, now: datetime, behind: int
    ) -> tuple[list[Life], int | None]:
        """Look at the next organisations."""
        looked = sorted(each for each in self._organisations if each > after)[:scan]
        found = [each for each in looked if self._due(each, now, behind)]
        lives = [life for each in found if (life := await self.life(each)) is not None]
        return lives, looked[-1] if looked else None

    def _due(self, org_id: int, now: datetime, behind: int) -> bool:
        org = self._organisations[org_id]
        kept, head = org.life, org.head
        if head.state != "active" or head.version == 0:
            return False
        if kept is None or kept.epoch != head.epoch or kept.due:
            return True
        if kept.due_at is not None and kept.due_at <= now:
            return True
        last = kept.marks[-1] if kept.marks else None
        old = last is not None and head.version > last.version and last.at <= now - _DAY
        return old or head.version - kept.sealed >= behind

    async def life(self, org_id: int) -> Life | None:
        """Return where one organisation stands."""
        org = self._organisations.get(org_id)
        if org is None:
            return None
        kept, head = org.life, org.head
        if kept is None or kept.epoch != head.epoch:
            return Life(org_id, head.epoch, head.version, head.floor, known=False)
        return Life(
            org_id=org_id,
            epoch=head.epoch,
            version=head.version,
            floor=head.floor,
            known=True,
            marks=kept.marks,
            folded=kept.folded,
            fold_from=kept.fold_from,
            sealed=kept.sealed,
        )

    async def begin(self, org_id: int) -> Life:
        """Begin a life, or begin it anew."""
        org = self._organisations[org_id]
        old, fresh = org.life, KeptLife(org.head.epoch)
        if org.head.state != "active":
            org.life = None if old is None else replace(old, parts=[])
            life = await self.life(org_id)
            assert life is not None, "it is here"
            return life
        if old is not None and old.epoch == fresh.epoch:
            fresh.marks, fresh.folded, fresh.fold_from = old.marks, old.folded, old.fold_from
        elif old is not None:
            fresh.folded = org.head.version
        org.life = fresh
        life = await self.life(org_id)
        assert life is not None, "it has just begun"
        return life

    async def note(
        self, org_id: int, marks: Sequence[Mark], fold_from: int, due_at: datetime | None
    ) -> None:
        """End a look."""
        kept = self._organisations[org_id].life
        if kept is not None:
            kept.marks, kept.fold_from = tuple(marks), fold_from
            kept.due_at, kept.due = due_at, False

    async def log_keys(self, org_id: int, after: int, *, limit: int) -> list[LogKey]:
        """Return the first changes above a version."""
        log = self._organisations[org_id].log
        found = [e for e in log if e.version > after][:limit]
        return [LogKey(e.version, e.collection, e.scope, e.id, len(e.change)) for e in found]

    async def fold(self, org_id: int, first: int, last: int) -> int:
        """Make one version of several."""
        org = self._organisations[org_id]
        kept = org.life
        if kept is None or org.head.state != "active":
            raise SeraiError(Code.ORG_MOVED, retry_after_seconds=1)
        assert first <= last <= org.head.version, "versions that are there"
        inside = [e for e in org.log if first <= e.version <= last]
        final = {(e.collection, e.id): e for e in inside}
        stay = [e for e in inside if final[e.collection, e.id] is e]
        below = [e for e in org.log if e.version < first]
        above = [e for e in org.log if e.version > last]
        org.log = [*below, *(_under(last, e) for e in stay), *above]
        kept.folded = max(kept.folded, last)
        return len(inside) - len(stay)

    async def raise_floor(self, org_id: int, floor: int) -> None:
        """Let deltas begin at this version."""
        org = self._organisations[org_id]
        if org.head.state == "active" and org.head.floor < floor <= org.head.version:
            org.head = replace(org.head, floor=floor)

    async def prune(self, org_id: int, *, limit: int) -> int:
        """Delete changes at or below the floor."""
        org = self._organisations[org_id]
        if org.head.state != "active":
            return 0
        gone = len([e for e in org.log if e.version <= org.head.floor][:limit])
        org.log = org.log[gone:]
        return gone

    async def channels(self, org_id: int) -> list[Channel]:
        """Return the channels that have rows."""
        rows = self._organisations[org_id].rows
        return [(s, n) for n, s in sorted({(key[0], row.scope) for key, row in rows.items()})]

    async def rows_up_to(self, org_id: int, channel: Channel, limit: int) -> int:
        """Return the number of rows of a channel, at most `limit`."""
        return len(_rows(self._organisations[org_id], Part(channel, _NO_UUID, ALL_SCOPES))[:limit])

    async def open_channel(self, org_id: int, channel: Channel) -> None:
        """Begin the segments of a channel."""
        org = self._organisations[org_id]
        kept = org.life
        if kept is None or org.head.state != "active":
            return
        if not await self.opened(org_id, [channel]):
            part, end = Part(channel, _NO_UUID, ALL_SCOPES), Block(ALL_SCOPES, 0, 0, None)
            head = org.head
            kept.parts.append(KeptPart(part, head.epoch, head.version, stale=True, block=end))

    async def opened(self, org_id: int, channels: Sequence[Channel]) -> set[Channel]:
        """Return which of these channels have segments."""
        return {p.part.channel for p in self._parts(org_id)} & {*channels}

    async def advance(
        self, org_id: int, since: int, through: int, touched: Sequence[LogKey]
    ) -> bool:
        """Let segments be right as of `through`, but for what was touched."""
        kept = self._organisations[org_id].life
        if (
            kept is None
            or kept.sealed != since
            or 0 <= since < self._organisations[org_id].head.floor
        ):
            return False
        kept.sealed = through
        kept.parts = [
            replace(p, stale=True, version=max(p.version, since))
            if not p.stale and any(_touches(t, p) for t in touched)
            else p
            for p in kept.parts
        ]
        return True

    async def stale(self, org_id: int, *, limit: int) -> list[Part]:
        """Return parts that are behind or to be looked at again."""
        return [p.part for p in self._parts(org_id) if p.stale][:limit]

    async def part_rows(self, org_id: int, part: Part, *, limit: int) -> PartRows | None:
        """Return the first rows of a part, with the position of that moment."""
        org = self._organisations.get(org_id)
        if org is None:
            return None
        return PartRows(org.head.epoch, org.head.version, _rows(org, part)[:limit])

    async def put(
        self, org_id: int, part: Part, at: PartRows, blocks: Sequence[Block], *, again: bool
    ) -> bool:
        """Put blocks in the place of a part."""
        kept = self._organisations[org_id].life
        known = any(p.part == part for p in self._parts(org_id))
        if kept is None or kept.epoch != at.epoch or not known or blocks[-1].last != part.last:
            return False
        kept.parts = [p for p in kept.parts if p.part != part]
        after, behind = part.after, at.version < kept.sealed
        for block in blocks:
            piece = Part(part.channel, after, block.last)
            stale = behind or (block.body is None and again)
            kept.parts.append(KeptPart(piece, at.epoch, at.version, stale, block))
            after = block.last
        return True

    def _parts(self, org_id: int) -> list[KeptPart]:
        kept = self._organisations[org_id].life
        return [] if kept is None else kept.parts


def _rows(org: Organisation, part: Part) -> list[RowText]:
    return [
        RowText(key[1], change_text("insert", key[1], row.version, row.doc))
        for key, row in sorted(org.rows.items())
        if holds(part, row.scope, key[0], key[1])
    ]


def change_text(action: str, row_id: UUID, version: int, doc: str | None) -> str:
    """Return a change as it goes to a device."""
    data = "" if doc is None else f',"data":{doc}'
    return f'{{"id":"{row_id}","action":"{action}","version":{version}{data}}}'


def holds(part: Part, scope: UUID, collection: int, row_id: UUID) -> bool:
    """Tell whether a row is in a part."""
    place, number = part.channel
    inside = number == collection and contains({place: 1 << number}, scope, collection)
    return inside and part.after < row_id <= part.last


def _touches(key: LogKey, kept: KeptPart) -> bool:
    return key.version > kept.version and holds(kept.part, key.scope, key.collection, key.id)


def _under(version: int, entry: LogEntry) -> LogEntry:
    return structs.replace(entry, version=version)
