"""The live gateway of one machine: `serai.gateway` wired to the runtime.

Owns the wiring: who resolves callers, where logs are read, which doorbell is heard. Promises that a
session which has ended is told to the gateway within five seconds. Never holds a listener's socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from functools import partial
from typing import Final

from serai.app.doorbells import listen
from serai.app.identity import open_identity
from serai.app.runtime import Runtime
from serai.core.errors import Code, SeraiError
from serai.core.limits import ACCESS_SECONDS
from serai.gate.caller import Caller
from serai.gate.service import IdentityService
from serai.gateway.front import Front, FrontParts, opened
from serai.log.coalesce import Coalescer
from serai.ports.store import Head, LogPage, Store
from serai.shard.secrets import secrets

_log = logging.getLogger(__name__)
_ENDED_SECONDS: Final = 2.0


@contextlib.asynccontextmanager
async def live_gateway(runtime: Runtime) -> AsyncGenerator[Front]:
    """Start the gateway, yield it, and close every socket at the end.

    Raises:
        OSError: the port is taken.
        SettingsError: the doorbell cannot be heard.
        SeraiError: the directory does not answer.
    """
    settings = runtime.settings
    identity = await open_identity(runtime)
    try:

        async def who(credential: str) -> tuple[Caller, int | None]:
            caller, expires_at = await identity.identity.resolve_lasting(f"Bearer {credential}")
            if expires_at is None:
                # A key lasts, but whether it still does is asked as often as of a person.
                expires_at = int(runtime.clock.now().timestamp()) + ACCESS_SECONDS
            return caller, expires_at

        parts = FrontParts(
            host=settings.live_host,
            port=settings.live_port,
            tables=settings.live_tables,
            origins=settings.cors_origins,
            who=who,
            head=partial(_head, runtime),
            log=partial(_log_page, runtime),
            noticed=identity.grants.notice,
            vertical=runtime.vertical,
            token_keys=await secrets(runtime.directory.pool, "token"),
        )
        async with opened(parts) as front:
            ear = await listen(settings.doorbell_url, front.feed.rang)
            watch = asyncio.create_task(_tell_ended(identity, front))
            try:
                yield front
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
                if ear is not None:
                    await ear.close()
    finally:
        identity.close()


async def _head(runtime: Runtime, org_id: int) -> Head:
    async def read(store: Store, _: Coalescer) -> Head:
        return _here(await store.head(org_id))

    return await runtime.homes.at_home(org_id, read)


async def _log_page(runtime: Runtime, org_id: int, after: int, scan: int) -> LogPage:
    every = sum(1 << collection.number for collection in runtime.vertical.collections)

    async def read(store: Store, _: Coalescer) -> LogPage:
        page = await store.log_page(org_id, after, scan=scan, scopes=None, collections=every)
        _here(None if page is None else page.head)
        assert page is not None, "it is here"
        return page

    return await runtime.homes.at_home(org_id, read)


def _here(head: Head | None) -> Head:
    """Return the head. Raises `org_moved` if the organisation has left, or never was there."""
    if head is None or head.state == "moved":
        raise SeraiError(Code.ORG_MOVED, retry_after_seconds=1)
    return head


async def _tell_ended(identity: IdentityService, front: Front) -> None:
    """Tell the gateway of sessions that end, for ever."""
    told: frozenset[object] = frozenset()
    while True:
        try:
            ended = await identity.identity.ended()
        except SeraiError as error:
            _log.warning("which sessions have ended is asked again: %s", error)
        else:
            if ended - told:
                front.ended(list(ended - told))
            told = ended
        await asyncio.sleep(_ENDED_SECONDS)
