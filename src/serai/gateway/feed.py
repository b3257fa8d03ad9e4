"""The feed: reads the log of every organisation that somebody listens to, and passes it on.

Owns what is known of each: the position up to which it was passed on. Promises that parts are
passed on in order and without a gap, one read of an organisation at a time; that a ring that is
lost costs the time until the next look, and nothing else; and that an organisation whose shard does
not answer holds up no other. Never decides who hears what.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from serai.core.errors import SeraiError
from serai.core.live_limits import LIVE_POLL_SECONDS
from serai.gateway.messages import Heard, Restarted
from serai.ports.store import Head, LogPage

_log = logging.getLogger(__name__)

SCAN: Final = 500
"""Changes of one read."""
LOOKS_A_SECOND: Final = 5_000
"""Organisations that are looked at in a second without a ring."""
READS_MAX: Final = 32
"""At a time."""
_LOOKS_AT_A_TIME: Final = 500

ReadHead = Callable[[int], Awaitable[Head]]
"""Raises SeraiError for an organisation that is not to be found now."""
ReadLog = Callable[[int, int, int], Awaitable[LogPage]]
"""(organisation, after, changes at most) -> page. Raises as `ReadHead`."""
PassOn = Callable[[Heard | Restarted], None]


@dataclass(slots=True)
class Known:
    """An organisation that is listened to. `again`: it rang while it was read; `admitted`:
    listeners that were sent to its table.
    """

    epoch: int
    version: int
    grants_version: int
    reading: bool = False
    again: bool = False
    admitted: int = 0


@dataclass(slots=True)
class Feed:
    """Reads for one gateway.

    Args:
        head: reads where an organisation stands.
        log: reads a part of its log.
        pass_on: takes parts.
        noticed: is told (organisation, grants_version) of each read.

    Attributes:
        known: organisations that are listened to.
    """

    head: ReadHead
    log: ReadLog
    pass_on: PassOn
    noticed: Callable[[int, int], None]
    known: dict[int, Known] = field(default_factory=dict[int, Known])
    _waiting: dict[int, None] = field(default_factory=dict[int, None])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def opened(self, org_id: int) -> tuple[Known, bool]:
        """Begin to listen to an organisation, where it stands now. Returns what is known of it, and
        whether that is new.

        Raises:
            SeraiError: it is not to be found, or its shard does not answer.
        """
        known = self.known.get(org_id)
        if known is not None:
            return known, False
        head = await self.head(org_id)
        if org_id in self.known:
            return self.known[org_id], False
        self.noticed(org_id, head.grants_version)
        made = self.known[org_id] = Known(head.epoch, head.version, head.grants_version)
        return made, True

    def left(self, org_id: int, admitted: int) -> bool:
        """Stop listening, unless more listeners were sent to the table than it knew of when it said
        that nobody is left. Returns whether it stopped.
        """
        known = self.known.get(org_id)
        if known is None or known.admitted != admitted:
            return False
        del self.known[org_id]
        return True

    def rang(self, org_id: int, epoch: int, version: int) -> None:
        """Read soon, if this is news."""
        known = self.known.get(org_id)
        if known is None or (epoch == known.epoch and version <= known.version):
            return
        known.again = True
        if not known.reading:
            known.reading = True
            self._waiting[org_id] = None
            self._start()

    async def poll(self) -> None:
        """Look at every organisation in turn, for ever."""
        while True:
            began = asyncio.get_running_loop().time()
            looked = list(self.known)
            for first in range(0, len(looked), _LOOKS_AT_A_TIME):
                some = looked[first : first + _LOOKS_AT_A_TIME]
                await self._look(some)
                await asyncio.sleep(len(some) / LOOKS_A_SECOND)
            took = asyncio.get_running_loop().time() - began
            await asyncio.sleep(max(LIVE_POLL_SECONDS - took, 0))

    async def close(self) -> None:
        """End the reads."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self, org_ids: Sequence[int]) -> None:
        heads = await asyncio.gather(*map(self.head, org_ids), return_exceptions=True)
        for org_id, head in zip(org_ids, heads, strict=True):
            if isinstance(head, Head):
                self.noticed(org_id, head.grants_version)
                known = self.known.get(org_id)
                if known is not None and head.grants_version > known.grants_version:
                    # Grants may change without a new version: nothing rings for them.
                    known.grants_version = head.grants_version
                    self._granted(org_id, known)
                self.rang(org_id, head.epoch, head.version)
            elif not isinstance(head, SeraiError):
                _log.error("organisation %d was not looked at: %s", org_id, head, exc_info=head)

    def _granted(self, org_id: int, known: Known) -> None:
        nothing = Heard(org_id, known.epoch, known.version, known.version, known.grants_version, [])
        self.pass_on(nothing)

    def _start(self) -> None:
        while self._waiting and len(self._tasks) < READS_MAX:
            org_id = next(iter(self._waiting))
            del self._waiting[org_id]
            task = asyncio.create_task(self._read(org_id))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a log was not read: %s", error, exc_info=error)
        self._start()

    async def _read(self, org_id: int) -> None:
        """Read an organisation's log to its end."""
        known = self.known.get(org_id)
        if known is None:
            return
        try:
            while self.known.get(org_id) is known:
                known.again = False
                page = await self.log(org_id, known.version, SCAN)
                if self._take(org_id, known, page) and not known.again:
                    break
        except SeraiError as error:
            # The next look asks again.
            _log.warning("the log of organisation %d was not read: %s", org_id, error)
        finally:
            known.reading = False

    def _take(self, org_id: int, known: Known, page: LogPage) -> bool:
        """Pass a page on. Returns whether it was the last."""
        head = page.head
        self.noticed(org_id, head.grants_version)
        if self.known.get(org_id) is not known:
            return True
        if head.version < known.version and head.epoch == known.epoch:
            # A home that it has left, or is about to: the next look finds the other one.
            return True
        if head.epoch != known.epoch or known.version < head.floor:
            known.epoch, known.version = head.epoch, head.version
            # After a restore or a failover it may have gone back.
            known.grants_version = head.grants_version
            self.pass_on(Restarted(org_id, head.epoch, head.version, head.grants_version))
        elif page.through > known.version:
            after, known.version = known.version, page.through
            self.pass_on(
                Heard(org_id, head.epoch, after, page.through, head.grants_version, page.entries)
            )
        known.grants_version = max(known.grants_version, head.grants_version)
        return known.version >= head.version
