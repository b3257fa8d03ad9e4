"""Putting writes into the queue, and reading what each caller gets.

Owns what the tests of `serai.log.coalesce` share. All writes of a call wait before the first of
them is decided, as from callers at the same moment. Never expects anything by itself.
"""

from __future__ import annotations

import asyncio

from serai.core.errors import Code, SeraiError
from serai.log.coalesce import Coalescer
from serai.log.intent import WriteAnswer, WriteIntent
from unit.log.house import (
    row_id,
    told,
    wish,
)

NOBODY_WAITS_SECONDS = 20
"""A deadline against hanging, not a measure."""


async def answers(coalescer: Coalescer, *intents: WriteIntent) -> list[WriteAnswer | BaseException]:
    """Put all of them into the queue at once; return what each caller gets."""
    futures = [coalescer.enqueue(each) for each in intents]
    async with asyncio.timeout(NOBODY_WAITS_SECONDS):
        return await asyncio.gather(*futures, return_exceptions=True)


def version(answer: WriteAnswer | BaseException) -> int:
    assert isinstance(answer, WriteAnswer), answer
    return answer.version


def code(answer: WriteAnswer | BaseException) -> Code:
    assert isinstance(answer, SeraiError), answer
    return answer.code


def status(answer: WriteAnswer | BaseException) -> str:
    assert isinstance(answer, WriteAnswer), answer
    return told(answer.reply)["status"]


def nights(row: int, value: int, base: int | None = None):
    return wish("stays", "update", row_id(row), {"nights": value}, base=base)
