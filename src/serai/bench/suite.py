"""Every figure by the name under which it is asked for.

Owns the lists that `serai bench centre`, `user` and `fleet` run, and what all figures of a run
share. Never measures by itself.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Final

from serai.bench import (
    commit,
    device,
    directory,
    failover,
    moving,
    over_http,
    reading,
    replicas,
    scale,
    segments,
    user,
)
from serai.bench.figure import Figure, Load

Measure = Callable[[Load], Awaitable[list[Figure]]]

CENTRE: Final[dict[str, Measure]] = {
    "commit": commit.commit,
    "commit --hot": commit.hot,
    "pull": reading.rows,
    "empty-pull": reading.nothing,
    "http-write": over_http.http_writes,
    "http-push": over_http.http_push,
    "http-pull": over_http.http_pull,
    "http-empty-pull": over_http.http_empty_pull,
    "bootstrap": device.bootstrap,
    "history": device.history,
}
USER: Final[dict[str, Measure]] = {"cold-start": user.cold_start, "import": user.import_bookings}
FLEET: Final[dict[str, Measure]] = {
    "directory": directory.directory,
    "scale": scale.scale,
    "segments": segments.segments,
    "replicas": replicas.replicas,
    "move": moving.pause,
    "move-large": moving.large,
    "move-many": moving.many,
    "failover": failover.failover,
}
ALL: Final = {**CENTRE, **USER, **FLEET}


def shared_conditions() -> str:
    """Return what every figure of this run shares."""
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return (
        f"{day}, commit {_commit()}. {os.cpu_count()} cores for client, server and PostgreSQL 18"
        f" together, fsync on, Python {platform.python_version()}"
    )


def _commit() -> str:
    """Return the commit of the working folder, `unknown` outside one."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - the git of the caller's path
            capture_output=True,
            check=False,
            text=True,
        )
    except FileNotFoundError:
        return "unknown"
    return found.stdout.strip() or "unknown"
