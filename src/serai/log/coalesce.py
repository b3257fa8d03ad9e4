"""The coalescer: waiting writes of many organisations become one transaction.

Owns the queue between requests and a shard. Promises: at most 128 writes or what is waiting, and no
delay while nothing is in flight; one transaction in flight per organisation; writes of one
organisation in the order of their arrival as far as rows allow, mutations of one device always in
order; an answer for each write of its own, so a refused one never fails its neighbours. Never
retries a write whose outcome is unknown (a lost connection): the caller sends it again under the
same key.

A transaction begins beside another when 64 writes wait, or when some have waited for 20 ms. Until
then they gather for the next one: what a transaction costs whatever is in it would
otherwise be paid for a few writes each (docs/decisions/0021-batches.md).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextvars import Context
from datetime import datetime
from time import perf_counter
from typing import assert_never
from uuid import UUID

from serai.core.clock import Clock, SystemClock
from serai.core.errors import Code, SeraiError
from serai.core.limits import (
    COALESCE_CROWD,
    COALESCE_WAIT_SECONDS_MAX,
    COALESCE_WRITES_MAX,
    FREEZE_WAIT_SECONDS_MAX,
    QUEUED_WRITES_MAX,
    WRITE_ATTEMPTS_MAX,
)
from serai.log.admit import admit, device_of
from serai.log.decide import NeedRows, decide, denied, plan_denial, plan_refusal
from serai.log.denials import RECORDED, Denials
from serai.log.departures import Departed, each_instead, instead, late, nothing_left
from serai.log.freezes import Freezes
from serai.log.intent import WriteAnswer, WriteIntent
from serai.log.replies import lost_reply, refusal_again_reply, with_version
from serai.log.waiting import Queue, Waiting, not_judged
from serai.model import Vertical
from serai.ports.doorbell import Heard
from serai.ports.store import (
    Committed,
    Failed,
    Fenced,
    Gap,
    IdempotencyKey,
    MutationKey,
    Outcome,
    PlannedWrite,
    Replayed,
    RowKey,
    Stale,
    Store,
    StoredRow,
)
from serai.telemetry.recorder import SILENT, Recorder

_EPOCHS_KEPT_MAX = 1_000_000


class Coalescer:
    """The write path of one shard.

    Args:
        store: the shard.
        vertical: the declaration that decides.
        clock: time for rules.
        lanes: transactions in flight at most, of different organisations.
        writes_max: writes of one transaction.
        crowd: writes that wait before a further transaction begins beside one in flight.
        recorder: is told what becomes of writes.

    Attributes:
        departed: tells what left with a property that was handed over; set by who knows.
        rings: is told (organisation, epoch, version) after each commit; set by who has a doorbell.
    """

    def __init__(
        self,
        store: Store,
        vertical: Vertical,
        *,
        clock: Clock | None = None,
        lanes: int = 4,
        writes_max: int = COALESCE_WRITES_MAX,
        crowd: int = COALESCE_CROWD,
        recorder: Recorder = SILENT,
    ) -> None:
        """Start with an empty queue; nothing runs before the first write."""
        self.departed: Departed = nothing_left
        self.rings: Heard | None = None
        self._store = store
        self._vertical = vertical
        self._clock = clock or SystemClock()
        self._lanes = lanes
        self._writes_max = writes_max
        self._crowd = crowd
        self._patience: asyncio.TimerHandle | None = None
        self._recorder = recorder
        self._organisations: dict[int, Queue] = {}
        self._ready: deque[int] = deque()
        self._queued = 0
        self._epochs: dict[int, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._freezes = Freezes(store, self._thawed)
        self._denials = Denials(lambda intent: Coalescer.enqueue(self, intent))

    @property
    def queued(self) -> int:
        """Writes that wait for a transaction."""
        return self._queued

    async def submit(self, intent: WriteIntent) -> WriteAnswer:
        """Return the answer when the write is durable.

        Raises:
            SeraiError: the write was refused (never for a mutation that was judged: its answer says
                so), or the shard cannot take it now.
        """
        return await self.enqueue(intent)

    def enqueue(self, intent: WriteIntent) -> asyncio.Future[WriteAnswer]:
        """Put the write into the queue now; writes of one organisation keep the order of these
        calls.
        """
        if self._queued >= QUEUED_WRITES_MAX:
            raise SeraiError(
                Code.OVERLOADED, "Too many writes wait for this shard.", retry_after_seconds=1
            )
        waiting = Waiting(intent, asyncio.get_running_loop().create_future())

        organisation = self._organisations.get(intent.org_id)
        if organisation is None:
            organisation = self._organisations[intent.org_id] = Queue()
        organisation.waiting.append(waiting)
        self._queued += 1
        if len(organisation.waiting) == 1 and not organisation.busy:
            self._ready.append(intent.org_id)
        if not self._tasks or self._queued >= self._crowd:
            self._start_lane()
        else:
            self._be_patient()
        return waiting.answer

    async def drain(self) -> None:
        """Wait until nothing is queued or in flight."""
        self._denials.flush()
        while self._tasks or await self._freezes.drain():
            if self._tasks:
                await asyncio.wait(self._tasks)

    def _be_patient(self) -> None:
        """See to it that what waits does not wait for ever for those that run."""
        if self._ready and self._patience is None and len(self._tasks) < self._lanes:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(COALESCE_WAIT_SECONDS_MAX, self._out_of_patience)

    def _out_of_patience(self) -> None:
        self._patience = None
        self._start_lane()

    def _start_lane(self) -> None:
        if len(self._tasks) < self._lanes and self._ready:
            # A lane serves many requests and is none of them, so it knows none of them.
            task = asyncio.get_running_loop().create_task(self._lane(), context=Context())
            self._tasks.add(task)
            # For a lane that was cancelled.
            task.add_done_callback(self._tasks.discard)

    async def _lane(self) -> None:
        """Run transactions until nothing is ready, or so little that the other lanes may have
        it.
        """
        task = asyncio.current_task()
        assert task is not None, "a lane is a task"
        while batch := self._take():
            try:
                again = await self._run(batch)
            except Exception as error:  # noqa: BLE001 - every waiter of the batch gets it; a lane must not die with it
                again = []
                for each in batch:
                    each.fail(error)
                exchanges = [each.exchange for each in batch if each.exchange is not None]
                self._recorder.batch_failed(len(batch), error, exchanges)
            self._give_back(batch, again)
            if len(self._tasks) > 1 and self._queued < self._crowd:
                break
        # Not in a callback of the task: that runs later, and a write that comes between would be
        # left to a lane that has gone.
        self._tasks.discard(task)
        self._be_patient()

    def _take(self) -> list[Waiting]:
        """Take waiting writes of organisations that have nothing in flight, oldest organisation
        first.
        """
        batch: list[Waiting] = []
        while self._ready and len(batch) < self._writes_max:
            organisation = self._organisations[self._ready.popleft()]
            organisation.busy = True
            while organisation.waiting and len(batch) < self._writes_max:
                batch.append(organisation.waiting.popleft())
        self._queued -= len(batch)
        if not self._ready and self._patience is not None:
            self._patience.cancel()
            self._patience = None
        return batch

    def _give_back(self, batch: Sequence[Waiting], again: Sequence[Waiting]) -> None:
        """Release the organisations of a batch; put writes to be decided again before those that
        came later.
        """
        for each in reversed(again):
            self._organisations[each.intent.org_id].waiting.appendleft(each)
        self._queued += len(again)
        for org_id in dict.fromkeys(each.intent.org_id for each in batch):
            organisation = self._organisations[org_id]
            organisation.held = org_id in self._freezes
            if not organisation.held:
                self._release(org_id, organisation)

    def _release(self, org_id: int, organisation: Queue) -> None:
        organisation.busy = organisation.held = False
        if organisation.waiting:
            self._ready.append(org_id)
        else:
            del self._organisations[org_id]

    def _thawed(self, org_id: int) -> None:
        """Let the writes of an organisation that was frozen try again."""
        organisation = self._organisations[org_id]
        # Else its transaction has not given it back yet.
        if organisation.held:
            self._release(org_id, organisation)
            self._start_lane()

    async def _run(self, batch: list[Waiting]) -> list[Waiting]:
        """Decide and commit a batch. Returns the writes to be tried again, in order."""
        await self._learn_epochs(batch)
        with self._recorder.span("serai.decide", (w.exchange for w in batch)):
            planned = await self._decide_all([w for w in batch if not w.answer.cancelled()])
        admitted, deferred = admit(planned)
        if not admitted:
            return deferred
        outcomes = await self._commit(admitted)
        stale, reused = await self._settle_all(admitted, outcomes)
        if reused:
            deferred = self._refuse_after(reused, deferred)
        if not stale:
            return deferred
        position = {id(w): n for n, w in enumerate(batch)}
        return sorted([*stale, *deferred], key=lambda w: position[id(w)])

    async def _settle_all(
        self, admitted: Sequence[tuple[Waiting, PlannedWrite]], outcomes: Sequence[Outcome]
    ) -> tuple[list[Waiting], dict[tuple[int, UUID], int]]:
        """Answer the writes of a transaction. Returns those to be tried again, and by device the
        first number that another mutation had used.
        """
        stale: list[Waiting] = []
        stopped: dict[tuple[int, UUID] | None, Waiting] = {}
        reused: dict[tuple[int, UUID], int] = {}
        for (waiting, plan), outcome in zip(admitted, outcomes, strict=True):
            if isinstance(outcome, Committed):
                waiting.committed(plan, outcome.version)
                if self.rings is not None:
                    self.rings(plan.org_id, self._epochs.get(plan.org_id, 0), outcome.version)
                continue
            device = device_of(plan)
            if isinstance(outcome, Replayed) and device is not None and not outcome.same_body:
                reused.setdefault(device, waiting.number)
            if isinstance(outcome, Stale) and not_judged(waiting, stopped.get(device), reused):
                if not waiting.answer.done():
                    stale.append(waiting)
                continue
            again = not await self._settle(waiting, plan, outcome)
            if again:
                stale.append(waiting)
            if device is not None and (again or waiting.error is not None):
                stopped[device] = waiting
        return stale, reused

    def _refuse_after(
        self, reused: Mapping[tuple[int, UUID], int], deferred: Sequence[Waiting]
    ) -> list[Waiting]:
        """Refuse what waits behind a mutation whose number another one had used: its device numbers
        all of them anew, in their order. Returns what is left of `deferred`.
        """
        for org_id in {org_id for org_id, _ in reused}:
            organisation = self._organisations[org_id]
            kept = deque(w for w in organisation.waiting if not w.comes_after(reused))
            for each in organisation.waiting:
                if each.comes_after(reused):
                    each.refuse_reuse()
            self._queued -= len(organisation.waiting) - len(kept)
            organisation.waiting = kept
        for each in deferred:
            if each.comes_after(reused):
                each.refuse_reuse()
        return [each for each in deferred if not each.comes_after(reused)]

    async def _commit(self, admitted: Sequence[tuple[Waiting, PlannedWrite]]) -> list[Outcome]:
        """Commit, and tell how it went."""
        began = perf_counter()
        with self._recorder.span("serai.commit", (waiting.exchange for waiting, _ in admitted)):
            outcomes = await self._store.commit([plan for _, plan in admitted])
        if self._recorder is not SILENT:
            self._recorder.batch(len(admitted), perf_counter() - began)
            for (waiting, plan), outcome in zip(admitted, outcomes, strict=True):
                kind = type(outcome).__name__.lower()
                self._recorder.write(kind, plan.org_id, len(plan.ops), began - waiting.since)
        return outcomes

    async def _learn_epochs(self, batch: Sequence[Waiting]) -> None:
        org_ids = {waiting.intent.org_id for waiting in batch}
        unknown = [org_id for org_id in org_ids if org_id not in self._epochs]
        if not unknown:
            return
        # Together: the store reads them in one or two statements.
        heads = await asyncio.gather(*map(self._store.head, unknown))
        if len(self._epochs) + len(unknown) > _EPOCHS_KEPT_MAX:
            self._epochs.clear()
        for org_id, head in zip(unknown, heads, strict=True):
            self._epochs[org_id] = 0 if head is None else head.epoch

    async def _decide_all(self, batch: list[Waiting]) -> list[tuple[Waiting, PlannedWrite]]:
        """Decide every write on rows read together: one read for the rows named, one for those the
        rules ask for.
        """
        rows: dict[RowKey, StoredRow | None] = {}
        planned: dict[int, tuple[Waiting, PlannedWrite]] = {}
        refused: list[tuple[Waiting, SeraiError]] = []
        undecided = list(enumerate(batch))
        one_org = len({waiting.intent.org_id for waiting in batch}) == 1
        now = self._clock.now()
        while undecided:
            needed: dict[RowKey, None] = {}
            again: list[tuple[int, Waiting]] = []
            for number, waiting in undecided:
                try:
                    plan = self._decide_one(waiting, rows, now)
                except NeedRows as need:
                    again.append((number, waiting))
                    if one_org and not rows:
                        # Neighbours in one organisation ask for the same few rows (its properties,
                        # its accounts): read these now, and most of them decide at once.
                        rows.update(zip(need.keys, await self._store.read(need.keys), strict=True))
                    else:
                        needed.update(dict.fromkeys(need.keys))
                except SeraiError as error:
                    refused.append((waiting, error))
                except Exception as error:  # noqa: BLE001 - a rule that fails fails its own write only
                    waiting.fail(error)
                else:
                    planned[number] = (waiting, plan)
            if needed:
                keys = list(needed)
                rows.update(zip(keys, await self._store.read(keys), strict=True))
            undecided = again
        await self._refuse_all(refused, rows)
        for n in await late(self.departed, planned):
            planned[n] = (planned[n][0], self._decide_one(planned[n][0], rows, now))
        return [planned[number] for number in sorted(planned)]

    async def _refuse_all(
        self,
        refused: Sequence[tuple[Waiting, SeraiError]],
        rows: Mapping[RowKey, StoredRow | None],
    ) -> None:
        """Refuse writes, but for repetitions of such as were applied: they get the first answer."""
        new = [(w, error) for w, e in refused if (error := await self._unless_done(w, e))]
        errors = await each_instead(self.departed, [(w.intent, error) for w, error in new])
        for (waiting, _), error in zip(new, errors, strict=True):
            intent = waiting.intent
            wish = intent.rows[0]
            row = rows.get((intent.org_id, wish.collection.number, wish.id))
            self._deny(intent, error, None if row is None else row.scope)
            waiting.fail(error)

    async def _unless_done(self, waiting: Waiting, error: SeraiError) -> SeraiError | None:
        """Return why a write is refused; None if it was applied before, and is answered so."""
        once = waiting.intent.once
        if isinstance(once, IdempotencyKey):
            intent = waiting.intent
            earlier = await self._store.replayed(intent.org_id, once, intent.body_hash)
            if earlier is not None and earlier.reply is not None:
                if earlier.same_body:
                    text = with_version(earlier.reply, earlier.version)
                    waiting.settle(WriteAnswer(earlier.version, text, replayed=True))
                    return None
                return SeraiError(Code.KEY_REUSED)
        return error

    def _deny(self, intent: WriteIntent, error: SeraiError, scope: UUID | None) -> None:
        """Record that a request was refused. An import reports its own lines."""
        if intent.via == "rest" and error.code in RECORDED:
            self._denials.note(intent, denied(intent, error, scope))

    def _decide_one(
        self, waiting: Waiting, rows: dict[RowKey, StoredRow | None], now: datetime
    ) -> PlannedWrite:
        intent = waiting.intent
        # Unknown again if it was dropped meanwhile: the fence then tells it.
        epoch = intent.epoch or self._epochs.get(intent.org_id, 0)
        if intent.denial is not None:
            return plan_denial(intent, intent.denial, epoch=epoch)
        if waiting.refused_by is not None:
            return plan_refusal(self._vertical, intent, waiting.refused_by, epoch=epoch, now=now)
        return decide(
            self._vertical, intent, rows, epoch=epoch, now=now, new_ids=waiting.attempts == 0
        )

    async def _settle(self, waiting: Waiting, plan: PlannedWrite, outcome: Outcome) -> bool:
        """Answer the write; False if it must be tried again."""
        once = waiting.intent.once
        match outcome:
            case Committed(version):
                waiting.committed(plan, version)
            case Replayed(version, reply, same_body):
                if not same_body:
                    waiting.refuse_reuse()
                else:
                    text = (
                        await self._lost(waiting, version)
                        if reply is None
                        else with_version(reply, version)
                    )
                    answer = WriteAnswer(version, text, replayed=True, epoch=plan.epoch)
                    waiting.settle(answer)
            case Stale():
                return self._again(waiting)
            case Gap(expected):
                waiting.fail(SeraiError(Code.MUTATION_GAP, extra={"expected": expected}))
            case Fenced(code, epoch):
                return self._fenced(waiting, plan, code, epoch)
            case Failed(code, detail, fields):
                error = SeraiError(code, detail, errors=tuple((name, detail) for name in fields))
                error = await instead(self.departed, waiting.intent, error)
                if (
                    isinstance(once, MutationKey)
                    and waiting.refused_by is None
                    and error.code not in (Code.DEVICE_UNKNOWN, Code.PROPERTY_HELD)
                ):
                    waiting.refused_by = error
                    return self._again(waiting)
                self._deny(waiting.intent, error, plan.ops[0].scope if plan.ops else None)
                waiting.fail(error)
            case _:
                assert_never(outcome)
        return True

    def _fenced(self, waiting: Waiting, plan: PlannedWrite, code: Code, epoch: int) -> bool:
        """Try again under the epoch that the fence told, unless the write is of another one."""
        org_id = waiting.intent.org_id
        if epoch and waiting.intent.epoch not in (0, epoch):
            waiting.fail(SeraiError(Code.MUST_REFETCH))
            return True
        if epoch and epoch != plan.epoch:
            self._epochs[org_id] = epoch
            return self._again(waiting)
        self._epochs.pop(org_id, None)
        if code is Code.ORG_FROZEN:
            # By the loop's clock, as the wait itself.
            now = asyncio.get_running_loop().time()
            waiting.frozen_since = waiting.frozen_since or now
            if now - waiting.frozen_since < FREEZE_WAIT_SECONDS_MAX:
                self._freezes.watch(org_id)
                return False
        waiting.fail(SeraiError(code, retry_after_seconds=1))
        return True

    def _again(self, waiting: Waiting) -> bool:
        waiting.attempts += 1
        if waiting.attempts < WRITE_ATTEMPTS_MAX:
            return False
        waiting.fail(SeraiError(Code.CONTENDED, retry_after_seconds=1))
        return True

    async def _lost(self, waiting: Waiting, version: int) -> str:
        """Return what is known of a mutation whose reply is not kept any more: refusals are kept
        for good.
        """
        once = waiting.intent.once
        assert isinstance(once, MutationKey), "the reply of a key is kept as long as the key"
        kept = await self._store.refusal(waiting.intent.org_id, once.device_id, once.number)
        if kept is not None:
            return refusal_again_reply(once.number, kept.refusal)
        return lost_reply(once.number, waiting.intent.rows[0].id, version)
