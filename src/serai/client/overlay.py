"""The optimistic view: server rows with this device's writes replayed on top, and the base of each
write.

Owns three pure functions: what a row looks like under its queue, what a new write is based on, and
how the bases of waiting writes move when an earlier one is answered. Promises that a write's own
predecessors never look like foreign changes, and that a foreign change which the user has not seen
is never marked as seen. Never does I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from serai.client.forms import Op, Value, row_decoder


@dataclass(frozen=True, slots=True)
class ServerRow:
    """A row as the server sent it: version and text."""

    version: int
    data: str


@dataclass(frozen=True, slots=True)
class Written:
    """A write of this device.

    Attributes:
        seq: its place in the queue, for good (`number` changes when a queue is renumbered).
        base: version of the server's row that the user saw.
        after: `seq` of the waiting write of the same row that this one was made on top of.
        fields: JSON text of an object.
        version: what the server answered; 0 while it is queued.
        answered_row: the row of the answer, None if it had none.
    """

    seq: int
    op: Op
    base: int
    after: int | None
    fields: str
    version: int = 0
    answered_row: str | None = None

    @property
    def queued(self) -> bool:
        """Whether the server has not answered it."""
        return self.version == 0


def shown(row: ServerRow | None, writes: Iterable[Written]) -> str | None:
    """Return the row's text with the writes replayed in order; None if it is not there."""
    text = None if row is None else row.data
    version = 0 if row is None else row.version
    for write in writes:
        if not write.queued and write.version <= version:
            continue  # the server's row contains it
        if not write.queued and write.answered_row is not None:
            text = write.answered_row
        else:
            text = replayed(text, write.op, write.fields)
    return text


def replayed(text: str | None, op: Op, fields: str) -> str | None:
    """Return the row's text after one more write."""
    if op == "delete":
        return None
    if text is None:
        # An update of a row that was deleted meanwhile shows nothing; the server will refuse it,
        # and the list tells.
        return fields if op == "insert" else None
    merged: dict[str, Value] = {**row_decoder.decode(text), **row_decoder.decode(fields)}
    return msgspec.json.encode(merged).decode()


def based_on(row: ServerRow | None, answered: int, waiting: int | None) -> tuple[int, int | None]:
    """Return (base, after) of a write made now on top of what is shown.

    Args:
        answered: the newest version that the server gave to a write of this row; 0 if none.
        waiting: `seq` of the last write of this row that was not answered.
    """
    return max(0 if row is None else row.version, answered), waiting


def rebased(
    answered: Written, later: Iterable[Written], *, version: int, merged: Sequence[str] | None
) -> list[Written]:
    """Return the later queued writes of the same row whose base moves because an earlier one was
    applied.

    Args:
        version: what the answered write became.
        merged: fields that others had changed and the row kept; None if that is not known any more.

    A write that touches such a field, or deletes the row, keeps the base that the user saw: to it
    those changes are foreign, and the server must judge. Every other one was made on top of the
    answered write and now stands on its version.
    """
    moved: list[Written] = []
    for write in later:
        if write.after is None:
            continue
        blind = merged is None or (
            bool(merged)
            and (
                write.op == "delete"
                or not row_decoder.decode(write.fields).keys().isdisjoint(merged)
            )
        )
        if blind:
            moved.append(replace(write, after=None))
        else:
            after = None if write.after == answered.seq else write.after
            # A pull may have shown a later version than the answered one before the write was made.
            moved.append(replace(write, base=max(version, write.base), after=after))
    return moved


def orphaned(refused: Written, later: Iterable[Written]) -> list[Written]:
    """Return the later queued writes that were made on top of one that was refused.

    They are sent with what is left below them and the server judges: nothing vanishes silently.
    """
    return [replace(write, after=refused.after) for write in later if write.after == refused.seq]
