"""Cases: what a fill reads from sealed blocks is what it would have read from rows.

Owns segments: what is in a block, what comes on top of it, and when there is none. Never says which
channels have any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import zstandard

from serai.core.channels import Channel
from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai.core.token import Position
from serai.log.life import last_changes
from serai.ports.life import Block, LogKey, Part, SegmentPage
from serai.ports.store import RowOp
from serai.testing.store_conformance.desk import Case, Desk
from serai.testing.store_conformance.reading_log import walk
from serai.testing.vertical import GUESTS, STAYS

CHANNEL: Final[Channel] = (ORG_SCOPE, GUESTS)
LAST = ALL_SCOPES


async def seal(desk: Desk, channel: Channel, size: int, *, again: bool = False) -> None:
    """Seal a channel as it is now, in blocks of `size` rows, all but what is left over."""
    await desk.lives.open_channel(desk.org, channel)
    parts = [p for p in await desk.lives.stale(desk.org, limit=100) if p.channel == channel]
    for part in parts:
        await seal_part(desk, part, size, again=again)


async def seal_part(desk: Desk, part: Part, size: int, *, again: bool = False) -> bool:
    """Seal one part."""
    at = await desk.lives.part_rows(desk.org, part, limit=1000)
    assert at is not None, "the organisation is here"
    groups = [at.rows[n : n + size] for n in range(0, len(at.rows) - size + 1, size)]
    blocks = [_block(group[-1].id, [row.change for row in group]) for group in groups]
    if not blocks or blocks[-1].last != part.last:
        blocks.append(Block(part.last, 0, 0, None))
    return await desk.lives.put(desk.org, part, at, blocks, again=again)


def _block(last: UUID, texts: Sequence[str]) -> Block:
    text = ",".join(texts).encode()
    return Block(last, len(texts), len(text), zstandard.ZstdCompressor().compress(text))


async def page(
    desk: Desk, channel: Channel, after: UUID | None = None, *, version: int = 0, rows: int = 1000
) -> SegmentPage | None:
    """Return a page of segments as of a version, the present one by default."""
    at = Position(1, version or await desk.version())
    return await desk.store.segment_page(desk.org, channel, after, at=at, rows=rows)


async def begun(desk: Desk, guests: int = 0) -> list[RowOp]:
    """Begin the life of a log; return guests in order of their ids."""
    made = sorted((desk.guest(f"guest {n}") for n in range(guests)), key=lambda op: op.id)
    if made:
        await desk.done(desk.plan(*made))
    life = await desk.lives.begin(desk.org)
    assert await desk.lives.advance(desk.org, life.sealed, life.version, [])
    return made


async def touched(desk: Desk, since: int) -> list[LogKey]:
    """Return the last change of each row above a version."""
    return last_changes(await desk.lives.log_keys(desk.org, since, limit=1000))


def texts(found: SegmentPage | None) -> str:
    """Return the text of a page's blocks."""
    assert found is not None, "there are segments"
    plain = [zstandard.ZstdDecompressor().decompress(b.body) for b in found.blocks if b.body]
    return ",".join(each.decode() for each in plain)


async def live_texts(desk: Desk, channel: Channel, *, through: UUID = LAST) -> str:
    """Return the rows of a channel up to an id, as a fill reads them."""
    found = await desk.store.snapshot_page(desk.org, [channel], None, rows=1000, max_bytes=10**8)
    return ",".join(r.change for r in found.rows if r.id <= through)


async def sealed_blocks_are_the_rows(desk: Desk) -> None:
    """Byte for byte as a fill reads them; what is left over is not sealed."""
    guests = await begun(desk, 7)
    assert await page(desk, CHANNEL) is None
    await seal(desk, CHANNEL, 3)
    found = await page(desk, CHANNEL)
    assert found is not None
    assert [b.rows for b in found.blocks] == [3, 3]
    assert found.changes == []
    assert texts(found) == await live_texts(desk, CHANNEL, through=guests[5].id)
    assert await page(desk, CHANNEL, guests[5].id) is None, "the rest is read row by row"
    assert await desk.lives.stale(desk.org, limit=100) == [], "the open end is looked at"


