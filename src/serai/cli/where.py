"""`serai org where`: on which shard an organisation lives.

Owns nothing but the command. Promises status 1 when the shard says otherwise than the directory, or
nothing. Never changes placement.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import Parameter

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.run import CommandFailed, print_json, run


def where(
    org: Annotated[str, Parameter(help="Key or number of the organisation.")],
    *,
    as_json: Json = False,
) -> int:
    """Tell on which shard an organisation lives, and what that shard says of it. Status 1 if they
    disagree.
    """
    return run(_where(org, as_json=as_json))


async def _where(name: str, *, as_json: bool) -> int:
    from serai.app.whereabouts import whereabouts

    found = await whereabouts(load_settings(), name)
    if found is None:
        raise CommandFailed(f"There is no organisation {name!r}.")
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        told = found.state or f"it does not answer: {found.problem}"
        if found.version is not None:
            told = f"{told}, epoch {found.epoch}, version {found.version}"
        print(f"{found.org_id}  {found.key}  lives on {found.shard} (by {found.by}): {told}")
    return 0 if found.state in ("active", "frozen") else 1
