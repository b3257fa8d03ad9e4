"""Everything is restarted in turn, as a new release is rolled out, while clients write.

Owns I1, I3 and I4 over orderly stops: SIGTERM to each `serai serve`, a fast shutdown of each
PostgreSQL. Promises that a server which stops finishes what it has, and that nobody notices but
those whose shard is away. Never decides what is right but by the ledgers of the load and the
devices.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scenarios.load import under_load
from scenarios.town import SHARDS, Town, phones

pytestmark = pytest.mark.asyncio(loop_scope="session")
BETWEEN = 40


async def test_a_rolling_restart_of_everything_loses_nothing_and_doubles_nothing(
    town: Town, tmp_path: Path
):
    second = town.another_server()
    await town.start(second)
    first_house, second_house = town.houses[0], replace(town.houses[1], server=second)
    servers = town.servers
    try:
        async with (
            phones(tmp_path, first_house, second_house),
            under_load(first_house, desks=3, phones=1) as one,
            under_load(second_house, desks=3, phones=1) as other,
        ):
            await one.reached(BETWEEN)
            for server, elsewhere in ((town.server, other), (second, one)):
                assert await server.stop() == 0
                await elsewhere.reached(BETWEEN)
                await town.start(server)
            assert one.replayed == other.replayed == 0, "a request under way got no answer"
            for machine in (town.replica, servers["directory"]):
                await machine.stop()
                await one.reached(BETWEEN)
                await other.reached(BETWEEN)
                await machine.start()
            assert one.refused == other.refused == {}, "what nobody needs for a write was missed"
            by_shard = dict(zip(SHARDS, (one, other), strict=True))
            for name, elsewhere in zip(SHARDS, (other, one), strict=True):
                refused = dict(elsewhere.refused)
                await servers[name].stop()
                await elsewhere.reached(BETWEEN)
                await servers[name].start()
                await by_shard[name].reached(BETWEEN)
                assert elsewhere.refused == refused, "the other shard's organisations noticed"
            await one.reached(BETWEEN)
            await other.reached(BETWEEN)
    finally:
        assert await second.stop() == 0
    for server in (town.server, second):
        assert not [line for line in server.words if "Traceback" in line]