async def a_page_of_blocks_is_bounded(desk: Desk) -> None:
    """Whole blocks, as many as fit; a cursor inside a block brings that block again."""
    guests = await begun(desk, 7)
    await seal(desk, CHANNEL, 2)
    for rows, wanted in ((1, None), (2, [2]), (3, [2]), (4, [2, 2]), (1000, [2, 2, 2])):
        found = await page(desk, CHANNEL, rows=rows)
        assert (found and [b.rows for b in found.blocks]) == wanted, rows
    for cursor, lasts in ((0, (1, 3, 5)), (1, (3, 5)), (2, (3, 5)), (4, (5,))):
        found = await page(desk, CHANNEL, guests[cursor].id)
        assert found is not None
        assert [b.last for b in found.blocks] == [guests[n].id for n in lasts]
    assert await page(desk, (ALL_SCOPES, GUESTS)) is None
    assert await page(desk, (desk.sea, GUESTS)) is None


async def what_changed_since_comes_on_top(desk: Desk) -> None:
    """The last change of each row of the stretch, up to the version that was asked for."""
    guests = await begun(desk, 5)
    await seal(desk, CHANNEL, 2)
    sealed = await desk.version()
    await desk.update(GUESTS, guests[0].id, name="a")
    await desk.update(GUESTS, guests[0].id, name="b")
    await desk.delete(GUESTS, guests[3].id)
    await desk.update(GUESTS, guests[4].id, name="beyond the blocks")
    await desk.done(desk.plan(desk.wage()))
    log = {e.version: e.change for e in await walk(desk, 1000)}
    found = await page(desk, CHANNEL)
    assert found is not None
    assert sorted(found.changes) == sorted([log[sealed + 2], log[sealed + 3]])
    found = await page(desk, CHANNEL, version=sealed + 1)
    assert found is not None
    assert found.changes == [log[sealed + 1]]
    found = await page(desk, CHANNEL, guests[1].id)
    assert found is not None
    assert found.changes == [log[sealed + 3]]
    assert await page(desk, CHANNEL, version=sealed - 1) is None, "the blocks are newer"


async def segments_advance_but_for_what_was_touched(desk: Desk) -> None:
    """A part in which a row changed stays as of where it was, until it is sealed anew."""
    guests = await begun(desk, 5)
    await seal(desk, CHANNEL, 2)
    sealed = await desk.version()
    await desk.update(GUESTS, guests[2].id, name="a")
    await desk.done(desk.plan(desk.wage()))
    head = await desk.version()
    changed = await touched(desk, sealed)
    assert not await desk.lives.advance(desk.org, sealed - 1, head, changed)
    assert await desk.lives.advance(desk.org, sealed, head, changed)
    stale = await desk.lives.stale(desk.org, limit=100)
    assert stale == [Part(CHANNEL, guests[1].id, guests[3].id)]
    await desk.lives.raise_floor(desk.org, head)
    found = await page(desk, CHANNEL)
    assert found is None or [b.last for b in found.blocks] == [guests[1].id], (
        "the log does not reach back to the part that was touched"
    )
    (part,) = stale
    assert await seal_part(desk, part, 2)
    assert not await seal_part(desk, Part(CHANNEL, guests[0].id, guests[3].id), 2), "no such part"
    found = await page(desk, CHANNEL)
    assert texts(found) == await live_texts(desk, CHANNEL, through=guests[3].id)
    assert found is not None
    assert found.changes == []


