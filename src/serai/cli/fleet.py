"""`serai migrate` and `serai settings`: what an operator runs before and around a deploy.

Owns nothing but the commands. Never changes placement.
"""

from __future__ import annotations

from typing import Annotated, Literal, cast

import msgspec
from cyclopts import Parameter, validators

from serai.app.settings import Settings, SettingsError, describe, load_settings, variable
from serai.cli import Json
from serai.cli.run import console, print_json, run


def migrate(
    *,
    phase: Annotated[
        Literal["pre", "post", "all"],
        Parameter(help="pre: before a deploy; post: after it; all: no old code runs."),
    ] = "all",
    parallel: Annotated[
        int, Parameter(validator=validators.Number(gte=1), help="Shards at a time.")
    ] = 4,
    as_json: Json = False,
) -> int:
    """Bring the directory and every shard in it up to this release's schema. Safe to run again."""
    return run(_migrate(phase, parallel, as_json=as_json))


async def _migrate(phase: Literal["pre", "post", "all"], parallel: int, *, as_json: bool) -> int:
    from serai.app.fleet import migrate as migrate_all
    from serai.schema.migrate import Progress

    settings = load_settings()
    if not settings.directory_url:
        # An empty URL would mean whatever database PostgreSQL's library takes for the default.
        raise SettingsError(
            "SERAI_DIRECTORY_URL is not set. `serai dev` migrates its own database."
        )

    def tell(step: Progress) -> None:
        if not as_json:
            console.print(f"{step.database}: {step.state} {step.detail} {step.done}/{step.total}")

    report = await migrate_all(settings, phase=phase, parallel=parallel, progress=tell)
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        for database in report.databases:
            line = f"{database.name}: {database.outcome}, version {database.version}"
            console.print(f"{line}. {database.error} {database.remedy}" if database.error else line)
    return 0 if report.ok else 1


def settings(*, as_json: Json = False) -> int:
    """Show every setting: its variable, its value, what it means."""
    current = load_settings()
    rows = [
        {
            "variable": variable(name),
            "value": _shown(name, getattr(current, name)),
            "meaning": describe(name),
        }
        for name in Settings.__struct_fields__
    ]
    if as_json:
        print_json(rows)
        return 0
    for row in rows:
        print(f"{row['variable']}={_as_variable(row['value'])}\n    {row['meaning']}")
    return 0


def _as_variable(value: object) -> str:
    """Return the value as the variable would hold it."""
    if isinstance(value, list):
        return ",".join(str(each) for each in cast("list[object]", value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(name: str, value: object) -> object:
    """Return the value without a password or a token."""
    if name == "directory_url" and isinstance(value, str) and "@" in value:
        return "postgresql://...@" + value.rpartition("@")[2]
    if name == "metrics_token" and value:
        return "..."
    return value
