"""Upkeep of a process outlives an error that nobody foresaw."""

from __future__ import annotations

import asyncio
import logging

import pytest

from serai.app.asgi import for_ever


async def test_upkeep_that_fails_is_told_and_begins_anew(caplog: pytest.LogCaptureFixture):
    begun = 0
    again = asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise KeyError("shard 7")
        again.set()
        await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(for_ever(work, pause_seconds=0))
        async with asyncio.timeout(30):
            await again.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [record.exc_text or record.exc_info for record in caplog.records].count(None) == 0
    assert len(caplog.records) == 2
