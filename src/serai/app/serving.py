"""Serving HTTP: the one place that knows the server.

Owns how an ASGI application is put on a port: inside this process (`serai dev`, one process for
everything) or in worker processes (`serai serve`). Promises that stopping finishes requests that
are under way, and that no worker outlives its parent. Never handles a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

from serai.app.asgi import Application
from serai.app.leash import Leash
from serai.app.settings import Settings
from serai.app.telemetry import Telemetry, given_place, server_logging, shared_metrics
from serai.core.limits import (
    CONNECTIONS_MAX,
    FILES_RESERVED,
    HEAD_BYTES_MAX,
    HEAD_SECONDS_MAX,
    REQUEST_DEADLINE_SECONDS,
)

_BACKLOG: Final = 1_024
_WORKER: Final = "serai"
"""What the server's own lines call the application."""
_STOP_SECONDS_MAX: Final = REQUEST_DEADLINE_SECONDS + 5
"""What a worker may take to finish its requests; after that it is killed."""


def http1() -> HTTP1Settings:
    """Return how long and how large the head of a request may be."""
    return HTTP1Settings(
        header_read_timeout=HEAD_SECONDS_MAX * 1_000, max_buffer_size=HEAD_BYTES_MAX
    )


def connections_max() -> int:
    """Let this process, and those that it starts, open as many files as they may; return how many
    connections that is.

    The server's `backpressure` counts connections, not requests: it stops to accept at that number.
    At 1,000 a few hundred idle browsers kept everyone else out. Without a free file, on the other
    hand, it would try to accept again and again, at full speed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = CONNECTIONS_MAX + FILES_RESERVED
    if hard != resource.RLIM_INFINITY:
        files = min(files, hard)
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    if soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return min(CONNECTIONS_MAX, max(files - FILES_RESERVED, files // 2))


def free_address(host: str, port: int) -> str:
    """Return the numeric address of `host`, where nobody listens on `port`.

    The server shares its port between processes (SO_REUSEPORT), so that the kernel would let two
    Serais of one user listen on it, and give each every second request.

    Raises:
        OSError: the port is taken, or the address is not one of this machine.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            # Connections of a server that has just ended are no reason to wait.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return str(address[0])
    except OSError as error:
        raise OSError(
            f"cannot listen on {host}:{port}: {error.strerror or error}. End the program that "
            "does, or choose another address with --host and --port."
        ) from error


@contextlib.asynccontextmanager
async def served(application: Any, host: str, port: int) -> AsyncGenerator[None]:
    """Serve `application` in this process while the body runs.

    Raises:
        OSError: the port is taken.
    """
    server = Server(
        application,
        address=free_address(host, port),
        port=port,
        interface=Interfaces.ASGI,
        log_enabled=False,
        http=HTTPModes.http1,
        http1_settings=http1(),
        backlog=_BACKLOG,
        backpressure=connections_max(),
        websockets=False,
    )
    task = asyncio.create_task(server.serve())
    try:
        await _answering(host, port, task)
        yield
    finally:
        server.stop()
        await asyncio.gather(task, return_exceptions=True)


async def _answering(host: str, port: int, task: asyncio.Task[None]) -> None:
    """Wait until the port answers or the server has ended."""
    while not task.done():
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        await writer.wait_closed()
        return
    await task
    raise OSError(f"the server on {host}:{port} ended before it answered")


def serve_workers(settings: Settings) -> None:
    """Serve in `settings.workers` processes until told to stop.

    Raises:
        OSError: the port is taken.
    """
    with shared_metrics(settings):
        _workers(settings)


def _workers(settings: Settings) -> None:
    leash = Leash(_STOP_SECONDS_MAX)
    Granian(
        _WORKER,
        address=free_address(settings.host, settings.port),
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        log_level=LogLevels(settings.log_level),
        log_dictconfig=server_logging(settings),
        respawn_failed_workers=True,
        # A worker that is told to stop while it starts may not hear it.
        workers_kill_timeout=_STOP_SECONDS_MAX,
        http=HTTPModes.http1,
        http1_settings=http1(),
        backlog=_BACKLOG,
        backpressure=connections_max(),
        websockets=False,
    ).serve(target_loader=partial(_worker, leash, settings), wrap_loader=False)


def _worker(leash: Leash, settings: Settings) -> Application:
    """Return the application of a worker; the first of our code that runs in one."""
    leash.follow()
    telemetry = Telemetry(settings, place=given_place())
    return Application(settings, telemetry, started=leash.serving)
