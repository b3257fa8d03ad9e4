"""The pool on a real server: bounds, waiting, broken connections, cancellation at any point."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter

import psycopg
import pytest

from serai.core.errors import Code, SeraiError
from serai.shard.connection import Connection, connect
from serai.shard.pools import PinnedPool

NOBODY = "postgresql://nobody@127.0.0.1:1/none"


async def quiet(pool: PinnedPool) -> None:
    """Wait until the pool mends and opens nothing."""
    async with asyncio.timeout(20):
        while busy := [t for t in pool._tasks if "tend" not in repr(t.get_coro())]:
            await asyncio.wait(busy)
            await asyncio.sleep(0)


def whole(pool: PinnedPool) -> bool:
    """Tell whether every connection is free and nobody waits."""
    return pool.size == pool.free and not pool._waiters


async def hold(pool: PinnedPool, count: int) -> list[Connection]:
    """Take connections for good."""
    return [await pool.connection().__aenter__() for _ in range(count)]


async def test_connections_have_the_settings_that_requests_count_on(fresh_database):
    async with PinnedPool(fresh_database, size_min=1) as pool, pool.connection() as c:
        names = ("plan_cache_mode", "timezone", "jit", "statement_timeout", "application_name")
        found = [await c.fetchval(f"SHOW {name}") for name in names]
        idle = await c.fetchval("SHOW idle_in_transaction_session_timeout")
    assert found == ["force_generic_plan", "UTC", "off", "30s", "serai"]
    assert idle == "30s"


async def test_the_same_warm_connection_serves_one_caller_after_the_other(fresh_database):
    async with PinnedPool(fresh_database, size_min=5) as pool:
        pids = set()
        for _ in range(20):
            async with pool.connection() as c:
                pids.add(await c.fetchval("SELECT pg_backend_pid()"))
        assert (len(pids), pool.size) == (1, 5)


async def test_the_pool_grows_to_its_bound_and_then_refuses_within_a_quarter_second(
    fresh_database,
):
    async with PinnedPool(fresh_database, size_min=1, size_max=3) as pool:
        await hold(pool, 3)
        started = time.monotonic()
        with pytest.raises(SeraiError) as caught:
            async with pool.connection():
                pass
        waited = time.monotonic() - started
        assert (caught.value.code, caught.value.retry_after_seconds) == (Code.OVERLOADED, 1)
        assert 0.24 <= waited < 1.0
        assert pool.size == 3


async def test_those_who_wait_are_served_in_their_order(fresh_database):
    async with PinnedPool(fresh_database, size_min=1, size_max=1, wait_seconds=10) as pool:
        served: list[int] = []

        async def use(n: int) -> None:
            async with pool.connection() as c:
                served.append(n)
                await c.execute("SELECT 1")

        await asyncio.gather(*(use(n) for n in range(30)))
        assert served == list(range(30))


async def test_idle_connections_above_the_minimum_are_closed(fresh_database):
    async with PinnedPool(fresh_database, size_min=2, size_max=6, idle_seconds=0.0) as pool:
        leases = [pool.connection() for _ in range(6)]
        for lease in leases:
            await lease.__aenter__()
        for lease in leases:
            await lease.__aexit__(None, None, None)
        await quiet(pool)
        await pool.tend()
        assert (pool.size, pool.stats.shrunk) == (2, 4)


async def test_a_forgotten_transaction_is_never_handed_on(fresh_database):
    async with PinnedPool(fresh_database, size_min=1, size_max=1) as pool:
        async with pool.connection() as c:
            await c.execute("BEGIN; CREATE TABLE left_behind ()")
        async with pool.connection() as c:
            assert not c.is_in_transaction()
            assert await c.fetchval("SELECT to_regclass('left_behind')") is None
        assert pool.stats.mended == 1


async def test_a_begin_that_was_cancelled_is_not_believed_by_the_next_caller(fresh_database):
    async with PinnedPool(fresh_database, size_min=1, size_max=1) as pool:
        for delay in (0, 0.0001, 0.0002, 0.0005) * 10:
            async with pool.connection() as c:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay), c.transaction():
                        await c.execute("SELECT 1")
            await quiet(pool)
            async with pool.connection() as c, c.transaction():
                assert await c.fetchval("SELECT 1") == 1
        assert pool.stats.discarded == 0


async def test_a_connection_that_the_server_ended_is_unavailable_once_and_then_replaced(
    fresh_database,
):
    async with PinnedPool(fresh_database, size_min=2, size_max=2) as pool:
        with pytest.raises(SeraiError) as caught:
            async with pool.connection() as c:
                await c.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert caught.value.code is Code.UNAVAILABLE
        await pool.tend()
        await quiet(pool)
        assert pool.size == 2
        for _ in range(3):
            async with pool.connection() as c:
                assert await c.fetchval("SELECT 1") == 1


async def test_connections_that_broke_while_idle_are_noticed_and_replaced(
    fresh_database, outage, eventually
):
    async with PinnedPool(fresh_database, size_min=4, size_max=4) as pool:
        with outage(fresh_database):
            await eventually(lambda: all(c.is_closed() for c, _ in pool._free))
        await pool.tend()
        await quiet(pool)
        assert whole(pool)
        assert (pool.size, pool.stats.discarded) == (4, 4)


async def test_while_the_database_is_away_callers_learn_it_at_once(fresh_database, outage):
    async with PinnedPool(fresh_database, size_min=1, size_max=2, wait_seconds=5) as pool:
        with outage(fresh_database):
            started = time.monotonic()
            codes: Counter[Code] = Counter()
            for _ in range(20):
                try:
                    async with pool.connection() as c:
                        await c.execute("SELECT 1")
                except SeraiError as error:
                    codes[error.code] += 1
            assert codes == {Code.UNAVAILABLE: 20}
            assert time.monotonic() - started < 2.0
            assert pool.stats.connect_failures < 20, "it holds back instead of hammering"


async def test_a_wrong_address_is_found_out_at_the_start():
    with pytest.raises(SeraiError) as caught:
        await PinnedPool(NOBODY).open()
    assert caught.value.code is Code.UNAVAILABLE
    assert "127.0.0.1" not in str(caught.value)


async def test_a_statement_that_runs_too_long_is_a_deadline_and_the_pool_stays_whole(
    fresh_database,
):
    async with PinnedPool(fresh_database, size_min=1, size_max=1) as pool:

        async def too_long() -> None:
            async with pool.connection() as c, c.transaction():
                await c.execute("SET LOCAL statement_timeout = '10ms'")
                await c.execute("SELECT pg_sleep(10)")

        with pytest.raises(SeraiError) as caught:
            await too_long()
        assert caught.value.code is Code.DEADLINE
        await quiet(pool)
        assert whole(pool)
        assert pool.size == 1


async def test_the_errors_of_a_statement_reach_the_caller_unchanged(fresh_database):
    async with PinnedPool(fresh_database, size_min=1) as pool:
        with pytest.raises(Exception, match="division by zero"):
            async with pool.connection() as c:
                await c.fetchval("SELECT 1 / 0")
        await quiet(pool)
        assert whole(pool)


async def test_a_closed_pool_refuses_and_frees_those_who_wait(fresh_database, eventually):
    pool = PinnedPool(fresh_database, size_min=1, size_max=1, wait_seconds=10)
    await pool.open()
    await hold(pool, 1)
    waiting = asyncio.create_task(pool.connection().__aenter__())
    await asyncio.sleep(0)
    await pool.close()
    await pool.close()
    for attempt in (waiting, pool.connection().__aenter__()):
        with pytest.raises(SeraiError) as caught:
            await attempt
        assert caught.value.code is Code.UNAVAILABLE
    with psycopg.connect(fresh_database) as conn:
        await eventually(lambda: _backends(conn) == 0)


def _backends(conn: psycopg.Connection) -> int:
    row = conn.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ).fetchone()
    conn.rollback()
    assert row is not None
    return row[0]


class Storm:
    """Users that are cancelled at any await, run into timeouts, or lose their backend."""

    def __init__(self, pool: PinnedPool, seed: int) -> None:
        self.pool, self.random = pool, random.Random(seed)
        self.codes: Counter[str] = Counter()

    async def use(self, n: int) -> None:
        kind = self.random.randrange(6)
        async with self.pool.connection() as c:
            # An answer to somebody else's question would show here.
            assert await c.fetchval("SELECT $1::int", n) == n
            if kind == 0:
                await c.execute("SELECT pg_sleep(0.003)")
            elif kind == 1:
                async with c.transaction():
                    await c.execute("SELECT pg_sleep(0.001)")
                    await c.fetch("SELECT * FROM generate_series(1, 2000)")
            elif kind == 2:
                await c.execute("BEGIN")
                await c.execute("SELECT 1")
            elif kind == 3 and n % 5 == 0:
                await c.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            elif kind == 4:
                async with asyncio.timeout(0.002):
                    await c.execute("SELECT pg_sleep(1)")

    async def one(self, n: int) -> None:
        task = asyncio.create_task(self.use(n))
        if self.random.random() < 0.5:
            delay = self.random.choice((0, 0, 0.0005, 0.001, 0.002, 0.005))
            asyncio.get_running_loop().call_later(delay, task.cancel)
        try:
            await task
            self.codes["done"] += 1
        except asyncio.CancelledError:
            self.codes["cancelled"] += 1
        except TimeoutError:
            self.codes["timeout"] += 1
        except SeraiError as error:
            self.codes[error.code.text] += 1


@pytest.mark.parametrize("seed", range(4))
async def test_cancellations_at_any_await_leave_the_pool_whole(fresh_database, seed, eventually):
    async with PinnedPool(fresh_database, size_min=2, size_max=8, wait_seconds=0.05) as pool:
        storm = Storm(pool, seed)
        for start in range(0, 600, 30):
            await asyncio.gather(*(storm.one(n) for n in range(start, start + 30)))
        await quiet(pool)
        assert storm.codes["done"] > 50
        assert storm.codes["cancelled"] > 50
        # A cancel request that hit a stranger's query would be a deadline.
        assert set(storm.codes) <= {"done", "cancelled", "timeout", "overloaded", "unavailable"}
        assert whole(pool)
        assert pool.size <= 8
        free = pool.free
        for c in await hold(pool, free):
            assert not c.is_in_transaction()
            assert await c.fetchval("SELECT 7") == 7
        with psycopg.connect(fresh_database) as conn:
            await eventually(lambda: _backends(conn) == free)


async def test_a_connection_given_to_a_caller_cancelled_in_that_moment_is_not_lost(fresh_database):
    async with PinnedPool(fresh_database, size_min=1, size_max=1, wait_seconds=5) as pool:
        lease = pool.connection()
        await lease.__aenter__()
        waiting = asyncio.create_task(pool.connection().__aenter__())
        await asyncio.sleep(0)
        await lease.__aexit__(None, None, None)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert whole(pool)


async def test_a_pool_never_opens_more_than_its_bound_in_a_burst(fresh_database):
    opened = 0

    async def slow() -> Connection:
        nonlocal opened
        opened += 1
        return await connect(fresh_database)

    pool = PinnedPool(NOBODY, size_min=1, size_max=4, wait_seconds=10, opener=slow)
    async with pool:

        async def use() -> None:
            async with pool.connection() as c:
                await c.execute("SELECT 1")

        await asyncio.gather(*(use() for _ in range(200)))
        assert opened <= 4


@pytest.mark.parametrize(("size_min", "size_max"), [(-1, 5), (6, 5), (0, 0), (5, 51)])
def test_a_pool_outside_the_house_bounds_is_refused(size_min, size_max):
    with pytest.raises(ValueError, match="from 1 to 50"):
        PinnedPool(NOBODY, size_min=size_min, size_max=size_max)


async def test_who_waits_for_a_database_that_is_given_up_is_told_then_and_not_later(
    migrated_database, eventually
):
    async with PinnedPool(migrated_database, size_min=1, size_max=1) as pool:

        async def slow() -> None:
            async with pool.connection() as c:
                await c.execute("SELECT pg_sleep(3600)")

        async def waiting() -> None:
            async with pool.connection():
                raise AssertionError("there is one connection, and it is in use")

        tasks = [asyncio.create_task(slow()), asyncio.create_task(waiting())]
        await eventually(lambda: pool.stats.waited == 1)
        pool.suspend()
        for task in tasks:
            with pytest.raises(SeraiError) as caught:
                await task
            assert caught.value.code is Code.UNAVAILABLE
        with pytest.raises(SeraiError) as caught:
            await pool.connection().__aenter__()
        assert caught.value.code is Code.UNAVAILABLE
        assert (pool.size, pool.free) == (0, 0)
        pool.resume()
        async with pool.connection() as c:
            assert await c.fetchval("SELECT 1") == 1


async def test_a_pool_for_a_database_that_is_down_starts_and_works_when_it_is_up(
    migrated_database, outage
):
    pool = PinnedPool(migrated_database, size_min=2)
    with outage(migrated_database):
        pool.start()
        with pytest.raises(SeraiError) as caught:
            async with pool.connection():
                pass
        assert caught.value.code is Code.UNAVAILABLE
    async with asyncio.timeout(30):
        while True:
            try:
                async with pool.connection() as c:
                    assert await c.fetchval("SELECT 1") == 1
                break
            except SeraiError:
                await asyncio.sleep(0)
    await pool.close()
