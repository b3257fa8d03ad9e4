"""Deadlines: what is late is cancelled, and nobody else."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from serai.http.deadlines import Deadline, Deadlines

STEP = 0.01


async def waits(deadlines: Deadlines, seconds: float, *, for_: asyncio.Event) -> str:
    deadline = deadlines.begin(seconds)
    try:
        await for_.wait()
    except asyncio.CancelledError:
        if not deadline.took_it():
            raise
        return "late"
    finally:
        deadlines.end(deadline)
    return "in time"


async def test_who_waits_too_long_is_told_and_who_does_not_is_left_alone():
    deadlines, done = Deadlines(STEP), asyncio.Event()
    late = asyncio.create_task(waits(deadlines, 0.0, for_=asyncio.Event()))
    others = [asyncio.create_task(waits(deadlines, 30.0, for_=done)) for _ in range(3)]
    assert await late == "late"
    assert late.cancelling() == 0, "the task may wait again"
    done.set()
    assert await asyncio.gather(*others) == ["in time"] * 3


async def test_a_request_that_is_cancelled_from_outside_is_not_taken_for_late():
    deadlines = Deadlines(STEP)
    begun = asyncio.Event()

    async def held() -> None:
        begun.set()
        await waits(deadlines, 30.0, for_=asyncio.Event())

    task = asyncio.create_task(held())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_request_that_is_late_and_cancelled_from_outside_ends():
    deadlines = Deadlines(STEP)
    started = asyncio.Event()
    made: list[Deadline] = []

    async def held() -> None:
        made.append(deadlines.begin(30.0))
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert not made[0].took_it()
            raise

    task = asyncio.create_task(held())
    await started.wait()
    made[0].pass_by()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_may_be_moved_and_passes_once_for_each_time_that_it_was_told():
    deadlines = Deadlines(STEP)
    deadline = deadlines.begin(30.0)
    for _ in range(2):
        deadline.until = deadline.now()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()
        assert deadline.took_it()
        assert not deadline.took_it()
    deadlines.end(deadline)


async def test_an_ended_deadline_cancels_nothing_and_the_timer_rests():
    deadlines = Deadlines(STEP)
    ended = deadlines.begin(0.0)
    deadlines.end(ended)
    other = asyncio.create_task(waits(deadlines, 0.0, for_=asyncio.Event()))
    assert await other == "late", "the timer looked"
    assert await waits(deadlines, 0.0, for_=asyncio.Event()) == "late", "it looks again"


async def test_without_a_task_it_never_passes():
    deadline = Deadline()
    deadline.pass_by()
    assert deadline.until == inf
    assert not deadline.took_it()
