"""The oracle: holds what was committed, what the server answers and what devices hold against the
record.

Owns the verdict of a run, each invariant at the earliest moment at which it can be seen: a
committed write when it commits (I3, I4, I10, I14), an answer when it leaves (`answers`), a device's
file after each change (`files`), everything at the end (I1, I2, I3, I14). Promises that a message
names the invariant and the row. Never changes anything, and never asks the code under test what is
right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import msgspec

from serai.client import State
from serai.client.forms import Value
from serai.core.token import TokenSealer
from serai.ports.store import Committed, MutationKey, Outcome, PlannedWrite
from serai.testing.simulation.answers import Answers
from serai.testing.simulation.device import Device
from serai.testing.simulation.effects import wrong_effect
from serai.testing.simulation.files import Files
from serai.testing.simulation.history import Change, Doc, History, RowId
from serai.testing.simulation.server import Server

_decode = msgspec.json.Decoder(Doc).decode


class Judge:
    """The oracle of one run."""

    def __init__(self, history: History, sealer: TokenSealer) -> None:
        """Start with nothing seen."""
        self.devices: dict[UUID, Device] = {}
        """By each id that they have had."""
        self._history = history
        self._trace = history.trace
        self.answers = Answers(history, sealer)
        self.files = Files(history, self.answers.tokens)

    # A committed write

    def committed(self, writes: Sequence[PlannedWrite], outcomes: Sequence[Outcome]) -> None:
        """Judge what a call of `commit` did; the history has it already."""
        for write, outcome in zip(writes, outcomes, strict=True):
            if write.org_id != self._history.org_id:
                continue
            if isinstance(outcome, Committed) and isinstance(write.once, MutationKey):
                device = self._device(write.once.device_id)
                once = write.once
                written = None if device is None else device.written(once.device_id, once.number)
                if device is None or written is None:
                    self._trace.require(None, f"I3: nobody wrote {write.once}")
                else:
                    wrong = wrong_effect(self._history, device, written, write, outcome.version)
                    name = f"{device.name}/{written.number}"
                    self._trace.require(wrong is None, f"I4: {name} {wrong}")

    def _device(self, name: UUID) -> Device | None:
        for device in list(self.devices.values()):
            if device.client is not None:
                device.renumbered()
            self.devices[device.id] = device
        return self.devices.get(name)

    # The end

    def final(self, server: Server) -> None:
        """Judge everything, half a minute after the last fault."""
        require, history = self._trace.require, self._history
        org = server.home(history.org_id)
        kept = {row: (each.version, _decode(each.doc)) for row, each in org.rows.items()}
        live = history.live_at(history.version)
        require(
            kept == {row: (each.version, each.doc) for row, each in live.items()},
            "I3: the store does not hold what was committed",
        )
        listed = {(each.device_id, each.number) for each in org.refusals}
        for device in dict.fromkeys(self.devices.values()):
            self._converged(device, live)
            self._ledger(device, listed)
        self._tills(live)

    def _converged(self, device: Device, live: dict[RowId, Change]) -> None:
        require, history = self._trace.require, self._history
        client = device.client
        assert client is not None, "everything was started"
        status = client.status
        require(status.state in (State.IDLE, State.SYNCING), f"I2: {device.name} {status}")
        require(status.pending == 0, f"I2: {device.name} has {status.pending} writes left")
        require(not status.filling, f"I2: {device.name} still fills {status.filling}")
        at_head = status.version == history.version
        require(at_head, f"I2: {device.name} is at {status.version} of {history.version}")
        self.files.look(device)
        seen = history.channels(device.user, history.version)
        expected = {
            row: (change.version, change.doc, False)
            for row, change in live.items()
            if history.channel_of(row) in seen
        }
        shown = {
            (collection.number, row.id): (row.version, dict(row.data), row.pending)
            for collection in history.vertical.collections
            for row in client.rows(collection.name)
        }
        self.files.same(device, "I1: at the end", expected, shown)

    def _ledger(self, device: Device, listed: set[tuple[UUID, int]]) -> None:
        """Judge that nothing that the app took was lost: it was carried out, or it is listed."""
        client = device.client
        assert client is not None, "everything was started"
        refused: list[tuple[str, UUID, str, dict[str, Value]]] = []
        for written in device.ledger.values():
            number, name = written.number, (written.device, written.number)
            key = MutationKey(device.user, *name)
            times = self._history.done.get(key, 0)
            due = times == 1 or (times == 0 and name in self._history.lost)
            self._trace.require(due, f"I3: {device.name}/{number} happened {times} times")
            found = self._history.writes.get(name)
            if found is not None and found[1].refusal is not None:
                there = name in listed
                self._trace.require(
                    there, f"I3: {device.name}/{number} is not listed on the server"
                )
                what = (written.collection, written.row_id, written.op, dict(written.fields))
                refused.append(what)
        told = [(e.collection, e.row_id, e.op, dict(e.fields)) for e in client.refusals()]
        listed_here, due = Counter(map(repr, [*told, *device.dealt])), Counter(map(repr, refused))
        # Of a refusal that was lost with a tail a device may have heard or not.
        self._trace.require(
            listed_here == due or self._history.lost,
            f"I3: {device.name} lists {len(told)} refusals of {len(refused)}",
        )

    def _tills(self, live: dict[RowId, Change]) -> None:
        """Judge that each payment is in its till once: the rule ran on rows that still held."""
        number, history = self._history.vertical.by_name["tills"].number, self._history
        for (collection, _), till in live.items():
            if collection == number and till.doc is not None:
                due = history.payments.at(history.version).get(till.scope, (0, 0))
                self._trace.branch("paid", due[1] > 0)
                is_ = (till.doc["payments"], till.doc["taken_minor"])
                self._trace.require(
                    is_ == due, f"I14: a till has {is_} payments and cents of {due}"
                )
