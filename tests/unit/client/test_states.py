"""Each line of the client's own state table, shown on a client that runs in virtual time.

`protocol/SPEC.md` names the test of each line; `test_spec.py` holds the two together. Lines of
collections and mutations are in `test_states_of_rows.py`.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from serai.client import Conditions, State, Unreachable
from serai.client.states import CLIENT, COLLECTION, MUTATION, Event, Fate, Fill, Page, Verdict, step
from serai.core.errors import Code, SeraiError
from unit.client.fake_server import HOTEL
from unit.client.fake_transport import in_virtual_time, passed
from unit.client.phone import PACE, STAY, Phone, a_phone


@in_virtual_time
async def test_an_idle_client_syncs_when_it_wakes(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.in_step()
        phone.server.write(("stays", STAY, {"note": "early"}))
        phone.client.wake()
        await passed(1.0)
        assert phone.shown().data["note"] == "early"


@in_virtual_time
async def test_a_write_in_the_foreground_is_sent_at_once(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.in_step()
        phone.client.update("stays", STAY, {"note": "paid"})
        await passed(1.0)
        assert phone.server.docs("stays")[STAY]["note"] == "paid"


@in_virtual_time
async def test_a_doorbell_during_a_request_is_not_forgotten(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.in_step()

        def others_write_after_the_page_was_made() -> None:
            phone.transport.before_answer = None
            phone.server.write(("stays", STAY, {"note": "rung"}))
            phone.client.wake()

        phone.transport.before_answer = others_write_after_the_page_was_made
        phone.client.wake()
        await passed(1.0)
        assert phone.shown().data["note"] == "rung"


@in_virtual_time
async def test_a_person_who_asks_for_a_sync_gets_one(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.client.sync_once()
        phone.server.write(("stays", STAY, {"note": "early"}))
        await phone.client.sync_once()
        assert phone.shown().data["note"] == "early"
        assert phone.state is State.IDLE


@in_virtual_time
async def test_an_idle_client_without_network_sends_nothing(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.in_step()
        phone.client.network(online=False)
        assert phone.state is State.OFFLINE
        sent = len(phone.transport.sent)
        await passed(3600.0)
        assert len(phone.transport.sent) == sent


@in_virtual_time
async def test_pages_follow_each_other_without_a_pause(tmp_path):
    async with a_phone(tmp_path) as phone:
        for number in range(2, 502):
            phone.server.write(("stays", UUID(int=number), {"property_id": str(HOTEL)}))
        await phone.in_step()
        for number in range(2, 502):
            phone.server.write(("stays", UUID(int=number), {"note": "checked"}))
        phone.client.wake()
        await passed(1.0)
        assert phone.client.count("stays", "data ->> 'note' = 'checked'") == 500
        assert phone.state is State.IDLE


@in_virtual_time
async def test_a_failed_request_is_repeated_after_a_short_wait(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.in_step()
        phone.server.write(("stays", STAY, {"note": "early"}))
        phone.transport.faults = ["lose_answer"]
        phone.client.wake()
        await passed(0.001)
        assert phone.state is State.WAITING
        await passed(1.0)
        assert phone.state is State.IDLE
        assert phone.shown().data["note"] == "early"


@in_virtual_time
async def test_an_answer_that_never_comes_counts_as_a_failure(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.requesting()
        await passed(PACE.request_timeout - 0.999)
        assert str(phone.client.status.error) == "No answer came in time."
        await passed(1.0)
        assert phone.state is State.IDLE


@in_virtual_time
async def test_a_page_of_a_hotel_wifi_is_no_answer(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.client.sync_once()
        phone.client.update("stays", STAY, {"note": "paid"})
        for _ in range(2):
            phone.transport.faults = ["garble"]
            with pytest.raises(Unreachable):
                await phone.client.sync_once()
        assert phone.client.status.pending == 1
        await phone.client.sync_once()
        assert phone.server.docs("stays")[STAY]["note"] == "paid"
        assert len(phone.server.applied) == 1


@in_virtual_time
async def test_many_failures_open_the_circuit(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.in_step()
        phone.transport.down = True
        sent = len(phone.transport.sent)
        phone.client.wake()
        await passed(8.0)
        assert phone.state is State.OPEN
        assert len(phone.transport.sent) - sent == PACE.failures_to_open
        with pytest.raises(Unreachable):
            await phone.client.sync_once()


@in_virtual_time
async def test_retry_after_is_waited_for(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.waiting()
        sent = len(phone.transport.sent)
        await passed(98.0)
        assert len(phone.transport.sent) == sent
        await passed(2.0)
        assert len(phone.transport.sent) == sent + 1
        assert phone.state is State.IDLE


@in_virtual_time
async def test_a_refusal_for_good_halts_and_keeps_everything(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.halted()
        sent = len(phone.transport.sent)
        phone.client.update("stays", STAY, {"note": "offline"})
        await passed(7200.0)
        assert len(phone.transport.sent) == sent
        assert phone.client.status.pending == 1
        assert phone.shown().data["note"] == "offline"


@in_virtual_time
async def test_the_network_goes_during_a_request(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.requesting()
        phone.client.network(online=False)
        await passed(300.0)
        assert phone.state is State.OFFLINE
        assert phone.client.status.version == 1


@in_virtual_time
async def test_a_person_does_not_wait_for_the_backoff(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.waiting()
        await phone.client.sync_once()
        assert phone.state is State.IDLE


@in_virtual_time
async def test_a_new_network_ends_the_wait(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.waiting()
        phone.client.network(online=True)
        await passed(1.0)
        assert phone.state is State.IDLE


@in_virtual_time
async def test_the_network_goes_during_a_wait(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.waiting()
        phone.client.network(online=False)
        assert phone.state is State.OFFLINE


@in_virtual_time
async def test_an_open_circuit_is_probed_with_one_request(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.broken()
        sent = len(phone.transport.sent)
        await passed(20.0)
        assert 1 <= len(phone.transport.sent) - sent <= 2
        assert phone.state is State.OPEN
        phone.transport.down = False
        await passed(20.0)
        assert phone.state is State.IDLE


@in_virtual_time
async def test_a_probe_that_is_answered_goes_on_with_the_rest(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.broken()
        for number in range(2, 302):
            phone.server.write(("stays", UUID(int=number), {"property_id": str(HOTEL)}))
        phone.transport.down = False
        phone.client.ask()
        assert phone.state is State.PROBING
        await passed(1.0)
        assert phone.state is State.IDLE
        assert phone.client.count("stays") == 301


@in_virtual_time
async def test_a_person_probes_an_open_circuit(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.broken()
        phone.transport.down = False
        await phone.client.sync_once()
        assert phone.state is State.IDLE


@in_virtual_time
async def test_a_new_network_probes_an_open_circuit(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.broken()
        phone.transport.down = False
        phone.client.network(online=True)
        assert phone.state is State.PROBING
        await passed(1.0)
        assert phone.state is State.IDLE


@in_virtual_time
async def test_the_network_goes_while_the_circuit_is_open(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.broken()
        phone.client.network(online=False)
        assert phone.state is State.OFFLINE


@in_virtual_time
async def test_a_probe_that_is_refused_halts(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.broken()
        phone.transport.down = False
        phone.transport.faults = [SeraiError(Code.FORBIDDEN)]
        with pytest.raises(SeraiError, match="role"):
            await phone.client.sync_once()
        assert phone.state is State.HALTED


@in_virtual_time
async def test_the_network_goes_during_a_probe(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.broken()
        phone.transport.down = False
        phone.transport.faults = ["hang"]
        phone.client.ask()
        await passed(1.0)
        assert phone.state is State.PROBING
        phone.client.network(online=False)
        assert phone.state is State.OFFLINE


@in_virtual_time
async def test_back_online_the_queue_is_sent(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.in_step()
        phone.client.network(online=False)
        phone.client.update("stays", STAY, {"note": "from the cellar"})
        with pytest.raises(Unreachable):
            await phone.client.sync_once()
        phone.client.network(online=True)
        await passed(1.0)
        assert phone.server.docs("stays")[STAY]["note"] == "from the cellar"


@in_virtual_time
async def test_signing_in_again_ends_a_halt(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.halted()
        phone.client.update("stays", STAY, {"note": "kept"})
        phone.client.ask()
        await passed(1.0)
        assert phone.state is State.IDLE
        assert phone.server.docs("stays")[STAY]["note"] == "kept"


SITUATIONS = [Phone.in_step, Phone.requesting, Phone.waiting, Phone.broken, Phone.halted]


@pytest.mark.parametrize("situation", SITUATIONS)
@in_virtual_time
async def test_closing_ends_the_run_in_every_state(tmp_path, situation):
    async with a_phone(tmp_path) as phone:
        await situation(phone)
        assert phone.running is not None
        phone.client.close()
        phone.transport.down = True
        await asyncio.wait_for(phone.running, PACE.request_timeout + 1)
    assert all(step(CLIENT, state, Event.CLOSE) is State.CLOSED for state in State)


@in_virtual_time
async def test_after_faults_heal_a_client_is_at_the_head_within_30_seconds(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.broken()
        phone.client.update("stays", STAY, {"note": "healed"})
        await passed(600.0)
        phone.server.write(("stays", UUID(int=2), {"property_id": str(HOTEL)}))
        phone.transport.down = False
        await passed(30.0)
        assert phone.server.docs("stays")[STAY]["note"] == "healed"
        assert phone.client.get("stays", UUID(int=2)) is not None


@in_virtual_time
async def test_in_the_background_the_battery_sets_the_interval(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.in_step()
        away = Conditions(charging=False, battery_percent=40, foreground=False)
        phone.client.notice(away)
        phone.client.update("stays", STAY, {"note": "later"})
        await passed(29 * 60.0)
        assert phone.client.status.pending == 1
        await passed(60.0)
        assert phone.client.status.pending == 0
        phone.server.write(("stays", STAY, {"note": "opened"}))
        phone.client.notice(Conditions(foreground=True))
        await passed(1.0)
        assert phone.shown().data["note"] == "opened"


@in_virtual_time
async def test_nothing_new_costs_no_body(tmp_path):
    async with a_phone(tmp_path) as phone:
        await phone.in_step()
        await passed(61.0)
        assert phone.transport.unchanged >= 3
        assert phone.state is State.IDLE


# The tables


def test_a_pair_that_is_in_no_table_changes_nothing():
    for state in State:
        for event in Event:
            expected = CLIENT.get((state, event), state)
            assert step(CLIENT, state, event) is expected
    assert step(CLIENT, State.CLOSED, Event.ASKED) is State.CLOSED
    assert step(CLIENT, State.WAITING, Event.WAKE) is State.WAITING
    assert step(COLLECTION, Fill.EMPTY, Page.REFETCH) is Fill.EMPTY
    assert step(MUTATION, Fate.GONE, Verdict.APPLIED) is Fate.GONE


def test_every_state_can_be_left_and_reached():
    assert {state for state, _ in CLIENT} | {State.CLOSED} == set(State)
    assert set(CLIENT.values()) == set(State)
    assert {state for state, _ in COLLECTION} == set(Fill)
    assert set(MUTATION.values()) | {Fate.QUEUED} == set(Fate)
