"""The sync client: one user's rows of one organisation in a SQLite file, read and written with or
without network.

Owns the app's interface: open, read, write, listen, sync. Promises: a write is on disk, in the
queue, when the call returns; what is read is the server's rows with this device's waiting writes on
top; a refused write stays listed until a person deals with it. Reads and writes are plain calls
that never wait for the network. Never decides about merges: the server does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self
from uuid import UUID

import msgspec

from serai.client.apply import Touched
from serai.client.engine import Engine, World
from serai.client.file import Cell, DeviceFile, FileError, FileOfOtherUser, Held, Key
from serai.client.forms import Op, Refused, Row, Value, errors_decoder, row_decoder
from serai.client.pacing import Conditions, Pace
from serai.client.queue import enqueue
from serai.client.reactions import Unreachable
from serai.client.states import Event, Fill, State
from serai.client.transport import Transport
from serai.core.clock import Clock, SystemClock, timestamp_text
from serai.core.errors import SeraiError
from serai.core.ids import uuid7
from serai.core.limits import INTEGER_MAX, ROW_BYTES_MAX

Changes = Mapping[str, frozenset[UUID] | None]
"""Collection -> ids of rows that may look different now; None: any of them."""


class NoSuchRow(LookupError):
    """The row is not on the device, or was deleted on it."""


@dataclass(frozen=True, slots=True)
class Status:
    """Where the client stands.

    Attributes:
        pending: writes that the server has not answered.
        refused: writes in the list of refusals.
        last_sync: when everything was last sent and pulled, None if never.
        version: of the organisation, as of the last page.
        filling: collections that are not whole on the device.
        error: why the last attempt failed, None if it did not.
    """

    state: State
    device: UUID
    pending: int
    refused: int
    last_sync: str | None
    epoch: int
    version: int
    filling: tuple[str, ...]
    error: Unreachable | SeraiError | FileError | None


class SyncClient:
    """An open client. Made by `open`."""

    def __init__(self, file: DeviceFile, engine: Engine, world: World) -> None:
        """Use `open`."""
        self._file = file
        self._engine = engine
        self._clock = world.clock
        self._new_id = world.new_id
        self._by_name = {each.name: each for each in file.collections()}
        self._names = {each.number: each.name for each in self._by_name.values()}
        self._listeners: dict[int, Callable[[Changes], object]] = {}
        self._loop = asyncio.get_running_loop()
        self._next_listener = 0
        engine.changed = self._tell

    @classmethod
    async def open(  # noqa: PLR0913 - each is one thing the app decides
        cls,
        path: str | PathLike[str],
        *,
        transport: Transport,
        collections: Sequence[str],
        device: UUID | None = None,
        properties: Sequence[UUID] | None = None,
        pace: Pace | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
        new_id: Callable[[], UUID] = uuid7,
    ) -> SyncClient:
        """Open the file, or make it.

        Args:
            path: of the SQLite file. It belongs to the account of `transport`, one user of one
                organisation, from the first time it is opened.
            collections: what to keep on the device. One that is new is filled; one that is left out
                is dropped, which is refused while writes to it wait or are listed as refused.
            device: id of this device for a new file; by default a new one.
            properties: keep only rows of these properties, and of the organisation itself.
            new_id: makes ids of devices and rows.

        Raises:
            FileInUse: another client has the file open.
            FileOfOtherFormat: the file was made by another version.
            FileOfOtherUser: the file is another account's.
            FileDamaged, NotWritten: see there.
            ValueError: a collection that cannot be dropped, or none at all.
        """
        account = await transport.account()
        file = DeviceFile(Path(path))
        clock = clock or SystemClock()
        try:
            with file.transaction():
                _claim(file, account)
                _set_up(file, collections, device, new_id)
        except BaseException:
            file.close()
            raise
        # Jitter needs no secret: a fresh generator per client spreads the crowd.
        world = World(clock, random or Random(), new_id)  # noqa: S311 - see above
        engine = Engine(file, transport, world=world, pace=pace or Pace(), properties=properties)
        return cls(file, engine, world)

    async def __aenter__(self) -> Self:
        """Return the client; it is closed at the end of the block."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the client."""
        self.close()

    def close(self) -> None:
        """Close the file and end `run`. Does no more than a crash would: everything is on disk
        already.
        """
        self._engine.tell(Event.CLOSE)
        self._file.close()

    # Syncing

    async def sync_once(self) -> None:
        """Send the queue and pull until nothing is left to do.

        Raises:
            Unreachable, SeraiError: no answer, or a refusal.
            NotWritten, FileDamaged: the answer could not be kept; it will be asked for again.
        """
        await self._engine.sync_once()

    async def run(self) -> None:
        """Sync whenever it is due, until the client is closed."""
        await self._engine.run()

    def wake(self) -> None:
        """A doorbell rang, or the app was opened: sync soon."""
        self._engine.tell(Event.WAKE)

    def ask(self) -> None:
        """A person wants a sync now, or has signed in again: also ends a halt, a wait or an open
        circuit.
        """
        self._engine.tell(Event.ASKED)

    def network(self, *, online: bool) -> None:
        """Tell whether the device has a network."""
        self._engine.tell(Event.NETWORK_FOUND if online else Event.NETWORK_LOST)

    def notice(self, conditions: Conditions) -> None:
        """Tell about link, battery and whether a person is looking."""
        self._engine.notice(conditions)

    @property
    def status(self) -> Status:
        """Where the client stands."""
        file = self._file
        return Status(
            state=self._engine.state,
            device=UUID(file.meta("device") or ""),
            pending=file.run("queue_count").fetchone()[0],
            refused=file.run("refusal_count").fetchone()[0],
            last_sync=file.meta("last_sync"),
            epoch=file.meta_number("epoch"),
            version=file.meta_number("version"),
            filling=tuple(each.name for each in file.collections() if each.fill is not Fill.WHOLE),
            error=self._engine.error,
        )

    def listen(self, listener: Callable[[Changes], object]) -> Callable[[], None]:
        """Call `listener` after each transaction that may have changed rows; returns the function
        that ends it.

        It is called by the event loop soon after, never inside the call that made the change.
        """
        self._next_listener += 1
        number = self._next_listener
        self._listeners[number] = listener

        def end() -> None:
            self._listeners.pop(number, None)

        return end

    # Reading

    def get(self, collection: str, row_id: UUID) -> Row | None:
        """Return a row, None if it is not there."""
        held = self._held(collection)
        found = self._file.run("shown_get", held.number, str(row_id)).fetchone()
        if found is None:
            return None
        version, data, pending = found
        return Row(row_id, version, row_decoder.decode(data), bool(pending), self._filling(held))

    def rows(self, collection: str, property_id: UUID | None = None) -> list[Row]:
        """Return the rows of a collection, of one property or of all, in order of their ids."""
        if property_id is None:
            return self.query(collection)
        return self._select(collection, "and scope = ?", (str(property_id),))

    def query(
        self, collection: str, where: str = "1", values: Sequence[Value] = (), *, limit: int = -1
    ) -> list[Row]:
        """Return the rows for which a condition holds, in order of their ids.

        Args:
            where: SQL over `id`, `version`, `scope` and `data`; a field is `data ->> 'name'`. It is
                the app's own text: values that come from a person go into `values`, for the
                question marks.
        """
        return self._select(collection, f"and ({where})", values, limit)

    def find(self, collection: str, holds: Callable[[Row], bool]) -> list[Row]:
        """Return the rows for which a function holds; it sees every row of the collection."""
        return [row for row in self.query(collection) if holds(row)]

    def count(self, collection: str, where: str = "1", values: Sequence[Value] = ()) -> int:
        """Return the number of rows for which a condition holds; see `query`."""
        held = self._held(collection)
        sql = f"select count(*) from shown where collection = ? and ({where})"  # noqa: S608 - the app's own text, see `query`
        found = self._file.select(sql, [held.number, *_cells(values)]).fetchone()
        assert isinstance(found[0], int), "a count is a number"
        return found[0]

    def _select(
        self, collection: str, condition: str, values: Sequence[Value], limit: int = -1
    ) -> list[Row]:
        held = self._held(collection)
        filling = self._filling(held)
        sql = (
            "select id, version, data, pending from shown "  # noqa: S608 - the app's own text, see `query`
            f"where collection = ? {condition} order by id limit ?"
        )
        found = self._file.select(sql, [held.number, *_cells(values), limit]).fetchall()
        return [
            Row(UUID(row_id), version, row_decoder.decode(data), bool(pending), filling)
            for row_id, version, data, pending in found
        ]

    # Writing

    def insert(self, collection: str, row: Mapping[str, Value], row_id: UUID | None = None) -> UUID:
        """Queue a new row and return its id. It is on disk when this returns."""
        new = row_id or self._new_id()
        if self.get(collection, new) is not None:
            raise ValueError(f"{collection} {new} exists")
        self._write(collection, new, "insert", row)
        return new

    def update(self, collection: str, row_id: UUID, fields: Mapping[str, Value]) -> None:
        """Queue a change of some fields. Raises NoSuchRow if the row is not there."""
        if self.get(collection, row_id) is None:
            raise NoSuchRow(f"{collection} {row_id}")
        self._write(collection, row_id, "update", fields)

    def delete(self, collection: str, row_id: UUID) -> None:
        """Queue the delete of a row. Raises NoSuchRow if the row is not there."""
        if self.get(collection, row_id) is None:
            raise NoSuchRow(f"{collection} {row_id}")
        self._write(collection, row_id, "delete", {})

    def _write(self, collection: str, row_id: UUID, op: Op, fields: Mapping[str, Value]) -> None:
        text = _fields_text(fields)
        key = (self._held(collection).number, str(row_id))
        with self._file.transaction():
            enqueue(self._file, key, op, text, self._now())
        self._wrote(key)

    def _now(self) -> str:
        return timestamp_text(self._clock.now())

    def _wrote(self, key: Key) -> None:
        touched = Touched()
        touched.row(*key)
        self._tell(touched)
        if self._engine.conditions.foreground:
            self._engine.tell(Event.WAKE)

    # Refusals

    def refusals(self) -> list[Refused]:
        """Return the writes that the server did not take, oldest first."""
        return [_refused(cells) for cells in self._file.run("refusals").fetchall()]

    def acknowledge(self, refusal_id: int) -> None:
        """Mark a refusal as seen; it stays listed."""
        with self._file.transaction():
            self._file.run("refusal_acknowledge", refusal_id)

    def dismiss(self, refusal_id: int) -> None:
        """Forget a refusal."""
        with self._file.transaction():
            self._file.run("refusal_delete", refusal_id)

    def retry(self, refusal_id: int, fields: Mapping[str, Value] | None = None) -> None:
        """Send a refused write again as a new one, on what is shown now; with other fields, if
        given.

        Raises:
            KeyError: there is no such refusal.
            NoSuchRow: the row of an update or a delete is gone.
            ValueError: an insert's row is there already.
        """
        found = {each.id: each for each in self.refusals()}[refusal_id]
        exists = self.get(found.collection, found.row_id) is not None
        if found.op == "insert" and exists:
            raise ValueError(f"{found.collection} {found.row_id} exists")
        if found.op != "insert" and not exists:
            raise NoSuchRow(f"{found.collection} {found.row_id}")
        text = _fields_text(found.fields if fields is None else fields)
        key = (self._held(found.collection).number, str(found.row_id))
        with self._file.transaction():
            enqueue(self._file, key, found.op, text, self._now())
            self._file.run("refusal_delete", refusal_id)
        self._wrote(key)

    # Inside

    def _held(self, collection: str) -> Held:
        held = self._by_name.get(collection)
        if held is None:
            raise ValueError(f"the client does not keep {collection!r}")
        return held

    def _filling(self, held: Held) -> bool:
        return self._file.fill_of(held.number) is not Fill.WHOLE

    def _tell(self, touched: Touched) -> None:
        if not self._listeners or not touched.rows:
            return
        changes: dict[str, frozenset[UUID] | None] = {
            self._names[number]: None if ids is None else frozenset(map(UUID, ids))
            for number, ids in touched.rows.items()
        }
        for listener in [*self._listeners.values()]:
            self._loop.call_soon(listener, changes)


