"""Writes that meet an organisation on the move: they wait for it, within a bound.

Owns the tests of what the coalescer does with `frozen` and `moved`, on the reference store. What
waits is let through by the state, never by a clock. Never moves an organisation.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from serai.core.errors import Code
from serai.log.coalesce import Coalescer
from unit.log.house import (
    HOUSE,
    ORG,
    OTHER_ORG,
    Recorded,
    caller,
    mutation,
    opened,
    rest,
    stay,
)
from unit.log.queueing import NOBODY_WAITS_SECONDS, answers, code, version


def say(store: Recorded, state: str) -> None:
    org = store.organisations[ORG]
    org.head = replace(org.head, state=state)


async def test_writes_to_a_frozen_organisation_wait_and_are_done_in_their_order() -> None:
    store = await opened()
    say(store, "frozen")
    coalescer = Coalescer(store, HOUSE)
    waiting = [coalescer.enqueue(mutation(caller(), n, stay(n))) for n in (1, 2, 3)]
    await store.arrived.wait()
    later = coalescer.enqueue(rest(caller(), stay(4)))
    say(store, "active")
    async with asyncio.timeout(NOBODY_WAITS_SECONDS):
        done = await asyncio.gather(*waiting, later)
    assert [version(each) for each in done] == [3, 4, 5, 6]


async def test_nobody_else_waits_for_a_frozen_organisation() -> None:
    store = await opened(HOUSE, ORG, OTHER_ORG)
    say(store, "frozen")
    coalescer = Coalescer(store, HOUSE)
    waiting = coalescer.enqueue(rest(caller(), stay(1)))
    (other,) = await answers(coalescer, rest(caller(org_id=OTHER_ORG), stay(2)))
    assert version(other) == 3
    assert not waiting.done()
    say(store, "active")
    await coalescer.drain()
    assert version(waiting.result()) == 3


async def test_an_organisation_that_stays_frozen_is_told_and_its_writes_may_come_again() -> None:
    store = await opened()
    say(store, "frozen")
    coalescer = Coalescer(store, HOUSE)
    done = await answers(coalescer, *(mutation(caller(), n, stay(n)) for n in (1, 2)))
    assert [code(each) for each in done] == [Code.ORG_FROZEN] * 2
    say(store, "active")
    done = await answers(coalescer, *(mutation(caller(), n, stay(n)) for n in (1, 2)))
    assert [version(each) for each in done] == [3, 4]


async def test_what_waited_for_an_organisation_that_then_moved_is_told_so() -> None:
    store = await opened()
    say(store, "frozen")
    coalescer = Coalescer(store, HOUSE)
    waiting = [coalescer.enqueue(mutation(caller(), n, stay(n))) for n in range(1, 6)]
    await store.arrived.wait()
    say(store, "moved")
    async with asyncio.timeout(NOBODY_WAITS_SECONDS):
        done = await asyncio.gather(*waiting, return_exceptions=True)
    assert [code(each) for each in done] == [Code.ORG_MOVED] * 5
