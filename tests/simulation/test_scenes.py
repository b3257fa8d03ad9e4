"""Scenes that luck reaches once in thousands of seeds, played on purpose.

Owns scripts of the simulation: a place given to a user and taken while pages are on their way, rows
that change between the two reads of one page, a restore while writes wait. The oracle judges them
as it judges seeds; what a device must show at the end is written by hand.
"""

from __future__ import annotations

from uuid import UUID

from simulation.stage import HERE, KEY, STAY, THERE, Stage, played
from unit.client.fake_transport import passed

BOTH = (("manager", HERE), ("manager", THERE))
ONE = (("manager", HERE),)


def taken(stage: Stage) -> list[object]:
    """Return what A sees in the tills, in order of the places."""
    return [row.data["taken_minor"] for row in stage.a.rows("tills")]


async def stays(stage: Stage) -> None:
    """Write one more stay into the second place."""
    number = 0x7000 + stage.world._history.version
    fields = {"property_id": str(THERE), "room": "b", "paid": 0, "guest_id": None}
    await stage.office.write(("stays", "insert", UUID(int=number), {**fields}))


def test_a_till_that_changes_while_a_regained_place_is_filled_comes_with_the_next_page():
    """The device died before the app had seen that the place was lost."""

    async def script(stage: Stage):
        await stage.roles(stage.a, *BOTH)
        await stage.in_step()
        await stage.roles(stage.a, *ONE)
        stage.dies_when_answered(stage.a)
        stage.a.ask()
        await passed(3.0)
        assert stage.a.client is None
        await stage.roles(stage.a, *BOTH)
        stage.before("snapshot_page", stage.pay)
        await stage.a.start()
        await stage.in_step()
        assert taken(stage) == [0, 4]

    result = played(script)
    assert not result.broken, result.report()


def test_a_till_that_changes_during_a_fill_from_the_start_comes_with_the_next_page():
    async def script(stage: Stage):
        await stage.roles(stage.a, *BOTH)
        await stage.in_step()
        stage.b.stop()
        stage.office.restore()
        stage.before("snapshot_page", stage.pay)
        stage.a.ask()
        await stage.in_step()
        assert taken(stage) == [0, 4]

    result = played(script)
    assert not result.broken, result.report()


def test_a_place_given_between_a_pulls_check_of_rights_and_its_rows_is_filled_at_once():
    async def script(stage: Stage):
        stage.b.stop()

        async def give() -> None:
            await stage.roles(stage.a, *BOTH)

        stage.before("head", give)
        stage.a.ask()
        await passed(1.0)
        assert taken(stage) == [0, 0]

    result = played(script)
    assert not result.broken, result.report()


def test_a_place_taken_between_the_two_reads_of_its_fill_leaves_with_the_next_page():
    async def script(stage: Stage):
        stage.b.stop()
        await stage.roles(stage.a, *BOTH)

        async def take() -> None:
            await stage.roles(stage.a, *ONE)
            await stage.pay()

        stage.before("snapshot_page", take)
        stage.a.ask()
        await stage.in_step()
        assert taken(stage) == [0]
        assert not [row for row in stage.a.rows("stays") if row.id == STAY]

    result = played(script)
    assert not result.broken, result.report()


def test_a_gained_place_is_filled_row_by_row_while_its_rows_change_before_every_page():
    async def script(stage: Stage):
        stage.b.stop()
        stage.a.link.rows = 1
        stage.scan(1)
        await stage.roles(stage.a, *BOTH)

        async def change() -> None:
            await stays(stage)
            await stage.office.write(("stays", "update", STAY, {"room": "c"}))

        stage.before("snapshot_page", change, times=6)
        stage.before("log_page", stage.pay, times=3)
        stage.a.ask()
        await passed(20.0)
        assert taken(stage) == [0, 4]
        assert len(stage.a.rows("stays")) == len(stage.office._live("stays"))

    result = played(script)
    assert not result.broken, result.report()
    assert result.counts["branch:page_of_log"] > 0


def test_a_gained_place_whose_page_is_lost_is_taken_and_given_again():
    async def script(stage: Stage):
        stage.b.stop()
        stage.deaf(stage.a, lost=True)
        await stage.roles(stage.a, *BOTH)
        stage.before("snapshot_page", stage.pay)
        stage.a.ask()
        await passed(2.0)
        assert taken(stage) == [0]
        await stage.roles(stage.a, *ONE)
        await stays(stage)
        await passed(10.0)
        await stage.roles(stage.a, *BOTH)
        stage.deaf(stage.a, lost=False)
        await passed(40.0)
        assert taken(stage) == [0, 4]

    result = played(script)
    assert not result.broken, result.report()
    assert result.counts["fault:lose_reply"] > 1


def test_a_row_left_out_of_a_fill_is_not_missed_when_the_horizon_passes_it():
    async def script(stage: Stage):
        stage.b.stop()
        await stage.roles(stage.a, *BOTH)

        async def pay_and_go() -> None:
            await stage.pay()
            stage.a.link.moment = deafen

        def deafen(where: str) -> None:
            if where == "answered":
                stage.a.link.cut = True

        stage.before("snapshot_page", pay_and_go)
        stage.a.ask()
        await passed(2.0)
        assert taken(stage) == [0]
        stage.office.forget()
        stage.a.link.moment = lambda _: None
        stage.a.link.cut = False
        await passed(60.0)
        assert taken(stage) == [0, 4]

    result = played(script)
    assert not result.broken, result.report()
    assert result.counts["branch:must_refetch"] > 0


def test_a_waiting_write_stands_on_a_row_that_others_changed_and_changed_back_in_a_new_epoch():
    """The user saw number 7 and the row says 7: nothing that they had not seen is lost."""

    async def script(stage: Stage):
        stage.b.link.cut = True
        stage.b.update("keys", KEY, {"number": 1})
        stage.office.restore()
        await stage.office.write(("keys", "update", KEY, {"number": 5}))
        await stage.office.write(("keys", "update", KEY, {"number": 7}))
        stage.b.link.cut = False
        await passed(60.0)
        (key,) = stage.b.rows("keys")
        assert (key.data["number"], key.pending) == (1, False)

    result = played(script)
    assert not result.broken, result.report()


def test_a_waiting_write_on_a_row_that_others_changed_for_good_in_a_new_epoch_is_refused():
    async def script(stage: Stage):
        stage.b.link.cut = True
        stage.b.update("keys", KEY, {"number": 1})
        stage.office.restore()
        await stage.office.write(("keys", "update", KEY, {"number": 5}))
        stage.b.link.cut = False
        await passed(60.0)
        (key,) = stage.b.rows("keys")
        assert (key.data["number"], key.pending) == (5, False)

    result = played(script)
    assert not result.broken, result.report()
    assert result.counts["branch:conflict"] == 1


def test_a_device_that_no_doorbell_reaches_is_in_step_by_its_own_pulls():
    async def script(stage: Stage):
        stage.no_bell(stage.a)
        await stage.office.write(("keys", "update", KEY, {"number": 5}))
        await passed(5.0)
        assert [row.data["number"] for row in stage.b.rows("keys")] == [5]
        assert [row.data["number"] for row in stage.a.rows("keys")] == [7]
        await passed(20.0)
        assert [row.data["number"] for row in stage.a.rows("keys")] == [5]

    result = played(script)
    assert not result.broken, result.report()
    assert result.counts["fault:lose_doorbell"] == 1
