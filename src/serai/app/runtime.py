"""The runtime: the directory, the shards, the write paths, wired together for one process.

Owns the life of everything that holds a connection. Promises that a shard's pool and coalescer are
made once, on first use, and that closing waits for writes in flight. Never handles a request
itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from serai.app.doorbells import open_bell
from serai.app.fitness import Fitness
from serai.app.homes import Homes
from serai.app.listing import ListingCoalescer
from serai.app.partitions import drop_old_audit, ensure_partitions, fold_replies
from serai.app.settings import Settings, SettingsError
from serai.core.clock import Clock, SystemClock
from serai.core.errors import SeraiError
from serai.core.token import TokenSealer
from serai.gate.external import forget_tokens
from serai.gate.sessions import prune_sessions
from serai.log.coalesce import Coalescer
from serai.log.copies import Copies
from serai.log.departures import departed_of
from serai.log.postgres import PostgresStore
from serai.model import Vertical
from serai.schema.admission import role_of_requests
from serai.schema.collections import generate
from serai.schema.compat import check_database
from serai.schema.errors import SchemaError
from serai.shard.connection import PostgresError, connect_primary
from serai.shard.directory import Directory
from serai.shard.guard import ShardGuard
from serai.shard.placement import ShardRef
from serai.shard.pools import PinnedPool
from serai.shard.replicas import Replicas
from serai.shard.secrets import secrets
from serai.telemetry.recorder import SILENT, Recorder

_log = logging.getLogger(__name__)

_UPKEEP_SECONDS: Final = 3600
SESSIONS_PER_PRUNE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard as this process uses it."""

    ref: ShardRef
    pool: PinnedPool
    store: PostgresStore
    coalescer: Coalescer
    guard: ShardGuard
    copies: Copies


class Runtime:
    """Everything a process needs. Use `async with open_runtime(settings) as runtime`."""

    def __init__(
        self,
        settings: Settings,
        vertical: Vertical,
        directory: Directory,
        sealer: TokenSealer,
        clock: Clock,
        fitness: Fitness,
        recorder: Recorder = SILENT,
    ) -> None:
        """Keep the parts; shards are opened on first use."""
        self._fitness = fitness
        self.homes = Homes(directory, self.shard)
        self.settings = settings
        self.vertical = vertical
        self.directory = directory
        self.sealer = sealer
        self.clock = clock
        self._recorder = recorder
        self._bell = open_bell(settings.doorbell_url)
        self._shards: dict[int, Shard] = {}
        self._opening: dict[int, asyncio.Lock] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def shard_for(self, org_id: int) -> Shard:
        """Return the organisation's home shard.

        Raises:
            SeraiError: `not_found` for a number outside every range.
        """
        return await self.shard(self.directory.resolve(org_id))

    async def shard(self, ref: ShardRef) -> Shard:
        """Return the shard, opened once; one that does not answer is under its guard."""
        known = self._shards.get(ref.id)
        if known is not None and known.ref == ref:
            return known
        if known is not None and replace(ref, replicas=()) == replace(known.ref, replicas=()):
            known.copies.replicas.follow(ref.replicas)
            self._shards[ref.id] = replace(known, ref=ref)
            return self._shards[ref.id]
        async with self._opening.setdefault(ref.id, asyncio.Lock()):
            known = self._shards.get(ref.id)
            if known is not None and known.ref == ref:
                return known
            opened = self._made(ref)
            try:
                if not self._fitness.knows(ref):
                    # New, or down when this process started.
                    opened.guard.suspect()
                    await opened.guard.ask()
            except BaseException:
                # Also if who asked for it is gone: nobody else knows of its connections.
                await self._let_go(opened)
                raise
            opened.guard.start()
            self._shards[ref.id] = opened
        if known is not None:
            # The shard's address changed: what is in flight on the old one ends there.
            await self._let_go(known)
        return opened

    def _made(self, ref: ShardRef) -> Shard:
        """Return the parts of a shard; its connections are being opened."""
        least, most = self.settings.pool_min, self.settings.pool_max
        opener = partial(connect_primary, ref.url)
        pool = PinnedPool(ref.url, size_min=least, size_max=most, opener=opener)
        pool.start()
        store = PostgresStore(pool, self.vertical, self.clock)
        coalescer = ListingCoalescer(
            store, self.vertical, self.directory.pool, clock=self.clock, recorder=self._recorder
        )
        coalescer.departed = departed_of(pool)
        coalescer.rings = None if self._bell is None else self._bell.ring
        replicas = Replicas(pool, self.settings.pool_max)
        replicas.follow(ref.replicas)
        copies = Copies(replicas, self.vertical, self._recorder)
        guard = ShardGuard(ref.name, pool, partial(self._probe, ref))
        return Shard(ref, pool, store, coalescer, guard, copies)

    async def _let_go(self, shard: Shard) -> None:
        """Close a shard, to the end also if nobody waits for that any more."""
        closing = asyncio.create_task(_closed(shard))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.shield(closing)

    async def _probe(self, ref: ShardRef) -> None:
        """Ask the shard whether it serves, over a connection of its own."""
        if not self._fitness.knows(ref):
            await self._fitness.check(ref)
        connection = await connect_primary(ref.url, application_name="serai probe")
        try:
            await connection.execute("SELECT 1")
        finally:
            connection.terminate()

    @property
    def shards(self) -> list[Shard]:
        """The shards that are open."""
        return list(self._shards.values())

    async def upkeep(self) -> None:
        """Forget sessions that are over, make partitions ahead of time and drop replies past their
        time, on every shard, for ever.
        """
        while True:
            try:
                await self._forget_sessions()
                self._recorder.upkeep("sessions", done=True)
            except (SeraiError, PostgresError, OSError) as error:
                self._recorder.upkeep("sessions", done=False)
                _log.warning("upkeep of sessions waits for the next round: %s", error)
            for ref in self.directory.shards:
                try:
                    shard = await self.shard(ref)
                    await shard.guard.run(partial(self._tend, shard))
                    self._recorder.upkeep("partitions", done=True)
                except (SeraiError, PostgresError, OSError) as error:
                    self._recorder.upkeep("partitions", done=False)
                    _log.warning("upkeep of shard %s waits for the next round: %s", ref.name, error)
            await asyncio.sleep(_UPKEEP_SECONDS)

    async def _tend(self, shard: Shard) -> None:
        await ensure_partitions(shard.pool, self.vertical, self.clock.now())
        await fold_replies(shard.pool)
        await drop_old_audit(shard.pool)

    async def _forget_sessions(self) -> None:
        """Delete what is over in small transactions, until one finds less than it may take."""
        for prune in (prune_sessions, forget_tokens):
            deleted = SESSIONS_PER_PRUNE
            while deleted == SESSIONS_PER_PRUNE:
                async with self.directory.pool.connection() as directory:
                    deleted = await prune(directory, now=self.clock.now(), limit=SESSIONS_PER_PRUNE)

    async def close(self) -> None:
        """Finish writes in flight and close every connection."""
        await asyncio.gather(*map(_closed, self._shards.values()), *self._closing)
        await self.directory.close()
        if self._bell is not None:
            await self._bell.close()


