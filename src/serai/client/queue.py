"""The queue: this device's writes on their way to the server, durable and numbered.

Owns how a write gets into the queue, how far it was sent, and when it may be sent. Promises that
numbers follow each other without gaps, that what the user saw is kept with each write, and that no
write leaves but by an answer to it. Everything but `may_push` and `waits` is called inside the
caller's transaction. Never makes a request.
"""

from __future__ import annotations

from uuid import UUID

from serai.client import apply, overlay
from serai.client.file import DeviceFile, Key
from serai.client.forms import Op
from serai.client.states import Fill


def enqueue(file: DeviceFile, key: Key, op: Op, fields: str, now: str) -> None:
    """Add a write at the end, on top of what is shown."""
    row = apply.server_row(file, key)
    answered: int = file.run("answered_of_row", *key).fetchone()[0] or 0
    last = file.run("queue_last_of_row", *key).fetchone()
    base, after = overlay.based_on(row, answered, None if last is None else last[0])
    number = max(file.meta_number("next_number"), 1)
    file.run("queue_add", number, *key, op, base, after, fields, now, file.meta_number("epoch"))
    file.set_meta("next_number", str(number + 1))
    # On top of what is shown, not of all that was written before: a note that saves itself every
    # second is one row with thousands of writes.
    shown = file.run("overlay_get", *key).fetchone()
    text = (None if row is None else row.data) if shown is None else shown[0]
    apply.show(file, key, row, overlay.replayed(text, op, fields))


def renumber(file: DeviceFile, device: UUID) -> None:
    """Give the queue a new device id and the numbers 1, 2, 3 ... in its order."""
    file.run("queue_renumber_away")
    file.run("queue_renumber")
    file.set_meta("device", str(device))
    file.set_meta("next_number", str(file.run("queue_count").fetchone()[0] + 1))
    file.set_meta("sent_through", "0")


def may_push(file: DeviceFile) -> bool:
    """Tell whether the bases of the queue are versions of the present epoch.

    Not after the tokens were dropped: the epoch may have changed, and the first page of the new
    fill tells. Then not before the fill has found the rows that the waiting writes were made on.
    """
    if any(each.fill is Fill.STALE for each in file.collections()):
        return False
    return not file.run("queue_of_other_epoch", file.meta_number("epoch")).fetchone()[0]


def waits(file: DeviceFile) -> bool:
    """Tell whether there is a write that may be sent now."""
    return may_push(file) and bool(file.run("queue_any").fetchone()[0])
