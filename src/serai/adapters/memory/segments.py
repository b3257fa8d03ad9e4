"""Pages made of sealed blocks in memory: the reference for `Store.segment_page`.

Owns the choice of blocks. Promises that a page says what rows would have said. Never seals one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from serai.adapters.memory.life import KeptPart, holds
from serai.core.channels import Channel
from serai.core.limits import PAGE_BYTES_MAX
from serai.core.token import Position
from serai.ports.life import Part, SegmentPage

if TYPE_CHECKING:
    from serai.adapters.memory.store import Organisation

_NO_UUID: Final = UUID(int=0)


def segment_page(
    org: Organisation, channel: Channel, after: UUID | None, at: Position, rows: int
) -> SegmentPage | None:
    """Return a stretch of a channel from its segments; see `Store.segment_page`."""
    kept = org.life
    if kept is None or (at.epoch, kept.epoch) != (org.head.epoch, org.head.epoch):
        return None
    cursor = start = after or _NO_UUID
    found: list[KeptPart] = []
    since = at.version
    for each in sorted(kept.parts, key=lambda p: p.part.last):
        if each.part.channel != channel or each.part.last <= cursor:
            continue
        version = each.version if each.stale else max(each.version, kept.sealed)
        joins = each.part.after == found[-1].part.last if found else each.part.after <= cursor
        taken = [p.block for p in (*found, each)]
        full = sum(b.rows for b in taken) > rows or sum(b.size for b in taken) > PAGE_BYTES_MAX
        if not joins or full or each.block.body is None or version > at.version:
            break
        start = start if found else each.part.after
        since = min(since, version)
        found.append(each)
    if not found or org.head.floor > since or kept.folded > max(since, at.version):
        return None
    inside = Part(channel, start, found[-1].part.last)
    changes = {
        e.id: e.change
        for e in org.log
        if since < e.version <= at.version and holds(inside, e.scope, e.collection, e.id)
    }
    return SegmentPage([p.block for p in found], [*changes.values()])