async def _closed(shard: Shard) -> None:
    """Finish what is in flight; a shard that does not answer is given up by its guard."""
    await shard.coalescer.drain()
    await shard.copies.replicas.close()
    await shard.guard.close()
    await shard.pool.close()


@contextlib.asynccontextmanager
async def open_runtime(
    settings: Settings,
    *,
    as_owner: bool = False,
    clock: Clock | None = None,
    recorder: Recorder = SILENT,
) -> AsyncGenerator[Runtime]:
    """Connect to the directory and yield the runtime; close everything after.

    Args:
        settings: of the process.
        as_owner: for an operator's command: with the rights of the URL's user. A process that
            serves requests has those of the role of requests, whatever its URL names.
        clock: the wall clock unless given.

    Raises:
        SettingsError: no directory, a shard's URL that can be read in two ways or in none, or a
            vertical that cannot be loaded.
        SchemaError: the directory's schema and this code do not fit together, or the role of
            requests is not there or not fit for it.
        SeraiError: `unavailable` if the directory does not answer.
    """
    vertical = load_vertical(settings.vertical)
    if not settings.directory_url:
        raise SettingsError(
            "SERAI_DIRECTORY_URL is not set. "
            "Set it to the directory's PostgreSQL URL, or use `serai dev`."
        )
    url = settings.directory_url
    # First, for an older schema has no role to tell of.
    await check_database(url, "directory")
    role = None if as_owner else await role_of_requests(url)
    if role is not None:
        await check_database(url, "directory", role=role)
    directory = await Directory.open(url, role=role)
    try:
        fitness = Fitness(generate(vertical), role)
        await fitness.check_all(directory.shards)
        keys = await secrets(directory.pool, "token")
        if not keys:
            raise SchemaError("The directory has no keys yet", "Run `serai migrate`.")
        sealer, time = TokenSealer(keys), clock or SystemClock()
        runtime = Runtime(settings, vertical, directory, sealer, time, fitness, recorder)
    except BaseException:
        await directory.close()
        raise
    try:
        yield runtime
    finally:
        await runtime.close()


def load_vertical(name: str) -> Vertical:
    """Return the vertical `package:NAME`.

    Raises:
        SettingsError: it is not installed, or not a vertical.
    """
    module, _, attribute = name.partition(":")
    try:
        found: object = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"SERAI_VERTICAL={name} cannot be loaded: {error}.") from None
    if not isinstance(found, Vertical):
        raise SettingsError(f"SERAI_VERTICAL={name} is not a serai.model.Vertical.")
    return found