def _claim(file: DeviceFile, account: str) -> None:
    """Note whose file it is, and keep everybody else out: neither are its rows shown to another
    account nor is its queue sent as another's.
    """
    owner = file.meta("account")
    if owner is None:
        file.set_meta("account", account)
    elif owner != account:
        raise FileOfOtherUser("the file belongs to another account")


def _set_up(
    file: DeviceFile, wanted: Sequence[str], device: UUID | None, new_id: Callable[[], UUID]
) -> None:
    """Bring the file's collections to those wanted."""
    if not wanted:
        raise ValueError("a client keeps at least one collection")
    if file.meta("device") is None:
        file.set_meta("device", str(device or new_id()))
    held = {each.name: each for each in file.collections()}
    for name in held.keys() - set(wanted):
        _drop(file, held.pop(name))
    tokens = [each.token for each in held.values() if each.token is not None]
    for name in dict.fromkeys(wanted):
        if name not in held:
            # The token of the others: the new collection is filled under the same position, so that
            # rows of one transaction still arrive together.
            file.add_collection(name, tokens[0] if tokens else None)
            file.set_meta("etag", "")


def _drop(file: DeviceFile, held: Held) -> None:
    waiting = file.run("queue_of_collection", held.number).fetchone()[0]
    listed = file.run("refusals_of_collection", held.number).fetchone()[0]
    if waiting or listed:
        raise ValueError(f"writes to {held.name} wait or are refused: it stays on the device")
    file.run("rows_drop", held.number)
    file.drop_collection(held.number)


