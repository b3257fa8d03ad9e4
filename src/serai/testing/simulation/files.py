"""The oracle of files: each device's file is judged after each change of it.

Owns what a file may hold: exactly the rows that its token stands for, whole writes only (I8, I9),
none that its user may not see (I6), under a token that never goes back (I7); and what its user must
see there of their own: each write that waits, and each that was answered, until the server's rows
have it (I11). Never changes anything.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import msgspec

from serai.client.file import DeviceFile
from serai.client.states import COLLECTION, Fill
from serai.core.token import SinceToken
from serai.testing.simulation.coverage import collection_branch
from serai.testing.simulation.device import Device, Written
from serai.testing.simulation.history import Doc, History, RowId
from serai.testing.simulation.tokens import Tokens, stands_for

_decode = msgspec.json.Decoder(Doc).decode
_RAW: Final = (
    "select c.name, r.id, r.version, r.data from row r join collection c on c.number = r.collection"
)
_QUEUED: Final = "select number from mutation where version = 0"
Held = dict[RowId, tuple[int, Doc | None]]


class Files:
    """The judge of one run's files."""

    def __init__(self, history: History, tokens: Tokens) -> None:
        """Start with nothing seen."""
        self._history = history
        self._trace = history.trace
        self._tokens = tokens
        self._reached: dict[UUID, int] = {}
        self._filled: dict[UUID, tuple[object, int]] = {}
        self._fills: dict[UUID, dict[str, Fill]] = {}
        self._ids: dict[str, UUID] = {}

    def look(self, device: Device) -> None:
        """Judge what a device holds."""
        file = device.file()
        held = file.collections()
        self._moved(device, {each.name: each.fill for each in held})
        texts = {each.token for each in held}
        self._trace.require(len(texts) == 1, f"I9: {device.name} holds several tokens")
        token = self._tokens.read(device.user, held[0].token)
        if token is None:
            self._reached.pop(device.user, None)
            return
        version = token.position.version
        back = version < self._reached.get(device.user, 0)
        self._trace.require(not back, f"I7: {device.name} went back to {version}")
        self._reached[device.user] = version
        self._rows(device, token, file)
        self._own(device, version, file)

    def _moved(self, device: Device, fills: dict[str, Fill]) -> None:
        """Count the transitions of collections, as far as two looks tell them apart."""
        before = self._fills.get(device.user, {})
        for name, fill in fills.items():
            for (old, page), new in COLLECTION.items():
                if (before.get(name, Fill.EMPTY), fill) == (old, new):
                    self._trace.branch(collection_branch(old, page))
        self._fills[device.user] = fills

    def _rows(self, device: Device, token: SinceToken, file: DeviceFile) -> None:
        version = token.position.version
        expected: Held = {
            row: (change.version, change.doc)
            for row, change in self._history.live_at(version).items()
            if stands_for(token, change.scope, row)
        }
        by_name = self._history.vertical.by_name
        found: Held = {
            (by_name[str(name)].number, self._id(str(row_id))): (row_version, _decode(str(data)))
            for name, row_id, row_version, data in file.select(_RAW, ())
        }
        coverage = (token.complete, token.filling, token.cursor)
        if self._filled.get(device.user, ((), 0))[0] != coverage:
            self._filled[device.user] = (coverage, self._history.version)
        for row in expected.keys() - found.keys():
            if self._left_out(device, version, row):
                del expected[row]
        if expected == found:
            return
        seen = self._history.channels(device.user, version)
        hidden = [row for row in found if self._history.channel_of(row) not in seen]
        self._trace.require(
            not (hidden and hidden[0] not in expected),
            f"I6: {device.name} keeps {hidden[:1]} at {version}, which its user may not see",
        )
        self.same(device, f"I8: at {version}", expected, found)

    def _id(self, text: str) -> UUID:
        found = self._ids.get(text)
        if found is None:
            found = self._ids[text] = UUID(text)
        return found

    def _left_out(self, device: Device, version: int, row: RowId) -> bool:
        """Tell whether a fill may have passed over a row, because it is newer than the page.

        Its log entry comes before the token reaches the version at which the fill ran (decision 9).
        """
        through = self._filled[device.user][1]
        return bool(self._history.between(row, version, through + 1))

    def _own(self, device: Device, version: int, file: DeviceFile) -> None:
        """Judge that the last write of each row is in view, while it waits and until the rows have
        it.
        """
        queued = {number for (number,) in file.select(_QUEUED, ())}
        forgotten = self._trace.counts["fault:replies_forgotten"]
        for written in device.last_of_row.values():
            if written.number not in queued:
                done = self._history.writes.get((device.id, written.number))
                if done is None or done[0] <= version or done[1].refusal is not None or forgotten:
                    continue
            if not self._in_view(device, written):
                what = f"I11: {device.name} does not show its own write {written.number}"
                self._trace.require(promise=False, message=what)
                return

    def _in_view(self, device: Device, written: Written) -> bool:
        client = device.client
        assert client is not None, "a file that is looked at is open"
        row = client.get(written.collection, written.row_id)
        if row is None or written.op == "delete":
            # Deleted by others, or out of sight: then an edit leaves the view with its row.
            return row is None or written.op != "delete"
        return all(row.data.get(name) == value for name, value in written.fields.items())

    def same(
        self, device: Device, when: str, expected: dict[RowId, Any], found: dict[RowId, Any]
    ) -> None:
        """Judge that a device holds, or shows, these rows; name the first that differs."""
        if expected == found:
            return
        for row in sorted({*expected, *found}):
            if expected.get(row) != found.get(row):
                should, does = expected.get(row), found.get(row)
                self._trace.require(
                    None, f"{when} {device.name} holds {does} for {row}, not {should}"
                )
                return
