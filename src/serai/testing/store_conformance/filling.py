"""Cases: a fill reads the live rows of channels, in an order that a cursor can stand in.

Owns snapshot pages: order, cursors, bounds, channels of one property, of all, of the organisation.
Never fixes how many rows a page of bytes has, only that it ends and that it moves on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from serai.core.channels import Channel
from serai.core.ids import ALL_SCOPES, ORG_SCOPE, uuid7
from serai.ports.store import RowOp, SnapshotPage, SnapshotRow
from serai.testing.store_conformance.desk import Case, Desk
from serai.testing.vertical import GUESTS, MEMBERSHIPS, PROPERTIES, STAYS, WAGES

LARGE: Final = 10_000_000


async def fill(
    desk: Desk, channels: Sequence[Channel], *, rows: int = 1000, max_bytes: int = LARGE
) -> list[SnapshotRow]:
    """Return all rows of the channels, page by page, as the pull does."""
    found: list[SnapshotRow] = []
    left, after = list(channels), None
    for _ in range(1000):
        page = await desk.store.snapshot_page(desk.org, left, after, rows=rows, max_bytes=max_bytes)
        assert len(page.rows) <= rows
        found += page.rows
        if page.done == len(left):
            return found
        assert page.rows or page.done, "a page moves on"
        if page.rows and _inside(left[page.done], page.rows[-1]):
            after = page.rows[-1].id
        elif page.done:
            after = None
        left = left[page.done :]
    raise AssertionError("a fill ends")


def _inside(channel: Channel, row: SnapshotRow) -> bool:
    scope, number = channel
    within = row.scope != ORG_SCOPE if scope == ALL_SCOPES else row.scope == scope
    return row.collection == number and within


async def _rows(desk: Desk) -> tuple[list[RowOp], list[RowOp], list[RowOp]]:
    """Make guests, stays at the sea, stays at the hill; each list in order of id."""
    guests = sorted((desk.guest(f"guest {n}") for n in range(5)), key=lambda op: op.id)
    host = guests[0].id  # the others can be deleted
    sea = [desk.stay(host, room=str(n)) for n in range(4)]
    hill = [desk.stay(host, room=str(n), property_id=str(desk.hill)) for n in range(3)]
    await desk.done(desk.plan(*guests, *sea, *hill))
    return guests, sorted(sea, key=lambda op: op.id), sorted(hill, key=lambda op: op.id)


async def a_fill_reads_each_row_of_a_channel_once_in_order_of_id(desk: Desk) -> None:
    """As an insert of the present row, under the version of its last change."""
    guests, _, _ = await _rows(desk)
    await desk.update(GUESTS, guests[2].id, note="later")
    rows = await fill(desk, [(ORG_SCOPE, GUESTS)])
    assert [r.id for r in rows] == [op.id for op in guests]
    assert [r.version for r in rows] == [3, 3, 4, 3, 3]
    stored = await desk.stored(GUESTS, guests[2].id)
    assert stored is not None
    assert rows[2] == SnapshotRow(
        4,
        ORG_SCOPE,
        GUESTS,
        guests[2].id,
        f'{{"id":"{guests[2].id}","action":"insert","version":4,"data":{stored.doc}}}',
    )


async def channels_are_filled_one_after_the_other(desk: Desk) -> None:
    """In the order asked for; a channel without rows is done at once."""
    guests, sea, hill = await _rows(desk)
    channels = [
        (desk.hill, STAYS),
        (ORG_SCOPE, MEMBERSHIPS),
        (uuid7(), STAYS),
        (ORG_SCOPE, GUESTS),
        (desk.sea, STAYS),
        (desk.sea, WAGES),
    ]
    wanted = [op.id for op in (*hill, *guests, *sea)]
    for rows in (1, 2, 3, 5, 12, 13, 1000):
        assert [r.id for r in await fill(desk, channels, rows=rows)] == wanted, rows
    for size in (1, 300, 700, 2000):
        assert [r.id for r in await fill(desk, channels, max_bytes=size)] == wanted, size
    assert await fill(desk, []) == []


async def a_fill_goes_on_after_its_cursor(desk: Desk) -> None:
    """The cursor holds for the first channel only, and need not be a row any more."""
    guests, sea, _ = await _rows(desk)
    await desk.delete(GUESTS, guests[4].id)
    channels = [(ORG_SCOPE, GUESTS), (desk.sea, STAYS)]
    for cursor, first in ((guests[1].id, 2), (UUID(int=guests[1].id.int + 1), 2)):
        page = await desk.store.snapshot_page(desk.org, channels, cursor, rows=100, max_bytes=LARGE)
        assert [r.id for r in page.rows] == [op.id for op in (*guests[first:4], *sea)]
        assert page.done == 2


async def a_page_of_rows_is_bounded(desk: Desk) -> None:
    """By rows exactly, by bytes at the row that passes them; one row always fits."""
    guests, _, _ = await _rows(desk)
    channel = [(ORG_SCOPE, GUESTS)]

    async def page(rows: int, max_bytes: int) -> SnapshotPage:
        return await desk.store.snapshot_page(
            desk.org, channel, None, rows=rows, max_bytes=max_bytes
        )

    assert [r.id for r in (await page(3, LARGE)).rows] == [op.id for op in guests[:3]]
    assert (await page(3, LARGE)).done == 0
    assert len((await page(100, 1)).rows) == 1
    each = len((await page(1, LARGE)).rows[0].change)
    assert len((await page(100, each + 1)).rows) == 2
    assert (await page(100, LARGE)).done == 1


async def all_properties_are_one_channel(desk: Desk) -> None:
    """In order of id over every property; rows of the organisation are not among them."""
    _, sea, hill = await _rows(desk)
    wanted = sorted(op.id for op in (*sea, *hill))
    for rows in (1, 2, 100):
        found = await fill(desk, [(ALL_SCOPES, STAYS)], rows=rows)
        assert [r.id for r in found] == wanted
    assert await fill(desk, [(ALL_SCOPES, GUESTS)]) == []
    places = await fill(desk, [(ALL_SCOPES, PROPERTIES)])
    assert [r.id for r in places] == sorted([desk.sea, desk.hill])
    mixed = await fill(desk, [(desk.hill, PROPERTIES), (ALL_SCOPES, STAYS)], rows=2)
    assert [r.id for r in mixed] == [desk.hill, *wanted]


async def a_restricted_channel_is_not_filled_with_another(desk: Desk) -> None:
    """Collections and properties are told apart, also at the highest number."""
    wage, far = desk.wage("near"), desk.wage("far", property_id=str(desk.hill))
    await desk.done(desk.plan(wage, far))
    assert [r.id for r in await fill(desk, [(desk.sea, WAGES)])] == [wage.id]
    assert await fill(desk, [(desk.sea, STAYS), (ORG_SCOPE, WAGES)]) == []
    other = await Desk.open(desk.subject)
    assert await fill(other, [(desk.sea, WAGES), (ALL_SCOPES, WAGES)]) == []


async def a_fill_shows_rows_newer_than_its_first_page(desk: Desk) -> None:
    """Each page is of now: the reader, who knows its version, leaves out what is newer."""
    guests, _, _ = await _rows(desk)
    first = await desk.store.snapshot_page(
        desk.org, [(ORG_SCOPE, GUESTS)], None, rows=2, max_bytes=LARGE
    )
    await desk.update(GUESTS, guests[3].id, note="new")
    await desk.delete(GUESTS, guests[4].id)
    rest = await desk.store.snapshot_page(
        desk.org, [(ORG_SCOPE, GUESTS)], first.rows[-1].id, rows=10, max_bytes=LARGE
    )
    assert [(r.id, r.version) for r in rest.rows] == [(guests[2].id, 3), (guests[3].id, 4)]


CASES: Final[tuple[Case, ...]] = (
    a_fill_reads_each_row_of_a_channel_once_in_order_of_id,
    channels_are_filled_one_after_the_other,
    a_fill_goes_on_after_its_cursor,
    a_page_of_rows_is_bounded,
    all_properties_are_one_channel,
    a_restricted_channel_is_not_filled_with_another,
    a_fill_shows_rows_newer_than_its_first_page,
)
