"""A device's file is restored from an old copy of itself, over a bad network, in virtual time.

Owns lives of one device that the seeds of the simulation do not have: its file is copied, used on,
lost, and the copy is used after it, when the server may have dropped its replies. Client, HTTP and
write path are those that ship. Promises that each write of the restored file has its one effect,
and that nothing that was answered before is gone. Never looks at what the lost file alone knew.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from random import Random
from uuid import UUID

from serai.adapters.memory import MemoryStore
from serai.client import Pace, SyncClient
from serai.model.fields import Value
from serai.testing.simulation.callers import ORG
from serai.testing.simulation.history import History
from serai.testing.simulation.hotel import COLLECTIONS, HOTEL
from serai.testing.simulation.loop import VirtualClock, run
from serai.testing.simulation.network import Link
from serai.testing.simulation.office import Office
from serai.testing.simulation.result import scratch
from serai.testing.simulation.server import Exchange, Server, Setting
from serai.testing.simulation.trace import Trace
from serai.testing.simulation.weather import CALM, draw

USER, DEVICE = UUID(int=0xA0), UUID(int=0xD0)
GUESTS = HOTEL.by_name["guests"].number
SEEDS = 60
HEALED_SECONDS = 90.0


@dataclass
class Life:
    """One device, its server and its user.

    `names`, `notes`: what was written, by row.
    """

    random: Random
    history: History
    server: Server
    link: Link
    names: dict[UUID, str] = field(default_factory=dict)
    notes: list[tuple[UUID, str]] = field(default_factory=list)
    devices: set[str] = field(default_factory=set)
    words: int = 0

    @asynccontextmanager
    async def on(self, path: Path):
        """Switch the device on with this file; it dies at the end."""
        client = await SyncClient.open(
            path,
            transport=self.link,
            collections=COLLECTIONS,
            device=DEVICE,
            pace=Pace(request_timeout=8.0),
            clock=VirtualClock(asyncio.get_running_loop()),
            random=self.random,
            new_id=lambda: UUID(int=self.random.getrandbits(120)),
        )
        running = asyncio.create_task(client.run())
        try:
            yield client
        finally:
            self.devices.add(client._file.meta("device") or "")
            client.close()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def writes(self, client: SyncClient, most: int) -> None:
        """Write a few rows, with pauses."""
        for _ in range(self.random.randint(1, most)):
            self.words += 1
            mine = [row.id for row in client.rows("guests") if row.id in self.names]
            if mine and self.random.random() < 0.4:
                row_id = self.random.choice(mine)
                client.update("guests", row_id, {"note": f"note {self.words}"})
                self.notes.append((row_id, f"note {self.words}"))
            else:
                row_id = client.insert("guests", {"name": f"name {self.words}"})
                self.names[row_id] = f"name {self.words}"
            await asyncio.sleep(self.random.choice((0.0, 0.0, 1.0, 5.0)))

    def lost(self, names: dict[UUID, str], notes: list[tuple[UUID, str]]) -> list[str]:
        """Return which of these writes are not in the record once, in the order of their maker."""
        docs = {
            row_id: [each.doc or {} for each in changes]
            for (number, row_id), changes in self.history.rows.items()
            if number == GUESTS
        }
        found = [name for i, name in names.items() if i not in docs or docs[i][0]["name"] != name]
        for row_id in names:
            given = [doc.get("note") for doc in docs.get(row_id, [])]
            made = [note for row, note in notes if row == row_id]
            kept = [b for a, b in pairwise([None, *given]) if a != b and b in made]
            found += [] if kept == made else [f"{made} is {kept}"]
        return found


async def live(seed: int, folder: Path) -> tuple[list[str], Counter[str]]:
    """Live a life; return what was lost, and what happened."""
    random, loop = Random(f"{seed} old copy"), asyncio.get_running_loop()
    trace, clock = Trace(loop), VirtualClock(loop)
    history = History(HOTEL, trace, ORG)

    def unwatched(_: Exchange) -> None:
        """The oracle of answers is another test's."""

    few = replace(CALM, writes=random.choice((1, 2, 64)))
    server = Server(Setting(HOTEL, trace, random, few, clock, history.record, unwatched))
    server.start()
    office = Office(server, history, trace, random)
    await server.durable.create_org(ORG)
    await office.furnish([])
    role: dict[str, Value] = {"user_id": str(USER), "role": "owner", "property_id": None}
    await office.write(("memberships", "insert", UUID(int=0x77), role))
    life = Life(random, history, server, Link("A", USER, server, trace, random))
    life.link.weather = replace(draw(random), crash=0.0)
    server.worsen(life.link.weather)

    path, copy = folder / f"{seed}.db", folder / f"{seed}-copy.db"
    async with life.on(path) as client:
        await life.writes(client, 4)
    shutil.copy(path, copy)
    names, notes = dict(life.names), list(life.notes)
    async with life.on(path) as client:
        await life.writes(client, 6)
        await asyncio.sleep(random.choice((0.0, 20.0)))
    life.names, life.notes = names, notes
    if random.random() < 0.7:
        trace.fault("store", "replies_forgotten")
        server.durable.forget_replies(ORG, keys=False)
    async with life.on(copy) as client:
        await life.writes(client, 8)
        server.heal()
        life.link.heal()
        await asyncio.sleep(HEALED_SECONDS)
        assert client.status.pending == 0, client.status
        refused = [f"{each.op} {each.reason}" for each in client.refusals()]
    happened = trace.counts
    happened["renumbered"] = len(life.devices) - 1
    return [*life.lost(names, notes), *refused, *trace.broken], happened


def lives(folder: Path) -> tuple[list[str], Counter[str]]:
    """Live all of them."""
    lost: list[str] = []
    happened: Counter[str] = Counter()
    for seed in range(SEEDS):
        found, counts = run(live(seed, folder))
        lost += [f"seed {seed}: {each}" for each in found]
        happened += counts
    return lost, happened


def test_no_write_of_a_restored_file_is_lost_or_doubled():
    with scratch() as folder:
        lost, happened = lives(folder)
    assert lost == []
    assert happened["renumbered"] > SEEDS // 4, "numbers met those of the lost file"
    assert happened["fault:replies_forgotten"] > SEEDS // 4
    assert happened["fault:lose_reply"] > 0


def test_a_server_that_forgets_hashes_with_its_replies_is_found(monkeypatch):
    right = MemoryStore.forget_replies

    def wrong(self: MemoryStore, org_id: int, *, keys: bool = True) -> None:
        right(self, org_id, keys=keys)
        self.organisations[org_id].past.clear()

    monkeypatch.setattr(MemoryStore, "forget_replies", wrong)
    with scratch() as folder:
        lost, _ = lives(folder)
    assert lost
