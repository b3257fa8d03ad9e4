"""Cases: a log that is folded, pruned and sealed tells readers what it told them before.

Owns the steps of upkeep: what each leaves, and what it must not touch. Never says when one is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import zstandard

from serai.core.channels import Channel
from serai.core.ids import ALL_SCOPES, ORG_SCOPE, uuid7
from serai.core.token import Position
from serai.log.life import last_changes
from serai.ports.life import Block, LogKey, Mark, Part, SegmentPage
from serai.ports.store import Failed, RowOp
from serai.testing.store_conformance.desk import ALL_COLLECTIONS, Case, Desk
from serai.testing.store_conformance.reading_log import walk
from serai.testing.vertical import GUESTS, STAYS, WAGES

NOW: Final = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)
CHANNEL: Final[Channel] = (ORG_SCOPE, GUESTS)
FIRST, LAST = UUID(int=0), ALL_SCOPES


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


async def an_organisation_is_due_until_it_was_looked_at(desk: Desk) -> None:
    """One that was never looked at is; then when its time has come, or it has written enough."""

    async def due(now: datetime, behind: int = 1000) -> bool:
        found, after = await desk.lives.lives(desk.org - 1, scan=1, now=now, behind=behind)
        assert after == desk.org
        return [each.org_id for each in found] == [desk.org]

    assert await due(NOW)
    life = await desk.lives.begin(desk.org)
    assert (life.version, life.known, life.marks, life.sealed) == (2, True, (), -1)
    assert await due(NOW), "killed now, it is looked at again"
    assert await desk.lives.advance(desk.org, -1, 2, [])
    mark = Mark(2, NOW)
    await desk.lives.note(desk.org, [mark], 1, NOW + timedelta(hours=2))
    kept = await desk.lives.life(desk.org)
    assert kept is not None
    assert (kept.marks, kept.fold_from, kept.sealed) == ((mark,), 1, 2)
    assert not await due(NOW + timedelta(hours=1))
    assert await due(NOW + timedelta(hours=2))
    await desk.lives.note(desk.org, [mark], 1, None)
    assert not await due(NOW + timedelta(days=300)), "nobody wrote, so there is nothing to do"
    await desk.done(desk.plan(desk.guest()))
    assert not await due(NOW + timedelta(hours=23))
    assert await due(NOW + timedelta(days=1)), "the day of a new mark"
    assert await due(NOW, behind=1), "segments are a version behind"
    await desk.subject.set_state(desk.org, "frozen")
    assert not await due(NOW + timedelta(days=1)), "it is being moved: hands off"


async def a_new_epoch_begins_a_life_anew(desk: Desk) -> None:
    """What was noted is of versions that may be others now."""
    await begun(desk, 4)
    await desk.lives.note(desk.org, [Mark(2, NOW)], 2, None)
    await seal(desk, CHANNEL, 2)
    await desk.subject.raise_epoch(desk.org)
    life = await desk.lives.life(desk.org)
    assert life is not None
    assert (life.known, life.epoch) == (False, 2)
    at = Position(2, await desk.version())
    assert await desk.store.segment_page(desk.org, CHANNEL, None, at=at, rows=1000) is None
    life = await desk.lives.begin(desk.org)
    assert (life.known, life.marks, life.fold_from, life.sealed) == (True, (), 0, -1)
    assert life.folded == life.version, "nobody knows what the restored log has"
    assert await desk.lives.opened(desk.org, [CHANNEL]) == set()


async def folded_versions_are_one_write(desk: Desk) -> None:
    """Of each row its last change, in order; what stands outside is as it was."""
    ada, bea = desk.guest("Ada"), desk.guest("Bea")
    await desk.done(desk.plan(ada))
    before = await walk(desk, 1000)
    for name in ("b", "c", "d"):
        await desk.update(GUESTS, ada.id, name=name)
    await desk.done(desk.plan(bea))
    await desk.delete(GUESTS, ada.id)
    await desk.update(GUESTS, bea.id, name="e")
    changes = {e.version: e.change for e in await walk(desk, 1000)}
    assert await desk.lives.begin(desk.org)
    assert await desk.lives.fold(desk.org, 4, 8) == 3
    after = await walk(desk, 1)
    assert after[: len(before)] == before
    told = [(e.version, e.id, e.change) for e in after[len(before) :]]
    assert told == [
        (8, bea.id, changes[7]),
        (8, ada.id, changes[8]),
        (9, bea.id, changes[9]),
    ]
    assert await desk.lives.fold(desk.org, 4, 8) == 0, "again: nothing is left to fold"
    assert [(e.version, e.id, e.change) for e in await walk(desk, 1, after=5)] == told
    life = await desk.lives.life(desk.org)
    assert life is not None
    assert life.folded == 8


async def a_deleted_row_stays_away_for_good(desk: Desk) -> None:
    """Also when the log has forgotten that it was deleted."""
    guest = desk.guest()
    await desk.done(desk.plan(guest))
    await desk.delete(GUESTS, guest.id)
    await desk.done(desk.plan(desk.guest()))
    await desk.lives.raise_floor(desk.org, 4)
    assert await desk.lives.prune(desk.org, limit=1000) == 4
    outcome = await desk.commit_one(desk.plan(guest))
    assert isinstance(outcome, Failed), outcome
    assert outcome.code.text == "row_gone"


async def the_floor_rises_first_and_the_log_goes_after(desk: Desk) -> None:
    """A little at a time; the floor never sinks, and never passes the head."""
    await desk.done(desk.plan(desk.guest(), desk.guest("b")))
    await desk.lives.raise_floor(desk.org, 3)
    await desk.lives.raise_floor(desk.org, 2)
    await desk.lives.raise_floor(desk.org, 99)
    head = await desk.store.head(desk.org)
    assert head is not None
    assert (head.floor, head.version) == (3, 3)
    assert [await desk.lives.prune(desk.org, limit=3) for _ in range(3)] == [3, 1, 0]
    await desk.done(desk.plan(desk.guest("c")))
    assert await desk.lives.prune(desk.org, limit=3) == 0
    entries = await desk.store.log_page(
        desk.org, 3, scan=10, scopes=None, collections=ALL_COLLECTIONS
    )
    assert entries is not None
    assert [e.version for e in entries.entries] == [4]


async def channels_are_told_with_their_rows(desk: Desk) -> None:
    """Each scope by itself, and every property together when asked for."""
    guest = desk.guest()
    await desk.done(desk.plan(guest, desk.guest("b"), desk.guest("c")))
    await desk.done(desk.plan(desk.stay(guest.id, room="1"), desk.wage("1")))
    await desk.done(desk.plan(desk.stay(guest.id, room="2", property_id=str(desk.hill))))
    wanted = {(ORG_SCOPE, GUESTS), (desk.sea, STAYS), (desk.hill, STAYS), (desk.sea, WAGES)}
    assert {*await desk.lives.channels(desk.org)} >= wanted
    assert await desk.lives.rows_up_to(desk.org, CHANNEL, 100) == 3
    assert await desk.lives.rows_up_to(desk.org, CHANNEL, 2) == 2
    assert await desk.lives.rows_up_to(desk.org, (desk.sea, STAYS), 100) == 1
    assert await desk.lives.rows_up_to(desk.org, (ALL_SCOPES, STAYS), 100) == 2
    assert await desk.lives.rows_up_to(desk.org, (uuid7(), STAYS), 100) == 0


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
    an_organisation_is_due_until_it_was_looked_at,
    a_new_epoch_begins_a_life_anew,
    folded_versions_are_one_write,
    a_deleted_row_stays_away_for_good,
    the_floor_rises_first_and_the_log_goes_after,
    channels_are_told_with_their_rows,
    sealed_blocks_are_the_rows,
    a_page_of_blocks_is_bounded,
    what_changed_since_comes_on_top,
    segments_advance_but_for_what_was_touched,
    a_block_made_of_older_rows_is_no_newer,
    every_property_is_a_channel_of_its_own,
    a_stretch_that_was_folded_is_not_cut_by_a_page,
)
