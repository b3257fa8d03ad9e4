"""The feed: what is read, when, and what is passed on, whatever rings and whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from serai.core.errors import Code, SeraiError
from serai.gateway.feed import Feed
from serai.gateway.messages import Heard, Restarted
from serai.ports.store import Head, LogEntry, LogPage

ORG = 7
SECONDS = 60.0
ROW, SCOPE = UUID(int=1), UUID(int=2)


@dataclass
class Shard:
    """One organisation whose log is in memory."""

    head: Head = field(default_factory=lambda: Head(1, 10, 0, 0, "active"))
    reads: list[int] = field(default_factory=list)
    page: int = 1000
    down: bool = False
    fails: int = 0
    meanwhile: Callable[[], None] | None = None

    def write(self, count: int = 1) -> None:
        self.head = Head(self.head.epoch, self.head.version + count, 0, 0, "active")

    async def read_head(self, org_id: int) -> Head:
        if self.fails:
            self.fails -= 1
            raise SeraiError(Code.UNAVAILABLE)
        if org_id != ORG:
            raise SeraiError(Code.ORG_MOVED)
        return self.head

    async def read_log(self, org_id: int, after: int, scan: int) -> LogPage:
        assert org_id == ORG
        self.reads.append(after)
        if self.down:
            raise SeraiError(Code.UNAVAILABLE)
        head, through = self.head, min(self.head.version, after + min(scan, self.page))
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        entries = [LogEntry(v, SCOPE, 5, ROW, "{}") for v in range(after + 1, through + 1)]
        return LogPage(head, entries, through)


@dataclass
class Town:
    """A feed over the shard, and what it passed on and noticed."""

    shard: Shard = field(default_factory=Shard)
    told: list[Heard | Restarted] = field(default_factory=list)
    grants: list[int] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    feed: Feed = field(init=False)

    def __post_init__(self) -> None:
        self.feed = Feed(
            self.shard.read_head,
            self.shard.read_log,
            self._pass_on,
            lambda _, version: self.grants.append(version),
        )

    def _pass_on(self, message: Heard | Restarted) -> None:
        self.told.append(message)
        self.heard.set()

    def spans(self) -> list[tuple[int, int]]:
        return [(m.after, m.through) for m in self.told if isinstance(m, Heard)]


async def settled(feed: Feed) -> None:
    """Until nothing is read any more."""
    while feed._tasks:
        await asyncio.gather(*feed._tasks)


async def opened() -> Town:
    town = Town()
    _, new = await town.feed.opened(ORG)
    assert new
    return town


async def test_a_ring_is_read_up_to_the_head_and_passed_on() -> None:
    town = await opened()
    town.shard.write(3)
    town.feed.rang(ORG, 1, 11)
    await settled(town.feed)
    assert town.spans() == [(10, 13)]


async def test_a_long_log_is_passed_on_in_parts_without_a_gap() -> None:
    town = await opened()
    town.shard.page = 2
    town.shard.write(5)
    town.feed.rang(ORG, 1, 15)
    await settled(town.feed)
    assert town.spans() == [(10, 12), (12, 14), (14, 15)]


async def test_rings_that_are_late_or_doubled_or_of_others_read_nothing() -> None:
    town = await opened()
    town.shard.write()
    town.feed.rang(ORG, 1, 11)
    town.feed.rang(ORG, 1, 11)
    await settled(town.feed)
    for org_id, version in ((ORG, 11), (ORG, 9), (ORG + 1, 50)):
        town.feed.rang(org_id, 1, version)
    await settled(town.feed)
    assert town.spans() == [(10, 11)]
    assert town.shard.reads == [10]


async def test_what_is_written_while_it_is_read_is_read_too() -> None:
    town = await opened()
    town.shard.write()

    def more() -> None:
        town.shard.write()
        town.feed.rang(ORG, 1, 12)

    town.shard.meanwhile = more
    town.feed.rang(ORG, 1, 11)
    await settled(town.feed)
    assert town.spans() == [(10, 11), (11, 12)]


async def test_a_ring_that_never_comes_true_is_not_read_for_ever() -> None:
    town = await opened()
    town.feed.rang(ORG, 1, 1_000_000)
    await settled(town.feed)
    assert town.spans() == []


async def test_a_new_epoch_and_a_log_that_was_folded_are_a_restart() -> None:
    town = await opened()
    town.shard.head = Head(2, 8, 0, 0, "active")
    town.feed.rang(ORG, 2, 8)
    await settled(town.feed)
    assert town.told == [Restarted(ORG, 2, 8, 0)]
    town.shard.head = Head(2, 90, 50, 0, "active")
    town.feed.rang(ORG, 2, 90)
    await settled(town.feed)
    assert town.told[1:] == [Restarted(ORG, 2, 90, 0)]


async def test_a_home_that_was_left_and_is_behind_says_nothing() -> None:
    town = await opened()
    town.shard.head = Head(1, 9, 0, 0, "active")
    town.feed.rang(ORG, 1, 11)
    await settled(town.feed)
    assert town.told == []


async def test_a_shard_that_does_not_answer_is_read_at_a_later_ring() -> None:
    town = await opened()
    town.shard.write()
    town.shard.down = True
    town.feed.rang(ORG, 1, 11)
    await settled(town.feed)
    assert town.told == []
    town.shard.down = False
    town.feed.rang(ORG, 1, 11)
    await settled(town.feed)
    assert town.spans() == [(10, 11)]


async def look(town: Town) -> None:
    """Let it look by itself until it passes something on."""
    task = asyncio.create_task(town.feed.poll())
    await asyncio.wait_for(town.heard.wait(), SECONDS)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await settled(town.feed)


async def test_what_rings_no_bell_is_found_by_looking() -> None:
    town = await opened()
    town.shard.write(2)
    await look(town)
    assert town.spans() == [(10, 12)]


async def test_grants_that_change_are_told_without_a_version() -> None:
    town = await opened()
    town.shard.head = Head(1, 10, 0, 3, "active")
    await look(town)
    assert town.told == [Heard(ORG, 1, 10, 10, 3, [])]
    assert town.grants[-1] == 3


async def test_a_look_that_a_shard_does_not_answer_is_tried_again() -> None:
    town = await opened()
    town.shard.fails = 1
    town.shard.write()
    await look(town)
    assert town.spans() == [(10, 11)]


async def test_two_who_open_at_once_are_told_that_one_of_them_did() -> None:
    town = Town()
    (one, first), (two, second) = await asyncio.gather(town.feed.opened(ORG), town.feed.opened(ORG))
    assert one is two
    assert sorted((first, second)) == [False, True]


async def test_an_organisation_that_is_not_there_is_refused() -> None:
    with pytest.raises(SeraiError) as raised:
        await Town().feed.opened(ORG + 1)
    assert raised.value.code is Code.ORG_MOVED


async def test_listening_ends_when_nobody_is_left_or_on_the_way() -> None:
    town = await opened()
    known, _ = await town.feed.opened(ORG)
    known.admitted = 2
    assert not town.feed.left(ORG, 1)
    assert town.feed.left(ORG, 2)
    assert not town.feed.left(ORG, 2)
    town.shard.write()
    town.feed.rang(ORG, 1, 11)
    await settled(town.feed)
    assert town.told == []


async def test_what_is_read_of_one_that_was_left_and_opened_again_is_not_passed_on() -> None:
    town = await opened()
    town.shard.write()

    async def reopened() -> None:
        assert town.feed.left(ORG, 0)
        await town.feed.opened(ORG)

    waiting: list[Awaitable[None]] = []
    town.shard.meanwhile = lambda: waiting.append(reopened())
    read = town.shard.read_log

    async def slow(org_id: int, after: int, scan: int) -> LogPage:
        page = await read(org_id, after, scan)
        for each in waiting:
            await each
        waiting.clear()
        return page

    town.feed.log = slow
    town.feed.rang(ORG, 1, 11)
    await settled(town.feed)
    assert town.told == []
    assert town.feed.known[ORG].version == 11
