"""Where organisations stand, read for many requests at once.

Owns the gathering of such reads: while a statement is in flight, those that come gather for the
next one, each organisation once. Most pulls bring nothing new and need nothing else of the
database. Promises that an answer is never older than its question: a question does not join a
statement that was sent before it. Never keeps an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Final

from serai.core.limits import COALESCE_WAIT_SECONDS_MAX
from serai.ports.store import Head

ReadHeads = Callable[[Sequence[int]], Awaitable[Sequence[Head | None]]]
ORGANISATIONS_MAX: Final = 500
"""Of one statement."""


class Heads:
    """Reads heads. `read`: takes organisations, each once, to their heads, in that order."""

    def __init__(self, read: ReadHeads) -> None:
        """Start with nothing asked."""
        self._read = read
        self._asked: dict[int, asyncio.Future[Head | None]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._patience: asyncio.TimerHandle | None = None

    async def head(self, org_id: int) -> Head | None:
        """Return where the organisation stands, None if it is not here.

        Raises:
            SeraiError, PostgresError: of the statement that asked for it.
        """
        answer = self._asked.get(org_id)
        if answer is None:
            loop = asyncio.get_running_loop()
            answer = self._asked[org_id] = loop.create_future()
            if not self._running or len(self._asked) >= ORGANISATIONS_MAX:
                self._start()
            elif self._patience is None:
                # One statement that waits for its database must not hold up all others.
                self._patience = loop.call_later(COALESCE_WAIT_SECONDS_MAX, self._out_of_patience)
        # Others may wait for the same answer: who gives up does not take it from them.
        return await asyncio.shield(answer)

    def _out_of_patience(self) -> None:
        self._patience = None
        if self._asked:
            self._start()

    def _start(self) -> None:
        # The statement serves many requests and is none of them, so it knows none of them.
        asked, self._asked = self._asked, {}
        task = asyncio.get_running_loop().create_task(self._answer(asked), context=Context())
        self._running.add(task)

    async def _answer(self, asked: dict[int, asyncio.Future[Head | None]]) -> None:
        task = asyncio.current_task()
        assert task is not None, "it runs as a task"
        try:
            heads = await self._read(list(asked))
        except Exception as error:  # noqa: BLE001 - who asked gets it, whatever it is
            for answer in asked.values():
                answer.set_exception(error)
                # Nobody may be waiting any more, which is no news.
                answer.exception()
        else:
            for answer, head in zip(asked.values(), heads, strict=True):
                answer.set_result(head)
        self._running.discard(task)
        if self._asked:
            self._start()
