"""A crash at any moment: before, between and after every statement and commit.

Owns I3 and I4 on the device, at each point instead of at random ones. What kill -9 leaves is the
bytes of the file and of its log at that moment; the test takes them at each statement of a life
with everything in it, opens them as the next start would, and lets the client finish. Never takes
bytes away that a commit has handed to the system: that is for SQLite's `synchronous=FULL`, which
the last test holds.
"""

from __future__ import annotations

import copy
import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from serai.client import Pace, SyncClient, Unreachable
from serai.core.errors import Code, SeraiError
from unit.client.fake_server import HOTEL, Doc, FakeServer
from unit.client.fake_transport import FakeTransport, Ids, in_virtual_time, open_client, run

HERE = {"property_id": str(HOTEL)}


@dataclass
class Moment:
    """What was there when the process died."""

    at: str
    folder: Path
    server: FakeServer
    returned: frozenset[str]
    begun: frozenset[str]


class Life:
    """A device that writes, is refused, loses answers, is renumbered and refilled; the bytes of its
    file at each statement."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = FakeServer()
        self.transport = FakeTransport(self.server)
        self.moments: list[Moment] = []
        self.returned: set[str] = set()
        self.begun: set[str] = set()
        self._seen: set[bytes] = set()

    def statement(self, text: str) -> None:
        files = [self.folder / "device.db", self.folder / "device.db-wal"]
        state = b"".join(p.read_bytes() for p in files) + str(len(self.server.log)).encode()
        key = state + ",".join(sorted(self.returned)).encode()
        if key in self._seen:
            return
        self._seen.add(key)
        to = self.folder / f"moment-{len(self.moments)}"
        to.mkdir()
        for path in files:
            shutil.copy(path, to)
        self.moments.append(
            Moment(text, to, self._server(), frozenset(self.returned), frozenset(self.begun))
        )

    def _server(self) -> FakeServer:
        pulls, pushes = self.server.pulls, self.server.pushes
        self.server.pulls, self.server.pushes = [], []
        same = copy.deepcopy(self.server)
        self.server.pulls, self.server.pushes = pulls, pushes
        return same

    def write(self, client: SyncClient, row_id: UUID, *, new: bool = False, **fields) -> None:
        """Write with a mark of its own, which tells on the server whether and how often it
        arrived."""
        mark = f"w{len(self.begun)}"
        self.begun.add(mark)
        if new:
            client.insert("stays", {**HERE, mark: 1, **fields}, row_id)
        else:
            client.update("stays", row_id, {mark: 1, **fields})
        self.returned.add(mark)

    async def live(self) -> None:
        server, transport = self.server, self.transport
        for number in range(1, 6):
            server.write(("stays", UUID(int=number), {**HERE, "note": "office"}))
        client = await open_client(self.folder, transport, pace=Pace(fill_rows=4), new_id=Ids())
        client._file._connection.set_trace_callback(self.statement)
        await client.sync_once()
        self.write(client, UUID(int=100), new=True)
        self.write(client, UUID(int=100))
        self.write(client, UUID(int=1), note="mine")
        self.write(client, UUID(int=2), note="mine too")
        self.write(client, UUID(int=3), amount_minor=-1)
        server.write(("stays", UUID(int=1), {"note": "office was first"}))
        await self.lose(client, "lose_answer")
        self.write(client, UUID(int=100))
        await client.sync_once()
        self.write(client, UUID(int=2))
        transport.faults = [SeraiError(Code.DEVICE_UNKNOWN)]
        await client.sync_once()
        self.write(client, UUID(int=101), new=True)
        self.write(client, UUID(int=4))
        server.epoch += 1
        await self.lose(client, None, None, "lose_answer")
        await client.sync_once()
        client._file._connection.set_trace_callback(None)
        client.close()

    async def lose(self, client: SyncClient, *faults) -> None:
        self.transport.faults = [*faults]
        with pytest.raises(Unreachable):
            await client.sync_once()


def marks(doc: Doc) -> set[str]:
    return {name for name in doc if name.startswith("w")}


async def start_again(moment: Moment) -> None:
    """Do what the next start of the app does, and hold the outcome against what had been said."""
    server = moment.server
    transport = FakeTransport(server)
    ids = Ids()
    ids.last += 1000
    async with await open_client(moment.folder, transport, new_id=ids) as client:
        await client.sync_once()
        assert client.status.pending == 0
        assert {row.id: row.data for row in client.rows("stays")} == server.docs("stays")
        assert not any(row.pending for row in client.rows("stays"))
        refused = [mark for each in client.refusals() for mark in marks(dict(each.fields))]
    arrived = {mark for _, _, _, _, doc in server.log for mark in marks(doc)}
    # Nothing said is lost, nothing unsaid appears; listed or arrived, never both, never twice.
    assert moment.returned <= arrived | {*refused} <= moment.begun
    assert not arrived & {*refused}
    assert len(refused) == len({*refused})
    # Each write changes its row once; the office writes before the devices do, or beside them.
    assert len([entry for entry in server.log if marks(entry[4])]) == len(arrived)


@in_virtual_time
async def test_a_crash_at_any_statement_loses_and_doubles_nothing(tmp_path):
    life = Life(tmp_path)
    await life.live()
    assert len(life.begun) == 9
    # Each of them differs from the others in the file, on the server, or in what had been said.
    assert len(life.moments) > 30
    for number, moment in enumerate(life.moments):
        try:
            await start_again(moment)
        except AssertionError as error:
            raise AssertionError(f"moment {number}, at {moment.at!r}") from error


def test_a_commit_is_on_the_disk_and_not_only_with_the_system(tmp_path):
    async def scene() -> None:
        async with await open_client(tmp_path, FakeTransport(FakeServer())) as client:
            asked = ("pragma journal_mode", "pragma synchronous", "pragma locking_mode")
            found = [client._file.select(each, ()).fetchone()[0] for each in asked]
            assert found == ["wal", 2, "exclusive"]

    run(scene())
