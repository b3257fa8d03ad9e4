"""A primary whose end of the log is lost may have lost what it knew of moves.

Owns what a promotion then makes of it. Promises that each test takes the state back by hand, as a
lost tail does, and asks afterwards who takes writes. Never promotes a server.
"""

from __future__ import annotations

import pytest

from integration.moves.street import Fleet, House
from integration.moves.test_every_table_moves import other
from serai.app.promotion_moves import settle_moves
from serai.app.shard_facts import OPTIONS
from serai.core.errors import SeraiError
from serai.readers.move import LostTurn, Mover, Places, Records
from serai.readers.move.link import connect
from serai.schema.database import connected
from serai.shard.connection import connect_primary


class Died(BaseException):
    """The mover is gone."""


async def settled(fleet: Fleet, name: str) -> None:
    """Do what a promotion of the shard does at its end."""
    directory = fleet.owner.directory
    (ref,) = [each for each in directory.shards if each.name == name]
    async with connected(fleet.url(name), OPTIONS) as conn:
        await settle_moves(conn, directory, ref)


def state(fleet: Fleet, shard: str, org_id: int) -> str:
    ((found,),) = fleet.sql(shard, "SELECT state FROM serai.org WHERE org_id = %s", org_id)
    return str(found)


def taken_back(fleet: Fleet, shard: str, org_id: int) -> None:
    fleet.sql(shard, "UPDATE serai.org SET state = 'active' WHERE org_id = %s", org_id)


def claimed(fleet: Fleet, house: House, to: str):
    shard_ids = dict(fleet.sql("directory", "SELECT name, shard_id FROM serai_directory.shard"))
    with connect(fleet.directory) as conn:
        (claim,) = Records(conn).claim([house.org_id], shard_ids[to], actor="t", reason="-")
    return claim


async def test_a_home_that_was_left_does_not_take_writes_again(fleet: Fleet, house: House):
    home, there = house.home, other(house.home)
    with Mover(Places(fleet.directory, fleet.url(home), fleet.url(there))) as mover:
        mover.move(claimed(fleet, house, there))
    taken_back(fleet, home, house.org_id)
    await settled(fleet, home)
    assert state(fleet, home, house.org_id) == "moved"
    assert state(fleet, there, house.org_id) == "active"


async def test_a_mover_does_not_flip_when_the_freeze_it_stands_on_is_lost(
    fleet: Fleet, house: House
):
    home, there = house.home, other(house.home)
    claim = claimed(fleet, house, there)

    def step(name: str) -> None:
        if name == "flip":
            raise Died

    places = Places(fleet.directory, fleet.url(home), fleet.url(there))
    with Mover(places, step=step) as mover, pytest.raises(Died):
        mover.move(claim)
    taken_back(fleet, home, house.org_id)
    await settled(fleet, home)
    assert state(fleet, home, house.org_id) == "active"
    with connect(fleet.directory) as conn:
        with pytest.raises(LostTurn):
            Records(conn).flip(claim)
        (again,) = Records(conn).take_over([house.org_id])
    with Mover(Places(fleet.directory, fleet.url(home), fleet.url(there))) as mover:
        assert not mover.end(again)
    assert state(fleet, home, house.org_id) == "active"
    assert state(fleet, there, house.org_id) == "moved"


async def test_what_froze_for_no_move_takes_writes_again(fleet: Fleet, house: House):
    fleet.sql(house.home, "UPDATE serai.org SET state = 'frozen' WHERE org_id = %s", house.org_id)
    await settled(fleet, house.home)
    assert state(fleet, house.home, house.org_id) == "active"


async def test_a_primary_that_was_fenced_off_is_asked_for_nothing(fleet: Fleet):
    connection = await connect_primary(fleet.url("a"))
    connection.terminate()
    name = fleet.url("a").rpartition("/")[2].partition("?")[0]
    fleet.sql("a", f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    try:
        with pytest.raises(SeraiError, match="not reachable"):
            await connect_primary(fleet.url("a"))
    finally:
        with connect(fleet.url("a")) as conn:
            conn.execute("SET default_transaction_read_only = off")
            conn.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'.encode())
