"""The oracle of files: each device's file is judged after each change of it.

Owns what a file may hold: exactly the rows that its token stands for, whole writes only (I8, I9),
none that its user may not see (I6), under a token that never goes back (I7); and what its user must
see there of their own: each write that waits, and each that was answered, until the server's rows
have it (I11). Never changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from serai.client.file import DeviceFile
from serai.client.states import COLLECTION, Fill
from serai.core.token import SinceToken
from serai.testing.simulation.coverage import collection_branch
from serai.testing.simulation.device import Device, Written
from serai.testing.simulation.history import Change, Doc, History, RowId
from serai.testing.simulation.tokens import Tokens, coverage, stands_for

_decode = msgspec.json.Decoder(Doc).decode
_RAW: Final = (
    "select c.name, r.id, r.version, r.data from row r join collection c on c.number = r.collection"
)
_QUEUED: Final = "select seq from mutation where version = 0"
_STEPS: Final[dict[tuple[Fill, Fill], list[str]]] = {}
for (_old, _page), _new in COLLECTION.items():
    _STEPS.setdefault((_old, _new), []).append(collection_branch(_old, _page))


@dataclass(slots=True)
class Due:
    """The rows that a token stands for, by (name of the collection, id as text)."""

    coverage: tuple[object, ...]
    epoch: int
    version: int
    rows: dict[tuple[str, str], tuple[RowId, Change]]


class Files:
    """The judge of one run's files."""

    def __init__(self, history: History, tokens: Tokens) -> None:
        """Start with nothing seen."""
        self._history = history
        self._trace = history.trace
        self._tokens = tokens
        self._reached: dict[UUID, tuple[int, int]] = {}
        self._fills: dict[UUID, dict[str, Fill]] = {}
        self._dues: dict[UUID, Due] = {}

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
        device.renumbered()
        version, at = token.position.version, (token.position.epoch, token.position.version)
        back = at < self._reached.get(device.user, (0, 0))
        self._trace.require(not back, f"I7: {device.name} went back to {version}")
        self._reached[device.user] = at
        if token.position.epoch < self._history.sure_since:
            # It has not heard yet that a tail was lost, and may hold of it what nobody has.
            return
        self._rows(device, token, self._tokens.filled_through(held[0].token or ""), file)
        self._own(device, version, file)

    def _moved(self, device: Device, fills: dict[str, Fill]) -> None:
        """Count the transitions of collections, as far as two looks tell them apart."""
        before = self._fills.get(device.user, {})
        for name, fill in fills.items():
            for branch in _STEPS.get((before.get(name, Fill.EMPTY), fill), ()):
                self._trace.branch(branch)
        self._fills[device.user] = fills

    def _rows(self, device: Device, token: SinceToken, through: int, file: DeviceFile) -> None:
        due = self._due(device, token)
        found = file.select(_RAW, ()).fetchall()
        same = 0
        for name, row_id, version, text in found:
            row = due.rows.get((name, row_id))
            if row is None or row[1].version != version or row[1].text != text:
                break
            same += 1
        if not same == len(found) == len(due.rows):
            self._differ(device, due, through, found)

    def _due(self, device: Device, token: SinceToken) -> Due:
        """Return the rows that a device must hold; from those of the look before, if it has gone on
        from there.
        """
        version, history = token.position.version, self._history
        due = self._dues.get(device.user)
        stands = coverage(token)
        sure, since = token.position.epoch, self._history.sure_since
        if due is None or due.coverage != stands or due.version > version or due.epoch < since:
            due = self._dues[device.user] = Due(stands, sure, 0, {})
            written = iter(history.rows)
        else:
            later = range(due.version + 1, version + 1)
            written = (row for each in later for row in history.written.get(each, ()))
        for row in written:
            change = history.row_at(row, version)
            if change is None:
                continue
            key = (history.vertical.by_number[row[0]].name, str(row[1]))
            if change.doc is not None and stands_for(token, change.scope, row):
                due.rows[key] = (row, change)
            else:
                due.rows.pop(key, None)
        due.version = version
        return due

    def _differ(
        self, device: Device, due: Due, through: int, raw: Sequence[tuple[str, str, int, str]]
    ) -> None:
        """Judge rows that are not, text for text, those that were expected."""
        version = due.version
        expected = {row: (change.version, change.doc) for row, change in due.rows.values()}
        by_name = self._history.vertical.by_name
        found = {
            (by_name[name].number, UUID(row_id)): (row_version, _decode(text))
            for name, row_id, row_version, text in raw
        }
        for row in expected.keys() - found.keys():
            # A fill may have passed over it, because it was newer than the page.
            if self._history.between(row, version, through + 1):
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

    def _own(self, device: Device, version: int, file: DeviceFile) -> None:
        """Judge that the last write of each row is in view, while it waits and until the rows have
        it.
        """
        queued = {seq for (seq,) in file.select(_QUEUED, ())}
        forgotten = self._trace.counts["fault:replies_forgotten"]
        for written in device.last_of_row.values():
            if written.seq not in queued:
                done = self._history.writes.get((written.device, written.number))
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
