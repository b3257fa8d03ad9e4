"""The server dies, or is told to stop, while desks and phones write.

Owns I3 and I4 on real processes: whatever was acknowledged is there once, whatever was sent again
was done once. Never decides what is right but by the ledger of the load.
"""

from __future__ import annotations

from scenarios.house import House
from scenarios.load import under_load

BETWEEN = 60
"""Acknowledged writes between two blows."""


async def test_a_server_that_is_killed_again_and_again_loses_and_doubles_no_write(house: House):
    async with under_load(house) as load:
        for _ in range(4):
            await load.reached(BETWEEN)
            await house.server.kill()
            await house.server.start()
        await load.reached(BETWEEN)
    assert load.lost, "no request was under way when the server died"


async def test_a_server_that_is_told_to_stop_finishes_what_is_under_way(house: House):
    async with under_load(house) as load:
        for _ in range(2):
            await load.reached(BETWEEN)
            assert await house.server.stop() == 0
            await house.server.start()
        await load.reached(BETWEEN)
    # A line that was closed while a request set out is no matter: the server never had that one.
    assert load.replayed == 0, f"a request under way got no answer: {load.lost}"
    assert not [line for line in house.server.words if "Traceback" in line]
