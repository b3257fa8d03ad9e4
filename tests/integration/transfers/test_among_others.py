"""Transfers among moves, neighbours, interrupts and operators' commands.

Owns what a transfer does to others: nothing, and what it says to who asks too early. Never looks at
how long anything takes.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from integration.app.programs import Shell
from integration.moves.street import Fleet, House
from integration.moves.test_upkeep import held
from integration.transfers.conftest import make_estate
from integration.transfers.estate import Estate, settle, sound
from integration.transfers.test_transfer_is_killed import kill
from serai.app.ending import keep_moves_once
from serai.app.shard_facts import ShardError
from serai.app.transfer.running import Asked
from serai.app.transfer.saga import TransferStats
from serai.app.transfer.states import Writes
from serai.core.ids import uuid7
from serai.readers.move import Records
from serai.readers.move.link import connect
from serai.telemetry.recorder import SILENT
from serai_hospitality.data import data_path


async def test_neither_organisation_moves_while_a_hotel_goes_over(far: Estate) -> None:
    await kill(far, "open")
    for house, to in ((far.giver, "b"), (far.taker, "a")):
        report = await far.fleet.move(house.org_id, to=to)
        assert (report.moved, report.present) == (0, 0)
        assert "transferred" in report.failed[house.org_id]
    await far.resume()
    before = far.rows(far.taker)
    report = await far.fleet.move(far.taker.org_id, to="a")
    assert (report.moved, report.failed) == (1, {})
    await far.fleet.runtime.directory.refresh()
    await far.check(far.taker, before)


async def test_a_hotel_does_not_go_over_while_one_of_the_two_moves(far: Estate) -> None:
    shards = dict(far.fleet.sql("directory", "SELECT name, shard_id FROM serai_directory.shard"))
    with connect(far.fleet.directory) as conn:
        (claim,) = Records(conn).claim([far.taker.org_id], shards["a"], actor="a", reason="r")
    async with far.runner() as running:
        assert len((await running.foresee(far.asked)).against) == 1
    with pytest.raises(ShardError, match="moved"):
        await far.transfer()
    far.fleet.give_up()
    await far.fleet.move(to="a")
    assert claim.orgs == (far.taker.org_id,)
    before = far.rows(far.giver)
    await far.transfer()
    await far.check(far.taker, before)


async def test_an_organisation_takes_part_in_one_transfer_at_a_time(far: Estate) -> None:
    third = await settle(far.fleet, "b")
    await kill(far, "open")
    hotel = uuid7()
    for giver, taker in ((far.giver, third), (far.taker, third), (third, far.giver)):
        asked = Asked(hotel, giver.org_id, taker.org_id, "too early")
        async with far.runner() as running:
            with pytest.raises(ShardError, match="another transfer"):
                await running.transfer(asked)
    await far.resume()


@pytest.mark.parametrize("step", ["decide", "open"])
async def test_a_process_that_serves_ends_what_was_left(far: Estate, step: str) -> None:
    before, fleet = far.rows(far.giver), far.fleet
    await kill(far, step)
    await keep_moves_once(fleet.owner, SILENT)
    assert far.state() is Writes.NOBODY, "for all that anybody knows, it lives"
    fleet.sql("directory", "UPDATE serai_directory.transfer SET lease_until = now()")
    # It looks as the role of requests, and ends them as the owner.
    await keep_moves_once(fleet.runtime, SILENT)
    await far.check(far.taker if step == "open" else far.giver, before)


async def test_an_import_for_a_property_that_was_transferred_says_what_to_do(
    far: Estate, tmp_path: Path
) -> None:
    shell = Shell(tmp_path, {"SERAI_DIRECTORY_URL": far.fleet.directory})
    with gzip.open(data_path("hotel_bookings.csv.gz")) as stream:
        (tmp_path / "some.csv").write_bytes(b"".join(next(stream) for _ in range(11)))
    key = f"i{uuid7().hex}"
    await asyncio.to_thread(shell.ok, "org", "create", key)
    words = ("import", "hotel-bookings", str(tmp_path / "some.csv"), "--org", key)
    await asyncio.to_thread(shell.ok, *words)
    ((org_id,),) = far.fleet.sql(
        "directory", "SELECT org_id FROM serai_directory.organisation WHERE key = %s", key
    )
    giver = House(far.fleet, org_id)
    properties = "SELECT id FROM serai.row WHERE org_id = %s AND collection = 1"
    async with far.runner() as running:
        for (place,) in far.fleet.sql(giver.home, properties, org_id):
            await running.transfer(Asked(place, org_id, far.taker.org_id, "sold"))
    refused = await asyncio.to_thread(shell.run, *words)
    assert refused.status == 1
    assert f"`serai org transfers {key}` says" in refused.err
    assert far.fleet.sql(giver.home, properties, org_id) == []


async def test_a_round_of_upkeep_ends_so_many_and_leaves_the_rest(fleet: Fleet) -> None:
    estates = [await make_estate(fleet, "b") for _ in range(2)]
    for each in estates:
        await kill(each, "open")
    fleet.sql("directory", "UPDATE serai_directory.transfer SET lease_until = now()")
    async with estates[0].runner() as running:
        assert [len((await running.end_stale(most=1)).finished) for _ in range(3)] == [1, 1, 0]


async def test_one_that_cannot_be_ended_is_tried_once_however_long_that_takes(
    far: Estate,
) -> None:
    """Its lease runs out again while the others are looked at."""
    await kill(far, "open")

    def give_up(_: TransferStats) -> None:
        far.fleet.sql("directory", "UPDATE serai_directory.transfer SET lease_until = now()")

    give_up(TransferStats())
    with held(far.fleet, far.taker.home, far.taker.org_id):
        async with far.runner() as running:
            ended = await running.end_stale(give_up)
    assert len(ended.stuck) == 1
    assert len((await far.resume()).finished) == 1


async def test_neighbours_on_both_shards_are_as_they_were(far: Estate) -> None:
    """One of them refers to nothing of it, and has a hotel with the same rows."""
    others = [await make_estate(far.fleet, "b"), await make_estate(far.fleet, "a")]
    houses = [each.giver for each in others] + [each.taker for each in others]
    before = [house.content(house.home) for house in houses]
    await far.transfer()
    assert [house.content(house.home) for house in houses] == before
    for house in houses:
        await sound(house)


async def test_an_interrupt_before_the_decision_undoes_it(far: Estate) -> None:
    before = far.rows(far.giver)
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    def show(_: TransferStats) -> None:
        loop.call_soon_threadsafe(began.set)

    async def run() -> None:
        async with far.runner() as running:
            await running.transfer(far.asked, show)

    task = asyncio.create_task(run())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await far.check(far.giver, before)
    assert far.said(far.giver) == []


async def test_an_operator_looks_transfers_and_looks_again(far: Estate, tmp_path: Path) -> None:
    operator = Shell(tmp_path, {"SERAI_DIRECTORY_URL": far.fleet.directory, "SUDO_USER": "ann"})
    ends = ("--from", str(far.giver.org_id), "--to", str(far.taker.org_id))
    words = ("org", "transfer", str(far.hotel), *ends, "--json")
    before = far.rows(far.giver)
    seen = await asyncio.to_thread(operator.ok, *words, "--dry-run")
    assert seen.json["collections"]["guests"] == len([key for key in before if key[0] == 5])
    assert (seen.json["against"], seen.json["grants"]) == ([], 1)
    assert far.rows(far.giver) == before
    done = await asyncio.to_thread(operator.ok, *words, "--reason", "sold, contract 17")
    assert (done.json["rows"], done.json["removed"]) == (len(before), len(before))
    assert done.json["copied"] == {"accounts": 2, "vendors": 1}
    await far.check(far.taker, before)
    listed = await asyncio.to_thread(operator.ok, "org", "transfers", ends[1], "--json")
    (past,) = listed.json
    assert (past["step"], past["reason"]) == ("done", "sold, contract 17")
    assert past["actor"].startswith("ann@")
    # It is not there any more: both say why, and change nothing.
    again = await asyncio.to_thread(operator.run, *words)
    assert again.status == 1
    assert "has no property" in again.err
    seen = await asyncio.to_thread(operator.run, *words, "--dry-run")
    assert seen.status == 1
    assert len(json.loads(seen.out)["against"]) == 2
    resumed = await asyncio.to_thread(operator.ok, "org", "transfer", "--resume", "--json")
    assert resumed.json == {"finished": [], "undone": [], "stuck": {}}
    await far.check(far.taker, before)
