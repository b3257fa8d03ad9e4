"""A process that transfers a property is killed before any step; another one undoes or finishes.

Owns the table of states against what is in the databases at each step, and that nothing is lost,
doubled or owned by two. Never waits for a time: who died is given up at once.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from integration.transfers.estate import Estate, Rows
from serai.app.transfer.hands import Connections
from serai.app.transfer.records import Claim, Records
from serai.app.transfer.saga import Saga
from serai.app.transfer.states import Writes
from serai.core.errors import Code, SeraiError
from serai.readers.move.link import LostTurn, connect

PROGRAM = Path(__file__).with_name("killed_transfer.py")
UNDECIDED = (
    "claim giver",
    "hold",
    "freeze",
    "copy vendors",
    "copy day_closes",
    "decide",
)
DECIDED = (
    "open",
    "end grants",
    "empty guests",
    "empty properties",
    "release",
    "end",
)
UNDOING = ("let go", "thaw", "undone")


async def kill(estate: Estate, step: str, *fault: str) -> None:
    """Run a transfer that dies before `step`."""
    fleet, giver, taker = estate.fleet, estate.giver, estate.taker
    urls = (fleet.directory, fleet.url(giver.home), fleet.url(taker.home))
    given = (str(estate.hotel), str(giver.org_id), str(taker.org_id), step, *fault)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(PROGRAM), *urls, *given), stderr=subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == -9, said


async def still_theirs(estate: Estate, before: Rows) -> Rows:
    """The transfer that was begun leaves no trace, and another one goes through."""
    assert estate.said(estate.giver) == estate.said(estate.taker) == []
    await estate.check(estate.giver, before)
    await estate.giver.pushed(1)
    before = estate.rows(estate.giver)
    await estate.transfer()
    await estate.check(estate.taker, before)
    return before


@pytest.mark.parametrize("step", UNDECIDED)
async def test_killed_before_the_decision_it_is_undone(far: Estate, step: str) -> None:
    before, shared = far.rows(far.giver), far.shared(far.taker)
    await kill(far, step)
    held = step not in ("claim giver", "hold")
    assert far.state() is (Writes.NOBODY if held else Writes.GIVER)
    assert far.rows(far.taker) == {}
    assert far.shared(far.taker) == shared
    ended = await far.resume()
    assert (len(ended.finished), len(ended.undone)) == (0, 1)
    await still_theirs(far, before)


@pytest.mark.parametrize("step", DECIDED)
async def test_killed_after_the_decision_it_is_finished(far: Estate, step: str) -> None:
    before = far.rows(far.giver)
    await kill(far, step)
    assert far.state() is (Writes.NOBODY if step == "open" else Writes.TAKER)
    # All of it or nothing.
    assert far.rows(far.taker) == ({} if step == "open" else before)
    ended = await far.resume()
    assert (len(ended.finished), len(ended.undone)) == (1, 0)
    await far.check(far.taker, before)
    assert len(far.said(far.giver)) == len(far.said(far.taker)) == 1


@pytest.mark.parametrize("step", UNDOING)
async def test_killed_while_it_undoes_it_is_undone(far: Estate, step: str) -> None:
    before = far.rows(far.giver)
    await kill(far, step, "decide")
    assert far.state() is (Writes.NOBODY if step == "let go" else Writes.GIVER)
    ended = await far.resume()
    assert (len(ended.finished), len(ended.undone)) == (0, 1)
    await still_theirs(far, before)


@pytest.mark.parametrize("step", ["decide", "open", "empty guests"])
async def test_on_one_shard_it_is_the_same(near: Estate, step: str) -> None:
    before = near.rows(near.giver)
    await kill(near, step)
    ended = await near.resume()
    decided = step in DECIDED
    assert (len(ended.finished), len(ended.undone)) == (int(decided), int(not decided))
    if not decided:
        before = await still_theirs(near, before)
    await near.check(near.taker, before)


async def test_killed_again_and_again_it_comes_to_an_end(far: Estate) -> None:
    """Whoever takes it over dies too, a step further each time."""
    before = far.rows(far.giver)
    await kill(far, "open")
    for step in ("claim ends", "copy guests", "open", "end grants", "empty stays", "release"):
        await die_resuming(far, step)
        assert far.rows(far.taker) in ({}, before)
    await far.resume()
    await far.check(far.taker, before)
    assert len(far.said(far.giver)) == len(far.said(far.taker)) == 1


async def die_resuming(estate: Estate, last: str) -> None:
    """Take the transfer over and break off before a step: connections are lost, nothing is said."""

    class Killed(BaseException):
        pass

    def step(name: str) -> None:
        if name == last:
            raise Killed

    fleet = estate.fleet
    homes = fleet.url(estate.giver.home), fleet.url(estate.taker.home)
    reach = Connections(fleet.runtime.vertical.name, fleet.directory, *homes)
    fleet.sql("directory", "UPDATE serai_directory.transfer SET lease_until = now()")

    def work() -> None:
        with connect(fleet.directory) as conn:
            claim = Records(conn).take_over()
        assert claim is not None
        with Saga(fleet.runtime.vertical, reach, step=step) as saga, pytest.raises(Killed):
            saga.end(claim)

    await asyncio.to_thread(work)


@pytest.mark.parametrize("step", ["freeze", "decide"])
async def test_who_wakes_after_its_turn_changes_nothing(far: Estate, step: str) -> None:
    """It is stopped; its successor undoes the transfer, another one is done, and it goes on."""
    before = far.rows(far.giver)
    async with stopped(far, step) as zombie:
        await far.resume()
        await far.transfer()
        await far.check(far.taker, before)
    with pytest.raises(LostTurn):
        await zombie
    await far.check(far.taker, before)


async def test_who_wakes_after_the_hotel_came_back_takes_nothing_away(far: Estate) -> None:
    """It is stopped while it empties the giver; the hotel is sold and bought back meanwhile."""
    before = far.rows(far.giver)
    async with stopped(far, "empty guests") as zombie:
        await far.resume()
        back = Estate(far.fleet, far.taker, far.giver)
        back.giver.ids["properties"] = str(far.hotel)
        await back.transfer()
        await back.check(back.taker, before)
    with pytest.raises(LostTurn):
        await zombie
    await back.check(back.taker, before)


class stopped:  # noqa: N801 - it reads as a statement
    """A transfer that stands still before a step until the block ends."""

    def __init__(self, estate: Estate, last: str) -> None:
        self._estate, self._last = estate, last
        self._reached, self._go_on = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> asyncio.Task[None]:
        self._task = asyncio.create_task(asyncio.to_thread(self._work))
        await self._reached.wait()
        return self._task

    async def __aexit__(self, *_: object) -> None:
        self._go_on.set()

    def _step(self, name: str) -> None:
        if name == self._last and not self._go_on.is_set():
            self._loop.call_soon_threadsafe(self._reached.set)
            asyncio.run_coroutine_threadsafe(self._go_on.wait(), self._loop).result()

    def _work(self) -> None:
        estate, fleet = self._estate, self._estate.fleet
        homes = fleet.url(estate.giver.home), fleet.url(estate.taker.home)
        reach = Connections(fleet.runtime.vertical.name, fleet.directory, *homes)
        with connect(fleet.directory) as conn:
            claim = Records(conn).claim(
                estate.hotel, estate.giver.org_id, estate.taker.org_id, actor="z", reason="-"
            )
        assert isinstance(claim, Claim)
        with Saga(fleet.runtime.vertical, reach, step=self._step) as saga:
            saga.carry(claim)


async def test_it_is_left_alone_while_it_lives(far: Estate) -> None:
    await kill(far, "open")
    # The lease has not run out: for all that anybody knows, it lives.
    async with far.runner() as running:
        assert await running.end_stale() == type(await running.end_stale())()
    with pytest.raises(SeraiError) as refused:
        await far.taker.rest()
    assert refused.value.code is Code.ORG_FROZEN
    await far.resume()
    await far.taker.rest()
