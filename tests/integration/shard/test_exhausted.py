"""A server that has run out of something says so, and callers are told to come back.

Owns what each error of class 53 (insufficient resources) means to a caller. The disk itself is
filled in `tests/scenarios/test_disk_is_full.py`.
"""

from __future__ import annotations

import psycopg
import pytest

from serai.core.errors import Code, Retry, SeraiError
from serai.shard.pools import PinnedPool
from serai.shard.room import SPILL

RAISE = "do $$ begin raise exception using errcode = '{}', message = 'of the test'; end $$"


@pytest.mark.parametrize(
    ("sqlstate", "code", "seconds"),
    [
        ("53100", Code.DISK_FULL, 5),
        ("53200", Code.OVERLOADED, 1),
        ("53300", Code.OVERLOADED, 1),
        ("53400", Code.OVERLOADED, 1),
        ("53000", Code.OVERLOADED, 1),
    ],
)
async def test_what_a_server_has_run_out_of_is_a_reason_to_come_back(
    fresh_database, sqlstate: str, code: Code, seconds: int
):
    async with PinnedPool(fresh_database, size_min=1, size_max=1) as pool:
        with pytest.raises(SeraiError) as caught:
            async with pool.connection() as connection:
                await connection.execute(RAISE.format(sqlstate))
        assert (caught.value.code, caught.value.retry_after_seconds) == (code, seconds)
        assert (code.kind.status, code.kind.retry) == (503, Retry.LATER)
        async with pool.connection() as connection:
            assert await connection.fetchval("select 1") == 1, "the connection is good still"
        assert pool.stats.opened == 1


def test_the_look_at_a_disk_writes_to_it_and_leaves_nothing(fresh_database):
    little, spill = (each.encode() for each in SPILL)
    with psycopg.connect(fresh_database) as connection:
        connection.execute(little)
        plan = connection.execute(b"explain (analyze, buffers) " + spill).fetchall()
        assert any("external merge  Disk" in line for (line,) in plan), plan
        connection.rollback()
        memory = connection.execute("show work_mem").fetchone()
        assert memory != ("64kB",), "for its own transaction only"
