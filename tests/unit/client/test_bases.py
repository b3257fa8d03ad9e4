"""What a waiting write stands on, when an answer comes late or rows are fetched anew under it.

In each scene but the last the device's own write was once refused as a conflict with nobody; in the
last it is one with others. Expected results are written by hand.
"""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from serai.client import Pace
from serai.core.errors import Code, SeraiError
from unit.client.fake_server import HOTEL
from unit.client.fake_transport import in_virtual_time
from unit.client.scene import OTHER, ROW, STAY, Scene

LAST = UUID(int=0xFFFF)
"""A row that the first page of a fill does not reach."""


class LongScene(Scene):
    """A device that fills by pages of ten rows, and has pulled fifty."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Pace(fill_rows=10))
        for number in range(100, 148):
            self.server.write(("stays", UUID(int=number), {"property_id": str(HOTEL)}))
        self.server.write(("stays", LAST, dict(ROW)))

    def new_epoch_after(self, answers: int) -> None:
        """Restore the server, without a loss, as soon as it has given so many more answers."""
        left = answers

        def answered() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self.server.restore(self.server.version)

        self.transport.before_answer = answered


@in_virtual_time
async def test_what_follows_a_delete_whose_answer_comes_twice_is_no_conflict_with_it(tmp_path):
    async with Scene(tmp_path) as s:
        s.client.delete("stays", STAY)
        await s.lose("lose_answer")
        s.client.insert("stays", {**ROW, "guest": "Grace"}, STAY)
        s.client.update("stays", STAY, {"note": "again"})
        await s.client.sync_once()
        assert s.client.refusals() == []
        assert s.server_row() == {**ROW, "guest": "Grace", "note": "again"}
        (again,), later = s.server.pushes[1].mutations, s.sent()
        assert (again.op, [(m.op, m.base, m.after) for m in later]) == (
            "delete",
            [("insert", 2, None), ("update", 2, 2)],
        )


@in_virtual_time
async def test_a_fill_cut_short_by_a_new_epoch_loses_nothing_that_waiting_writes_stand_on(tmp_path):
    async with LongScene(tmp_path) as s:
        s.server.write(("stays", OTHER, dict(ROW)))
        s.server.forget_log()
        await s.lose(None, "lose_request")
        assert "stays" in s.client.status.filling
        s.client.update("stays", LAST, {"note": "waiting"})
        s.new_epoch_after(1)
        await s.client.sync_once()
        assert [push.epoch for push in s.server.pushes] == [1, 2]
        assert s.client.refusals() == []
        assert s.server_row(LAST) == {**ROW, "note": "waiting"}


@in_virtual_time
async def test_a_base_that_an_answer_moved_during_a_fill_is_found_again_in_a_new_epoch(tmp_path):
    async with LongScene(tmp_path) as s:
        s.client.update("stays", LAST, {"note": "one"})
        await s.lose("lose_request")
        s.client.update("stays", LAST, {"guest": "two"})
        s.transport.faults = [SeraiError(Code.MUST_REFETCH)]
        s.new_epoch_after(2)
        await s.client.sync_once()
        assert [(p.epoch, [m.number for m in p.mutations]) for p in s.server.pushes] == [
            (1, [1]),
            (1, [2]),
            (2, [2]),
        ]
        assert s.client.refusals() == []
        assert s.server_row(LAST) == {**ROW, "note": "one", "guest": "two"}


@in_virtual_time
async def test_a_base_moved_by_an_answer_of_a_new_epoch_is_one_of_that_epoch(tmp_path):
    async with Scene(tmp_path) as s:
        new = s.client.insert("stays", {**ROW, "guest": "Grace"})
        await s.lose("lose_request")
        s.client.update("stays", new, {"note": "mine"})
        s.server.restore(s.server.version)
        await s.client.sync_once()
        assert s.client.refusals() == []
        assert s.server_row(new) == {**ROW, "guest": "Grace", "note": "mine"}
        assert [(m.number, m.base) for m in s.sent()] == [(2, 2)]


@in_virtual_time
async def test_what_others_changed_before_an_answer_is_not_overwritten_in_a_new_epoch(
    tmp_path,
):
    async with LongScene(tmp_path) as s:
        s.client.update("stays", LAST, {"note": "one"})
        await s.lose("lose_request")
        s.client.update("stays", LAST, {"guest": "two"})
        s.server.write(("stays", LAST, {"guest": "others"}))
        s.transport.faults = [SeraiError(Code.MUST_REFETCH)]
        s.new_epoch_after(2)
        await s.client.sync_once()
        assert [each.fields for each in s.client.refusals()] == [{"guest": "two"}]
        assert s.server_row(LAST) == {**ROW, "note": "one", "guest": "others"}
