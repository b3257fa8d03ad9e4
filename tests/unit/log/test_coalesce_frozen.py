"""Writes that meet an organisation on the move: they wait for it, or follow it.

Owns the tests of what the coalescer does with `frozen` and `moved`, on the reference store. What
waits is let through by the state, never by a clock. Never moves an organisation.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from serai.core.errors import Code
from serai.log.coalesce import Coalescer
from serai.log.intent import WriteAnswer, WriteIntent
from serai.ports.store import MutationKey
from unit.log.house import (
    HOUSE,
    ORG,
    OTHER_ORG,
    Recorded,
    caller,
    mutation,
    opened,
    rest,
    row_id,
    stay,
    wish,
)
from unit.log.queueing import NOBODY_WAITS_SECONDS, answers, code, version

Sent = list[tuple[WriteIntent, asyncio.Future[WriteAnswer]]]


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


async def test_writes_follow_an_organisation_that_moved_while_they_waited() -> None:
    old, new = await opened(), await opened()
    say(old, "frozen")
    coalescer, home = Coalescer(old, HOUSE), Coalescer(new, HOUSE)
    coalescer.sent_on = home.adopt
    waiting = [coalescer.enqueue(mutation(caller(), n, stay(n))) for n in range(1, 6)]
    await old.arrived.wait()
    say(old, "moved")
    async with asyncio.timeout(NOBODY_WAITS_SECONDS):
        done = await asyncio.gather(*waiting)
    assert [version(each) for each in done] == [3, 4, 5, 6, 7]


async def test_a_devices_mutations_are_sent_on_in_their_order() -> None:
    store = await opened()
    say(store, "moved")
    coalescer = Coalescer(store, HOUSE)
    sent: Sent = []
    coalescer.sent_on = lambda intent, answer: sent.append((intent, answer))
    for number in range(1, 8):
        coalescer.enqueue(mutation(caller(), number, stay(number)))
    await coalescer.drain()
    keys = [intent.once for intent, _ in sent]
    assert [key.number for key in keys if isinstance(key, MutationKey)] == list(range(1, 8))
    assert not any(answer.done() for _, answer in sent)


async def test_a_write_is_sent_on_once() -> None:
    store = await opened()
    say(store, "moved")
    coalescer = Coalescer(store, HOUSE)
    coalescer.sent_on = coalescer.adopt
    (done,) = await answers(coalescer, rest(caller(), stay(1)))
    assert code(done) is Code.ORG_MOVED


async def test_nothing_is_refused_by_what_a_home_has_that_was_left() -> None:
    """The row was written at the new home; the old one does not have it."""
    old, new = await opened(), await opened()
    await answers(Coalescer(new, HOUSE), rest(caller(), stay(1)))
    say(old, "moved")
    coalescer = Coalescer(old, HOUSE)
    coalescer.sent_on = Coalescer(new, HOUSE).adopt
    change = wish("stays", "update", row_id(1), {"nights": 2})
    (done,) = await answers(coalescer, rest(caller(), change))
    assert version(done) == 4
