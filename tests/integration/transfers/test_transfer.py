"""A property goes from one organisation to another.

Owns the promises of a transfer that nobody kills: what arrives, what stays, what is refused, who is
told what. What arrives is compared with what was there before, and with what the declaration says.
Never looks at how long anything takes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from uuid import UUID

import pytest

from integration.moves.street import House
from integration.transfers.estate import Estate, sound
from serai.app.operator import operator
from serai.app.transfer.reasons import Untransferable
from serai.app.transfer.running import past_transfers
from serai.app.transfer.saga import TransferStats
from serai.app.transfer.states import Writes
from serai.core.errors import Code, SeraiError
from serai.core.ids import uuid7

ACCOUNTS, VENDORS, REVENUES, EXPENSES = 3, 4, 7, 8


async def test_a_hotel_arrives_byte_for_byte_and_leaves_nothing(estate: Estate) -> None:
    """Money and closed days among it: what it refers to is copied under the same ids."""
    before, elsewhere = estate.rows(estate.giver), estate.shared(estate.giver)
    assert {number for number, _ in before} == {1, 2, 5, 6, 7, 8, 9, 10, 11, 12}
    stats = await estate.transfer()
    assert stats.rows == stats.removed == stats.total == len(before)
    assert (stats.copied, stats.matched) == ({"accounts": 2, "vendors": 1}, {})
    await estate.check(estate.taker, before)
    shared = estate.shared(estate.taker)
    for collection, names in ((ACCOUNTS, ("accounts", "expense_account")), (VENDORS, ("vendors",))):
        for key in ((collection, UUID(estate.giver.ids[name])) for name in names):
            assert shared[key] == elsewhere[key]
    # The one role at the hotel has ended, and nothing else.
    memberships = {key for key in elsewhere if key[0] == 13}
    assert elsewhere.keys() - estate.shared(estate.giver).keys() == memberships
    assert stats.grants == len(memberships) == 1


async def test_what_the_taker_has_by_its_natural_key_is_referred_to(far: Estate) -> None:
    giver, taker = far.giver, far.taker
    account = json.loads(far.shared(giver)[ACCOUNTS, UUID(giver.ids["accounts"])])
    own = await taker.insert("accounts", account | {"name": "What the taker calls it"})
    before = far.rows(giver)
    async with far.runner() as running:
        seen = await running.foresee(far.asked)
    assert (seen.matched, seen.copied) == ({"accounts": 1}, {"accounts": 1, "vendors": 1})
    assert (seen.against, seen.grants) == ([], 1)
    assert seen.collections["expenses"] == 2
    await far.transfer()
    expected = {
        key: doc.replace(giver.ids["accounts"], str(own)) if key[0] == REVENUES else doc
        for key, doc in before.items()
    }
    assert expected != before
    await far.check(taker, expected)


async def test_an_account_of_the_same_code_and_another_kind_blocks_it(far: Estate) -> None:
    account = json.loads(far.shared(far.giver)[ACCOUNTS, UUID(far.giver.ids["accounts"])])
    await far.taker.insert("accounts", account | {"kind": "expense"})
    before = far.rows(far.giver)
    async with far.runner() as running:
        seen = await running.foresee(far.asked)
    assert ["accounts" in line and account["code"] in line for line in seen.against] == [True]
    with pytest.raises(Untransferable, match=account["code"]):
        await far.transfer()
    await far.check(far.giver, before)
    assert far.said(far.giver) == far.said(far.taker) == []


async def test_a_second_hotel_finds_what_came_with_the_first(far: Estate) -> None:
    giver = far.giver
    await far.transfer()
    vendors = len([key for key in far.shared(far.taker) if key[0] == VENDORS])
    giver.ids["properties"] = str(await giver.insert("properties", giver.row("properties")))
    bought = giver.row("expenses") | {"vendor_id": giver.ids["vendors"]}
    await giver.insert("expenses", bought)
    stats = await far.transfer()
    assert (stats.matched, stats.present) == ({"accounts": 1}, {"vendors": 1})
    assert stats.copied == {}
    assert len([key for key in far.shared(far.taker) if key[0] == VENDORS]) == vendors


async def test_a_copy_that_the_taker_deleted_comes_under_another_id(far: Estate) -> None:
    giver, taker = far.giver, far.taker
    first = await far.transfer()
    assert first.copied["vendors"] == 1
    vendor = UUID(giver.ids["vendors"])
    await taker.write("update", "expenses", UUID(giver.ids["bought"]), {"vendor_id": None})
    await taker.write("delete", "vendors", vendor, {})
    giver.ids["properties"] = str(await giver.insert("properties", giver.row("properties")))
    bought = await giver.insert("expenses", giver.row("expenses") | {"vendor_id": str(vendor)})
    await far.transfer()
    row = json.loads(far.rows(taker)[EXPENSES, bought])
    assert row["vendor_id"] != str(vendor)
    assert (VENDORS, UUID(row["vendor_id"])) in far.shared(taker)
    await sound(taker)


async def test_a_hotel_that_is_sold_back_is_as_it_was(far: Estate) -> None:
    before, shared = far.rows(far.giver), far.shared(far.giver)
    await far.transfer()
    back = Estate(far.fleet, far.taker, far.giver)
    back.giver.ids["properties"] = str(far.hotel)
    stats = await back.transfer()
    assert stats.copied == {}
    await back.check(back.taker, before)
    assert {k: v for k, v in shared.items() if k[0] != 13} == back.shared(back.taker)
    # It is the giver's again in every respect.
    await far.giver.pushed(2)
    await sound(far.giver)


async def interrupted(estate: Estate, when: Callable[[TransferStats], bool]) -> None:
    """Transfer the hotel and interrupt it, as Ctrl-C does, at the first step of which `when` is
    true.
    """
    loop = asyncio.get_running_loop()
    async with estate.runner() as running:

        def progress(stats: TransferStats) -> None:
            if when(stats) and not running._stop.is_set():
                loop.call_soon_threadsafe(run.cancel)
                assert running._stop.wait(60), "an interrupt is heard"

        run = asyncio.create_task(running.transfer(estate.asked, progress))
        with pytest.raises(asyncio.CancelledError):
            await run


async def test_an_interrupt_before_the_decision_gives_both_back_what_they_had(far: Estate) -> None:
    before = far.rows(far.giver)
    await interrupted(far, lambda stats: stats.rows > 0)
    await far.check(far.giver, before)
    assert far.state() is Writes.GIVER


async def test_an_interrupt_after_the_decision_leaves_nothing_to_resume(far: Estate) -> None:
    before = far.rows(far.giver)
    await interrupted(far, lambda stats: stats.removed > 0)
    await far.check(far.taker, before)
    assert far.state() is Writes.TAKER


async def test_both_records_say_who_when_why_and_where(far: Estate) -> None:
    await far.transfer()
    for house in (far.giver, far.taker):
        (said,) = far.said(house)
        number = said.pop("transfer")
        assert said == {
            "from": far.giver.org_id,
            "to": far.taker.org_id,
            "actor": operator(),
            "reason": "sold",
        }
        (past,) = await past_transfers(far.fleet.owner.settings, house.org_id, 5)
        assert past.transfer_id == number
        assert (past.step, past.actor, past.reason) == ("done", operator(), "sold")
        assert past.ended_at is not None
    via = far.fleet.sql(
        far.giver.home,
        "SELECT count(*) FROM serai.audit WHERE org_id = %s AND via = 'transfer' AND op = 'delete'",
        far.giver.org_id,
    )
    # Each row that left, and the role at the hotel.
    assert via == [(len(far.rows(far.taker)) + 1,)]


async def test_who_writes_meanwhile_is_answered_or_told_to_wait(estate: Estate) -> None:
    """Writers of the hotel, of the giver's other hotel and of the taker; devices go on."""
    giver, taker = estate.giver, estate.taker
    other = str(await giver.insert("properties", giver.row("properties")))
    refused: list[Code] = []
    written: dict[UUID, str] = {}
    over, heard = asyncio.Event(), asyncio.Condition()

    async def told(enough: Callable[[], bool]) -> None:
        async with heard:
            await heard.wait_for(enough)

    async def writer(house: House, place: str | None) -> None:
        while not over.is_set():
            collection = "vendors" if place is None else "guests"
            row = house.vendor() if place is None else house.row("guests") | {"property_id": place}
            row_id = uuid7()
            try:
                await house.write("insert", collection, row_id, row)
            except SeraiError as error:
                refused.append(error.code)
                await asyncio.sleep(0)
                if error.code is Code.PROPERTY_TRANSFERRED:
                    return
            else:
                written[row_id] = place or str(house.org_id)
                async with heard:
                    heard.notify_all()

    tasks = [
        asyncio.create_task(writer(giver, str(estate.hotel))),
        asyncio.create_task(writer(giver, other)),
        asyncio.create_task(writer(taker, None)),
    ]
    await told(lambda: len(set(written.values())) == len(tasks))
    stats = await estate.transfer()
    await tasks[0]
    enough = len(written) + 6
    await told(lambda: len(written) >= enough)
    over.set()
    await asyncio.gather(*tasks)
    assert set(refused) <= {Code.PROPERTY_HELD, Code.PROPERTY_TRANSFERRED, Code.ORG_FROZEN}
    assert refused.count(Code.PROPERTY_TRANSFERRED) == 1
    there = {row_id for _, row_id in estate.rows(taker)}
    hotel = {row_id for row_id, place in written.items() if place == str(estate.hotel)}
    assert hotel <= there
    assert stats.rows == len(there)
    assert estate.rows(giver) == {}
    kept = estate.fleet.sql(
        giver.home,
        "SELECT id FROM serai.row WHERE org_id = %s AND scope = %s",
        giver.org_id,
        UUID(other),
    )
    assert {r for r, place in written.items() if place == other} <= {r for (r,) in kept}
    await sound(giver)
    await sound(taker)
