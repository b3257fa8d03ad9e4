"""A shard that is being opened when whoever asked for it gives up."""

from __future__ import annotations

import asyncio

import pytest

from serai.app.fitness import Fitness
from serai.app.runtime import Runtime, open_runtime
from serai.app.settings import Settings
from serai.shard.placement import ShardRef


async def test_who_gives_up_while_a_shard_is_opened_leaves_no_connection_and_no_task(
    urls: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
):
    began = asyncio.Event()

    async def hangs(_: Runtime, __: ShardRef) -> None:
        began.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Fitness, "knows", lambda _, __: False)
    monkeypatch.setattr(Runtime, "_probe", hangs)
    async with open_runtime(Settings(directory_url=urls[0]), as_owner=True) as runtime:
        before = asyncio.all_tasks()
        task = asyncio.create_task(runtime.shard(runtime.directory.shards[0]))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert {each.get_coro() for each in asyncio.all_tasks() - before} == set()
        assert runtime.shards == []
