"""`serai dev`: everything on one laptop, until Ctrl-C.

Owns nothing but the command. Promises that nothing is left running. Never prints a secret twice:
the first user's password is shown when it is made.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from serai.app.settings import issued_by_itself, load_settings
from serai.cli.run import CommandFailed, console, run
from serai.core.limits import LAPTOP_REPLICAS_MAX, LAPTOP_SHARDS_MAX


def dev(
    *,
    data_dir: Annotated[Path | None, Parameter(help="Where the data lives.")] = None,
    ephemeral: Annotated[
        bool, Parameter(negative=(), help="Use a data directory that is removed at the end.")
    ] = False,
    shards: Annotated[
        int,
        Parameter(
            validator=validators.Number(gte=1, lte=LAPTOP_SHARDS_MAX),
            help="Shards, each a PostgreSQL of its own; data that has more keeps them.",
        ),
    ] = 1,
    replicas: Annotated[
        int,
        Parameter(
            validator=validators.Number(gte=0, lte=LAPTOP_REPLICAS_MAX),
            help="Streaming replicas of each shard, which answer reads.",
        ),
    ] = 0,
    host: str | None = None,
    port: int | None = None,
) -> int:
    """Start PostgreSQL, the schema and the API, and serve until interrupted.

    Parameters
    ----------
    host
        Address to listen on.
    port
        Port to listen on.
    """
    chosen = None if ephemeral else data_dir or default_data_dir()
    return run(_dev(chosen, shards, replicas, host, port))


def default_data_dir() -> Path:
    """Return where `serai dev` keeps its data unless told otherwise."""
    return Path.home() / ".local" / "share" / "serai" / "dev"


async def _dev(
    data_dir: Path | None, shards: int, replicas: int, host: str | None, port: int | None
) -> int:
    from serai.app.dev import dev_server
    from serai.app.telemetry import Telemetry

    settings = issued_by_itself(load_settings(host=host, port=port))
    telemetry = Telemetry(settings, person=True)
    async with (
        telemetry.shown(),
        dev_server(
            settings, data_dir, counts=(shards, replicas), say=console.print, telemetry=telemetry
        ) as server,
    ):
        data = "where SERAI_DIRECTORY_URL says" if settings.directory_url else data_dir
        console.print(f"data:  {data or 'removed at the end'}")
        if server.laptop is not None and len(server.laptop.primaries) > 1:
            console.print(f"shards: {', '.join(each.name for each in server.laptop.primaries)}")
        console.print(f"API:   {server.url}")
        console.print(f"docs:  {server.url}/docs")
        if settings.metrics_port:
            console.print(f"stats: http://{settings.metrics_host}:{settings.metrics_port}/metrics")
        console.print("Make a first organisation in another terminal:")
        console.print(
            f"  SERAI_DIRECTORY_URL='{server.settings.directory_url}' "
            "serai org create my.hotel --owner you@example.com"
        )
        console.print("Ctrl-C stops it.")
        if server.laptop is None:
            await asyncio.Event().wait()
            return 0
        log = await server.laptop.until_the_directory_ends(console.print)
    raise CommandFailed(
        f"PostgreSQL of the directory ended by itself; its log: {log}. "
        "Start `serai dev` again: what was committed to a data directory is there."
    )