def _fields_text(fields: Mapping[str, object]) -> str:
    for name, value in fields.items():
        if value is not None and not isinstance(value, (str, int)):
            raise ValueError(f"{name} is a {type(value).__name__}: not a field's value")
        if isinstance(value, int) and abs(value) > INTEGER_MAX:
            raise ValueError(f"{name} is beyond what every JSON reader keeps exact")
    text = msgspec.json.encode(dict(fields))
    if len(text) > ROW_BYTES_MAX:
        raise ValueError(f"a row has at most {ROW_BYTES_MAX} bytes")
    return text.decode()


def _cells(values: Sequence[Value]) -> list[Cell]:
    return [int(value) if isinstance(value, bool) else value for value in values]


def _refused(cells: tuple[object, ...]) -> Refused:
    return msgspec.convert(
        {
            "id": cells[0],
            "collection": cells[1],
            "row_id": cells[2],
            "op": cells[3],
            "fields": row_decoder.decode(str(cells[4])),
            "outcome": cells[5],
            "code": cells[6],
            "reason": cells[7],
            "errors": errors_decoder.decode(str(cells[8])),
            "server_row": None if cells[9] is None else row_decoder.decode(str(cells[9])),
            "server_version": cells[10],
            "at": cells[11],
            "acknowledged": bool(cells[12]),
        },
        Refused,
    )
