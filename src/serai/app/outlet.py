"""The outlet as a process: one `ShardOutlet` for each shard of the directory.

Owns the life of the bus and of the outlets of shards. Promises that shards which come are served,
that one at another address is served there, that one whose task died is told of and served again,
and that a stop waits for the message in flight and notes what was accepted. Never is needed by
anything else of Serai: without it nothing goes to the bus, and all else is as ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Collection
from typing import Final

import msgspec

from serai.app.outlet_bus import open_bus
from serai.app.outlet_patience import Patience, paused
from serai.app.outlet_shard import Means, ShardOutlet
from serai.app.runtime import Runtime, open_runtime
from serai.app.settings import Settings
from serai.app.shard_facts import ShardError
from serai.ports.outlet import Bus
from serai.shard.placement import ShardRef
from serai.telemetry.recorder import SILENT, Recorder

_log = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 1.0
"""Between two looks at which shards there are."""


class Sent(msgspec.Struct, frozen=True):
    """What a run sent.

    Attributes:
        messages, bytes: that the bus accepted.
        begun: organisations that began again, all of their rows sent.
        elsewhere: shards of which another process is the outlet.
    """

    messages: int
    bytes: int
    begun: int
    elsewhere: list[str]


class OutletProcess:
    """Use `async with open_outlet(settings) as process`."""

    def __init__(self, runtime: Runtime, means: Means, only: Collection[str]) -> None:
        """Keep the parts."""
        self._runtime, self._means, self._only = runtime, means, only
        self._serving: dict[int, tuple[ShardRef, asyncio.Task[None]]] = {}

    def stop(self) -> None:
        """Let `run` end after the messages in flight."""
        self._means.stop.set()

    async def run(self) -> None:
        """Serve every shard until told to stop."""
        try:
            while not self._means.stop.is_set():
                for ref in self._chosen():
                    await self._follow(ref)
                await paused(self._means.stop, _LOOK_SECONDS)
        finally:
            self._means.stop.set()
            await asyncio.gather(*(task for _, task in self._serving.values()))

    async def run_once(self) -> Sent:
        """Send until nothing is due on any shard, one after the other.

        Raises:
            BusDown, BusRefused, SeraiError, PostgresError: what was not sent stays due.
        """
        messages = size = begun = 0
        elsewhere: list[str] = []
        for ref in self._chosen():
            outlet = await self._outlet(ref)
            if not await outlet.run_once():
                elsewhere.append(ref.name)
            messages += outlet.sent.messages
            size += outlet.sent.size
            begun += outlet.sent.begun
        return Sent(messages, size, begun, elsewhere)

    def _chosen(self) -> list[ShardRef]:
        shards = list(self._runtime.directory.shards)
        missing = set(self._only) - {ref.name for ref in shards}
        if missing:
            known = ", ".join(ref.name for ref in shards) or "none"
            raise ShardError(f"There is no shard {min(missing)!r}. Shards: {known}.")
        return [ref for ref in shards if not self._only or ref.name in self._only]

    async def _outlet(self, ref: ShardRef) -> ShardOutlet:
        shard = await self._runtime.shard(ref)
        return ShardOutlet(ref.name, ref.url, shard.pool, self._means)

    async def _follow(self, ref: ShardRef) -> None:
        """Serve the shard, if it is not yet served at this address."""
        known = self._serving.get(ref.id)
        if known is not None and known[0].url == ref.url and not known[1].done():
            return
        if known is not None:
            known[1].cancel()
            (how,) = await asyncio.gather(known[1], return_exceptions=True)
            if isinstance(how, Exception):
                self._means.recorder.outlet_failed(ref.name, "task")
                _log.error("the outlet of %s died and begins again", ref.name, exc_info=how)
        outlet = await self._outlet(ref)
        self._serving[ref.id] = (ref, asyncio.create_task(outlet.run()))


@contextlib.asynccontextmanager
async def open_outlet(
    settings: Settings,
    *,
    only: Collection[str] = (),
    bus: Bus | None = None,
    recorder: Recorder = SILENT,
) -> AsyncGenerator[OutletProcess]:
    """Connect to the directory and yield the process; its first message connects to the bus.

    Args:
        settings: the bus is `outlet_url`.
        only: names of shards; none for all.
        bus: instead of that of the settings.
        recorder: is told.

    Raises:
        SettingsError: no bus or no directory is set.
    """
    taken = bus or open_bus(settings.outlet_url)
    try:
        async with open_runtime(settings, as_owner=True, recorder=recorder) as runtime:
            names = {c.number: c.name for c in runtime.vertical.collections}
            means = Means(
                taken, names, settings.outlet_parallel, Patience(), recorder, asyncio.Event()
            )
            yield OutletProcess(runtime, means, only)
    finally:
        await taken.close()
