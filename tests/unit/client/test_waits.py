"""Waits that a person would notice: a dead connection, a long backoff from the pocket, a slow line.

Each scene runs in virtual time. Expected seconds are written by hand.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from serai.client import Conditions, State, Unreachable
from serai.core.errors import Code, SeraiError
from unit.client.fake_server import HOTEL
from unit.client.fake_transport import in_virtual_time, passed
from unit.client.phone import PACE, STAY, a_phone

POCKET = Conditions(charging=False, battery_percent=90, foreground=False)


@in_virtual_time
async def test_a_new_network_does_not_wait_for_the_request_that_died_with_the_old_one(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.requesting()
        phone.client.network(online=False)
        await passed(1.0)
        phone.client.update("stays", STAY, {"note": "from the cellar"})
        phone.client.network(online=True)
        await passed(1.0)
        assert phone.server.docs("stays")[STAY]["note"] == "from the cellar"
        assert phone.client.status.state is State.IDLE
        assert phone.client.status.error is None


@in_virtual_time
async def test_a_network_that_is_lost_and_found_at_once_costs_less_than_a_second(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.requesting()
        phone.client.update("stays", STAY, {"note": "paid"})
        phone.client.network(online=False)
        phone.client.network(online=True)
        await passed(1.0)
        assert phone.server.docs("stays")[STAY]["note"] == "paid"
        assert len(phone.server.applied) == 1


@in_virtual_time
async def test_an_app_that_is_opened_does_not_sit_out_a_wait_of_the_pocket(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.in_step()
        phone.client.notice(POCKET)
        phone.transport.down = True
        phone.client.wake()
        await passed(3600.0)
        assert phone.state is State.OPEN
        phone.transport.down = False
        phone.server.write(("stays", STAY, {"note": "news"}))
        phone.client.notice(Conditions(foreground=True))
        await passed(PACE.backoff_max + 1.0)
        assert phone.shown().data["note"] == "news"


@in_virtual_time
async def test_nor_does_opening_it_undercut_what_the_server_asked(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.in_step()
        phone.client.notice(POCKET)
        phone.transport.faults = [SeraiError(Code.OVERLOADED, retry_after_seconds=100)]
        phone.client.wake()
        await passed(1.0)
        assert phone.state is State.WAITING
        sent = len(phone.transport.sent)
        phone.client.notice(Conditions(foreground=True))
        await passed(98.0)
        assert len(phone.transport.sent) == sent
        await passed(2.0)
        assert len(phone.transport.sent) == sent + 1


@in_virtual_time
async def test_a_batch_of_long_notes_gets_the_time_that_a_slow_line_needs(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.client.sync_once()
        for number in range(32):
            note = {"property_id": str(HOTEL), "note": "x" * 64_000}
            phone.client.insert("stays", note, UUID(int=100 + number))
        started = phone.transport.at[-1]
        phone.transport.faults = ["hang"]
        with pytest.raises(Unreachable):
            await phone.client.sync_once()
        await phone.client.sync_once()
        # Two megabytes at 1 KiB a second are 2,000 seconds, on top of the 60 of any request.
        waited = phone.transport.at[-1] - started
        assert 2_050 < waited < 2_070
        assert len(phone.server.applied) == 32


@in_virtual_time
async def test_a_request_of_a_few_bytes_is_given_up_after_a_minute(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.client.sync_once()
        phone.client.update("stays", STAY, {"note": "short"})
        started = phone.transport.at[-1]
        phone.transport.faults = ["hang"]
        with pytest.raises(Unreachable):
            await phone.client.sync_once()
        await phone.client.sync_once()
        assert 59 < phone.transport.at[-1] - started < 62


@in_virtual_time
async def test_a_line_that_never_holds_for_a_large_page_still_brings_everything(tmp_path):
    async with a_phone(tmp_path) as phone:
        for number in range(2, 1_002):
            phone.server.write(("stays", UUID(int=number), {"property_id": str(HOTEL)}))
        pull = phone.server.pull
        cuts = 0

        def at_most_a_hundred_rows(request):
            nonlocal cuts
            answer = pull(request)
            if sum(len(part["changes"]) for part in answer["collections"]) > 100:
                cuts += 1
                raise Unreachable("The line was cut.")
            return answer

        phone.server.pull = at_most_a_hundred_rows
        phone.start()
        await passed(600.0)
        assert phone.client.count("stays") == 1_001
        assert phone.state is State.IDLE
        assert cuts >= 5


@in_virtual_time
async def test_a_server_that_calls_every_number_used_is_not_hammered(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.client.sync_once()
        phone.client.update("stays", STAY, {"note": "paid"})
        push = phone.server.push

        def always_used(request):
            answer = push(request)
            for result in answer["results"]:
                result.update(status="rejected", code="key_reused")
            return answer

        phone.server.push = always_used
        sent = len(phone.transport.sent)
        with pytest.raises(Unreachable):
            await phone.client.sync_once()
        assert len(phone.transport.sent) - sent == 4
        assert phone.client.status.pending == 1


@in_virtual_time
async def test_a_clock_that_jumps_back_changes_no_order_and_no_wait(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.in_step()
        phone.client.network(online=False)
        for number in range(5):
            phone.client._clock = Backwards(number)
            phone.client.update("stays", STAY, {"note": f"{number}"})
        phone.client._engine._world = type(phone.client._engine._world)(
            Backwards(9), phone.client._engine._world.random, phone.client._engine._world.new_id
        )
        phone.client.network(online=True)
        await passed(1.0)
        assert phone.server.docs("stays")[STAY]["note"] == "4"
        assert phone.client.status.last_sync == "2020-12-23T00:00:00.000000Z"
        phone.server.write(("stays", STAY, {"note": "later"}))
        await passed(21.0)
        assert phone.shown().data["note"] == "later"


class Backwards:
    """A clock that says an earlier day each time it is set."""

    def __init__(self, days: int) -> None:
        self.days = days

    def now(self) -> datetime:
        return datetime(2021, 1, 1, tzinfo=UTC) - timedelta(days=self.days)
