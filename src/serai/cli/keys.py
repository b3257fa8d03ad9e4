"""`serai keys`: the keys that sign access tokens, by an operator.

Owns nothing but the commands. Never shows a private key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.run import print_json, run

if TYPE_CHECKING:
    from serai.app.signing_keys import KeyState

app = App(name="keys", help="Keys that sign access tokens: list, rotate.")


@app.command(name="list")
def list_keys(*, as_json: Json = False) -> int:
    """List the keys: which one waits, which one signs, which ones only verify, which are over."""
    return run(_list(as_json=as_json))


async def _list(*, as_json: bool) -> int:
    from serai.app.runtime import open_runtime
    from serai.app.signing_keys import signing_keys

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        found = await signing_keys(runtime)
    return _tell(found, as_json=as_json)


@app.command
def rotate(
    *,
    leaked: Annotated[
        bool, Parameter(negative=(), help="The old keys' tokens end at once; people refresh.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Make a new key. It signs after a minute; the old one verifies until its last token has
    expired.
    """
    return run(_rotate(leaked=leaked, as_json=as_json))


async def _rotate(*, leaked: bool, as_json: bool) -> int:
    from serai.app.runtime import open_runtime
    from serai.app.signing_keys import rotate_signing_keys

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        found = await rotate_signing_keys(runtime, leaked=leaked)
    return _tell(found, as_json=as_json)


def _tell(keys: list[KeyState], *, as_json: bool) -> int:
    from serai.core.clock import timestamp_text

    rows = [
        {
            "kid": key.kid,
            "state": key.state,
            "created_at": timestamp_text(key.created_at),
            "retired_at": None if key.retired_at is None else timestamp_text(key.retired_at),
        }
        for key in keys
    ]
    if as_json:
        print_json(rows)
        return 0
    for row in rows:
        print(f"{row['kid']:>6}  {row['state']:<9} {row['created_at']}  {row['retired_at'] or '-'}")
    return 0
