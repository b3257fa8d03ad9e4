"""Cases: a list shows the rows that match, in the order asked for, page after page.

Owns filters, orders, scopes and keyset cursors, on every kind of field. Promises to use texts of
lower case ASCII only: how other letters sort is the database's choice.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from operator import eq, ge, gt, le, lt
from typing import Any, Final
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.core.ids import uuid7
from serai.model.fields import Value
from serai.ports.store import ListQuery, RowOp
from serai.testing.store_conformance.desk import Case, Desk, doc_of
from serai.testing.vertical import GUESTS, PAYMENTS, STAYS

Doc = dict[str, Any]
_OPERATORS: Final = ("eq", "ne", "lt", "le", "gt", "ge")
_VALUES: Final[dict[str, tuple[Value, ...]]] = {
    "room": ("a", "b", "b", None, "c"),
    "status": ("booked", "left", None, "booked", "left"),
    "arrives_on": ("2026-01-31", None, "2025-12-31", "2026-02-01", "2026-01-31"),
    "arrived_at": (
        "2026-01-31T12:00:00.000000Z",
        "2026-01-31T12:00:00.000001Z",
        None,
        None,
        "2025-01-01T00:00:00.000000Z",
    ),
    "nights": (10, 9, None, -3, 9),
    "breakfast": (True, None, False, True, False),
    "keeper_id": (str(UUID(int=1)), str(UUID(int=2)), None, str(UUID(int=2)), None),
}


async def _stays(desk: Desk) -> dict[UUID, Doc]:
    """Make five stays with the values above; the last two are at the hill."""
    guests = [desk.guest(f"guest {n}") for n in range(5)]
    places = [desk.sea] * 3 + [desk.hill] * 2
    ops: list[RowOp] = []
    for n, (guest, place) in enumerate(zip(guests, places, strict=True)):
        values = {name: column[n] for name, column in _VALUES.items()}
        ops.append(desk.stay(guest.id, property_id=str(place), **values))
    await desk.done(desk.plan(*guests, *ops))
    found: dict[UUID, Doc] = {}
    for op in ops:
        row = await desk.stored(STAYS, op.id)
        assert row is not None
        found[op.id] = doc_of(row)
    return found


async def _ids(desk: Desk, **query: Any) -> list[UUID]:
    query.setdefault("scopes", None)
    rows = await desk.store.list_rows(ListQuery(desk.org, STAYS, **query))
    return [row_id for row_id, _ in rows]


async def a_list_shows_rows_as_they_are_stored(desk: Desk) -> None:
    """The row with its versions, as `read` gives it; in order of id; no more than asked for."""
    stays = await _stays(desk)
    first = min(stays)
    await desk.update(STAYS, first, nights=1)
    rows = await desk.store.list_rows(ListQuery(desk.org, STAYS, None))
    assert [row_id for row_id, _ in rows] == sorted(stays)
    assert rows[0][1] == await desk.stored(STAYS, first)
    assert rows[0][1].field_versions == {"nights": 4}
    assert await _ids(desk, limit=2) == sorted(stays)[:2]
    assert await _ids(desk, descending=True) == sorted(stays, reverse=True)


async def a_list_shows_only_the_scopes_named(desk: Desk) -> None:
    """None are all, no scope is nothing; other organisations never."""
    stays = await _stays(desk)
    at = {
        place: sorted(i for i, d in stays.items() if d["property_id"] == str(place))
        for place in (desk.sea, desk.hill)
    }
    assert await _ids(desk, scopes=(desk.sea,)) == at[desk.sea]
    assert await _ids(desk, scopes=(desk.hill, uuid7())) == at[desk.hill]
    assert await _ids(desk, scopes=(desk.hill, desk.sea)) == sorted(stays)
    assert await _ids(desk, scopes=()) == []
    other = await Desk.open(desk.subject)
    assert await _ids(other) == []


def _matches(value: Any, operator: str, wanted: Any) -> bool:
    if operator == "ne":
        return bool(value != wanted)
    tests: dict[str, Callable[[Any, Any], bool]] = {
        "eq": eq,
        "lt": lt,
        "le": le,
        "gt": gt,
        "ge": ge,
    }
    return value is not None and tests[operator](value, wanted)


async def every_filter_holds_on_every_kind_of_field(desk: Desk) -> None:
    """Compared with every value there is; a null matches `ne` and `null` only."""
    stays = await _stays(desk)
    for name, values in _VALUES.items():
        for operator, value in product(_OPERATORS, {v for v in values if v is not None}):
            if operator in ("lt", "le", "gt", "ge") and name in ("breakfast", "status"):
                continue  # they have no order that a caller would ask for
            wanted = sorted(i for i, d in stays.items() if _matches(d[name], operator, value))
            found = await _ids(desk, filters=((name, operator, value),))
            assert found == wanted, (name, operator, value)
        for null in (True, False):
            wanted = sorted(i for i, d in stays.items() if (d[name] is None) is null)
            assert await _ids(desk, filters=((name, "null", null),)) == wanted, name


async def filters_hold_together(desk: Desk) -> None:
    """All of them, with the scopes."""
    stays = await _stays(desk)
    filters = (("nights", "le", 9), ("nights", "gt", -3), ("room", "ne", "c"))
    wanted = [i for i, d in stays.items() if d["nights"] == 9 and d["room"] == "b"]
    assert await _ids(desk, filters=filters) == wanted
    assert await _ids(desk, filters=filters, scopes=(desk.hill,)) == []


def _place(stays: dict[UUID, Doc], row_id: UUID, name: str | None) -> tuple[Any, ...]:
    """Return what sorts a stay: nulls stand above every value."""
    value = None if name is None else stays[row_id][name]
    return (value is None, 0 if value is None else value, row_id)


async def every_order_can_be_paged_through(desk: Desk) -> None:
    """Both ways: nulls last going up, first going down; ties by id; no row twice or never."""
    stays = await _stays(desk)
    for name, descending, limit in product((*_VALUES, None), (False, True), (1, 2, 3)):
        wanted = sorted(stays, key=lambda i, name=name: _place(stays, i, name), reverse=descending)
        found: list[UUID] = []
        after: tuple[object, UUID] | None = None
        while page := await _ids(desk, order=name, descending=descending, after=after, limit=limit):
            found += page
            after = (stays[page[-1]][name] if name else None, page[-1])
        assert found == wanted, (name, descending, limit)


async def a_list_by_month_is_one_list(desk: Desk) -> None:
    """Rows of all months, before and after those that were made ready, and of a moved date."""
    days = ["1999-12-31", "2026-01-31", "2026-02-01", "2150-06-15"]
    ops = [
        desk.row(PAYMENTS, uuid7(), business_date=day, amount_minor=n + 1, amount_currency="EUR")
        for n, day in enumerate(days)
    ]
    await desk.done(desk.plan(*ops))

    async def listed(**query: Any) -> list[UUID]:
        rows = await desk.store.list_rows(
            ListQuery(desk.org, PAYMENTS, None, order="business_date", **query)
        )
        return [row_id for row_id, _ in rows]

    assert await listed() == [op.id for op in ops]
    span = (("business_date", "ge", "2026-01-31"), ("business_date", "lt", "2150-06-15"))
    assert await listed(filters=span) == [ops[1].id, ops[2].id]
    await desk.update(PAYMENTS, ops[1].id, business_date="2026-03-01")
    await desk.update(PAYMENTS, ops[3].id, amount_minor=7)
    assert await listed() == [ops[n].id for n in (0, 2, 1, 3)]
    await desk.delete(PAYMENTS, ops[1].id)
    await desk.delete(PAYMENTS, ops[0].id)
    assert await listed() == [ops[2].id, ops[3].id]


async def what_a_collection_does_not_have_is_told(desk: Desk) -> None:
    """A field, an order, an operator: refused, also when there is no row to compare."""
    wrong: list[dict[str, Any]] = [
        {"filters": (("colour", "eq", "red"),)},
        {"filters": (("name; --", "eq", "red"),)},
        {"order": "colour"},
        {"filters": (("name", "like", "a"),)},
    ]
    for query in wrong:
        code = await _refusal(desk, ListQuery(desk.org, GUESTS, None, **query))
        assert code is Code.QUERY_INVALID, query


async def _refusal(desk: Desk, query: ListQuery) -> Code | None:
    try:
        await desk.store.list_rows(query)
    except SeraiError as error:
        return error.code
    return None


CASES: Final[tuple[Case, ...]] = (
    a_list_shows_rows_as_they_are_stored,
    a_list_shows_only_the_scopes_named,
    every_filter_holds_on_every_kind_of_field,
    filters_hold_together,
    every_order_can_be_paged_through,
    a_list_by_month_is_one_list,
    what_a_collection_does_not_have_is_told,
)
