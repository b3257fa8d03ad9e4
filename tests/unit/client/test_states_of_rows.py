"""Each line of the state tables of a collection and of a mutation, shown on a client.

`protocol/SPEC.md` names the test of each line; `test_spec.py` holds the two together.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from serai.client import Unreachable
from serai.core.errors import Code, SeraiError
from unit.client.fake_server import HOSTEL, HOTEL
from unit.client.fake_transport import in_virtual_time
from unit.client.phone import GUEST, STAY, a_filling_phone, a_phone

# A collection


@in_virtual_time
async def test_a_collection_is_flagged_until_its_last_page(tmp_path):
    async with a_filling_phone(tmp_path) as phone:
        assert phone.shown().filling
        assert "stays" in phone.client.status.filling
        await phone.client.sync_once()
        assert not phone.shown().filling
        assert phone.client.status.filling == ()
        assert phone.client.count("stays") == 50


@in_virtual_time
async def test_a_small_collection_is_whole_after_one_page(tmp_path):
    async with a_phone(tmp_path) as phone:
        assert set(phone.client.status.filling) == {"stays", "expenses"}
        await phone.client.sync_once()
        assert phone.client.status.filling == ()
        phone.server.write(("stays", STAY, {"note": "more"}))
        await phone.client.sync_once()
        assert phone.client.status.filling == ()


@in_virtual_time
async def test_a_fill_that_cannot_be_continued_starts_again(tmp_path):
    async with a_filling_phone(tmp_path) as phone:
        phone.server.write(("stays", STAY, None))
        phone.server.forget_log()
        await phone.client.sync_once()
        assert phone.client.count("stays") == 49


@in_virtual_time
async def test_a_property_gained_is_filled_beside_what_is_there(tmp_path):
    async with a_phone(tmp_path) as phone:
        phone.server.visible = {str(HOTEL)}
        for number in range(100, 300):
            phone.server.write(("stays", UUID(int=number), {"property_id": str(HOSTEL)}))
        await phone.client.sync_once()
        assert phone.client.count("stays") == 1
        phone.server.visible = {str(HOTEL), str(HOSTEL)}
        phone.transport.faults = [None, "lose_request"]
        with pytest.raises(Unreachable):
            await phone.client.sync_once()
        assert phone.shown().filling
        await phone.client.sync_once()
        assert phone.client.count("stays") == 201
        assert not phone.shown().filling


@in_virtual_time
async def test_a_token_too_old_keeps_rows_readable_until_the_new_fill(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.client.sync_once()
        phone.server.write(("stays", STAY, None))
        phone.server.write(("stays", UUID(int=2), {"property_id": str(HOTEL)}))
        phone.server.forget_log()
        phone.client.insert("stays", dict(GUEST), UUID(int=3))
        phone.transport.faults = [None, "lose_request"]
        with pytest.raises(Unreachable):
            await phone.client.sync_once()
        assert phone.shown().filling
        await phone.client.sync_once()
        ids = [row.id for row in phone.client.rows("stays")]
        assert ids == [UUID(int=2), UUID(int=3)]
        assert len(phone.server.applied) == 1


@in_virtual_time
async def test_an_error_that_asks_for_a_refetch_is_obeyed(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.client.sync_once()
        phone.transport.faults = [SeraiError(Code.TOKEN_INVALID)]
        await phone.client.sync_once()
        assert phone.server.pulls[-1].collections[0].since_token is None
        assert phone.shown().data == GUEST


@in_virtual_time
async def test_a_new_fill_over_several_pages_replaces_old_rows_at_its_first(tmp_path):
    async with a_filling_phone(tmp_path) as phone:
        await phone.client.sync_once()
        for number in range(1, 31):
            phone.server.write(("stays", UUID(int=number), None))
        phone.server.forget_log()
        phone.transport.faults = [None, None, "lose_request"]
        with pytest.raises(Unreachable):
            await phone.client.sync_once()
        assert phone.client.count("stays") == 10
        assert "stays" in phone.client.status.filling
        await phone.client.sync_once()
        assert phone.client.count("stays") == 20


# A mutation


@in_virtual_time
async def test_an_applied_write_stays_in_view_until_its_row_arrives(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.client.sync_once()
        for number in range(2, 400):
            phone.server.write(("stays", UUID(int=number), {"property_id": str(HOTEL)}))
        phone.client.update("stays", STAY, {"note": "mine"})
        phone.transport.faults = [None, "lose_request"]
        with pytest.raises(Unreachable):
            await phone.client.sync_once()
        assert phone.client.status.pending == 0
        assert phone.client.count("stays") < 399
        assert phone.shown().data["note"] == "mine"
        assert phone.shown().pending
        await phone.client.sync_once()
        assert phone.shown().data["note"] == "mine"
        assert not phone.shown().pending


@in_virtual_time
async def test_a_merged_write_shows_what_others_changed(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.client.sync_once()
        phone.client.update("stays", STAY, {"note": "mine"})
        phone.server.write(("stays", STAY, {"guest": "Grace"}))
        await phone.client.sync_once()
        assert phone.shown().data == {**GUEST, "note": "mine", "guest": "Grace"}
        assert phone.client.refusals() == []


@in_virtual_time
async def test_a_conflict_is_listed_with_the_servers_row(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.client.sync_once()
        phone.client.update("stays", STAY, {"note": "mine"})
        phone.server.write(("stays", STAY, {"note": "theirs"}))
        await phone.client.sync_once()
        (refused,) = phone.client.refusals()
        assert (refused.outcome, refused.fields) == ("conflict", {"note": "mine"})
        assert refused.server_row == {**GUEST, "note": "theirs"}
        assert refused.server_version == 2
        assert phone.shown().data["note"] == "theirs"


@in_virtual_time
async def test_a_rejected_write_is_listed_with_its_reason(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.client.sync_once()
        phone.client.update("stays", STAY, {"amount_minor": -5})
        await phone.client.sync_once()
        (refused,) = phone.client.refusals()
        assert (refused.outcome, refused.code) == ("rejected", "negative_amount")
        assert refused.reason == "The server says negative_amount."
        assert not refused.acknowledged
        phone.client.acknowledge(refused.id)
        assert phone.client.refusals()[0].acknowledged
        assert phone.shown().data == GUEST


@in_virtual_time
async def test_a_refusal_goes_when_a_person_dismisses_it(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.client.sync_once()
        phone.client.update("stays", STAY, {"amount_minor": -5})
        await phone.client.sync_once()
        phone.client.dismiss(phone.client.refusals()[0].id)
        assert phone.client.refusals() == []
        assert phone.client.status.refused == 0


@in_virtual_time
async def test_a_refused_write_can_be_sent_again_as_a_new_one(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.client.sync_once()
        phone.client.update("stays", STAY, {"note": "mine"})
        phone.server.write(("stays", STAY, {"note": "theirs"}))
        await phone.client.sync_once()
        phone.client.retry(phone.client.refusals()[0].id, {"note": "both"})
        assert phone.client.refusals() == []
        await phone.client.sync_once()
        assert phone.server.docs("stays")[STAY]["note"] == "both"
