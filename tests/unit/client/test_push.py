"""What becomes of the queue: order, chains of writes on one row, refusals, numbers that do not fit,
epochs.

Each test is a scene with a server in memory. Expected results are written by hand.
"""

from __future__ import annotations

from uuid import UUID

import msgspec

from serai.client import Conditions, Link
from serai.core.errors import Code, SeraiError
from unit.client.fake_server import HOTEL
from unit.client.fake_transport import in_virtual_time, open_client, there
from unit.client.scene import OTHER, ROW, STAY, Scene


@in_virtual_time
async def test_writes_reach_the_server_in_order_numbered_from_one(tmp_path):
    async with Scene(tmp_path) as s:
        new = s.client.insert("stays", {**ROW, "guest": "Grace"})
        s.client.update("stays", STAY, {"note": "paid"})
        s.client.delete("stays", new)
        await s.client.sync_once()
        assert [(m.number, m.op, m.id) for m in s.sent()] == [
            (1, "insert", new),
            (2, "update", STAY),
            (3, "delete", new),
        ]
        assert s.server.docs("stays") == {STAY: {**ROW, "note": "paid"}}
        assert s.client.refusals() == []


@in_virtual_time
async def test_a_phone_that_never_hears_the_answer_writes_once(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.update("stays", STAY, {"amount_minor": 9500})
        for _ in range(3):
            await s.lose("lose_answer")
        await s.reopen()
        assert s.client.status.pending == 1
        await s.client.sync_once()
        assert len(s.server.applied) == 1
        assert s.server.version == 2
        assert s.client.status.pending == 0


@in_virtual_time
async def test_a_doubled_request_writes_once(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.insert("stays", dict(ROW), OTHER)
        s.transport.faults = ["double"]
        await s.client.sync_once()
        assert len(s.server.applied) == 1
        assert s.client.refusals() == []


@in_virtual_time
async def test_a_phone_that_crashes_before_it_keeps_the_answer_gets_it_again(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.update("stays", STAY, {"note": "mine"})
        s.server.write(("stays", STAY, {"note": "theirs"}))
        await s.lose("lose_answer")
        await s.reopen()
        assert s.client.refusals() == []
        await s.client.sync_once()
        (refused,) = s.client.refusals()
        assert refused.server_row == {**ROW, "note": "theirs"}


# Chains of writes on one row


@in_virtual_time
async def test_a_second_offline_write_of_a_row_is_no_conflict_with_the_first(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.update("stays", STAY, {"note": "one"})
        s.client.update("stays", STAY, {"note": "two"})
        s.client.update("stays", STAY, {"note": "three"})
        await s.client.sync_once()
        assert [(m.base, m.after) for m in s.sent()] == [(1, None), (1, 1), (1, 2)]
        assert s.server_row() == {**ROW, "note": "three"}
        assert s.client.refusals() == []


@in_virtual_time
async def test_an_insert_changed_and_deleted_offline_leaves_nothing(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.insert("stays", dict(ROW), OTHER)
        s.client.update("stays", OTHER, {"note": "oops"})
        s.client.delete("stays", OTHER)
        await s.client.sync_once()
        assert OTHER not in s.server.docs("stays")
        assert s.client.get("stays", OTHER) is None
        assert s.client.refusals() == []


@in_virtual_time
async def test_a_chain_that_is_cut_between_two_requests_stays_a_chain(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.notice(Conditions(link=Link.SLOW))
        for number in range(25):
            s.client.update("stays", STAY, {"note": f"draft {number}"})
        await s.client.sync_once()
        assert [len(push.mutations) for push in s.server.pushes] == [20, 5]
        assert (s.sent()[0].base, s.sent()[0].after) == (21, None)
        assert s.server_row()["note"] == "draft 24"
        assert s.client.refusals() == []


@in_virtual_time
async def test_a_write_after_the_answer_but_before_the_row_builds_on_the_answer(tmp_path):
    async with Scene(tmp_path) as s:
        for number in range(10, 300):
            s.server.write(("stays", UUID(int=number), {"property_id": str(HOTEL)}))
        s.client.update("stays", STAY, {"note": "one"})
        await s.lose(None, "lose_request")
        assert there(s.client, STAY).pending
        s.client.update("stays", STAY, {"note": "two"})
        await s.client.sync_once()
        assert s.sent()[0].base == 292
        assert s.server_row()["note"] == "two"
        assert s.client.refusals() == []


@in_virtual_time
async def test_a_change_of_others_that_was_never_seen_is_not_overwritten_by_a_chain(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.update("stays", STAY, {"note": "mine"})
        s.client.update("stays", STAY, {"guest": "Grace"})
        s.server.write(("stays", STAY, {"guest": "Edsger"}))
        await s.client.sync_once()
        assert s.server_row() == {**ROW, "note": "mine", "guest": "Edsger"}
        (refused,) = s.client.refusals()
        assert (refused.outcome, refused.fields) == ("conflict", {"guest": "Grace"})


@in_virtual_time
async def test_nor_when_the_chain_is_cut_between_two_requests(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.update("stays", STAY, {"note": "mine"})
        await s.lose("lose_answer")
        s.client.update("stays", STAY, {"guest": "Grace"})
        s.client.update("stays", STAY, {"amount_minor": 1})
        s.server.rows["stays", str(STAY)].data["guest"] = "Edsger"
        device = next(iter(s.server.devices.values()))
        body, reply = device.replies[1]
        device.replies[1] = (body, {**reply, "status": "merged", "fields": ["guest"]})
        await s.client.sync_once()
        assert [(m.fields.keys(), m.base, m.after) for m in s.sent()] == [
            ({"guest"}, 1, None),
            ({"amount_minor"}, 2, 2),
        ]


@in_virtual_time
async def test_a_row_that_others_changed_is_not_deleted_unseen_at_the_end_of_a_chain(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.update("stays", STAY, {"note": "mine"})
        s.client.delete("stays", STAY)
        s.server.write(("stays", STAY, {"guest": "Edsger"}))
        await s.client.sync_once()
        assert s.server_row() == {**ROW, "note": "mine", "guest": "Edsger"}
        assert s.client.refusals()[0].op == "delete"
        assert s.client.get("stays", STAY) is not None


@in_virtual_time
async def test_writes_on_top_of_a_refused_one_are_sent_and_judged(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.insert("stays", {**ROW, "amount_minor": -1}, OTHER)
        s.client.update("stays", OTHER, {"note": "lost?"})
        s.client.update("stays", STAY, {"note": "fine"})
        await s.client.sync_once()
        codes = [(r.op, r.outcome, r.code) for r in s.client.refusals()]
        assert codes == [
            ("insert", "rejected", "negative_amount"),
            ("update", "rejected", "not_found"),
        ]
        assert s.server_row()["note"] == "fine"


@in_virtual_time
async def test_an_update_on_top_of_a_refused_update_stands_on_what_the_user_saw(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.notice(Conditions(link=Link.SLOW))
        s.client.update("stays", STAY, {"amount_minor": -1})
        for number in range(30):
            s.client.update("stays", STAY, {"note": f"{number}"})
        await s.client.sync_once()
        assert s.server_row() == {**ROW, "note": "29"}
        assert [r.code for r in s.client.refusals()] == ["negative_amount"]


@in_virtual_time
async def test_a_refused_insert_can_be_sent_again(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.insert("stays", {**ROW, "amount_minor": -1}, OTHER)
        await s.client.sync_once()
        assert s.client.get("stays", OTHER) is None
        s.client.retry(s.client.refusals()[0].id, dict(ROW))
        await s.client.sync_once()
        assert s.server_row(OTHER) == ROW


@in_virtual_time
async def test_a_refusal_survives_a_restart(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.update("stays", STAY, {"amount_minor": -1})
        await s.client.sync_once()
        before = s.client.refusals()
        await s.reopen()
        assert s.client.refusals() == before
        assert s.client.status.refused == 1


@in_virtual_time
async def test_a_batch_without_answer_is_sent_again_as_it_was(tmp_path):
    async with Scene(tmp_path) as s:
        for number in range(60):
            s.client.update("stays", STAY, {"note": f"{number}"})
        await s.lose("lose_answer")
        s.client.notice(Conditions(link=Link.SLOW))
        s.client.update("stays", STAY, {"note": "later"})
        await s.client.sync_once()
        assert [len(push.mutations) for push in s.server.pushes] == [60, 60, 1]
        assert s.server.pushes[0].mutations == s.server.pushes[1].mutations


@in_virtual_time
async def test_very_large_writes_are_sent_in_several_requests(tmp_path):
    async with Scene(tmp_path) as s:
        for number in range(90):
            s.client.update("stays", STAY, {"note": f"{number}" + "x" * 60_000})
        await s.client.sync_once()
        sizes = [len(msgspec.json.encode(push)) for push in s.server.pushes]
        assert len(sizes) == 2
        assert max(sizes) < 5_000_000


# Numbers that do not fit


@in_virtual_time
async def test_after_a_restore_the_queue_is_numbered_under_a_new_device(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.insert("stays", dict(ROW), OTHER)
        await s.client.sync_once()
        old = s.client.status.device
        s.client.update("stays", STAY, {"note": "after the restore"})
        s.client.update("stays", STAY, {"note": "and more"})
        s.server.restore(1)
        await s.client.sync_once()
        assert s.client.status.device != old
        assert [m.number for m in s.sent()] == [1, 2]
        assert s.server_row()["note"] == "and more"
        assert s.client.get("stays", OTHER) is None
        assert s.client.status.pending == 0
        s.client.update("stays", STAY, {"note": "third"})
        await s.client.sync_once()
        assert s.sent()[0].number == 3


@in_virtual_time
async def test_a_gap_that_the_queue_can_fill_is_filled(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.update("stays", STAY, {"note": "paid"})
        gap = SeraiError(Code.MUTATION_GAP, extra={"expected": 1})
        await s.lose(gap)
        await s.client.sync_once()
        assert s.server_row()["note"] == "paid"
        assert len(s.server.applied) == 1


@in_virtual_time
async def test_a_device_id_of_somebody_else_is_given_up_and_the_queue_kept(tmp_path):
    async with Scene(tmp_path) as s:
        before = s.client.status.device
        s.client.update("stays", STAY, {"note": "paid"})
        s.transport.faults = [SeraiError(Code.DEVICE_UNKNOWN)]
        await s.client.sync_once()
        assert s.client.status.device != before
        assert s.server_row()["note"] == "paid"


@in_virtual_time
async def test_a_copied_file_does_not_lose_or_double_what_is_written_in_both(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.update("stays", STAY, {"note": "before the copy"})
        await s.lose("lose_answer")
        s.client.close()
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy" / "device.db").write_bytes((tmp_path / "device.db").read_bytes())
        s.client = await s.open()
        s.client.insert("stays", dict(ROW), UUID(int=10))
        s.client.insert("stays", dict(ROW), UUID(int=11))
        await s.client.sync_once()
        async with await open_client(tmp_path / "copy", s.transport) as copy:
            copy.insert("stays", dict(ROW), UUID(int=20))
            copy.insert("stays", dict(ROW), UUID(int=21))
            copy.insert("stays", dict(ROW), UUID(int=22))
            await copy.sync_once()
            assert copy.refusals() == []
            assert copy.status.pending == 0
            assert copy.status.device != s.client.status.device
        expected = {STAY, *map(UUID, (str(UUID(int=n)) for n in (10, 11, 20, 21, 22)))}
        assert s.server.docs("stays").keys() == expected
        assert s.server_row()["note"] == "before the copy"


# Epochs


@in_virtual_time
async def test_after_a_change_of_epoch_an_unchanged_row_takes_the_waiting_write(tmp_path):
    async with Scene(tmp_path) as s:
        s.server.write(("stays", OTHER, dict(ROW)))
        await s.client.sync_once()
        s.client.update("stays", STAY, {"note": "waiting"})
        s.server.restore(1)
        await s.client.sync_once()
        assert s.server_row()["note"] == "waiting"
        assert s.client.refusals() == []
        assert s.server.pushes[-1].epoch == 2


@in_virtual_time
async def test_after_a_change_of_epoch_a_row_that_differs_is_never_overwritten_unseen(tmp_path):
    async with Scene(tmp_path) as s:
        for _ in range(5):
            s.server.write(("stays", OTHER, {"property_id": str(HOTEL), "n": s.server.version}))
        await s.client.sync_once()
        s.server.write(("stays", STAY, {"guest": "Grace"}))
        await s.client.sync_once()
        s.client.update("stays", STAY, {"guest": "mine"})
        assert s.client.status.version == 7
        s.server.restore(1)
        # In the new epoch the row changes at a number below the base that the device holds.
        s.server.write(("stays", STAY, {"guest": "Edsger"}))
        await s.client.sync_once()
        assert s.server_row()["guest"] == "Edsger"
        assert s.client.refusals()[0].fields == {"guest": "mine"}


@in_virtual_time
async def test_a_push_on_bases_of_another_epoch_applies_nothing(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.update("stays", STAY, {"note": "waiting"})
        s.server.epoch = 9
        await s.client.sync_once()
        first, second = s.server.pushes
        assert (first.epoch, second.epoch) == (1, 9)
        assert s.client.status.epoch == 9
        assert len(s.server.applied) == 1


@in_virtual_time
async def test_a_result_that_the_server_keeps_no_row_of_leaves_later_writes_on_their_base(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.update("stays", STAY, {"note": "old"})
        await s.lose("lose_answer")
        body, _ = next(iter(s.server.devices.values())).replies[1]
        bare = {"number": 1, "status": "applied", "id": str(STAY), "version": 2}
        next(iter(s.server.devices.values())).replies[1] = (body, bare)
        s.client.update("stays", STAY, {"guest": "Grace"})
        await s.client.sync_once()
        assert s.sent()[0].base == 1
        assert there(s.client, STAY).data["note"] == "old"


@in_virtual_time
async def test_a_row_written_in_place_of_the_one_asked_for_is_shown(tmp_path):
    async with Scene(tmp_path) as s:
        for number in range(10, 300):
            s.server.write(("stays", UUID(int=number), {"property_id": str(HOTEL)}))
        judge = s.server._judge

        def post_to_the_open_day(mutation, fields, base):
            elsewhere = msgspec.structs.replace(mutation, id=OTHER)
            return judge(elsewhere, {**fields, "day": "open"}, base)

        s.server._judge = post_to_the_open_day
        asked = s.client.insert("stays", dict(ROW))
        await s.lose(None, "lose_request")
        assert s.client.get("stays", asked) is None
        assert there(s.client, OTHER).data["day"] == "open"
        await s.client.sync_once()
        assert there(s.client, OTHER).data["day"] == "open"
        assert not there(s.client, OTHER).pending
