"""Denials: requests that were refused, recorded, and never faster than a bound.

Owns which refusals of a request are entries of the audit record, and how many an organisation's
record takes in a second. (A refused mutation of a device is recorded with its refusal, in the same
transaction, and does not come here.) Promises that a flood of refused requests costs the
organisation a few writes a second and one entry that counts the rest, so who is refused cannot
stall those who are not. Never keeps an answer waiting: a denial is written after it was answered,
within about a second, and a process that is killed may lose those of its last second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from serai.core.errors import Code, SeraiError
from serai.core.limits import DENIALS_PER_SECOND_MAX
from serai.log.intent import WriteAnswer, WriteIntent
from serai.ports.store import Denial

_log = logging.getLogger(__name__)
_WINDOW_SECONDS: Final = 1.0
RECORDED: Final = frozenset(
    {
        Code.FORBIDDEN,
        Code.NOT_FOUND,
        Code.RULE,
        Code.CONFLICT,
        Code.CONSTRAINT,
        Code.FIELDS_INVALID,
        Code.FIELD_READ_ONLY,
        Code.NOT_UNIQUE,
        Code.REFERENCED,
        Code.REFERENCE_MISSING,
        Code.ROW_GONE,
        Code.DEVICE_UNKNOWN,
    }
)
"""Refusals by role, rule or constraint. A row that is not there may be one that the caller may not
see. Two who write at the same time (`precondition`, `row_exists`) are no denial."""


@dataclass(slots=True)
class _Window:
    """A second of one organisation's denials; `last`: the last one that was only counted."""

    timer: asyncio.TimerHandle
    seen: int = 0
    last: WriteIntent | None = None


class Denials:
    """The denials of a write path.

    Args:
        enqueue: takes the write that records one into the queue.
    """

    def __init__(self, enqueue: Callable[[WriteIntent], asyncio.Future[WriteAnswer]]) -> None:
        """Start with none."""
        self._enqueue = enqueue
        self._windows: dict[int, _Window] = {}

    def note(self, refused: WriteIntent, denial: Denial) -> None:
        """Record the denial of a request, or count it if there were too many in this second."""
        record = WriteIntent(
            refused.org_id,
            refused.actor,
            (),
            None,
            b"",
            via=refused.via,
            device_id=refused.device_id,
            denial=denial,
        )
        window = self._windows.get(refused.org_id)
        if window is None:
            loop = asyncio.get_running_loop()
            window = _Window(loop.call_later(_WINDOW_SECONDS, self._end, refused.org_id))
            self._windows[refused.org_id] = window
        window.seen += 1
        if window.seen <= DENIALS_PER_SECOND_MAX:
            self._put(record)
        else:
            window.last = record

    def flush(self) -> None:
        """Record what was only counted so far, without waiting for the second to end."""
        for org_id, window in list(self._windows.items()):
            window.timer.cancel()
            self._end(org_id)

    def _end(self, org_id: int) -> None:
        window = self._windows.pop(org_id)
        if window.last is None:
            return
        denial = window.last.denial
        assert denial is not None, "what is counted is a denial"
        more = window.seen - DENIALS_PER_SECOND_MAX - 1
        counted = msgspec.structs.replace(denial, more=more)
        self._put(msgspec.structs.replace(window.last, denial=counted))

    def _put(self, record: WriteIntent) -> None:
        try:
            answer = self._enqueue(record)
        except SeraiError as error:
            _log.warning("a denial was not recorded: %s", error)
        else:
            answer.add_done_callback(_look_at)


def _look_at(answer: asyncio.Future[WriteAnswer]) -> None:
    """Nobody waits for the answer: what went wrong is for the log."""
    if not answer.cancelled() and (error := answer.exception()) is not None:
        _log.warning("a denial was not recorded: %s", error)
