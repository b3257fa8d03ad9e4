"""A page made of sealed blocks says what a page made of rows would have said.

Owns the property over histories in which the keeper folds, seals and prunes between any two pages,
and single cases of it. The oracle is `unit.readers.device`. Never looks into a block.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from serai.log.keeper import Keeper, packed
from serai.log.life import Policy
from unit.log.house import NOW, ORG, row_id, wish
from unit.readers.device import NAMES, Device, World, visible
from unit.readers.test_pull_any_history import live, lived, steps

POLICY = Policy(
    horizon=timedelta(days=20),
    fold_after=timedelta(days=1),
    segment_rows=1,
    block_rows=2,
    behind=1,
)
kept = st.tuples(st.just("keep"), st.integers(0, 9))


class Clock:
    """Days that pass with the steps that say so."""

    def __init__(self) -> None:
        self.now = NOW


async def pack(text: bytes) -> bytes:
    return packed(text)


async def keep(store: World, clock: Clock, days: int) -> None:
    """Let days pass, and the keeper look until nothing is left to do."""
    clock.now += timedelta(days=days)
    keeper = Keeper(store.lives, POLICY, pack)
    life = await store.lives.life(ORG)
    for _ in range(100):
        assert life is not None
        if not (await keeper.look(life, clock.now)).more:
            return
        life = await keeper.again(ORG)
    raise AssertionError("the keeper ends")


async def lived_and_kept(history: list[tuple[Any, ...]], names: tuple[str, ...] = NAMES):
    store, device = await lived([], names)
    device.block_rows = 1
    clock = Clock()
    for step in history:
        if step[0] == "keep":
            await keep(store, clock, step[1])
        else:
            await live(store, device, step)
    return store, device


BACK_AGAIN = [("meanwhile", 1), ("meanwhile", 13), ("stay", 0, 0), ("meanwhile", 1)]
"""A row changes and changes back while it is filled."""


@settings(max_examples=200)
@example([*BACK_AGAIN, ("batch", 2), ("scan", 1), ("prune",)], NAMES)
@given(
    st.lists(st.one_of(steps, kept, kept), max_size=30),
    st.sampled_from([NAMES, ("stays",), ("properties", "signs")]),
)
def test_a_device_that_is_filled_from_blocks_holds_what_its_token_says(history, names) -> None:
    async def run() -> None:
        store, device = await lived_and_kept([("keep", 0), *history], names)
        await device.sync()
        while store.meanwhile:
            await store.meanwhile.pop()()
        await device.sync()
        assert device.rows == visible(store, device)

    asyncio.run(run())


async def test_a_row_deleted_after_it_was_sealed_does_not_reach_a_new_device() -> None:
    store, device = await lived_and_kept([("keep", 0)], ("stays",))
    await store.write(wish("stays", "delete", row_id(43)))
    await store.write(wish("stays", "update", row_id(44), {"nights": 9}))
    device.batch = 4
    await device.sync()
    sent = [c for page in device.pages for part in page.collections for c in part.changes]
    assert [c.action for c in sent if c.id == row_id(43)] == ["insert", "delete"]
    assert device.rows == visible(store, device)


async def test_a_device_in_the_middle_of_a_fill_goes_on_when_blocks_are_made_anew() -> None:
    store, device = await lived_and_kept([("keep", 0), ("batch", 3), ("page",)], ("stays",))
    clock = Clock()
    for n in range(40, 52, 2):
        await store.write(wish("stays", "update", row_id(n), {"nights": n}))
        await keep(store, clock, 1)
        await device.page()
    await device.sync()
    assert device.rows == visible(store, device)


async def test_a_fill_of_rows_and_a_fill_of_blocks_end_alike() -> None:
    store, device = await lived_and_kept([("keep", 0), ("batch", 2), ("sync",)])
    plain = Device(store, device.who)
    await plain.sync()
    assert plain.rows == device.rows
    assert plain.opened().complete == device.opened().complete
    assert device.blocks > plain.blocks == 0
