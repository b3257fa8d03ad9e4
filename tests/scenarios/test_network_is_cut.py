"""A line of the network is cut: packets vanish, connections stay open, nobody is told.

Owns what each cut may cost, and that all comes back by itself when it is mended: no acknowledged
write is lost or doubled, every phone ends with what the server holds. Each process is at a place of
its own (`scenarios.network`). Never decides what is right but by the ledgers of the load and the
phones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from scenarios.load import under_load
from scenarios.town import Town, a_town, phones

pytestmark = pytest.mark.asyncio(loop_scope="module")
BETWEEN = 60


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with a_town(tmp_path_factory.mktemp("town")) as built:
        yield built


async def test_a_cut_between_the_api_and_one_shard_is_a_wait_there_and_nothing_elsewhere(
    town: Town, tmp_path: Path
):
    well, ill = town.houses
    async with phones(tmp_path, well, ill), under_load(well, desks=3, phones=1) as there:
        async with under_load(ill, desks=3, phones=1) as here:
            await here.reached(BETWEEN)
            town.network.cut("api", "shard-2")
            await town.server.said("shard shard-2 does not answer")
            await here.told("unavailable", 30)
            await there.reached(BETWEEN)
            town.network.mend("api", "shard-2")
            await here.reached(BETWEEN)
        # Those in flight as well: at its deadline a request gets 504, and none waited that long.
        assert set(here.refused) == {503}
        assert (set(here.codes), here.lost) == ({"unavailable"}, [])
        await town.server.said("shard shard-2 answers again")
    assert (there.refused, there.lost) == ({}, []), "the other shard's organisations noticed"
