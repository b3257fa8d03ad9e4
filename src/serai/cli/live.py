"""`serai live`: the gateway of one machine, until interrupted.

Owns nothing but the command. Never starts a database: `serai dev` does.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import uvloop

from serai.app.settings import SettingsError, load_settings
from serai.cli.run import CommandFailed, console

if TYPE_CHECKING:
    from serai.app.settings import Settings


def live(*, host: str | None = None, port: int | None = None, tables: int | None = None) -> int:
    """Push changes to open sockets until interrupted. The directory is `SERAI_DIRECTORY_URL`.

    Parameters
    ----------
    host
        Address to listen on.
    port
        Port to listen on.
    tables
        Processes that hold sockets.
    """
    settings = load_settings(live_host=host, live_port=port, live_tables=tables)
    if not settings.directory_url:
        raise SettingsError("SERAI_DIRECTORY_URL is not set. For a laptop, use `serai dev`.")
    return uvloop.run(_live(settings))


async def _live(settings: Settings) -> int:
    from serai.app.live import live_gateway
    from serai.app.runtime import open_runtime
    from serai.app.serving import connections_max

    connections_max()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with open_runtime(settings) as runtime:
        try:
            async with live_gateway(runtime):
                at = f"ws://{settings.live_host}:{settings.live_port}/v1/live"
                console.print(f"Serai is live on {at}")
                await stopped.wait()
        except OSError as error:
            raise CommandFailed(
                f"cannot listen on {settings.live_host}:{settings.live_port}: "
                f"{error.strerror or error}. End the program that does, or choose another address "
                "with --host and --port."
            ) from error
    return 0
