"""Virtual time: it jumps, it never hangs, and nothing that fails in a corner is missed.

Owns the promises of the simulation's loop and clocks. Never runs a seed.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from serai.testing.simulation.loop import ORIGIN, Stuck, VirtualClock, run


async def passed(seconds: float) -> None:
    """Let virtual time pass, at no cost."""
    await asyncio.sleep(seconds)


def test_a_week_of_waiting_ends_at_the_minute_it_was_to_end():
    async def wait():
        clock = VirtualClock(asyncio.get_running_loop())
        await passed(7 * 86_400)
        clock.error_seconds = -60.0
        return clock.now()

    assert run(wait()) == ORIGIN + timedelta(days=7, seconds=-60)


def test_timers_fire_in_order_of_their_time_not_of_their_making():
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        for seconds in (3.0, 1.0, 2.0):
            loop.call_later(seconds, seen.append, seconds)
        await passed(5.0)

    run(main())
    assert seen == [1.0, 2.0, 3.0]


def test_a_run_in_which_everybody_waits_for_somebody_ends_with_an_error():
    async def main():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck, match="nothing is due"):
        run(main())


def test_a_run_in_which_time_stands_still_ends_with_an_error():
    async def main():
        loop = asyncio.get_running_loop()

        def again():
            loop.call_soon(again)

        again()
        await loop.create_future()

    with pytest.raises(Stuck, match="stands still"):
        run(main())


def test_a_failure_in_a_task_that_nobody_waits_for_is_not_missed():
    async def fail():
        raise ValueError("in a corner")

    async def main():
        task = asyncio.get_running_loop().create_task(fail())
        await passed(1.0)
        del task
        await passed(1.0)

    with pytest.raises(AssertionError, match="in a corner"):
        run(main())
