"""`serai watch`: an organisation's changes as they commit, over a socket, in a terminal.

Owns nothing but the command and its lines. Never reads the log: what is printed came from
`serai live`.
"""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any

from cyclopts import Parameter

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.run import CommandFailed, console, print_json, run


def watch(
    *,
    org: Annotated[str, Parameter(help="Key or number of the organisation.")],
    member: Annotated[
        str | None,
        Parameter(name="--as", help="E-mail of a member whose view it is. Default: an owner."),
    ] = None,
    url: Annotated[
        str | None, Parameter(help="Of the gateway. Default: SERAI_LIVE_HOST and _PORT.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Print what changes in an organisation, until interrupted. `serai live` must run."""
    return run(_watch(org, member, url, as_json=as_json))


async def _watch(name: str, member: str | None, url: str | None, *, as_json: bool) -> int:
    from serai.app.runtime import open_runtime
    from serai.app.shard_facts import ShardError
    from serai.app.watching import member_named, watched
    from serai.app.whereabouts import home_of

    settings = load_settings()
    at = url or f"ws://{settings.live_host}:{settings.live_port}/v1/live"
    try:
        org_id, key, _ = await home_of(settings, name)
    except ShardError as error:
        raise CommandFailed(str(error)) from error
    async with open_runtime(settings, as_owner=True) as runtime:
        user_id = await member_named(runtime, org_id, member)
        try:
            async for frame in watched(runtime, at, org_id, user_id):
                if as_json:
                    print_json(frame)
                else:
                    _print(key, frame)
                sys.stdout.flush()
        except OSError as error:
            raise CommandFailed(f"{error}. Start `serai live`, or name it with --url.") from error
    return 128 + signal.SIGINT


def _print(key: str, frame: dict[str, Any]) -> None:
    """Print a frame for people: results on standard output, the rest where people look."""
    kind = frame["type"]
    if kind == "changes":
        for collection in frame["collections"]:
            for change in collection["changes"]:
                data = change.get("data", {})
                fields = " ".join(f"{k}={v}" for k, v in data.items() if v is not None)
                what = f"{change['action']}  {collection['name']}  {change['id']}"
                print(f"{change['version']}  {what}  {fields}")
    elif kind == "ready":
        console.print(f"{key} is live from version {frame['version']}. Ctrl-C stops it.")
    elif kind == "pull":
        console.print(f"not told what came up to version {frame['version']}: {frame['reason']}")
    elif kind == "lost":
        console.print("the connection was lost; coming back")
    elif kind == "error":
        console.print(f"{frame['title']}: {frame['remedy']}")
