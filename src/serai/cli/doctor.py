"""`serai doctor`: explains an installation, a device, a token, a device's file.

Owns nothing but the commands. Promises one JSON document with `--json`, a status of 1 if something
failed, and that no secret is printed: no password, no key, no value of a field (none but those in
the words of a refusal), and no token but the one that `--token` asks for. Never changes what it
looks at.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from cyclopts import App, Parameter

from serai.app.settings import SettingsError, load_settings
from serai.cli import Json
from serai.cli.run import CommandFailed, run

if TYPE_CHECKING:
    from serai.client.look import Look

app = App(name="doctor", help="Explain an installation, a device, a token, a device's file.")


@app.default
def installation(*, as_json: Json = False) -> int:
    """Look at the installation that SERAI_DIRECTORY_URL names: databases, schema, role of requests,
    keys, clocks, partitions, unsafe settings. Status 1 if anything failed.
    """
    return run(_installation(as_json=as_json))


async def _installation(*, as_json: bool) -> int:
    from serai.app.doctor.installation import examine
    from serai.cli.doctor_shown import tell

    settings = load_settings()
    if not settings.directory_url:
        raise SettingsError(
            "SERAI_DIRECTORY_URL is not set. Set it to the directory's PostgreSQL URL; "
            "`serai dev` prints its own."
        )
    return tell({}, await examine(settings), as_json=as_json)


@app.command
def device(
    org: Annotated[str, Parameter(help="Key of the organisation.")],
    device_id: Annotated[UUID, Parameter(help="Its id, as the client's status tells it.")],
    *,
    file: Annotated[Path | None, Parameter(help="The device's own file, to compare.")] = None,
    as_json: Json = False,
) -> int:
    """Explain a device: whose it is, what it sent, what was refused, when it was signed in."""
    return run(_device(org, device_id, file, as_json=as_json))


async def _device(key: str, device_id: UUID, path: Path | None, *, as_json: bool) -> int:
    from serai.app.doctor.together import explain_together
    from serai.app.runtime import open_runtime
    from serai.cli.doctor_shown import tell

    look = None if path is None else _look(path)
    async with open_runtime(load_settings(), as_owner=True) as runtime:
        org_id = await runtime.directory.org_by_key(key)
        if org_id is None:
            raise CommandFailed(f"There is no organisation {key!r}. See: serai org list")
        found = await explain_together(runtime, org_id, key, device_id, look)
    if found is None:
        raise CommandFailed(
            f"No device {device_id} has sent anything to {key} or signed in to it. A device that "
            "only reads is in no database: use serai doctor file, or serai doctor token."
        )
    reports = {"device": found.device, "file": found.file, "token": found.token}
    return tell(reports, found.findings, as_json=as_json)


@app.command
def token(
    text: Annotated[
        str,
        Parameter(
            name="TOKEN",
            allow_leading_hyphen=True,
            help="A since-token; - reads it from standard input.",
        ),
    ],
    *,
    as_json: Json = False,
) -> int:
    """Explain a since-token: whose it is, how far behind each collection is, and whether the device
    has to fetch everything anew.
    """
    return run(_token(sys.stdin.read().strip() if text == "-" else text, as_json=as_json))


async def _token(text: str, *, as_json: bool) -> int:
    from serai.app.doctor.token import explain_token
    from serai.app.runtime import open_runtime
    from serai.cli.doctor_shown import tell
    from serai.core.token import TokenUnreadable

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        try:
            report, findings = await explain_token(runtime, text)
        except TokenUnreadable as error:
            raise CommandFailed(f"This is no token of this installation: {error}.") from None
    return tell({"token": report}, findings, as_json=as_json)


@app.command
def file(
    path: Annotated[Path, Parameter(help="File of a client; read from a copy, never changed.")],
    *,
    token: Annotated[
        bool, Parameter(negative=(), help="Print its since-token instead, and nothing else.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Explain a client's file, without a server: what it holds, what waits, what was refused, why
    the last attempt failed.
    """
    from serai.app.doctor.compare import judge_file
    from serai.cli.doctor_shown import tell

    look = _look(path)
    if token:
        if look.token is None:
            raise CommandFailed(f"{path} has no token yet: it was never pulled into.")
        print(look.token)
        return 0
    return tell({"file": look.report}, judge_file(look.report), as_json=as_json)


def _look(path: Path) -> Look:
    from serai.client.file import FileDamaged, FileInUse, FileOfOtherFormat
    from serai.client.look import look_at
    from serai.client.snapshot import FileTooLarge
    from serai.core.clock import SystemClock

    try:
        return look_at(path, SystemClock().now())
    except (FileDamaged, FileInUse, FileOfOtherFormat, FileTooLarge) as error:
        raise CommandFailed(f"{error}.") from error
