"""After any interleaving of writes, lost and doubled answers, crashes and restores, the view equals
the server.

A Hypothesis state machine drives two devices of one organisation, and other people. Owns the
promises I1, I3, I4 and I10 on the client's side. The expected rows are the fake server's; the
expected number of effects is counted there, per mutation.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from serai.client import Conditions, Link, Pace, SyncClient, Unreachable, apply, overlay
from serai.core.errors import Code, SeraiError
from unit.client.fake_server import HOSTEL, HOTEL, FakeServer
from unit.client.fake_transport import FakeTransport, Fault, VirtualLoop, open_client

DEVICES = st.integers(0, 1)
NAMES = st.sampled_from(["guest", "note", "room"])
WORDS = st.sampled_from(["a", "b", "c"])
PLACES = st.sampled_from([str(HOTEL), str(HOSTEL)])
PICKS = st.integers(0, 30)
FAULTS = st.sampled_from(["lose_request", "lose_answer", "double", "garble", None])
SMALL = Pace(fill_rows=3)


class Convergence(RuleBasedStateMachine):
    """Two devices, one server, bad luck."""

    def __init__(self) -> None:
        super().__init__()
        # In memory where the system has that: what a disk keeps is for test_kill.py to show.
        memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of its own in it
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.server = FakeServer()
        self.transports = [FakeTransport(self.server), FakeTransport(self.server)]
        self.clients: list[SyncClient] = []
        self.made = 0
        self.lost = False

    @initialize(rows=st.integers(0, 8))
    def begin(self, rows: int) -> None:
        for _ in range(rows):
            self.somebody_inserts(str(HOTEL))
        for number in range(2):
            (self.folder / str(number)).mkdir()
            self.clients.append(self.open(number))

    def open(self, number: int) -> SyncClient:
        opened = open_client(self.folder / str(number), self.transports[number], pace=SMALL)
        return self.runner.run(opened)

    def new_id(self) -> UUID:
        self.made += 1
        # Scattered over the order of ids, so that rows appear before and behind a fill's cursor.
        return UUID(int=self.made * 7919 % 10_007)

    def pick(self, ids: list[UUID], pick: int) -> UUID:
        return sorted(ids)[pick % len(ids)]

    # Other people

    @rule(place=PLACES)
    def somebody_inserts(self, place: str) -> None:
        self.server.write(
            ("stays", self.new_id(), {"property_id": place, "guest": "x", "note": "x"})
        )

    @rule(pick=PICKS, name=NAMES, word=WORDS)
    def somebody_updates(self, pick: int, name: str, word: str) -> None:
        if ids := [*self.server.docs("stays")]:
            self.server.write(("stays", self.pick(ids, pick), {name: word}))

    @rule(pick=PICKS)
    def somebody_deletes(self, pick: int) -> None:
        if ids := [*self.server.docs("stays")]:
            self.server.write(("stays", self.pick(ids, pick), None))

    @rule(one=st.booleans())
    def grants_change(self, one: bool) -> None:
        self.server.visible = {str(HOTEL)} if one else {str(HOTEL), str(HOSTEL)}

    @rule()
    def the_log_is_pruned(self) -> None:
        self.server.forget_log()

    @rule(back=st.integers(1, 5))
    def the_server_is_restored(self, back: int) -> None:
        to = max(self.server.version - back, self.server.floor)
        self.lost = self.lost or to < self.server.version
        self.server.restore(to)

    # The devices

    @rule(device=DEVICES, place=PLACES, word=WORDS)
    def device_inserts(self, device: int, place: str, word: str) -> None:
        row = {"property_id": place, "guest": word, "note": word}
        self.clients[device].insert("stays", row, self.new_id())

    @rule(device=DEVICES, pick=PICKS, name=NAMES, word=WORDS)
    def device_updates(self, device: int, pick: int, name: str, word: str) -> None:
        client = self.clients[device]
        if ids := [row.id for row in client.rows("stays")]:
            row_id = self.pick(ids, pick)
            client.update("stays", row_id, {name: word})
            shown = client.get("stays", row_id)
            assert shown is not None
            assert shown.data[name] == word

    @rule(device=DEVICES, pick=PICKS)
    def device_is_refused(self, device: int, pick: int) -> None:
        client = self.clients[device]
        if ids := [row.id for row in client.rows("stays")]:
            client.update("stays", self.pick(ids, pick), {"amount_minor": -1})

    @rule(device=DEVICES, pick=PICKS)
    def device_deletes(self, device: int, pick: int) -> None:
        client = self.clients[device]
        if ids := [row.id for row in client.rows("stays")]:
            row_id = self.pick(ids, pick)
            client.delete("stays", row_id)
            assert client.get("stays", row_id) is None

    @rule(device=DEVICES, faults=st.lists(FAULTS, max_size=4), slow=st.booleans())
    def device_syncs(self, device: int, faults: list[Fault | None], slow: bool) -> None:
        self.transports[device].faults = [*faults]
        client = self.clients[device]
        client.notice(Conditions(link=Link.SLOW if slow else Link.GOOD))
        try:
            self.runner.run(client.sync_once())
        except Unreachable:
            assert faults
        self.transports[device].faults = []

    @rule(device=DEVICES)
    def device_crashes(self, device: int) -> None:
        before = self.clients[device].status
        self.clients[device].close()
        self.clients[device] = self.open(device)
        after = self.clients[device].status
        assert (after.pending, after.refused) == (before.pending, before.refused)

    @rule(device=DEVICES)
    def device_crashes_during_a_request(self, device: int) -> None:
        client, transport = self.clients[device], self.transports[device]

        async def cut() -> None:
            syncing = asyncio.ensure_future(client.sync_once())
            transport.before_answer = syncing.cancel
            await asyncio.gather(syncing, return_exceptions=True)
            transport.before_answer = None

        self.runner.run(cut())
        client.close()
        self.clients[device] = self.open(device)

    @precondition(lambda self: self.clients)
    @rule()
    def all_heals(self) -> None:
        for client in (*self.clients, *self.clients):
            self.runner.run(client.sync_once())
        for client in self.clients:
            assert client.status.pending == 0
            assert client.status.filling == ()
            held = {row.id: dict(row.data) for row in client.rows("stays")}
            assert held == self.server.docs("stays")
            assert not any(row.pending for row in client.rows("stays"))
            assert client.count("stays") == len(held)

    @invariant()
    def each_mutation_has_one_effect(self) -> None:
        if not self.lost:
            assert set(Counter(self.server.applied).values()) <= {1}

    @invariant()
    def the_overlay_is_the_replay_of_the_queue(self) -> None:
        for client in self.clients:
            file = client._file
            keys = [(n, i) for n in (1, 2) for i in apply.overlaid(file, n)]
            waiting = file.select("select distinct collection, id from mutation", ()).fetchall()
            assert set(keys) == set(waiting)
            for key in keys:
                writes = apply.writes_of(file, key)
                expected = overlay.shown(apply.server_row(file, key), writes)
                row = client.get("stays", UUID(key[1]))
                assert (row is None) == (expected is None)
                assert writes

    @invariant()
    def numbers_have_no_gaps(self) -> None:
        for client in self.clients:
            numbers = [m[0] for m in client._file.run("queue_head", 1000).fetchall()]
            following = client._file.meta_number("next_number")
            assert numbers == [*range(following - len(numbers), following)] or not numbers

    def teardown(self) -> None:
        if self.clients:
            self.all_heals()
        for client in self.clients:
            client.close()
        self.runner.close()
        shutil.rmtree(self.folder)


TestConvergence = Convergence.TestCase
TestConvergence.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_server_that_never_stops_refusing_is_not_hammered(tmp_path):
    server = FakeServer()
    transport = FakeTransport(server)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        client = runner.run(open_client(tmp_path, transport))
        client.insert("stays", {"property_id": str(HOTEL)})
        transport.faults = [SeraiError(Code.DEVICE_UNKNOWN) for _ in range(50)]
        with pytest.raises(SeraiError, match="another user"):
            runner.run(client.sync_once())
        assert len(transport.sent) == 4
        assert client.status.pending == 1
        client.close()
