"""Writes for a property that has gone: told from others, however many, by two questions a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.log.coalesce import Coalescer
from serai.log.departures import Asked
from serai.log.intent import WriteAnswer
from unit.log.house import (
    HOUSE,
    ORG,
    OTHER_ORG,
    caller,
    mutation,
    opened,
    rest,
    row_id,
    stay,
    told,
    wish,
)
from unit.log.queueing import answers

PHONES = [UUID(int=0xA000 + n) for n in range(20)]


class Shard:
    """Keeps what it is asked; what has an even number left with its property, or `code`."""

    def __init__(self, code: Code = Code.PROPERTY_TRANSFERRED) -> None:
        self.asked: list[Sequence[Asked]] = []
        self.code = code

    async def __call__(self, asked: Sequence[Asked]) -> Mapping[int, Code]:
        self.asked.append(asked)
        return {n: self.code for n, (_, _, row, _) in enumerate(asked) if row.int % 2 == 0}


async def test_a_batch_of_late_writes_asks_the_shard_twice_and_each_gets_its_own_answer() -> None:
    """Deletes by phones, which find nothing, and changes over REST, of two organisations."""
    coalescer, shard = Coalescer(await opened(HOUSE, ORG, OTHER_ORG), HOUSE), Shard()
    coalescer.departed = shard
    rows = [row_id(10_000 + n) for n in range(40)]
    orgs = [(ORG, OTHER_ORG)[n % 2] for n in range(40)]
    late = [
        mutation(caller(org_id=orgs[n]), 1, wish("guests", "delete", rows[n]), device=PHONES[n])
        for n in range(20)
    ] + [
        rest(caller(org_id=orgs[n]), wish("guests", "update", rows[n], {"name": "x"}))
        for n in range(20, 40)
    ]
    done = await answers(coalescer, *late)
    # Those that were refused, and those that would change nothing.
    assert [len(each) for each in shard.asked] == [20, 20]
    assert {row for each in shard.asked for _, _, row, _ in each} == set(rows)
    for row, answer in zip(rows, done, strict=True):
        gone = row.int % 2 == 0
        if isinstance(answer, WriteAnswer):
            said = told(answer.reply)
            assert ("property_transferred" in str(said)) is gone, said
        else:
            assert isinstance(answer, SeraiError)
            assert answer.code is (Code.PROPERTY_TRANSFERRED if gone else Code.NOT_FOUND)
    assert await coalescer.submit(rest(caller(), stay(1)))
    assert len(shard.asked) == 2, "a write that succeeds is not looked at"


async def test_a_late_delete_waits_while_its_property_goes_and_so_does_what_comes_after() -> None:
    """Taken as done it would be lost: the property arrives elsewhere with the row."""
    coalescer, shard = Coalescer(await opened(HOUSE, ORG), HOUSE), Shard(Code.PROPERTY_HELD)
    coalescer.departed = shard
    late = [
        mutation(caller(), n, wish("guests", "delete", row_id(10_000 + 2 * n)), device=PHONES[0])
        for n in (1, 2)
    ]
    for answer in await answers(coalescer, *late):
        assert isinstance(answer, SeraiError)
        assert answer.code is Code.PROPERTY_HELD
        assert answer.retry_after_seconds == 1
    shard.code = Code.PROPERTY_TRANSFERRED
    for answer in await answers(coalescer, *late):
        assert isinstance(answer, WriteAnswer)
        assert told(answer.reply)["code"] == "property_transferred"
