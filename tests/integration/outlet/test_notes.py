"""What is noted on a shard, statement by statement: who is due, and who may say that nobody is."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from integration.moves.street import Fleet, House
from integration.outlet.desk import position, send_all
from serai.adapters.memory import MemoryBus
from serai.app.outlet_care import switch_off
from serai.readers.outlet.notes import Notes
from serai.readers.outlet.plan import Sent


@pytest.fixture
async def notes(fleet: Fleet, house: House) -> Notes:
    """The notes of the house's shard; everything was sent."""
    await send_all(fleet, MemoryBus())
    return Notes((await fleet.owner.shard_for(house.org_id)).pool)


async def is_due(notes: Notes, house: House) -> bool:
    return house.org_id in [org for org, _ in await notes.due(0, 1000)]


async def test_a_write_that_found_its_organisation_due_stays_due(
    fleet: Fleet, house: House, notes: Notes
):
    """The write leaves the row of outlet_due as it is; nobody may remove it before it commits."""
    await house.rest()
    epoch, version = position(house)
    assert await is_due(notes, house)
    with psycopg.connect(fleet.url(house.home)) as writer:
        writer.execute("UPDATE serai.org SET version = version WHERE org_id = %s", (house.org_id,))
        noted, over = await notes.note(house.org_id, Sent(epoch, version))
        assert (noted, over) == (True, False)
        writer.commit()
    assert await is_due(notes, house)
    assert await notes.note(house.org_id, Sent(epoch, version)) == (True, True)
    assert not await is_due(notes, house)


async def test_one_with_a_newer_version_stays_due(house: House, notes: Notes):
    epoch, version = position(house)
    await house.rest()
    assert await notes.note(house.org_id, Sent(epoch, version)) == (True, False)
    assert await is_due(notes, house)


async def test_a_note_never_goes_back_and_a_rewind_outdates_whoever_read_before_it(
    house: House, notes: Notes
):
    epoch, version = position(house)
    assert (await notes.note(house.org_id, Sent(epoch, version - 2)))[0] is False
    assert await notes.rewind([house.org_id], 3) == 1
    assert (await notes.note(house.org_id, Sent(epoch, version)))[0] is False
    found = await notes.page(house.org_id)
    assert found is not None
    sent = found[0].sent
    assert sent is not None
    assert sent == Sent(epoch, 3, 1)
    assert (await notes.note(house.org_id, replace(sent, version=4)))[0] is True


async def test_one_that_was_never_sent_so_far_is_not_rewound_forward(house: House, notes: Notes):
    _, version = position(house)
    assert await notes.rewind([house.org_id], version) == 0
    assert not await is_due(notes, house)


async def test_what_is_written_while_it_is_off_is_found_when_it_is_on_again(
    fleet: Fleet, house: House, notes: Notes
):
    assert await switch_off(fleet.owner.settings, house.home, reason="r")
    await house.rest()
    assert not await is_due(notes, house)
    bus = MemoryBus()
    await send_all(fleet, bus)
    assert [m.org_id for m in bus.messages] == [house.org_id]
