"""Cases: the log says every change once, in order, and a page never cuts a write in two.

Owns pages of the log: their boundaries, what they may leave out, and what they say of the
organisation. Never fixes how many entries a page has: `scan` is a measure, not a promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final
from uuid import UUID

import msgspec

from serai.core.ids import ORG_SCOPE, uuid7
from serai.core.limits import FOLD_ROWS_MAX
from serai.ports.store import LogEntry, LogPage
from serai.testing.store_conformance.desk import ALL_COLLECTIONS, Case, Desk
from serai.testing.vertical import GUESTS, PROPERTIES, STAYS, WAGES


async def _page(
    desk: Desk,
    after: int,
    *,
    scan: int = 1000,
    scopes: Sequence[UUID] | None = None,
    mask: int = ALL_COLLECTIONS,
) -> LogPage:
    page = await desk.store.log_page(desk.org, after, scan=scan, scopes=scopes, collections=mask)
    assert page is not None, "the organisation is here"
    return page


async def walk(
    desk: Desk,
    scan: int,
    scopes: Sequence[UUID] | None = None,
    mask: int = ALL_COLLECTIONS,
    *,
    after: int = 0,
) -> list[LogEntry]:
    """Return the log, page by page; each page moves on and cuts no version in two."""
    found: list[LogEntry] = []
    head = await desk.version()
    while after < head:
        page = await _page(desk, after, scan=scan, scopes=scopes, mask=mask)
        assert after < page.through <= head
        assert all(after < e.version <= page.through for e in page.entries)
        found += page.entries
        after = page.through
    return found


async def the_log_says_every_change(desk: Desk) -> None:
    """As finished text: action, version, and the row as it was stored then, byte for byte."""
    guest = desk.guest(note='{version} "\\" \uffff\U0001f71a')
    await desk.done(desk.plan(guest))
    await desk.update(GUESTS, guest.id, name="Bea")
    await desk.delete(GUESTS, guest.id)
    entries = (await _page(desk, 2)).entries
    changed = guest.doc.replace("Ada", "Bea")
    head = f'{{"id":"{guest.id}","action":'
    assert [e.change for e in entries] == [
        f'{head}"insert","version":3,"data":{guest.doc}}}',
        f'{head}"update","version":4,"data":{changed}}}',
        f'{head}"delete","version":5}}',
    ]
    keys = [(e.version, e.scope, e.collection, e.id) for e in entries]
    assert keys == [(v, ORG_SCOPE, GUESTS, guest.id) for v in (3, 4, 5)]


async def the_log_begins_after_the_version_asked_for(desk: Desk) -> None:
    """At the head it is empty, and says where the head is."""
    page = await _page(desk, 1)
    assert [e.version for e in page.entries] == [2]
    assert (page.through, page.head.version, page.head.epoch) == (2, 2, 1)
    page = await _page(desk, 2)
    assert (page.entries, page.through) == ([], 2)
    assert page.head == await desk.store.head(desk.org)


async def rows_of_a_write_stay_in_its_order(desk: Desk) -> None:
    """Within a version entries have the order of the write, whatever their collections."""
    guest = desk.guest()
    ops = (desk.wage(), desk.stay(guest.id), guest, desk.wage("2"))
    await desk.done(desk.plan(*ops))
    entries = (await _page(desk, 2)).entries
    assert [e.id for e in entries] == [op.id for op in ops]


async def a_page_never_cuts_a_write(desk: Desk) -> None:
    """Whatever its size, also when one write alone is larger than the page."""
    made = [(1, desk.sea), (2, desk.hill)]
    for version, size in enumerate((1, 7, 1, 1, 200, 3, 1, 5), 3):
        ops = [desk.guest(f"{version} {n}") for n in range(size)]
        await desk.done(desk.plan(*ops))
        made += [(version, op.id) for op in ops]
    for scan in (1, 2, 7, 1000):
        assert [(e.version, e.id) for e in await walk(desk, scan)] == made


async def a_long_log_comes_in_several_pages(desk: Desk) -> None:
    """A page ends near `scan`: a reader that asks for little is not given everything."""
    for n in range(10):
        await desk.done(desk.plan(*(desk.guest(f"{n} {m}") for m in range(120))))
    first = await _page(desk, 0, scan=10)
    assert 10 <= len(first.entries) <= 10 + FOLD_ROWS_MAX
    assert first.through < first.head.version == 12
    versions = [e.version for e in await walk(desk, 10)]
    assert versions == [1, 2, *(v for v in range(3, 13) for _ in range(120))]


async def a_page_of_some_channels_reaches_the_head(desk: Desk) -> None:
    """Entries that are left out do not hold it up; those of the channels are all there."""
    guest = desk.guest()
    await desk.done(desk.plan(guest))
    for place in (desk.sea, desk.hill, desk.sea):
        await desk.done(desk.plan(desk.wage(str(uuid7()), property_id=str(place))))
        await desk.done(desk.plan(desk.stay(guest.id, property_id=str(place), room=str(uuid7()))))
    wages = await walk(desk, 1, [desk.sea], 1 << WAGES)
    assert [e.version for e in wages if (e.scope, e.collection) == (desk.sea, WAGES)] == [4, 8]
    hill = await _page(desk, 0, scopes=[desk.hill, ORG_SCOPE], mask=1 << STAYS | 1 << GUESTS)
    asked = {(desk.hill, STAYS), (ORG_SCOPE, GUESTS)}
    assert [e.version for e in hill.entries if (e.scope, e.collection) in asked] == [3, 7]
    assert hill.through == 9
    nothing = await _page(desk, 9, scopes=[desk.hill], mask=1 << WAGES)
    assert (nothing.entries, nothing.through) == ([], 9)


async def a_page_of_the_channels_named_has_all_their_entries(desk: Desk) -> None:
    """Scopes and collections select together; the highest number is one like any other."""
    await desk.done(desk.plan(desk.wage("1"), desk.wage("2", property_id=str(desk.hill))))
    for scopes, wanted in (
        ([desk.sea], {desk.sea}),
        ([desk.hill], {desk.hill}),
        ([desk.sea, desk.hill], {desk.sea, desk.hill}),
        (None, {desk.sea, desk.hill}),
    ):
        page = await _page(desk, 2, scopes=scopes, mask=1 << WAGES)
        assert {e.scope for e in page.entries} >= wanted
    page = await _page(desk, 0, scopes=[desk.sea], mask=1 << PROPERTIES)
    assert desk.sea in {e.id for e in page.entries}


async def the_log_replayed_is_the_rows(desk: Desk) -> None:
    """Old state and changes give the present state."""
    guests = [desk.guest(str(n)) for n in range(4)]
    await desk.done(desk.plan(*guests))
    await desk.update(GUESTS, guests[0].id, note="a")
    await desk.delete(GUESTS, guests[1].id)
    await desk.update(GUESTS, guests[0].id, note="b", name="c")
    state: dict[UUID, str] = {}
    for entry in await walk(desk, 2):
        change = msgspec.json.decode(entry.change, type=dict[str, msgspec.Raw])
        if bytes(change["action"]) == b'"delete"':
            del state[entry.id]
        else:
            state[entry.id] = bytes(change["data"]).decode()
    rows = await desk.store.read([(desk.org, GUESTS, g.id) for g in guests])
    live = {g.id: r.doc for g, r in zip(guests, rows, strict=True) if r is not None}
    assert {k: v for k, v in state.items() if k not in (desk.sea, desk.hill)} == live
    versions = [e.version for e in await walk(desk, 100)]
    assert all(later - earlier in (0, 1) for earlier, later in pairwise(versions))


async def below_the_floor_the_log_is_gone(desk: Desk) -> None:
    """The head says so, the rest is served, rows and versions go on."""
    guest = desk.guest()
    await desk.done(desk.plan(guest))
    await desk.update(GUESTS, guest.id, name="Bea")
    await desk.subject.prune(desk.org, 3)
    page = await _page(desk, 0)
    assert (page.head.floor, page.head.version) == (3, 4)
    assert [e.version for e in page.entries] == [4]
    assert await desk.update(GUESTS, guest.id, name="Cay") == 5
    assert await desk.stored(PROPERTIES, desk.sea) is not None


CASES: Final[tuple[Case, ...]] = (
    the_log_says_every_change,
    the_log_begins_after_the_version_asked_for,
    rows_of_a_write_stay_in_its_order,
    a_page_never_cuts_a_write,
    a_long_log_comes_in_several_pages,
    a_page_of_some_channels_reaches_the_head,
    a_page_of_the_channels_named_has_all_their_entries,
    the_log_replayed_is_the_rows,
    below_the_floor_the_log_is_gone,
)
