"""The mover is killed before each of its steps: a successor finishes or undoes, with one home.

Owns the crash points of a move and of its undoing. The mover is a process of its own and gets
SIGKILL; the organisation is written to before, meanwhile and after. What a state allows is in the
table of states, which is written by hand. Never waits for a lease: it is made to run out.
"""

from __future__ import annotations

import asyncio

import pytest

from integration.moves.dead import kill_mover, other
from integration.moves.street import AT_ONCE, Fleet, House
from serai.app.moving import Order, resume_moves
from serai.core.errors import Code, SeraiError
from serai.readers.move import STATES, LostTurn, Mover, Places, Records, Step, Writes
from serai.readers.move.link import connect

BEFORE_THE_FLIP = (
    "claim source",
    "claim target",
    "months",
    "copy",
    "copy serai.row",
    "copy serai.audit",
    "copy hospitality.revenues",
    "follow",
    "freeze",
    "last changes",
    "flip",
)
AFTER_THE_FLIP = ("open", "close", "end")
WHILE_UNDOING = ("thaw", "clear", "undone")


def found(fleet: Fleet, house: House, home: str) -> Writes:
    """Return who takes writes, by the table of states and by what is in the databases."""
    ((step,),) = fleet.sql(
        "directory",
        "SELECT step FROM serai_directory.move WHERE org_id = %s ORDER BY move_id DESC LIMIT 1",
        house.org_id,
    )
    states = house.states()
    return STATES[Step(step), states[home], states[other(home)]]


async def resumed(fleet: Fleet) -> None:
    fleet.give_up()
    report = await resume_moves(fleet.owner.settings, Order("resumed", AT_ONCE))
    assert report.failed == {}


@pytest.mark.parametrize("step", BEFORE_THE_FLIP)
async def test_a_mover_killed_before_the_flip_is_followed_by_one_that_moves(
    fleet: Fleet, house: House, step: str
) -> None:
    home = house.home
    before = house.content(home)
    await kill_mover(fleet, house, step)
    frozen = step in ("last changes", "flip")
    assert found(fleet, house, home) is (Writes.NOBODY if frozen else Writes.SOURCE)
    assert house.same(before, home) == []
    await resumed(fleet)
    assert house.same(before, other(home)) == []
    assert house.content(home).rows == 0
    await house.rest()
    await house.pushed(2)
    await house.check(other(home))


@pytest.mark.parametrize("step", AFTER_THE_FLIP)
async def test_a_mover_killed_after_the_flip_is_followed_by_one_that_finishes(
    fleet: Fleet, house: House, step: str
) -> None:
    home = house.home
    before = house.content(home)
    await kill_mover(fleet, house, step)
    assert found(fleet, house, home) is (Writes.NOBODY if step == "open" else Writes.TARGET)
    await resumed(fleet)
    assert house.same(before, other(home)) == []
    await house.rest()
    await house.check(other(home))


@pytest.mark.parametrize("step", WHILE_UNDOING)
async def test_a_mover_killed_while_it_undoes_is_followed_by_one_that_does(
    fleet: Fleet, house: House, step: str
) -> None:
    home = house.home
    before = house.content(home)
    await kill_mover(fleet, house, step, "flip")
    assert found(fleet, house, home) is (Writes.NOBODY if step == "thaw" else Writes.SOURCE)
    assert house.same(before, home) == []
    await resumed(fleet)
    assert house.same(before, other(home)) == []
    await house.check(other(home))


@pytest.mark.parametrize("step", ["copy serai.audit", "freeze", "last changes", "flip", "open"])
async def test_writes_meanwhile_are_all_there_once_whatever_step_the_mover_died_at(
    fleet: Fleet, house: House, step: str
) -> None:
    home = house.home
    async with house.busy(1):
        await kill_mover(fleet, house, step)
        await resumed(fleet)
    await house.check(other(home))


async def test_a_move_that_is_given_up_leaves_the_organisation_where_it_was(
    fleet: Fleet, house: House
) -> None:
    home = house.home
    before = house.content(home)
    await kill_mover(fleet, house, "freeze")
    fleet.give_up()
    # Whoever moves something next ends what was left.
    report = await fleet.move(to=other(home))
    assert report.undone == 1
    assert house.same(before, home) == []
    assert house.content(other(home)).rows == 0
    await house.rest()
    await house.check(home)


async def test_a_mover_that_wakes_after_its_turn_changes_nothing(
    fleet: Fleet, house: House
) -> None:
    """It is stopped before it freezes; its successor moves the organisation, and it goes on."""
    home = house.home
    shard_ids = dict(fleet.sql("directory", "SELECT name, shard_id FROM serai_directory.shard"))
    stopped, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def step(name: str) -> None:
        if name == "freeze":
            loop.call_soon_threadsafe(stopped.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

    def zombie() -> None:
        with connect(fleet.directory) as conn:
            (claim,) = Records(conn).claim(
                [house.org_id], shard_ids[other(home)], actor="zombie", reason="-"
            )
        places = Places(fleet.directory, fleet.url(home), fleet.url(other(home)))
        with Mover(places, step=step) as mover:
            mover.move(claim)

    task = asyncio.create_task(asyncio.to_thread(zombie))
    await stopped.wait()
    await resumed(fleet)
    await house.rest()
    go_on.set()
    with pytest.raises(LostTurn):
        await task
    await house.rest()
    await house.check(other(home))


async def test_a_move_is_left_alone_while_its_mover_lives(fleet: Fleet, house: House) -> None:
    home = house.home
    await kill_mover(fleet, house, "flip")
    # The lease has not run out: for all that anybody knows, it lives.
    report = await fleet.move(house.org_id, to=other(home))
    assert report.failed == {house.org_id: "somebody else moves it"}
    with pytest.raises(SeraiError) as refused:
        await house.rest()
    assert refused.value.code is Code.ORG_FROZEN
    await resumed(fleet)
    await house.check(other(home))
