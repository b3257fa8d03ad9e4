"""The engine: makes one request after the other, and decides when.

Owns the client's state and the loop that follows it. Promises: one request in flight at a time;
every wait is bounded; every failure moves the state by the table in `states.py`; an answer that
arrives late is applied or ignored, never half applied. Time is the event loop's, so a loop with
virtual time runs it unchanged. Never reads or changes rows itself: `apply.py` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from uuid import UUID

import msgspec

from serai.client import apply, queue, trouble
from serai.client.apply import Touched
from serai.client.file import DeviceFile, FileDamaged, FileError, NotWritten
from serai.client.forms import PushedBatch, page_decoder, push_decoder
from serai.client.pacing import CUTS_MAX, Conditions, Pace, asked_wait, interval, retry_wait, trips
from serai.client.plan import Exchange, mark_sent, next_exchange, seconds_allowed
from serai.client.reactions import Reaction, Unreachable, reaction_to
from serai.client.states import CLIENT, Event, State, step
from serai.client.transport import Answer, Transport
from serai.core.clock import Clock, timestamp_text
from serai.core.errors import SeraiError

_Passing = Unreachable | SeraiError | NotWritten
_DUE = {State.IDLE: Event.WAKE, State.WAITING: Event.RETRY_DUE, State.OPEN: Event.RETRY_DUE}
"""What happens when a wait is over; the other states end by something else."""
_MENDS_MAX = 3
"""How often in a row tokens are dropped or the queue is renumbered at once, before it counts as a
failure."""


@dataclass(frozen=True, slots=True)
class World:
    """Where time, chance and ids come from; a simulation brings its own."""

    clock: Clock
    random: Random
    new_id: Callable[[], UUID]


class Engine:
    """Keeps a file in step with a server.

    Attributes:
        changed: called after each transaction that may have changed rows.
        failures: attempts that failed since the last one that did not.
        error: why the last attempt failed.
    """

    def __init__(
        self,
        file: DeviceFile,
        transport: Transport,
        *,
        world: World,
        pace: Pace,
        properties: Sequence[UUID] | None,
    ) -> None:
        """Start idle; nothing is sent before `sync_once` or `run`."""
        self._file = file
        self._transport = transport
        self._world = world
        self._pace = pace
        self._properties = properties
        self._busy = asyncio.Lock()
        self._stir = asyncio.Event()
        self._due_at = self._not_before = 0.0
        self._mends = self._cuts = 0
        self._again = False
        self._limit: asyncio.Timeout | None = None
        self._synced_at = 0.0
        self.changed: Callable[[Touched], None] = _tell_nobody
        self.state = State.IDLE
        self.conditions = Conditions()
        self.failures = 0
        self.error: Unreachable | SeraiError | FileError | None = None

    @property
    def closed(self) -> bool:
        """Whether the client was closed, perhaps while a request was in flight."""
        return self.state is State.CLOSED

    def tell(self, event: Event) -> None:
        """Let something happen to the client."""
        if event is Event.WAKE and self.state in (State.SYNCING, State.PROBING):
            # The request in flight may have missed what the doorbell rang for.
            self._again = True
        before, self.state = self.state, step(CLIENT, self.state, event)
        limit = self._limit
        if event is Event.NETWORK_LOST and limit is not None and not limit.expired():
            # Its answer comes no more, and the next network must not wait for it to be given up.
            limit.reschedule(0.0)
        if self.state is not before or event is Event.WAKE:
            self._stir.set()

    def notice(self, conditions: Conditions) -> None:
        """Take in what the device tells about itself; opening the app asks for a sync."""
        opened = conditions.foreground and not self.conditions.foreground
        self.conditions = conditions
        if self.state is State.IDLE:
            self._due_at = self._synced_at + interval(self._pace, conditions)
        if opened:
            # A wait drawn while nobody looked is longer than any that a person should sit through.
            soon = asyncio.get_running_loop().time() + self._pace.backoff_max
            if self.state is not State.IDLE:
                self._due_at = max(min(self._due_at, soon), self._not_before)
            self.tell(Event.WAKE)
        self._stir.set()

    async def sync_once(self) -> None:
        """Send the queue and pull until nothing is left to do.

        Raises:
            Unreachable: there is no network, or no readable answer came.
            SeraiError: the server refused.
            NotWritten, FileDamaged: the file does not take the answer.
        """
        self.tell(Event.ASKED)
        while self.state in (State.SYNCING, State.PROBING):
            await self._attempt()
        if self.state is not State.IDLE:
            raise self.error or Unreachable(f"The client is {self.state.value}.")

    async def run(self) -> None:
        """Sync whenever it is due, until the client is closed."""
        if self.state is State.IDLE:
            self.tell(Event.WAKE)
        while self.state is not State.CLOSED:
            if self.state in (State.SYNCING, State.PROBING):
                await self._attempt()
            else:
                await self._wait()

    async def _wait(self) -> None:
        """Wait until the state changes or its time is over."""
        self._stir.clear()
        due = _DUE.get(self.state)
        when = None if due is None else self._due_at
        try:
            async with asyncio.timeout_at(when):
                await self._stir.wait()
        except TimeoutError:
            assert due is not None, "only a wait with an end runs out"
            self.tell(due)

    async def _attempt(self) -> None:
        """Make one request and move the state by what became of it."""
        async with self._busy:
            if self.state not in (State.SYNCING, State.PROBING):
                return
            try:
                await self._one_exchange()
            except (Unreachable, NotWritten) as error:
                self._failed(error, None)
            except FileDamaged as error:
                self._halted(error)

    async def _one_exchange(self) -> None:
        """Make one request and take in its answer, or its refusal."""
        pace, now = self._pace, self.conditions
        exchange = next_exchange(self._file, pace, now, self._properties, self._cuts)
        try:
            more = await self._exchange(exchange)
        except SeraiError as error:
            if not self.closed:
                self._refused(error, exchange)
        else:
            self._succeeded(more=more)

    async def _exchange(self, exchange: Exchange) -> bool:
        """Make the request and apply its answer; return whether more is to do."""
        try:
            async with asyncio.timeout(seconds_allowed(self._pace, exchange)) as self._limit:
                if exchange.push is None:
                    answer = await self._transport.changes(exchange.pull, exchange.etag)
                else:
                    mark_sent(self._file, exchange.push)
                    answer = await self._transport.mutations(exchange.push)
        except TimeoutError as error:
            raise Unreachable("No answer came in time.") from error
        finally:
            self._limit = None
        if self.closed:
            raise Unreachable("The client was closed.")
        try:
            if exchange.push is None:
                return self._take_pull(exchange, answer)
            return self._take_push(exchange, push_decoder.decode(answer.body))
        except msgspec.DecodeError as error:
            raise Unreachable("The answer is not one of this protocol.") from error

    def _take_pull(self, exchange: Exchange, answer: Answer) -> bool:
        if answer.unchanged:
            return queue.waits(self._file)
        page = page_decoder.decode(answer.body)
        touched = Touched()
        with self._file.transaction():
            more = apply.take_page(self._file, page, exchange.asked, touched)
            apply.reflect(self._file, touched)
            self._file.set_meta("etag", "" if more else answer.etag or "")
        self.changed(touched)
        return more or queue.waits(self._file)

    def _take_push(self, exchange: Exchange, batch: PushedBatch) -> bool:
        """Apply results and page in one transaction: a crash before it is a lost answer, and the
        replay says the same.
        """
        touched = Touched()
        more = True
        with self._file.transaction():
            now = timestamp_text(self._world.clock.now())
            settled, reused = apply.take_results(self._file, batch.results, touched, now)
            if batch.pull is not None:
                more = apply.take_page(self._file, batch.pull, exchange.asked, touched)
            apply.reflect(self._file, touched)
            self._file.set_meta("etag", "")
            if reused:
                queue.renumber(self._file, self._world.new_id())
        self.changed(touched)
        if reused:
            self._mends += 1
        if not settled and (not reused or self._mends > _MENDS_MAX):
            raise Unreachable("The answer settles nothing.")
        return more or queue.waits(self._file)

    def _succeeded(self, *, more: bool) -> None:
        if not more:
            with self._file.transaction():
                self._file.set_meta("last_sync", timestamp_text(self._world.clock.now()))
                self._file.set_meta(trouble.META_KEY, "")
        self.failures = 0
        self._cuts = max(self._cuts - 1, 0)
        self.error = None
        self._synced_at = asyncio.get_running_loop().time()
        if more:
            self.tell(Event.ANSWERED)
            return
        self._mends = 0
        self._due_at = self._synced_at + interval(self._pace, self.conditions)
        self.tell(Event.DONE)
        if self._again:
            self._again = False
            self.tell(Event.WAKE)

    def _failed(self, error: _Passing, retry_after: float | None) -> None:
        self.error = error
        if self.state not in (State.SYNCING, State.PROBING):
            return  # closed or offline since: no failure of the server's
        self.failures += 1
        if isinstance(error, Unreachable):
            self._cuts = min(self._cuts + 1, CUTS_MAX)
        chance = self._world.random.random()
        now = asyncio.get_running_loop().time()
        wait = retry_wait(self._pace, self.conditions, self.failures, chance, retry_after)
        self._due_at = now + wait
        self._not_before = now + asked_wait(retry_after)
        self.tell(Event.TRIPPED if trips(self._pace, self.failures) else Event.FAILED)
        trouble.keep(self._file, error, self.state, self.failures, self._world.clock, wait)

    def _refused(self, error: SeraiError, exchange: Exchange) -> None:
        """Do what the catalogue says about the error."""
        first = exchange.push.mutations[0].number if exchange.push is not None else 0
        match reaction_to(error, first):
            case Reaction.LATER | Reaction.RESEND:
                self._failed(error, error.retry_after_seconds)
            case Reaction.REFETCH:
                with self._file.transaction():
                    dropped = apply.drop_tokens(self._file)
                self._mended(error, mended=dropped)
            case Reaction.RENUMBER:
                with self._file.transaction():
                    queue.renumber(self._file, self._world.new_id())
                self._mended(error, mended=True)
            case Reaction.HALT:
                self._halted(error)

    def _halted(self, error: SeraiError | FileDamaged) -> None:
        self.error = error
        self.tell(Event.REFUSED)
        trouble.keep(self._file, error, self.state, self.failures, self._world.clock, None)

    def _mended(self, error: SeraiError, *, mended: bool) -> None:
        """Go on at once after a mend; a server that refuses whatever is sent is a failure."""
        self._mends += 1
        if mended and self._mends <= _MENDS_MAX:
            self.tell(Event.ANSWERED)
        else:
            self._failed(error, error.retry_after_seconds)


def _tell_nobody(touched: Touched) -> None:
    """Stand in until a client listens."""
