"""The ASGI application of one process: opens the runtime when the server starts it, closes it when
it stops.

Owns the lifespan and the wiring of the HTTP side. Promises that no request is taken before the
directory answered and the schema fits, and that writes in flight finish before connections close.
Never handles a request: `serai.http` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, Final

from serai import __version__
from serai.app.collector import rare_collections
from serai.app.ending import keep_moves
from serai.app.identity import open_identity
from serai.app.keeping import keep_logs
from serai.app.runtime import Runtime, open_runtime
from serai.app.settings import Settings, SettingsError
from serai.app.telemetry import Telemetry
from serai.app.told_identity import ToldIdentity
from serai.core.errors import SeraiError
from serai.http import HttpServices, HttpSettings, create_app
from serai.log.copies import Copies
from serai.schema.errors import SchemaError
from serai.telemetry.recorder import SILENT, Recorder

_log = logging.getLogger(__name__)
_AGAIN_SECONDS: Final = 30.0
"""After upkeep has failed in a way nobody foresaw."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Application:
    """ASGI entry point."""

    def __init__(
        self,
        settings: Settings,
        telemetry: Telemetry | None = None,
        *,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep the settings; nothing is opened before the server's startup event. `started` is
        called when all is open, before the first request.
        """
        self._settings = settings
        self._telemetry = telemetry
        self._started = started
        self._recorder = SILENT if telemetry is None else telemetry.recorder
        self._inner: AsgiApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        assert self._inner is not None, "the server starts the lifespan first"
        await self._inner(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with contextlib.AsyncExitStack() as stack:
            if self._telemetry is not None:
                stack.callback(self._telemetry.close)
            try:
                opening = open_runtime(self._settings, recorder=self._recorder)
                runtime = await stack.enter_async_context(opening)
                self._inner = await stack.enter_async_context(http_app(runtime, self._recorder))
                if self._telemetry is not None:
                    await stack.enter_async_context(self._telemetry.sampled(runtime))
            except Exception as error:  # noqa: BLE001 - the server must hear of any failure to start
                # A refusal says all there is to say; where anything else came from helps.
                known = isinstance(error, (SeraiError, SchemaError, SettingsError))
                _log.error("start-up failed: %s", error, exc_info=None if known else error)
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            stack.enter_context(rare_collections())
            upkeep = [
                asyncio.create_task(for_ever(runtime.upkeep)),
                asyncio.create_task(for_ever(partial(keep_logs, runtime, self._recorder))),
                asyncio.create_task(for_ever(partial(keep_moves, runtime, self._recorder))),
            ]
            self._started()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            for task in upkeep:
                task.cancel()
            await asyncio.gather(*upkeep, return_exceptions=True)
        await send({"type": "lifespan.shutdown.complete"})


async def for_ever(
    work: Callable[[], Awaitable[None]], *, pause_seconds: float = _AGAIN_SECONDS
) -> None:
    """Do work that never ends; if it does, in a way nobody foresaw, tell it and begin anew."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - whatever it is, the other organisations still need upkeep
            _log.exception("upkeep has ended and begins anew in %g s", pause_seconds)
        await asyncio.sleep(pause_seconds)


@contextlib.asynccontextmanager
async def http_app(runtime: Runtime, recorder: Recorder = SILENT) -> AsyncGenerator[AsgiApp]:
    """Yield the HTTP application over a runtime."""
    settings = runtime.settings

    async def copies(org_id: int) -> Copies:
        return (await runtime.shard_for(org_id)).copies

    async def ready() -> bool:
        # Not whether the directory answers: if all processes were taken out for that, nobody would
        # serve the organisations that they know.
        shards = runtime.shards
        return not shards or any(shard.guard.breaker.passes for shard in shards)

    identity = await open_identity(runtime)
    try:
        yield create_app(
            HttpServices(
                vertical=runtime.vertical,
                identity=ToldIdentity(identity, recorder),
                at_home=runtime.homes.at_home,
                sealer=runtime.sealer,
                clock=runtime.clock,
                version=__version__,
                copies_for=copies,
                settings=HttpSettings(
                    cors_origins=tuple(settings.cors_origins), docs=settings.docs
                ),
                ready=ready,
                recorder=recorder,
            )
        )
    finally:
        identity.close()
