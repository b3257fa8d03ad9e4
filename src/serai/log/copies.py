"""Reads that a replica may answer.

Owns the way of one request's reads: the replica with the least to do is asked together with the
position that they need; one that is not there yet is given 20 ms; then, or when it does not answer,
the caller asks the primary. Promises (I11) that no answer is older than the position asked for, for
the statement that reads compares it in its own snapshot, and that an answer of another epoch, or of
an organisation on the move, is never given. Never writes, never reads what a write is decided on,
and never asks the primary itself.

Two servers may stand at different versions, so a request stays on the replica that it began on.
Rejected: asking once where a replica stands and believing it afterwards (a replica that crashed and
started anew shows an earlier state for a moment); waiting in the statement itself (a connection a
waiter).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from serai.core.channels import Channel
from serai.core.errors import Code, SeraiError
from serai.core.limits import REPLICA_ANSWER_SECONDS_MAX, REPLICA_WAIT_SECONDS_MAX
from serai.core.token import Position, latest
from serai.log.copy_reads import CopyReads, PostgresCopyReads
from serai.log.heads import Heads
from serai.model import Vertical
from serai.ports.life import SegmentPage
from serai.ports.reader import Reader, Since
from serai.ports.store import Head, ListQuery, LogPage, RowKey, SnapshotPage, StoredRow
from serai.shard.connection import PostgresError, sqlstate
from serai.shard.replicas import Replica, Replicas
from serai.telemetry.recorder import SILENT, Recorder

T = TypeVar("T")
_PAUSE_SECONDS: Final = (0.001, 0.004)
"""Between two looks at a replica that lacks a version: the first, and the longest."""
_CONFLICT: Final = "40001"
"""A statement that stood in the way of replay was cancelled; the replica is well."""


class _PrimaryNeeded(Exception):
    """No replica answers this; `why` is counted, unless no replica could have been asked."""

    def __init__(self, why: str | None, waited: float = 0.0) -> None:
        super().__init__(why)
        self.why, self.waited = why, waited


class Copies:
    """Reads of one shard's replicas.

    Args:
        replicas: of the shard.
        vertical: whose lists are asked for.
        recorder: is told who answered.
        reads: what is asked of a replica; None: its statements.
    """

    def __init__(
        self,
        replicas: Replicas,
        vertical: Vertical,
        recorder: Recorder = SILENT,
        *,
        reads: Callable[[Replica], CopyReads] | None = None,
    ) -> None:
        """Ask nobody yet."""
        self.replicas = replicas
        self.recorder = recorder
        self._vertical, self._reads = vertical, reads
        self._heads: WeakKeyDictionary[Replica, Heads] = WeakKeyDictionary()

    def asked(self, replica: Replica) -> CopyReads:
        """Return what is asked of a replica."""
        if self._reads is not None:
            return self._reads(replica)
        return PostgresCopyReads(replica.pool, self._vertical)

    async def answered(
        self, need: Position | None, work: Callable[[Since], Awaitable[T]]
    ) -> tuple[T] | None:
        """Return what `work` makes of reads of a replica; None: the primary must be asked.

        Args:
            need: what every read must have reached, beside what `work` says at each; None and None
                is the newest state, which only the primary knows.

        Raises:
            SeraiError: of `work` itself.
        """
        if not self.replicas.any:
            return None
        request = _Request(self, need)
        try:
            return (await work(request.since),)
        except _PrimaryNeeded as refused:
            if refused.why is not None:
                self.recorder.read_by(refused.why, refused.waited)
            return None

    async def head(self, replica: Replica, org_id: int) -> Head | None:
        """Return where the organisation stands on the replica; questions share statements."""
        heads = self._heads.get(replica)
        if heads is None:
            heads = self._heads[replica] = Heads(self.asked(replica).heads)
        return await heads.head(org_id)


class _Request:
    """The replica of one request."""

    def __init__(self, copies: Copies, need: Position | None) -> None:
        self._copies, self._need = copies, need
        self._replica: Replica | None = None

    def since(self, position: Position | None) -> Reader:
        """Return who reads at the position or later, and never before what the request needs.

        Raises:
            _PrimaryNeeded: the newest state is asked for, or no replica is well.
        """
        need = latest(position, self._need)
        if need is None:
            raise _PrimaryNeeded(None)
        self._replica = self._replica or self._copies.replicas.offer()
        if self._replica is None:
            raise _PrimaryNeeded("primary_none")
        return _Copy(self._copies, self._replica, need)


class _Copy:
    """One replica at one position. Everything raises _PrimaryNeeded."""

    def __init__(self, copies: Copies, replica: Replica, need: Position) -> None:
        self._copies, self._replica, self._need = copies, replica, need
        self._asked = copies.asked(replica)

    async def head(self, org_id: int) -> Head | None:
        async def ask() -> Head | None:
            return self._if_reached(await self._copies.head(self._replica, org_id))

        return await self._answer(org_id, ask, REPLICA_WAIT_SECONDS_MAX)

    async def log_page(
        self, org_id: int, after: int, *, scan: int, scopes: Sequence[UUID] | None, collections: int
    ) -> LogPage | None:
        async def ask() -> LogPage | None:
            page = await self._asked.log_page(
                org_id, after, scan=scan, scopes=scopes, collections=collections
            )
            # Head and entries are of one snapshot.
            return page if page is not None and self._if_reached(page.head) else None

        return await self._answer(org_id, ask)

    async def snapshot_page(
        self,
        org_id: int,
        channels: Sequence[Channel],
        after: UUID | None,
        *,
        rows: int,
        max_bytes: int,
    ) -> SnapshotPage:
        async def ask() -> SnapshotPage | None:
            return await self._asked.snapshot_page(
                org_id, channels, after, self._need, rows=rows, max_bytes=max_bytes
            )

        return await self._answer(org_id, ask)

    async def segment_page(
        self, org_id: int, channel: Channel, after: UUID | None, *, at: Position, rows: int
    ) -> SegmentPage | None:
        async def ask() -> tuple[SegmentPage | None] | None:
            if self._if_reached(await self._copies.head(self._replica, org_id)) is None:
                return None
            return (await self._asked.segment_page(org_id, channel, after, at=at, rows=rows),)

        return (await self._answer(org_id, ask))[0]

    async def read(self, keys: Sequence[RowKey]) -> list[StoredRow | None]:
        (key,) = keys

        async def ask() -> list[StoredRow | None] | None:
            found = await self._asked.row(key, self._need)
            return None if found is None else [*found]

        return await self._answer(key[0], ask, REPLICA_WAIT_SECONDS_MAX)

    async def list_rows(self, query: ListQuery) -> list[tuple[UUID, StoredRow]]:
        async def ask() -> list[tuple[UUID, StoredRow]] | None:
            return await self._asked.rows(query, self._need)

        return await self._answer(query.org_id, ask)

    # ------------------------------------------------------------ the way of a read

    async def _answer(
        self,
        org_id: int,
        ask: Callable[[], Awaitable[T | None]],
        seconds: float = REPLICA_ANSWER_SECONDS_MAX,
    ) -> T:
        """Return what the replica answers within the time.

        Args:
            ask: asks it; None: it has not reached the position.
            seconds: that it may take for a statement.
        """
        loop = asyncio.get_running_loop()
        waited = 0.0
        self._replica.in_flight += 1
        try:
            async with asyncio.timeout(seconds):
                found = await ask()
            if found is None:
                begun = loop.time()
                there = await self._comes(org_id, begun + REPLICA_WAIT_SECONDS_MAX)
                waited = loop.time() - begun
                if there:
                    async with asyncio.timeout(seconds):
                        found = await ask()
        except (SeraiError, PostgresError, OSError) as error:
            self._note(error)
            raise _PrimaryNeeded("primary_failed", waited) from error
        finally:
            self._replica.in_flight -= 1
        if found is None:
            raise _PrimaryNeeded("primary_behind", waited)
        self._replica.unanswered = 0
        self._copies.recorder.read_by("replica", waited)
        return found

    async def _comes(self, org_id: int, deadline: float) -> bool:
        """Wait until the replica reaches the position; False if it has not by the deadline, or will
        not.
        """
        loop = asyncio.get_running_loop()
        pause, longest = _PAUSE_SECONDS
        while self._copies.replicas.worth_waiting(self._replica):
            left = deadline - loop.time()
            if left <= 0:
                return False
            await asyncio.sleep(min(pause, left))
            try:
                async with asyncio.timeout_at(deadline):
                    head = await self._copies.head(self._replica, org_id)
            except TimeoutError:
                return False
            if self._if_reached(head) is not None:
                return True
            if head is not None and head.epoch != self._need.epoch:
                return False
            pause = min(2 * pause, longest)
        return False

    def _if_reached(self, head: Head | None) -> Head | None:
        if head is None or head.state != "active" or head.epoch != self._need.epoch:
            return None
        return head if head.version >= self._need.version else None

    def _note(self, error: Exception) -> None:
        """Take the replica out if it is gone. One that is busy, or that refused one statement,
        stays.
        """
        busy = isinstance(error, SeraiError) and error.code is Code.OVERLOADED
        conflict = isinstance(error, PostgresError) and sqlstate(error) == _CONFLICT
        if not (busy or conflict):
            late = isinstance(error, TimeoutError)
            self._copies.replicas.suspect(self._replica, late=late)
