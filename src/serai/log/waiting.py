"""A write that waits: what is asked, who waits for the answer, what has happened to it so far.

Owns the answer: it is given once, however many try. Never decides which.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.log.intent import WriteAnswer, WriteIntent
from serai.log.replies import reused_reply, with_version
from serai.ports.store import MutationKey, PlannedWrite
from serai.telemetry.exchange import CURRENT, Exchange


@dataclass(slots=True, eq=False)
class Waiting:
    """A write in the queue."""

    intent: WriteIntent
    answer: asyncio.Future[WriteAnswer]
    attempts: int = 0
    refused_by: SeraiError | None = None
    """Set when the database refused a mutation: the next attempt records that."""
    since: float = field(default_factory=perf_counter)
    frozen_since: float | None = None
    """When it first found its organisation frozen."""
    exchange: Exchange | None = field(default_factory=CURRENT.get)

    @property
    def error(self) -> BaseException | None:
        """Return the error that it was answered with, None if it was not."""
        answer = self.answer
        return answer.exception() if answer.done() and not answer.cancelled() else None

    @property
    def number(self) -> int:
        """Return the number of a mutation, 0 for any other write."""
        once = self.intent.once
        return once.number if isinstance(once, MutationKey) else 0

    def comes_after(self, reused: Mapping[tuple[int, UUID], int]) -> bool:
        """Tell whether a mutation of the same device with a lower number is among these."""
        once = self.intent.once
        if not isinstance(once, MutationKey):
            return False
        below = reused.get((self.intent.org_id, once.device_id))
        return below is not None and below < once.number

    def settle(self, answer: WriteAnswer) -> None:
        """Answer it."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """Answer it with an error."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def committed(self, plan: PlannedWrite, version: int) -> None:
        """Answer that it is durable under this version."""
        self.settle(WriteAnswer(version, with_version(plan.reply, version), epoch=plan.epoch))

    def refuse_reuse(self) -> None:
        """Answer that another write has used its key."""
        once = self.intent.once
        if isinstance(once, MutationKey):
            self.settle(WriteAnswer(0, reused_reply(once.number, self.intent.rows[0].id)))
        else:
            self.fail(SeraiError(Code.KEY_REUSED))


def not_judged(
    waiting: Waiting, first: Waiting | None, reused: Mapping[tuple[int, UUID], int]
) -> bool:
    """Tell whether a write is stale only because an earlier mutation of its device is not in. If
    that one was answered for good, so is this one.

    Args:
        first: the first of its device that was not taken.
        reused: by device, the first number that another mutation had used.
    """
    if waiting.comes_after(reused):
        waiting.refuse_reuse()
        return True
    if first is None:
        return False
    # No attempt of its own, else eight refusals in a queue would exhaust all that come after them.
    if first.error is not None:
        waiting.fail(first.error)
    return True


@dataclass(slots=True)
class Queue:
    """The waiting writes of one organisation; `busy` while a transaction of it is in flight, or
    while they are `held` because it is frozen.
    """

    waiting: deque[Waiting] = field(default_factory=deque[Waiting])
    busy: bool = False
    held: bool = False
