"""A restore of an organisation that gave or got a property: never in two, never in none.

Owns what is refused and what is not. Never transfers anything but by the operator's way.
"""

from __future__ import annotations

import secrets

import pytest

from integration.moves.street import Fleet
from integration.restore.past import restored, state, version, whole
from integration.transfers.conftest import make_estate
from integration.transfers.test_transfer_is_killed import kill
from serai.app.shard_facts import ShardError
from serai.core.errors import Code, SeraiError


async def test_a_property_that_was_sold_is_not_brought_back_in_place(fleet: Fleet) -> None:
    estate = await make_estate(fleet, "b")
    before = estate.rows(estate.giver)
    sold_at = {house.org_id: version(house) for house in (estate.giver, estate.taker)}
    await estate.transfer()
    for house in (estate.giver, estate.taker):
        content = house.content(house.home)
        for dry_run in (True, False):
            with pytest.raises(SeraiError, match=f"up to version {version(house)}") as refused:
                await restored(house, sold_at[house.org_id], dry_run=dry_run)
            assert refused.value.code is Code.CONFLICT
        assert house.content(house.home) == content
    await estate.check(estate.taker, before)

    # What came later is undone as ever; a copy of what was has the hotel.
    at = version(estate.taker)
    await estate.taker.rest()
    assert (await restored(estate.taker, at)).told.rows == {"vendors": {"delete": 1}}
    await estate.check(estate.taker, before)
    giver = estate.giver
    copy = await restored(
        giver, sold_at[giver.org_id], into=f"k{secrets.token_hex(4)}", grants=True
    )
    assert copy.into is not None
    rows = state(fleet, copy.shard, copy.into).rows
    assert set(before) <= set(rows)
    await whole(giver, copy.into, copy.shard)


@pytest.mark.parametrize("step", ["look", "decide", "release"])
async def test_nothing_is_restored_while_a_property_is_handed_over(fleet: Fleet, step: str) -> None:
    estate = await make_estate(fleet, "b")
    versions = {}
    for house in (estate.giver, estate.taker):
        versions[house.org_id] = version(house)
        await house.rest()
    await kill(estate, step)
    for house in (estate.giver, estate.taker):
        content = house.content(house.home)
        with pytest.raises((ShardError, SeraiError), match="transfer"):
            await restored(house, versions[house.org_id])
        assert house.content(house.home) == content
    await estate.resume()
