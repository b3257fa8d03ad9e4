"""The outlet of one shard, in one process.

Owns whose turn it is, which organisation is sent next, and what is done when the bus or the
shard does not answer. Promises that a bounded number of organisations is in work, each by one task;
that one with which something is wrong holds up no other; that nothing is sent to a bus that came
back before it was looked whether it lost something. Never sends by itself (`serai.readers.outlet`
does).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Final

from serai.app.outlet_patience import Patience, paused
from serai.app.outlet_watch import BusWatch
from serai.core.errors import SeraiError
from serai.ports.outlet import Bus, BusDown, BusRefused
from serai.readers.outlet.notes import Notes, alone
from serai.readers.outlet.reader import Reader, Sending
from serai.shard.connection import Connection, PostgresError, connect
from serai.shard.pools import PinnedPool
from serai.telemetry.recorder import Recorder

_log = logging.getLogger(__name__)
_BATCH: Final = 200
"""Organisations read at once from those that are due."""
_POLL_SECONDS: Final = 0.2
"""Between two looks at a shard on which nothing is due."""
_TURN_SECONDS: Final = 1.0
"""Between two tries to become the outlet of a shard that has one."""
_TELL_SECONDS: Final = 5.0
"""Between two looks at the lag, the bus, and the connection that says whose turn it is."""
_REST_SECONDS: Final = 5.0
"""An organisation with which something is wrong is left alone so long."""
LAG_ORGS_MAX: Final = 1_000
_WRONG = (SeraiError, PostgresError, OSError)


@dataclass(frozen=True, slots=True)
class Means:
    """What the outlets of all shards of a process share.

    Attributes:
        bus: where messages go.
        names: collection number -> name.
        parallel: organisations of a shard in work at once.
        patience: with the bus.
        recorder: is told.
        stop: set to end.
    """

    bus: Bus
    names: Mapping[int, str]
    parallel: int
    patience: Patience
    recorder: Recorder
    stop: asyncio.Event


class ShardOutlet:
    """Sends what one shard has.

    Args:
        name, url: of the shard; the URL is its owner's.
        pool: connections to it.
        means: of the process.

    Attributes:
        sent: all in all.
    """

    def __init__(self, name: str, url: str, pool: PinnedPool, means: Means) -> None:
        """Keep the parts."""
        self._name, self._url, self._means = name, url, means
        self.notes = Notes(pool)
        self._reader = Reader(self.notes, means.bus, means.names, means.stop.is_set)
        self.sent = Sending()
        self._room = asyncio.Semaphore(means.parallel)
        self._active: dict[int, asyncio.Task[None]] = {}
        self._resting: dict[int, float] = {}
        self._again = asyncio.Event()
        self._watch = BusWatch(name, means.bus, self.notes, self._reader, means.recorder)

    async def run(self) -> None:
        """Be the outlet of the shard whenever it is this process's turn, until told to stop."""
        patience = Patience()
        while not self._means.stop.is_set():
            try:
                async with self._turn() as connection:
                    if connection is None:
                        await paused(self._means.stop, _TURN_SECONDS)
                        continue
                    patience.succeeded()
                    await self._serve(connection)
            except _WRONG as error:
                self._means.recorder.outlet_failed(self._name, "shard")
                if patience.failed():
                    _log.warning("the outlet of %s waits for its shard: %s", self._name, error)
                await patience.over(self._means.stop)

    async def run_once(self) -> bool:
        """Send until nothing is due; False if another process is the outlet of the shard.

        Raises:
            BusDown, SeraiError, PostgresError: what is not sent stays due.
        """
        async with self._turn() as connection:
            if connection is None:
                return False
            await self._begin()
            while await self.notes.look_through():
                pass
            try:
                while await self._round(once=True):
                    pass
            finally:
                await self._ended()
        return True

    # ------------------------------------------------------------ whose turn it is

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncGenerator[Connection | None]:
        """Yield the connection that makes this process the outlet, None if another one is."""
        connection = await connect(self._url, application_name="serai outlet")
        try:
            mine = await alone(connection)
            self._means.recorder.outlet_serves(self._name, serves=mine)
            yield connection if mine else None
        finally:
            self._means.recorder.outlet_serves(self._name, serves=False)
            connection.terminate()

    async def _serve(self, connection: Connection) -> None:
        """Do everything there is to do, until told to stop or something fails."""
        await self._begin()
        work = [
            asyncio.create_task(self._feed()),
            asyncio.create_task(self._look_through()),
            asyncio.create_task(self._tell(connection)),
        ]
        try:
            # The one that looks through ends by itself, the others with the stop or an error.
            await asyncio.gather(*work)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await self._ended()

    async def _begin(self) -> None:
        if await self.notes.switch_on():
            _log.info("organisations of %s that write are noted for the outlet now", self._name)
        await self._watch.begin()
        self._means.patience.doubt(self._name)

    async def _look_through(self) -> None:
        """Note organisations that wrote before there was an outlet."""
        while not self._means.stop.is_set() and await self.notes.look_through():
            self._again.set()
            await asyncio.sleep(0)

    async def _tell(self, connection: Connection) -> None:
        """Tell how far behind it is, note how far the bus is, see that the turn is still ours."""
        stop = self._means.stop
        while not stop.is_set():
            await paused(stop, _TELL_SECONDS)
            async with asyncio.timeout(_TELL_SECONDS):
                await connection.execute("SELECT 1")
            lag = await self.notes.lag(LAG_ORGS_MAX)
            self._means.recorder.outlet_lag(self._name, lag.versions, lag.seconds)
            if not self._means.patience.doubted(self._name):
                with contextlib.suppress(BusDown):
                    await self._watch.look()

    # ------------------------------------------------------------ what is sent next

    async def _feed(self) -> None:
        """Let organisations be sent that are due, round after round."""
        while not self._means.stop.is_set():
            self._again.clear()
            await self._round()
            await paused(self._means.stop, _POLL_SECONDS, self._again)

    async def _round(self, *, once: bool = False) -> bool:
        """Go once through the organisations that are due; tell whether anything was sent.

        Args:
            once: wait for all of them, and raise what goes wrong.
        """
        after, before = 0, self.sent.messages
        while not self._means.stop.is_set() and await self._bus_is_well(once=once):
            due = await self.notes.due(after, _BATCH)
            for org_id, _ in due:
                if org_id not in self._active and not self._rests(org_id):
                    await self._room.acquire()
                    self._active[org_id] = asyncio.create_task(self._one(org_id, once=once))
            if once:
                await asyncio.gather(*self._active.values())
            if len(due) < _BATCH:
                break
            after = due[-1][0]
        return self.sent.messages > before

    def _rests(self, org_id: int) -> bool:
        until = self._resting.get(org_id)
        if until is None:
            return False
        if asyncio.get_running_loop().time() < until:
            return True
        del self._resting[org_id]
        return False

    async def _one(self, org_id: int, *, once: bool) -> None:
        """Send one organisation; what fails is told and tried again."""
        try:
            await self._sent(org_id)
        except BusDown as error:
            self._means.recorder.outlet_failed(self._name, "bus")
            if once:
                raise
            self._means.patience.failed(error)
        except BusRefused as error:
            self._fails(org_id, "refused", error)
            if once:
                raise
        except _WRONG as error:
            self._fails(org_id, "shard", error)
            if once:
                raise
        except Exception as error:
            # A mistake of ours: nobody waits for this task, so nobody else would hear of it.
            self._fails(org_id, "task", error)
            _log.exception("the task that sends organisation %s died", org_id)
            if once:
                raise
        finally:
            del self._active[org_id]
            self._room.release()

    async def _sent(self, org_id: int) -> None:
        sending = Sending()
        try:
            await self._reader.send(org_id, sending)
        finally:
            self.sent.messages += sending.messages
            self.sent.size += sending.size
            self.sent.begun += sending.begun
            self._means.recorder.outlet_sent(
                self._name, sending.messages, sending.size, sending.begun
            )
        if not sending.done and not sending.elsewhere:
            self._again.set()

    def _fails(self, org_id: int, what: str, error: Exception) -> None:
        self._means.recorder.outlet_failed(self._name, what)
        self._resting[org_id] = asyncio.get_running_loop().time() + _REST_SECONDS
        _log.warning("organisation %s is not sent for now: %s", org_id, error)

    async def _ended(self) -> None:
        """Wait for what is in work; note how far the bus is."""
        await asyncio.gather(*self._active.values(), return_exceptions=True)
        with contextlib.suppress(BusDown, *_WRONG):
            await self._watch.look()

    # ------------------------------------------------------------ the bus

    async def _bus_is_well(self, *, once: bool) -> bool:
        """Tell whether something may be sent. One that failed is asked first how far it is."""
        patience = self._means.patience
        if not patience.doubted(self._name):
            return True
        await patience.over(self._means.stop)
        try:
            await self._watch.look()
        except BusDown as error:
            self._means.recorder.outlet_failed(self._name, "bus")
            if once:
                raise
            patience.failed(error)
            return False
        patience.trust(self._name)
        return True
