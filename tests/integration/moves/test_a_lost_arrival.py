"""A new home loses an organisation that had just moved in, while its old home keeps a copy.

Owns what is decided then, what brings it back, and how long the copy is kept, on two shards.
Promises that each test loses the arrival by SQL, as a promotion of a replica without the tail does.
Never promotes a server: `scenarios/test_a_new_home_loses_its_tail.py` does.
"""

from __future__ import annotations

from uuid import uuid4

import pytest

from integration.moves.street import AT_ONCE, Fleet, House
from integration.moves.test_a_lost_tail import Died, claimed, state
from integration.moves.test_every_table_moves import other
from serai.app.moving import Order, end_moves_of, resume_moves
from serai.app.promotion_moves import Placed, Row, Settled, Verdict, judged, settle_moves
from serai.app.shard_facts import OPTIONS
from serai.log.intent import WriteAnswer
from serai.readers.move import Mover, Places, Records
from serai.readers.move.contents import differences
from serai.readers.move.link import connect
from serai.schema.database import connected
from serai.shard.enrol import add_replica, remove_replica, take_over

NOBODY = "postgresql://serai@127.0.0.1:1/nothing"


def forgotten(fleet: Fleet, shard: str, org_id: int) -> None:
    """Let a shard know nothing of an organisation: its arrival was in the tail."""
    fleet.sql(shard, "UPDATE serai.org SET state = 'moved' WHERE org_id = %s", org_id)
    tables = [name for (name,) in fleet.sql(shard, "SELECT name FROM serai.move_tables()")]
    for table in [*reversed(tables), "serai.org"]:
        statement = f"DELETE FROM {table} WHERE org_id = %s"  # noqa: S608 - names of the catalogue
        fleet.sql(shard, statement, org_id)


async def decided(fleet: Fleet, name: str, org_id: int) -> Settled:
    """Decide as a promotion of the shard does, and name its server; return what concerns the one
    organisation.
    """
    directory = fleet.owner.directory
    await directory.refresh()
    (ref,) = [each for each in directory.shards if each.name == name]
    async with connected(fleet.url(name), OPTIONS) as conn:
        found = await settle_moves(conn, directory, ref)
    lost = [each for each in found.lost if each.org_id == org_id]
    missing = [each for each in found.missing if each.org_id == org_id]
    orgs = [each.org_id for each in lost]
    await take_over(directory, ref.id, ref.url, orgs, actor="ann", reason="a fire")
    return Settled(lost, missing)


def kept(fleet: Fleet, house: House) -> tuple[str, str]:
    """Move it away without a sweep; return its old home and its new one."""
    home, there = house.home, other(house.home)
    with Mover(Places(fleet.directory, fleet.url(home), fleet.url(there))) as mover:
        mover.move(claimed(fleet, house, there))
    return home, there


async def wrote(fleet: Fleet, house: House) -> WriteAnswer:
    await fleet.runtime.directory.refresh()
    vendor = house.vendor()
    return await house.write("insert", "vendors", uuid4(), vendor)


async def test_the_old_home_takes_writes_again_in_a_new_epoch_and_nobody_else_does(
    fleet: Fleet, house: House
):
    home, there = kept(fleet, house)
    before = house.content(home)
    forgotten(fleet, there, house.org_id)
    settled = await decided(fleet, there, house.org_id)
    assert [each.org_id for each in settled.lost] == [house.org_id]
    assert (state(fleet, home, house.org_id), state(fleet, there, house.org_id)) == ("moved",) * 2
    assert await end_moves_of(fleet.owner.settings, [house.org_id], Order("-")) == {}
    after = house.content(home)
    assert (after.state, house.content(there).state) == ("active", "moved")
    assert before.head is not None
    assert after.head is not None
    assert after.head["epoch"] > before.head["epoch"]
    assert after.head | {"epoch": 1} == before.head
    assert [line for line in differences(before, after) if "serai.org:" not in line] == []
    assert (await wrote(fleet, house)).version == after.head["version"] + 1
    ((actor, reason, shard),) = fleet.sql(
        "directory",
        "SELECT m.actor, m.reason, s.name FROM serai_directory.move m"
        " JOIN serai_directory.shard s ON s.shard_id = m.to_shard"
        " WHERE m.org_id = %s AND m.returns",
        house.org_id,
    )
    assert (actor, reason, shard) == ("ann", "a fire", home)
    # It goes on as any other: once more there, and the copy that was lost is in nobody's way.
    assert (await fleet.move(house.org_id, to=there)).failed == {}
    assert house.states() == {home: "moved", there: "active"}


