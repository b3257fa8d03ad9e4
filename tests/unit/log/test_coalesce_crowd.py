"""When a transaction begins beside another: a crowd waits, or somebody has waited long enough.

Owns the tests of that rule of `serai.log.coalesce`. Commits of an organisation are held back one by
one; how long patience lasts is set where it must not, or must, run out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from serai.log import coalesce
from serai.log.coalesce import Coalescer
from serai.ports.store import Outcome, PlannedWrite
from unit.log.house import HOUSE, SEA, Recorded, caller, plant, rest, stay

FOR_EVER = 3_600.0
ORGS = range(1, 9)


@dataclass(eq=False)
class Held(Recorded):
    """Commits that touch a held organisation wait until it is let go."""

    doors: dict[int, asyncio.Event] = field(default_factory=dict[int, asyncio.Event])
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    began: list[set[int]] = field(default_factory=list[set[int]])

    def hold(self, *orgs: int) -> None:
        self.doors.update({org: asyncio.Event() for org in orgs})
        self.began.clear()

    async def commit(self, writes: Sequence[PlannedWrite]) -> list[Outcome]:
        orgs = {write.org_id for write in writes}
        self.began.append(orgs)
        self.changed.set()
        for org in orgs & self.doors.keys():
            await self.doors[org].wait()
        return await super().commit(writes)

    async def begun(self, count: int) -> None:
        """Wait until so many transactions began."""
        while len(self.began) < count:
            self.changed.clear()
            await self.changed.wait()


async def held(*orgs: int) -> Held:
    store = Held(HOUSE)
    for org_id in ORGS:
        await store.create_org(org_id)
        await plant(store, org_id, ("properties", SEA, {"name": "x"}))
    store.hold(*orgs)
    return store


async def turns() -> None:
    """Let everything that can go on go on."""
    for _ in range(50):
        await asyncio.sleep(0)


def put(coalescer: Coalescer, org: int, row: int = 0):
    return coalescer.enqueue(rest(caller(org_id=org), stay(row)))


async def test_few_writes_gather_and_a_crowd_goes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coalesce, "COALESCE_WAIT_SECONDS_MAX", FOR_EVER)
    store = await held(1)
    coalescer = Coalescer(store, HOUSE, crowd=4)
    first = put(coalescer, 1)
    await store.begun(1)
    crowd = [put(coalescer, org) for org in (2, 3, 4)]
    await turns()
    assert store.began == [{1}], "three are no crowd"
    crowd.append(put(coalescer, 5))
    await asyncio.gather(*crowd)
    assert store.began == [{1}, {2, 3, 4, 5}]
    store.doors[1].set()
    assert (await first).version == 2


async def test_a_transaction_that_hangs_holds_up_nobody_else() -> None:
    """Of other organisations; they wait for 20 ms and not for it."""
    store = await held(1)
    coalescer = Coalescer(store, HOUSE, crowd=1_000_000)
    hanging = put(coalescer, 1)
    await store.begun(1)
    for org in (2, 3, 4):
        assert (await put(coalescer, org)).version == 2
    assert not hanging.done()
    store.doors[1].set()
    assert (await hanging).version == 2


async def test_what_is_left_is_not_begun_beside_another_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coalesce, "COALESCE_WAIT_SECONDS_MAX", FOR_EVER)
    store = await held(1, 2)
    coalescer = Coalescer(store, HOUSE, crowd=2)
    slow = put(coalescer, 1)
    await store.begun(1)
    beside = [put(coalescer, 2), put(coalescer, 3)]
    await store.begun(2)
    late = put(coalescer, 4)
    store.doors[2].set()
    await asyncio.gather(*beside)
    await turns()
    assert store.began == [{1}, {2, 3}], "one write is no crowd: it waits for those that run"
    store.doors[1].set()
    assert ((await slow).version, (await late).version) == (2, 2)
    assert store.began == [{1}, {2, 3}, {4}]


async def test_what_is_left_waits_no_longer_than_others_do() -> None:
    store = await held(1, 2)
    coalescer = Coalescer(store, HOUSE, crowd=2)
    slow = put(coalescer, 1)
    await store.begun(1)
    beside = [put(coalescer, 2), put(coalescer, 3)]
    await store.begun(2)
    late = put(coalescer, 4)
    store.doors[2].set()
    await asyncio.gather(*beside)
    assert (await late).version == 2
    assert not slow.done()
    store.doors[1].set()
    await slow


async def test_patience_is_for_those_that_wait_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer that was set for writes which are gone says nothing about the next ones."""
    monkeypatch.setattr(coalesce, "COALESCE_WAIT_SECONDS_MAX", FOR_EVER)
    store = await held(1)
    coalescer = Coalescer(store, HOUSE, crowd=1_000_000)
    first = put(coalescer, 1)
    await store.begun(1)
    second = put(coalescer, 2)
    assert coalescer._patience is not None
    store.doors[1].set()
    await asyncio.gather(first, second)
    assert coalescer._patience is None
