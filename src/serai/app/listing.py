"""The write path as processes wire it: who was given a role finds the organisation at sign-in.

Owns the step between the two databases that know a person: memberships are rows of the
organisation, in its shard; the list that a sign-in shows is in the directory. Promises that a
membership whose write was answered is listed, whoever wrote it: REST, a phone's push, a command. If
the directory does not answer, neither does the write: it is durable, and sending it again under its
key finds it so and lists it. Never takes a role away: an organisation that stays listed after the
last membership ended gives nothing.

Rejected: to ask every shard at sign-in; to write the list first, which would name organisations to
people whose membership was then refused.
"""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from serai.core.clock import Clock
from serai.core.errors import Code, SeraiError
from serai.gate import people
from serai.log.coalesce import Coalescer
from serai.log.intent import WriteAnswer, WriteIntent
from serai.model import Vertical
from serai.ports.store import Store
from serai.shard.pools import PinnedPool
from serai.telemetry.recorder import SILENT, Recorder

_NOBODY: Final = frozenset[UUID]()


class ListingCoalescer(Coalescer):
    """A coalescer that lists what it writes. `directory`: connections to the directory."""

    def __init__(
        self,
        store: Store,
        vertical: Vertical,
        directory: PinnedPool,
        *,
        clock: Clock,
        recorder: Recorder = SILENT,
    ) -> None:
        """Start with an empty queue."""
        super().__init__(store, vertical, clock=clock, recorder=recorder)
        self._shard = store
        self._directory = directory
        self._source = vertical.grants
        self._now = clock.now
        self._listing: set[asyncio.Task[WriteAnswer]] = set()

    def enqueue(self, intent: WriteIntent) -> asyncio.Future[WriteAnswer]:
        """Put the write into the queue now; a membership's answer comes when it is listed."""
        answer = super().enqueue(intent)
        users = self._users(intent)
        if not users:
            return answer
        task = asyncio.get_running_loop().create_task(self._listed(answer, intent.org_id, users))
        self._listing.add(task)
        task.add_done_callback(self._listing.discard)
        return task

    async def drain(self) -> None:
        """Wait until nothing is queued, in flight or to be listed."""
        await super().drain()
        while self._listing:
            await asyncio.wait(self._listing)

    def _users(self, intent: WriteIntent) -> frozenset[UUID]:
        """Return the users whose memberships the write sets: of nearly every write, none."""
        source = self._source
        if source.collection not in [row.collection.name for row in intent.rows]:
            return _NOBODY
        given = (
            row.fields.get(source.user_field)
            for row in intent.rows
            if row.collection.name == source.collection
        )
        return frozenset(UUID(user) for user in given if isinstance(user, str))

    async def _listed(
        self, answer: asyncio.Future[WriteAnswer], org_id: int, users: frozenset[UUID]
    ) -> WriteAnswer:
        done = await answer
        for user_id in users:
            # A mutation that was judged and refused has an answer as well: the rows decide.
            _, memberships = await self._shard.grants(org_id, user_id)
            if memberships:
                await self._list(org_id, user_id)
        return done

    async def _list(self, org_id: int, user_id: UUID) -> None:
        async with self._directory.connection() as directory:
            try:
                await people.add_to_organisation(
                    directory, user_id=user_id, org_id=org_id, now=self._now()
                )
            except SeraiError as error:
                if error.code is not Code.NOT_FOUND:
                    raise
                # Nobody has this id, so nobody signs in with it.
