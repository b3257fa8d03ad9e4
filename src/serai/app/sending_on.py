"""Writes that came to a home which their organisation has left go to the new one.

Owns the step between two shards' write paths: a process whose copy of the placement is old learns
it from the shard itself. Promises one look into the directory for all that wait, that writes of an
organisation keep their order, and that a write is sent on once. Never trusts what it is told about
where an organisation is: the new home has a fence of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context

from serai.core.errors import Code, SeraiError
from serai.log.coalesce import Coalescer
from serai.log.intent import WriteAnswer, WriteIntent

Left = tuple[WriteIntent, asyncio.Future[WriteAnswer]]


class SendingOn:
    """The writes of a process that are between two homes.

    Args:
        refresh: brings the copy of the placement up to date.
        home: organisation -> the write path of its home.
    """

    def __init__(
        self,
        refresh: Callable[[], Awaitable[object]],
        home: Callable[[int], Awaitable[Coalescer]],
    ) -> None:
        """Start with none."""
        self._refresh = refresh
        self._home = home
        self._left: list[tuple[Coalescer, Left]] = []
        self._task: asyncio.Task[None] | None = None

    def take(
        self, old: Coalescer, intent: WriteIntent, answer: asyncio.Future[WriteAnswer]
    ) -> None:
        """Take a write that `old` may not do."""
        self._left.append((old, (intent, answer)))
        if self._task is None:
            # It serves many requests and is none of them.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())

    async def drain(self) -> None:
        """Wait until none is between two homes."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._left:
            left, self._left = self._left, []
            try:
                await self._refresh()
            except SeraiError as error:
                for _, (_, answer) in left:
                    _fail(answer, error)
                continue
            for old, (intent, answer) in left:
                await self._hand_over(old, intent, answer)
        self._task = None

    async def _hand_over(
        self, old: Coalescer, intent: WriteIntent, answer: asyncio.Future[WriteAnswer]
    ) -> None:
        try:
            home = await self._home(intent.org_id)
            if home is old:
                # The directory and the shard disagree: a move is on its way, or was broken off.
                raise SeraiError(Code.ORG_MOVED, retry_after_seconds=1)
            home.adopt(intent, answer)
        except SeraiError as error:
            _fail(answer, error)


def _fail(answer: asyncio.Future[WriteAnswer], error: SeraiError) -> None:
    if not answer.done():
        answer.set_exception(error)