@pytest.mark.parametrize("last", ["claim ends", "reopen", "open", "close", "end"])
async def test_who_brings_it_back_may_be_killed_before_any_step(
    fleet: Fleet, house: House, last: str
):
    home, there = kept(fleet, house)
    rows = house.content(home).rows
    forgotten(fleet, there, house.org_id)
    await decided(fleet, there, house.org_id)

    def step(name: str) -> None:
        if name == last:
            raise Died

    with connect(fleet.directory) as conn:
        (claim,) = Records(conn).take_over([house.org_id])
    places = Places(fleet.directory, fleet.url(there), fleet.url(home))
    with Mover(places, step=step) as mover, pytest.raises(Died):
        mover.end(claim)
    fleet.give_up()
    report = await resume_moves(fleet.owner.settings, Order("a test", AT_ONCE))
    assert house.org_id not in report.stuck
    assert house.states() == {home: "active", there: "moved"}
    assert house.content(home).rows == rows
    await wrote(fleet, house)


async def test_one_that_arrived_is_left_where_it_is_though_the_old_copy_is_there(
    fleet: Fleet, house: House
):
    home, there = kept(fleet, house)
    await wrote(fleet, house)
    fleet.sql(there, "UPDATE serai.org SET state = 'frozen' WHERE org_id = %s", house.org_id)
    settled = await decided(fleet, there, house.org_id)
    assert (settled.lost, settled.missing) == ([], [])
    assert house.states() == {home: "moved", there: "active"}


async def test_one_of_which_no_copy_is_left_is_told_by_name(fleet: Fleet, house: House):
    await fleet.move(house.org_id, to=other(house.home))
    await fleet.runtime.directory.refresh()
    forgotten(fleet, house.home, house.org_id)
    settled = await decided(fleet, house.home, house.org_id)
    ((key,),) = fleet.sql(
        "directory", "SELECT key FROM serai_directory.organisation WHERE org_id = %s", house.org_id
    )
    assert [each.key for each in settled.missing] == [key]
    assert settled.lost == []


async def test_a_copy_that_is_not_whole_is_not_opened(fleet: Fleet, house: House):
    home, there = kept(fleet, house)
    forgotten(fleet, there, house.org_id)
    fleet.sql(home, "UPDATE serai.org SET partial = true WHERE org_id = %s", house.org_id)
    await decided(fleet, there, house.org_id)
    waits = await end_moves_of(fleet.owner.settings, [house.org_id], Order("-"))
    assert "has no whole copy" in waits[house.org_id]
    assert state(fleet, home, house.org_id) == "moved"
    fleet.sql(home, "UPDATE serai.org SET partial = NULL WHERE org_id = %s", house.org_id)
    fleet.give_up()
    assert await end_moves_of(fleet.owner.settings, [house.org_id], Order("-")) == {}
    assert state(fleet, home, house.org_id) == "active"


@pytest.mark.parametrize("server", ["lacks it", "is away"])
async def test_the_old_copy_stays_until_every_replica_of_the_new_home_has_it(
    fleet: Fleet, house: House, server: str
):
    """The old home stands for a replica that has not heard of the arrival."""
    home, there = house.home, other(house.home)
    directory = fleet.owner.directory
    (ref,) = [each for each in directory.shards if each.name == there]
    url = fleet.url(home) if server == "lacks it" else NOBODY
    await add_replica(directory, ref.id, "late", url, actor="t", reason="t")
    try:
        report = await fleet.move(house.org_id, to=there)
        assert report.moved == 1
        assert house.content(home).rows == house.content(there).rows
    finally:
        await remove_replica(directory, ref.id, "late", actor="t", reason="t")
    assert (await resume_moves(fleet.owner.settings, Order("-", AT_ONCE))).swept >= 1
    assert house.content(home).rows == 0


def test_the_verdict_goes_by_terms_and_an_arrival_wins_over_what_was_kept():
    def said(row: Row | None, *, since: int = 7, kept: bool = True, returns: bool = False) -> str:
        return judged(Placed(1, "k", since, kept, returns, 2), row)

    for open_state in ("active", "frozen"):
        assert said(Row(open_state, 7, partial=False)) is Verdict.HERE
        assert said(Row(open_state, 9, partial=False)) is Verdict.HERE
        assert said(Row(open_state, 6, partial=False)) is Verdict.LOST
        assert said(Row(open_state, 6, partial=False), kept=False) is Verdict.HERE
    assert said(None) is Verdict.LOST
    assert said(Row("moved", 7, partial=True)) is Verdict.LOST
    assert said(None, kept=False) is Verdict.MISSING
    assert said(Row("moved", 6, partial=False), kept=False) is Verdict.MISSING
    assert said(Row("moved", 6, partial=False), returns=True) is Verdict.LOST
    assert said(Row("moved", 6, partial=True), returns=True) is Verdict.MISSING
    assert said(None, returns=True) is Verdict.MISSING
    assert said(Row("active", 0, partial=False), since=0, kept=False) is Verdict.HERE
