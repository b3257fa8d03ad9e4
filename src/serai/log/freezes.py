"""Organisations that take no writes for a moment, because they are being moved.

Owns the wait of their writes: while a home says `frozen`, they stay in the queue and the head is
looked at, for many organisations in one statement. Promises that an organisation is let through
again when it thaws, is gone, cannot be asked, or has been waited for long enough; and that nobody
else waits. Never looks at a write.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextvars import Context

from serai.core.errors import SeraiError
from serai.core.limits import FREEZE_LOOK_SECONDS, FREEZE_WAIT_SECONDS_MAX
from serai.ports.store import Store
from serai.shard.connection import PostgresError


class Freezes:
    """The frozen organisations of one shard.

    Args:
        store: the shard.
        thawed: is called with an organisation that may be tried again.
    """

    def __init__(self, store: Store, thawed: Callable[[int], None]) -> None:
        """Start with none."""
        self._store = store
        self._thawed = thawed
        self._watched: dict[int, asyncio.Task[None]] = {}

    def __contains__(self, org_id: object) -> bool:
        """Tell whether the organisation is waited for."""
        return org_id in self._watched

    def watch(self, org_id: int) -> None:
        """Wait for an organisation that a write found frozen."""
        if org_id not in self._watched:
            # It serves many requests and is none of them.
            task = asyncio.get_running_loop().create_task(self._watch(org_id), context=Context())
            self._watched[org_id] = task

    async def drain(self) -> bool:
        """Wait for those that are waited for; tell whether there were any."""
        if not self._watched:
            return False
        await asyncio.wait(list(self._watched.values()))
        return True

    async def _watch(self, org_id: int) -> None:
        try:
            # Whatever fails here, the next attempt of a write meets it too and tells who waits.
            with contextlib.suppress(TimeoutError, SeraiError, PostgresError, OSError):
                async with asyncio.timeout(FREEZE_WAIT_SECONDS_MAX):
                    frozen = True
                    while frozen:
                        await asyncio.sleep(FREEZE_LOOK_SECONDS)
                        head = await self._store.head(org_id)
                        frozen = head is not None and head.state == "frozen"
        finally:
            del self._watched[org_id]
            self._thawed(org_id)