async def segments_do_not_go_on_past_a_floor_that_rose_meanwhile(desk: Desk) -> None:
    """What was read of the log may lack a change that was pruned: a block would keep the old
    row.
    """
    guests = await begun(desk, 3)
    await seal(desk, CHANNEL, 3)
    sealed = await desk.version()
    await desk.update(GUESTS, guests[1].id, name="a")
    head = await desk.version()
    await desk.lives.raise_floor(desk.org, head)
    await desk.lives.prune(desk.org, limit=1000)
    assert not await desk.lives.advance(desk.org, sealed, head, await touched(desk, sealed))
    assert await page(desk, CHANNEL) is None


async def a_block_made_of_older_rows_is_no_newer(desk: Desk) -> None:
    """Somebody else went on while its rows were read: what changed meanwhile is on top."""
    guests = await begun(desk, 4)
    await desk.lives.open_channel(desk.org, CHANNEL)
    (part,) = await desk.lives.stale(desk.org, limit=100)
    at = await desk.lives.part_rows(desk.org, part, limit=2)
    assert at is not None
    sealed = at.version
    await desk.update(GUESTS, guests[0].id, name="meanwhile")
    assert await desk.lives.advance(desk.org, sealed, sealed + 1, await touched(desk, sealed))
    block = _block(at.rows[-1].id, [row.change for row in at.rows])
    blocks = [block, Block(LAST, 0, 0, None)]
    assert await desk.lives.put(desk.org, part, at, blocks, again=False)
    found = await page(desk, CHANNEL)
    assert found is not None
    assert [f'"version":{sealed + 1}' in each for each in found.changes] == [True]
    assert len(await desk.lives.stale(desk.org, limit=100)) == 2


async def every_property_is_a_channel_of_its_own(desk: Desk) -> None:
    """A row is in the segments of its property, and in those of all properties."""
    guest = desk.guest()
    await desk.done(desk.plan(guest))
    stays = sorted(
        (
            desk.stay(guest.id, room=str(n), property_id=str(place))
            for n, place in enumerate((desk.sea, desk.hill, desk.sea, desk.hill))
        ),
        key=lambda op: op.id,
    )
    await desk.done(desk.plan(*stays))
    await begun(desk)
    for channel in ((ALL_SCOPES, STAYS), (desk.sea, STAYS)):
        await seal(desk, channel, 2)
        whole = await live_texts(desk, channel)
        assert texts(await page(desk, channel)) == whole
    sealed = await desk.version()
    inner = next(op for op in stays if op.scope == desk.sea)
    await desk.update(STAYS, inner.id, room="new")
    assert await desk.lives.advance(desk.org, sealed, sealed + 1, await touched(desk, sealed))
    channels = [p.channel for p in await desk.lives.stale(desk.org, limit=100)]
    assert sorted(channels) == sorted([(ALL_SCOPES, STAYS), (desk.sea, STAYS)])


async def a_stretch_that_was_folded_is_not_cut_by_a_page(desk: Desk) -> None:
    """As of a version inside the stretch nobody can tell any more what the rows were."""
    guests = await begun(desk, 2)
    await seal(desk, CHANNEL, 2)
    sealed = await desk.version()
    await desk.update(GUESTS, guests[0].id, name="a")
    await desk.update(GUESTS, guests[0].id, name="b")
    await desk.lives.fold(desk.org, sealed + 1, sealed + 2)
    assert await page(desk, CHANNEL, version=sealed + 1) is None
    found = await page(desk, CHANNEL)
    assert found is not None
    assert [f'"version":{sealed + 2}' in each for each in found.changes] == [True]


CASES: Final[tuple[Case, ...]] = (
    sealed_blocks_are_the_rows,
    a_page_of_blocks_is_bounded,
    what_changed_since_comes_on_top,
    segments_advance_but_for_what_was_touched,
    segments_do_not_go_on_past_a_floor_that_rose_meanwhile,
    a_block_made_of_older_rows_is_no_newer,
    every_property_is_a_channel_of_its_own,
    a_stretch_that_was_folded_is_not_cut_by_a_page,
)
