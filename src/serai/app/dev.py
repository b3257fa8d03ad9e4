"""The laptop's Serai: PostgreSQL from a wheel, directory, one shard and the API in one process.

Owns the order of start and stop. Promises that a data directory survives restarts, that an
ephemeral one leaves nothing, and that everything goes through the same schema, directory and wiring
as a fleet does. Never is the way to run in production.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from serai.app.asgi import Application
from serai.app.fleet import prepare_fleet, prepare_new
from serai.app.runtime import Runtime, open_runtime
from serai.app.serving import free_address, served
from serai.app.settings import Settings
from serai.app.telemetry import Telemetry
from serai.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresSettings

DIRECTORY_DATABASE: Final = "serai_directory"
SHARD_DATABASE: Final = "serai_shard_1"


@dataclass(frozen=True, slots=True)
class DevServer:
    """A running Serai: `url` of the API, `runtime` for direct work beside it, as the databases'
    owner.
    """

    url: str
    settings: Settings
    runtime: Runtime


@contextlib.asynccontextmanager
async def dev_server(
    settings: Settings,
    data_dir: Path | None,
    *,
    say: Callable[[str], None] = lambda _: None,
    telemetry: Telemetry | None = None,
) -> AsyncGenerator[DevServer]:
    """Start everything, yield, stop everything.

    Args:
        data_dir: where the data lives; None for a directory that is removed at the end. Ignored
            when `settings.directory_url` names a PostgreSQL that runs already; a database there
            that is empty becomes directory and shard.
        say: is told each step.
        telemetry: is told what the API does; nobody is if None.

    Raises:
        OSError: the port is taken; nothing was started.
    """
    free_address(settings.host, settings.port)
    async with contextlib.AsyncExitStack() as stack:
        if settings.directory_url:
            if await prepare_new(settings):
                say("made the database a directory and its only shard")
        else:
            say("starting PostgreSQL")
            postgres = EmbeddedPostgres(EmbeddedPostgresSettings(data_dir=data_dir))
            await stack.enter_async_context(postgres)
            for name in (DIRECTORY_DATABASE, SHARD_DATABASE):
                await postgres.create_database(name)
            settings = msgspec.structs.replace(
                settings, directory_url=postgres.url(DIRECTORY_DATABASE)
            )
            say("bringing the schema up to date")
            await prepare_fleet(settings, [("shard-1", postgres.url(SHARD_DATABASE))])
        say("starting the API")
        runtime = await stack.enter_async_context(open_runtime(settings, as_owner=True))
        application = Application(settings, telemetry)
        await stack.enter_async_context(served(application, settings.host, settings.port))
        yield DevServer(settings.address, settings, runtime)
