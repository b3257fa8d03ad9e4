"""The laptop's Serai: PostgreSQL from a wheel, directory, shards and the API in one process.

Owns the order of start and stop; the servers themselves are those of `serai.app.laptop`. Promises
that a data directory survives restarts, that an ephemeral one leaves nothing, and that everything
goes through the same schema, directory and wiring as a fleet does. Never is the way to run in
production.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from serai.app import laptop as laptops
from serai.app.asgi import Application
from serai.app.fleet import prepare_fleet, prepare_new
from serai.app.laptop import Laptop
from serai.app.laptop_replicas import replicated
from serai.app.runtime import Runtime, open_runtime
from serai.app.serving import free_address, served
from serai.app.settings import Settings, SettingsError
from serai.app.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class DevServer:
    """A running Serai: `url` of the API, `runtime` for direct work beside it, as the databases'
    owner; `laptop`: the servers that were started for it, None where the settings named one.
    """

    url: str
    settings: Settings
    runtime: Runtime
    laptop: Laptop | None


@contextlib.asynccontextmanager
async def dev_server(
    settings: Settings,
    data_dir: Path | None,
    *,
    counts: tuple[int, int] = (1, 0),
    say: Callable[[str], None] = lambda _: None,
    telemetry: Telemetry | None = None,
) -> AsyncGenerator[DevServer]:
    """Start everything, yield, stop everything.

    Args:
        data_dir: where the data lives; None for a directory that is removed at the end. Ignored
            when `settings.directory_url` names a PostgreSQL that runs already; a database there
            that is empty becomes directory and shard.
        counts: (shards, replicas of each) at least, each a PostgreSQL of its own; a data directory
            that has more keeps them.
        say: is told each step.
        telemetry: is told what the API does; nobody is if None.

    Raises:
        OSError: the port is taken; nothing was started.
        SettingsError: more than one shard, or a replica, is asked for where the settings name a
            PostgreSQL.
    """
    shards, replicas = counts
    if settings.directory_url and (shards > 1 or replicas):
        raise SettingsError(
            "SERAI_DIRECTORY_URL names a PostgreSQL that runs, so no shards and no replicas are "
            "started. Unset it, or add them to its directory: serai shard add, serai shard replica"
        )
    free_address(settings.host, settings.port)
    async with contextlib.AsyncExitStack() as stack:
        laptop = None
        if settings.directory_url:
            if await prepare_new(settings):
                say("made the database a directory and its only shard")
        else:
            say("starting PostgreSQL")
            laptop = await stack.enter_async_context(laptops.running(data_dir, shards))
            await laptops.make_databases(laptop)
            settings = msgspec.structs.replace(settings, directory_url=laptop.directory_url)
            say("bringing the schema up to date")
            await prepare_fleet(settings, [(each.name, each.url) for each in laptop.primaries])
            held = await stack.enter_async_context(replicated(settings, laptop, data_dir, replicas))
            if held:
                say(f"each shard has {held} streaming replica{'s' if held > 1 else ''}")
        say("starting the API")
        runtime = await stack.enter_async_context(open_runtime(settings, as_owner=True))
        application = Application(settings, telemetry)
        await stack.enter_async_context(served(application, settings.host, settings.port))
        yield DevServer(settings.address, settings, runtime, laptop)
