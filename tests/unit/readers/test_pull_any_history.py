"""Whatever happens between two pages, a device holds exactly what its token says.

Owns the property over histories: writes of one or several rows, deletes, writes that come between
the log and the rows of one page, roles and properties that are gained and lost in the middle of a
fill, logs that are pruned, restores. The oracle is `unit.readers.device`. Never waits for anything.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from hypothesis import example, given, settings
from hypothesis import strategies as st

from serai.log.intent import RowIntent
from unit.log.house import ANNA, HILL, ORG, SEA, TOWN, caller, row_id, stay, wish
from unit.readers.device import NAMES, Device, World, visible, world

PLACES = (SEA, HILL, TOWN)
GRANTS: tuple[tuple[tuple[str, UUID | None], ...], ...] = (
    (("owner", None),),
    (("clerk", SEA),),
    (("clerk", HILL), ("clerk", SEA)),
    (("clerk", None),),
    (("approver", None), ("clerk", SEA)),
    (("approver", None), ("owner", HILL)),
    (("approver", None),),
    (("owner", TOWN),),
)
ALL_BY_APPROVER = 4

numbers = st.integers(0, 30)
places = st.integers(0, 2)
steps = st.one_of(
    st.tuples(st.just("stay"), numbers, places),
    st.tuples(st.just("sign"), numbers, places),
    st.tuples(st.just("pay"), numbers, places),
    st.tuples(st.just("guest"), numbers),
    st.tuples(st.just("change"), numbers, st.integers(1, 5)),
    st.tuples(st.just("delete"), numbers),
    st.tuples(st.just("together"), numbers, numbers),
    st.tuples(st.just("page")),
    st.tuples(st.just("page")),
    st.tuples(st.just("sync")),
    st.tuples(st.just("meanwhile"), numbers),
    st.tuples(st.just("grant"), st.integers(0, len(GRANTS) - 1)),
    st.tuples(st.just("ask"), st.sampled_from([None, (0,), (1,), (0, 1), (2,), ()])),
    st.tuples(st.just("batch"), st.sampled_from([1, 2, 3, 7, 100])),
    st.tuples(st.just("scan"), st.sampled_from([1, 3, None])),
    st.tuples(st.just("prune")),
    st.tuples(st.just("restore")),
)


def rows_of(step: tuple[Any, ...]) -> list[RowIntent]:
    match step:
        case ("stay", n, place):
            return [stay(n, at=PLACES[place])]
        case ("sign" | "pay" as kind, n, place):
            fields: dict[str, Any] = {"property_id": str(PLACES[place])}
            if kind == "pay":
                fields |= {"person": "x", "wage_minor": 1, "wage_currency": "EUR"}
            return [wish("signs" if kind == "sign" else "pay", "insert", row_id(n), fields)]
        case ("guest", n):
            return [wish("guests", "insert", row_id(n), {"name": f"Guest {n}"})]
        case ("change", n, nights):
            return [wish("stays", "update", row_id(n), {"nights": nights})]
        case ("delete", n):
            return [wish("stays", "delete", row_id(n))]
        case ("together", a, b):
            return [
                stay(a, at=SEA),
                stay(b, at=HILL),
                wish("guests", "insert", row_id(a), {"name": f"Guest {a}"}),
            ]
        case _:
            return []


async def lived(
    history: list[tuple[Any, ...]], names: tuple[str, ...] = NAMES
) -> tuple[World, Device]:
    store = await world()
    for place in PLACES:
        await store.write(wish("properties", "insert", place, {"name": "x"}))
    for n in range(40, 52):
        await store.write(stay(n, at=PLACES[n % 3]))
        await store.write(wish("signs", "insert", row_id(n), {"property_id": str(PLACES[n % 3])}))
    device = Device(store, caller(ANNA, *GRANTS[0]))
    device.names = names
    for step in history:
        await live(store, device, step)
    return store, device


async def live(store: World, device: Device, step: tuple[Any, ...]) -> None:
    match step:
        case ("page",):
            await device.page()
        case ("sync",):
            await device.sync()
        case ("meanwhile", n):
            store.meanwhile.append(lambda: others(store, n))
        case ("grant", number):
            device.who = caller(ANNA, *GRANTS[number])
        case ("ask", chosen):
            device.properties = None if chosen is None else [PLACES[n] for n in chosen]
        case ("batch", size):
            device.batch = size
        case ("scan", size):
            store.scan = size
        case ("prune",):
            store.prune(ORG, store.organisations[ORG].head.version)
        case ("restore",):
            store.restore(store.snapshot())
        case _:
            await store.write(*rows_of(step))


async def others(store: World, n: int) -> None:
    """What comes between the log and the rows of a page: a change, a delete, a new row."""
    await store.write(wish("stays", "update", row_id(40 + n % 12), {"nights": n + 2}))
    await store.write(wish("stays", "delete", row_id(40 + (n + 5) % 12)))
    await store.write(stay(60 + n, at=PLACES[n % 3]))


NARROWED = [("batch", 4), ("page",), ("page",), ("page",)]


HELD_TWICE = [("ask", (0,)), ("batch", 2), ("page",), ("ask", None), ("batch", 1), ("sync",)]
TWO_HOTELS = [("grant", 2), ("batch", 4), ("page",), ("page",)]


@settings(max_examples=200)
@given(st.lists(steps, max_size=25), st.sampled_from([NAMES, ("stays",), ("properties", "signs")]))
@example([*NARROWED, ("ask", (0,)), ("page",), ("delete", 43), ("sync",)], NAMES)
@example([*NARROWED, ("ask", (0, 1)), ("page",), ("delete", 43), ("sync",)], NAMES)
@example([*NARROWED, ("grant", ALL_BY_APPROVER), ("page",), ("sync",)], NAMES)
@example([*TWO_HOTELS, ("grant", 3), ("batch", 1), ("sync",)], NAMES)
@example(HELD_TWICE, NAMES)
@example(HELD_TWICE, ("stays",))
@example([("grant", 2), ("batch", 3), ("page",), ("ask", (0,)), ("sync",)], ("stays",))
@example([("grant", 2), ("batch", 3), ("page",), ("ask", (1,)), ("sync",)], ("stays",))
@example([("batch", 3), ("page",), ("meanwhile", 3), ("page",), ("sync",)], ("stays",))
def test_a_device_holds_what_its_token_says_and_in_the_end_all_that_its_user_sees(
    history, names
) -> None:
    async def run() -> None:
        store, device = await lived(history, names)
        await device.sync()
        while store.meanwhile:
            await store.meanwhile.pop()()
        await device.sync()
        assert device.rows == visible(store, device)
        before = device.token
        assert not await device.page()
        assert device.token == before
        assert not any(c.changes or c.purge for c in device.pages[-1].collections)

    asyncio.run(run())


@settings(max_examples=40)
@given(
    st.lists(st.tuples(places, st.booleans(), st.sampled_from([1, 3, 6])), min_size=1, max_size=12)
)
def test_a_fill_that_is_cut_and_widened_at_every_page_still_brings_each_row(plan) -> None:
    async def run() -> None:
        store, device = await lived([])
        for place, everything, batch in plan:
            device.properties = None if everything else [PLACES[place]]
            device.batch = batch
            await device.page()
            await store.write(wish("stays", "delete", row_id(40 + place * 3)))
        device.properties = None
        await device.sync()
        assert device.rows == visible(store, device)

    asyncio.run(run())
