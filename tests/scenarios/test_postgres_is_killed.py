"""PostgreSQL dies or is restarted while desks and phones write.

Owns I3 and I4 over the database's own recovery. Promises that the server is not started again: it
finds its database by itself. Never decides what is right but by the ledger of the load.
"""

from __future__ import annotations

from scenarios.house import House
from scenarios.load import under_load

BETWEEN = 60


async def test_a_database_that_is_killed_whole_has_every_acknowledged_write_once(house: House):
    async with under_load(house) as load:
        for _ in range(2):
            await load.reached(BETWEEN)
            await house.kill_database()
            await house.postgres.start()
        await load.reached(BETWEEN)
    assert load.lost or load.refused, "nobody noticed"


async def test_one_connection_that_dies_ends_all_and_loses_nothing(house: House):
    async with under_load(house) as load:
        for _ in range(3):
            await load.reached(BETWEEN)
            assert house.kill_one_connection() >= 1
            await house.sql_when_up("select 1")
        await load.reached(BETWEEN)
    assert load.lost or load.refused, "nobody noticed"


async def test_a_database_that_is_restarted_under_load_costs_a_wait_and_nothing_else(house: House):
    async with under_load(house) as load:
        for _ in range(2):
            await load.reached(BETWEEN)
            await house.postgres.stop()
            await house.postgres.start()
        await load.reached(BETWEEN)
