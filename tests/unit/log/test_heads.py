"""Reads of heads that gather while one is in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from serai.core.errors import Code, SeraiError
from serai.log.heads import ORGANISATIONS_MAX, Heads
from serai.ports.store import Head


class Database:
    """Answers when it is told to. `versions`: organisation -> version now."""

    def __init__(self) -> None:
        self.versions: dict[int, int] = {}
        self.asked: list[list[int]] = []
        self.gates: list[asyncio.Event] = []
        self.sent = asyncio.Event()
        self.fault: Exception | None = None

    async def read(self, org_ids: Sequence[int]) -> list[Head | None]:
        self.asked.append(list(org_ids))
        gate = asyncio.Event()
        self.gates.append(gate)
        self.sent.set()
        seen = [self.versions.get(org_id) for org_id in org_ids]
        await gate.wait()
        if self.fault is not None:
            raise self.fault
        return [None if v is None else Head(1, v, 0, 0, "active") for v in seen]

    async def statements(self, count: int) -> None:
        """Wait until so many were sent."""
        while len(self.asked) < count:
            self.sent.clear()
            await self.sent.wait()


def version(head: Head | None) -> int | None:
    return None if head is None else head.version


async def asked(heads: Heads, *org_ids: int) -> list[asyncio.Task[Head | None]]:
    tasks = [asyncio.create_task(heads.head(org_id)) for org_id in org_ids]
    await asyncio.sleep(0)
    return tasks


async def test_what_comes_while_one_is_in_flight_goes_together_and_each_once() -> None:
    database = Database()
    database.versions = {1: 10, 2: 20, 3: 30}
    heads = Heads(database.read)
    first = await asked(heads, 1)
    await database.statements(1)
    rest = await asked(heads, 2, 3, 2, 9)
    database.gates[0].set()
    await database.statements(2)
    database.gates[1].set()
    assert database.asked == [[1], [2, 3, 9]]
    assert [version(h) for h in await asyncio.gather(*first, *rest)] == [10, 20, 30, 20, None]


async def test_a_question_is_never_answered_by_a_statement_that_was_sent_before_it() -> None:
    database = Database()
    database.versions = {1: 10}
    heads = Heads(database.read)
    old = await asked(heads, 1)
    await database.statements(1)
    database.versions[1] = 11
    new = await asked(heads, 1)
    database.gates[0].set()
    await database.statements(2)
    database.gates[1].set()
    assert [version(h) for h in await asyncio.gather(*old, *new)] == [10, 11]


async def test_who_gives_up_takes_no_answer_from_others() -> None:
    database = Database()
    database.versions = {1: 10}
    heads = Heads(database.read)
    (first,) = await asked(heads, 9)
    await database.statements(1)
    one, other = await asked(heads, 1, 1)
    one.cancel()
    database.gates[0].set()
    await database.statements(2)
    database.gates[1].set()
    assert version(await other) == 10
    assert (await first, one.cancelled(), database.asked) == (None, True, [[9], [1]])


async def test_a_failure_reaches_those_that_asked_and_nobody_else() -> None:
    database = Database()
    database.versions = {1: 10}
    heads = Heads(database.read)
    database.fault = SeraiError(Code.UNAVAILABLE, retry_after_seconds=1)
    tasks = await asked(heads, 1, 1, 2)
    await database.statements(1)
    database.gates[0].set()
    await database.statements(2)
    database.gates[1].set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in found] == [SeraiError] * 3
    database.fault = None
    (again,) = await asked(heads, 1)
    await database.statements(3)
    database.gates[2].set()
    assert version(await again) == 10


async def test_a_statement_that_hangs_holds_up_those_it_has_and_no_others() -> None:
    database = Database()
    database.versions = {1: 10, 2: 20}
    heads = Heads(database.read)
    (hanging,) = await asked(heads, 1)
    await database.statements(1)
    (other,) = await asked(heads, 2)
    await database.statements(2)
    database.gates[1].set()
    assert version(await other) == 20
    assert not hanging.done()
    database.gates[0].set()
    assert version(await hanging) == 10


async def test_a_statement_is_of_bounded_size() -> None:
    database = Database()
    heads = Heads(database.read)
    await asked(heads, 0)
    await database.statements(1)
    tasks = await asked(heads, *range(1, ORGANISATIONS_MAX + 3))
    await database.statements(2)
    for gate in database.gates:
        gate.set()
    await database.statements(3)
    database.gates[2].set()
    await asyncio.gather(*tasks)
    assert [len(each) for each in database.asked] == [1, ORGANISATIONS_MAX, 2]


@pytest.mark.parametrize("count", [1, 2, 50])
async def test_one_after_the_other_needs_a_statement_each(count: int) -> None:
    database = Database()
    heads = Heads(database.read)
    for number in range(count):
        (task,) = await asked(heads, number)
        await database.statements(number + 1)
        database.gates[number].set()
        assert await task is None
    assert len(database.asked) == count
