"""A device of a run: the client that ships, its file, its user, and what happens to all three.

Owns one device's life: it opens its file, runs, is written to, dies, and opens its file again.
Promises that a death loses everything but the file: the connection is closed before the client's
tasks are cancelled, so no handler can still write. Keeps the ledger of what its user wrote, which
is what the server's record is held against. Never decides when anything happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from uuid import UUID

from serai.client import Conditions, Pace, Row, SyncClient
from serai.client import Link as Carrier
from serai.client.engine import Engine
from serai.client.file import DeviceFile
from serai.client.forms import Op, Value
from serai.client.states import CLIENT, Event, State
from serai.testing.simulation.coverage import client_branch
from serai.testing.simulation.hotel import COLLECTIONS
from serai.testing.simulation.loop import VirtualClock
from serai.testing.simulation.network import Link
from serai.testing.simulation.trace import Trace
from serai.testing.simulation.weather import SILENCE_SECONDS

DEAD_SECONDS_MAX = 6.0


@dataclass(frozen=True, slots=True)
class Written:
    """One write of the user, as the app took it.

    Attributes:
        device, number: under which it is sent; both change when the queue is numbered anew.
        seq: its place among all writes of the device, for good.
        base: the version of the server's row that the user saw.
        epoch: that the device knew.
    """

    device: UUID
    number: int
    seq: int
    epoch: int
    collection: str
    row_id: UUID
    op: Op
    fields: Mapping[str, Value]
    base: int


class Device:
    """One device.

    Attributes:
        ledger: what the app was told is on disk, by its place.
        last_of_row: the last of them for each row.
        dealt: refused writes that the user has dismissed or sent again.
        crash: the chance to die at each moment that the network tells of.
    """

    def __init__(
        self,
        name: str,
        user: UUID,
        path: Path,
        link: Link,
        trace: Trace,
        random: Random,
        look: Callable[[Device], None],
    ) -> None:
        """Make a device that is switched off; `look` is called after each change of its file."""
        self.name = name
        self.user = user
        self.link = link
        self.id = UUID(int=random.getrandbits(128))
        self.ledger: dict[int, Written] = {}
        self.last_of_row: dict[tuple[str, UUID], Written] = {}
        self.dealt: list[tuple[str, UUID, Op, dict[str, Value]]] = []
        self.crash = 0.0
        self.clock = VirtualClock(asyncio.get_running_loop())
        self._path = path
        self._trace = trace
        self._random = random
        self._look = look
        self._client: SyncClient | None = None
        self._running: asyncio.Task[None] | None = None
        self._pace = Pace(
            fill_rows=random.choice((2, 5, 100)),
            request_timeout=SILENCE_SECONDS,
            foreground_poll=20.0,
        )
        link.moment = self._moment

    @property
    def client(self) -> SyncClient | None:
        """The client, None while the device is off."""
        return self._client

    @property
    def halted(self) -> bool:
        """Whether only a person can get the client going again."""
        return self._client is not None and _engine(self._client).state is State.HALTED

    async def start(self) -> None:
        """Open the file and run."""
        if self._client is not None:
            return
        client = await SyncClient.open(
            self._path,
            transport=self.link,
            collections=COLLECTIONS,
            device=self.id,
            pace=self._pace,
            clock=self.clock,
            random=self._random,
            new_id=self._new_id,
        )
        self._client = client
        self._spy(client)
        client.listen(lambda _: self._looked(client))
        status = client.status
        self._trace.note(self.name, f"on, {status.pending} pending, {status.refused} refused")
        slow = Carrier.SLOW if self._random.random() < 0.3 else Carrier.GOOD
        client.notice(Conditions(link=slow))
        running = asyncio.get_running_loop().create_task(client.run())
        running.add_done_callback(self._ended)
        self._running = running

    def _spy(self, client: SyncClient) -> None:
        """Count the transitions of the client."""
        engine = _engine(client)
        tell = engine.tell

        def told(event: Event) -> None:
            if (engine.state, event) in CLIENT:
                self._trace.branch(client_branch(engine.state, event))
            tell(event)

        engine.tell = told

    def _looked(self, client: SyncClient) -> None:
        if client is self._client:
            self._look(self)

    def stop(self) -> None:
        """Die."""
        client, running = self._client, self._running
        if client is None or running is None:
            return
        # What it has sent under a new id may be carried out while it is off.
        self.renumbered()
        self._client = self._running = None
        client.close()
        running.cancel()

    def doorbell(self) -> None:
        """Hear that there is something new."""
        if self._client is not None:
            self._client.wake()

    def insert(
        self, collection: str, fields: Mapping[str, Value], again: UUID | None = None
    ) -> UUID:
        """Write a new row; `again`: under this id."""
        client = self._on()
        row_id = client.insert(collection, fields, again)
        self._wrote(collection, row_id, "insert", fields)
        return row_id

    def update(self, collection: str, row_id: UUID, fields: Mapping[str, Value]) -> None:
        """Change a row."""
        self._on().update(collection, row_id, fields)
        self._wrote(collection, row_id, "update", fields)

    def delete(self, collection: str, row_id: UUID) -> None:
        """Delete a row."""
        self._on().delete(collection, row_id)
        self._wrote(collection, row_id, "delete", {})

    def deal(self, *, retry: bool) -> None:
        """Deal with the oldest refused write: send it again, or forget it."""
        client = self._on()
        found = client.refusals()
        if not found:
            return
        each = found[0]
        exists = client.get(each.collection, each.row_id) is not None
        if retry and exists is (each.op != "insert"):
            client.retry(each.id)
            self._trace.branch("retried")
            self._wrote(each.collection, each.row_id, each.op, each.fields)
        else:
            client.dismiss(each.id)
            self._trace.branch("dismissed")
        self.dealt.append((each.collection, each.row_id, each.op, dict(each.fields)))

    def network(self, *, online: bool) -> None:
        """Notice that the network has gone, or is back."""
        if self._client is not None:
            self._client.network(online=online)

    def ask(self) -> None:
        """Ask for a sync, as a person does."""
        if self._client is not None:
            self._client.ask()

    def background(self, *, hidden: bool) -> None:
        """Put the app away, or open it."""
        if self._client is not None:
            self._client.notice(Conditions(foreground=not hidden))

    def rows(self, collection: str) -> list[Row]:
        """Return what the app shows."""
        return self._on().rows(collection)

    def last_written(self, collection: str) -> UUID | None:
        """Return the row of a collection that the user wrote last."""
        written = (each for each in reversed(self.ledger.values()))
        return next((each.row_id for each in written if each.collection == collection), None)

    def file(self) -> DeviceFile:
        """Return the file below the view, for the oracle."""
        return self._on()._file  # noqa: SLF001 - # pyright: ignore[reportPrivateUsage] - the oracle looks below the view

    def _on(self) -> SyncClient:
        assert self._client is not None, f"{self.name} is off"
        return self._client

    def _wrote(self, collection: str, row_id: UUID, op: Op, fields: Mapping[str, Value]) -> None:
        found = (
            self.file()
            .select("select seq, number, base from mutation order by seq desc limit 1", ())
            .fetchone()
        )
        seq, number, base = found
        self.renumbered()
        self._trace.require(seq not in self.ledger, f"place {seq} was given twice")
        epoch = self.file().meta_number("epoch")
        written = Written(self.id, number, seq, epoch, collection, row_id, op, dict(fields), base)
        self.ledger[seq] = self.last_of_row[collection, row_id] = written
        what = " ".join(f"{name}={value}" for name, value in fields.items())
        self._trace.note(
            self.name, f"writes {number}: {op} {collection} {row_id.int % 10_000} on {base} {what}"
        )

    def renumbered(self) -> None:
        """Notice that the queue has been numbered anew, under another id of the device."""
        name = UUID(self.file().meta("device") or "")
        if name == self.id:
            return
        self.id = name
        waiting = self.file().select("select seq, number from mutation where version = 0", ())
        for seq, number in waiting.fetchall():
            before = self.ledger.get(seq)
            if before is not None:
                written = replace(before, device=name, number=number)
                self.ledger[seq] = written
                if self.last_of_row[before.collection, before.row_id] is before:
                    self.last_of_row[before.collection, before.row_id] = written

    def written(self, device: UUID, number: int) -> Written | None:
        """Return what was sent under a number."""
        found = (each for each in self.ledger.values() if each.number == number)
        return next((each for each in found if each.device == device), None)

    def _moment(self, where: str) -> None:
        """Perhaps die here, with the same chance at each await of an exchange."""
        if self._client is None or self._random.random() >= self.crash:
            return
        self._trace.fault(self.name, f"crash_{where}")
        loop = asyncio.get_running_loop()
        loop.call_soon(self.stop)
        loop.call_later(self._random.random() * DEAD_SECONDS_MAX, self.revive)

    def revive(self) -> None:
        """Start again, if it is off."""
        task = asyncio.get_running_loop().create_task(self.start())
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._trace.require(promise=False, message=f"{self.name} failed: {task.exception()!r}")

    def _new_id(self) -> UUID:
        # Scattered, so that rows appear before and behind the cursor of a fill.
        return UUID(int=self._random.getrandbits(120))


def _engine(client: SyncClient) -> Engine:
    return client._engine  # noqa: SLF001 - # pyright: ignore[reportPrivateUsage] - the simulation looks at and counts what happens inside
