"""Replicas that lag, hang, are cut off, or are gone: no answer is older than asked, none fails, and
who was out comes back by itself.
"""

from __future__ import annotations

import asyncio
import random

import psutil
import pytest

from integration.http.house import Api
from integration.replicas.cluster import Cluster, a_cluster
from integration.replicas.test_reads import renamed, wrote
from serai.shard.directory import Directory
from serai.shard.enrol import add_replica

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def sees_own_writes(cluster: Cluster, rounds: int = 12) -> None:
    """Write through one worker and read through the other, one after another."""
    inn = await cluster.inn()
    async with cluster.owners(inn) as (first, second):
        path, _ = await wrote(first, "0")
        for n in range(rounds):
            position = await renamed(first, path, str(n))
            read = await second("GET", path, Serai_Min_Version=position)
            assert read.status == 200, read
            assert read.json["data"]["name"] == str(n)


async def test_one_that_lags_is_taken_out_and_comes_back_when_it_has_caught_up(cluster: Cluster):
    lagging = cluster.copies[0]
    lagging.pause()
    try:
        await sees_own_writes(cluster)
        await cluster.until_used("copy-2")
        cluster.answered()
        await sees_own_writes(cluster)
        by = cluster.answered()
        assert by["primary_none"] == 0
        assert by["replica"] > 0
    finally:
        lagging.resume()
    await cluster.until_used("copy-1", "copy-2")


async def test_one_that_hangs_with_open_connections_costs_no_answer(cluster: Cluster):
    hanging = cluster.copies[0]
    hanging.freeze()
    try:
        await sees_own_writes(cluster)
        await cluster.until_used("copy-2")
        await sees_own_writes(cluster)
    finally:
        hanging.thaw()
    await cluster.until_used("copy-1", "copy-2")
    await sees_own_writes(cluster)


async def test_one_that_is_cut_off_from_its_primary_is_found_by_its_heartbeat(cluster: Cluster):
    """It answers, and does not know that it is behind."""
    alone = cluster.copies[1]
    alone.stream.cut()
    try:
        await cluster.until_used("copy-1")
        await sees_own_writes(cluster)
    finally:
        alone.stream.mend()
    await cluster.until_used("copy-1", "copy-2")


async def test_one_that_no_worker_reaches_is_out_until_the_line_is_mended(cluster: Cluster):
    for copy in cluster.copies:
        copy.way.cut()
    try:
        await sees_own_writes(cluster)
        await cluster.until_used()
        cluster.answered()
        await sees_own_writes(cluster)
        assert set(cluster.answered()) == {"primary_none"}
    finally:
        for copy in cluster.copies:
            copy.way.mend()
    await cluster.until_used("copy-1", "copy-2")
    cluster.answered()
    await sees_own_writes(cluster)
    assert cluster.answered()["replica"] > 0


async def test_whatever_happens_to_replicas_no_answer_is_older_than_asked(cluster: Cluster):
    """Writers and readers through both workers while replicas stand still, hang and go on; each
    reader names a position that it has seen, not always the newest.
    """
    dice, inn = random.Random(26), await cluster.inn()
    done, reading = asyncio.Event(), asyncio.Semaphore(0)

    async def weather() -> None:
        for _ in range(8):
            copy = dice.choice(cluster.copies)
            begin, end = dice.choice(((copy.pause, copy.resume), (copy.freeze, copy.thaw)))
            begin()
            try:
                for _ in range(24):
                    await reading.acquire()
            finally:
                end()
        done.set()

    async def person(owners: list[Api], n: int) -> None:
        path, position = await wrote(owners[n % 2], f"{n}.0")
        history = [(position, 0)]
        count = 0
        while not done.is_set():
            count += 1
            history.append((await renamed(owners[n % 2], path, f"{n}.{count}"), count))
            asked, least = dice.choice(history[-3:])
            reader = owners[dice.randrange(2)]
            row = await reader("GET", path, Serai_Min_Version=asked)
            assert int(row.json["data"]["name"].partition(".")[2]) >= least
            listed = await reader("GET", "/v1/properties", Serai_Min_Version=asked)
            names = [each["data"]["name"].split(".") for each in listed.json["rows"]]
            assert max(int(at) for who, at in names if int(who) == n) >= least
            reading.release()

    async with cluster.owners(inn) as owners:
        await asyncio.gather(weather(), *(person(owners, n) for n in range(4)))
    await cluster.until_used("copy-1", "copy-2")


async def test_one_that_is_killed_is_not_missed_and_one_that_is_added_gets_reads():
    async with a_cluster(copies=1) as cluster:
        await cluster.until_used("copy-1")
        (killed,) = cluster.copies
        psutil.Process(killed.server.pid).kill()
        await sees_own_writes(cluster)
        await cluster.until_used()
        await killed.server.stop()
        await killed.server.start()
        (worker, other) = cluster.workers
        (shard,) = worker.runtime.directory.shards
        owner = cluster.settings.directory_url
        await _tell(owner, shard.id, killed.name, killed.server.url("shard"))
        for each in (worker, other):
            await each.runtime.directory.refresh()
        await cluster.until_used("copy-1")
        cluster.answered()
        await sees_own_writes(cluster)
        assert cluster.answered()["replica"] > 0


async def _tell(directory_url: str, shard_id: int, name: str, url: str) -> None:
    async with await Directory.open(directory_url) as directory:
        await add_replica(directory, shard_id, name, url, actor="test", reason="a new port")
