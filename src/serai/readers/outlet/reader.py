"""Sends what is new of one organisation, and notes it.

Owns the order of its steps: read, send, note. Promises that a version is noted only after the bus
has accepted it and every one before it; that at most one message of the organisation is in flight;
and that one page of its log is all that is held in memory. Killed anywhere, the next one goes on
from the note: what was accepted since comes again, under the same ids.

Two of these at one organisation at once (a process that lost its turn and does not know it yet) do
no more than repeat each other. Each sends without a gap from a version up to which the bus had
accepted all, so whichever of them brings a version first, the one before it is there already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from serai.ports.outlet import Bus, Message
from serai.readers.outlet.messages import Origin, beginning, ending, of_rows, of_version
from serai.readers.outlet.notes import Notes
from serai.readers.outlet.plan import ANEW, FIRST, Begin, Fill, Follow, Page, Sent, next_step
from serai.readers.outlet.recent import Recent

_PAGES_MAX: Final = 20
"""Of one organisation in a row, while others wait."""


@dataclass(slots=True)
class Sending:
    """What became of one organisation.

    Attributes:
        messages, size: that the bus accepted, and their bytes.
        begun: how often it began again.
        behind: versions that it was behind when it was looked at first.
        done: nothing was left to send.
        elsewhere: it is not at home on this shard, or is frozen at this moment.
    """

    messages: int = 0
    size: int = 0
    begun: int = 0
    behind: int = 0
    done: bool = False
    elsewhere: bool = False


class Reader:
    """Sends the organisations of one shard, one at a call.

    Args:
        notes: of the shard.
        bus: where messages go.
        names: collection number -> name.
        stopped: whether to end at the next message; what was accepted is noted.

    Attributes:
        recent: what the bus accepted last.
    """

    def __init__(
        self,
        notes: Notes,
        bus: Bus,
        names: Mapping[int, str],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Keep the parts."""
        self._notes = notes
        self._bus = bus
        self._names = names
        self._stopped = stopped
        self.recent = Recent()

    async def send(self, org_id: int, sending: Sending | None = None) -> Sending:
        """Send what an organisation has, some pages of it at most; count it in `sending`.

        Raises:
            BusDown, BusRefused: of a message; what was accepted before it is noted.
            SeraiError, PostgresError: of the shard.
        """
        sending = sending or Sending()
        for number in range(_PAGES_MAX):
            found = await self._notes.page(org_id)
            if found is None:
                await self._notes.leave(org_id)
                sending.elsewhere = True
                return sending
            page, at = found
            if not number:
                sending.behind = page.head - (page.sent.version if page.sent else 0)
            if await self._step(org_id, page, at, sending) or self._stopped():
                return sending
        return sending

    async def _step(self, org_id: int, page: Page, at: datetime, sending: Sending) -> bool:
        """Do what comes next; return whether this call is over."""
        match next_step(page):
            case Begin(reason):
                sent = Sent(page.epoch, page.head, page.sent.term if page.sent else 0, FIRST)
                origin = Origin(org_id, sent.epoch, sent.term)
                await self._publish([beginning(origin, sent.version, reason)], ANEW, sending)
                sending.begun += 1
                noted, _ = await self._notes.note(org_id, sent, begins=True)
                return not noted
            case Fill(sent, after):
                return await self._fill(org_id, sent, after, sending)
            case Follow() as follow:
                whole = page.through == page.head
                return await self._follow(org_id, follow, at if whole else None, sending)

    async def _fill(
        self, org_id: int, sent: Sent, after: tuple[int, UUID], sending: Sending
    ) -> bool:
        found = await self._notes.rows(org_id, sent.epoch, after)
        if found is None:
            return False
        entries, last, over = found
        origin = Origin(org_id, sent.epoch, sent.term)
        if entries:
            messages = of_rows(origin, sent.version, entries, last[1], self._names)
            await self._publish(messages, ANEW, sending)
        if over:
            await self._publish([ending(origin, sent.version)], ANEW, sending)
        noted, _ = await self._notes.note(org_id, replace(sent, fill=None if over else last))
        return not noted

    async def _follow(
        self, org_id: int, follow: Follow, read_at: datetime | None, sending: Sending
    ) -> bool:
        """Send versions; note how far that came, also when it ends in the middle."""
        origin = Origin(org_id, follow.sent.epoch, follow.sent.term)
        sent, over, noted = follow.sent, False, True
        try:
            for version, previous, entries in follow.versions:
                if self._stopped():
                    return True
                messages = of_version(origin, version, previous, entries, self._names)
                await self._publish(messages, previous, sending)
                sent = replace(sent, version=version)
            over = True
        finally:
            # What was accepted is noted also when the bus or somebody ends it in the middle.
            if over or sent is not follow.sent:
                at = read_at if over else None
                noted, sending.done = await self._notes.note(org_id, sent, read_at=at)
        return sending.done or not noted or not follow.versions

    async def _publish(self, messages: Iterable[Message], after: int, sending: Sending) -> None:
        """Send messages, which come again if it goes on after that version."""
        for message in messages:
            number = await self._bus.publish(message)
            self.recent.note(number, message.org_id, after)
            sending.messages += 1
            sending.size += len(message.body)
