"""The fleet's databases, made ready: schema, keys, shards, ranges.

Owns the first placement, and the first keys, which only the directory's owner makes. Promises that
doing it again changes nothing, so it runs at every start of a laptop's Serai. Never moves an
organisation.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Final

from serai.app.runtime import load_vertical
from serai.app.settings import Settings
from serai.gate.keys import ensure_signing_key
from serai.schema.collections import generate
from serai.schema.compat import check_database
from serai.schema.database import Options, connected, read_state
from serai.schema.errors import SchemaError
from serai.schema.migrate import (
    PARALLEL_DEFAULT,
    FleetReport,
    OnProgress,
    Phase,
    migrate_database,
    migrate_fleet,
)
from serai.shard.directory import Directory
from serai.shard.secrets import ensure_secret

ORGS_PER_SHARD: Final = 10_000_000
_ACTOR: Final = "serai dev"
_SECRET_BYTES: Final = 32


async def migrate(
    settings: Settings,
    *,
    phase: Phase = "all",
    parallel: int = PARALLEL_DEFAULT,
    progress: OnProgress | None = None,
) -> FleetReport:
    """Bring the directory and its shards to this release's schema, and make the keys that the
    processes seal and sign with if there are none.

    Raises:
        SettingsError: the vertical cannot be loaded.
    """
    url = settings.directory_url
    statements = generate(load_vertical(settings.vertical))
    report = await migrate_fleet(
        url, phase=phase, statements=statements, parallel=parallel, progress=progress
    )
    if report.databases[0].error is None:
        async with await Directory.open(url) as directory:
            await ensure_secret(directory.pool, "token", lambda: os.urandom(_SECRET_BYTES))
            async with directory.pool.connection() as connection:
                await ensure_signing_key(connection, datetime.now(UTC))
    return report


async def prepare_new(settings: Settings) -> bool:
    """Make the database of `settings.directory_url` directory and only shard, if it is neither yet;
    tell whether it was not. A directory that has shards is left as it is: bringing a fleet up to
    date is `serai migrate`.

    Raises:
        SchemaError: the database could not be migrated.
    """
    url = settings.directory_url
    async with connected(url, Options()) as connection:
        state = await read_state(connection, "directory")
    if state.version:
        await check_database(url, "directory")
        async with await Directory.open(url) as directory:
            if directory.shards:
                return False
    await prepare_fleet(settings, [("shard-1", url)])
    return True


async def prepare_fleet(settings: Settings, shards: list[tuple[str, str]]) -> None:
    """Migrate the directory, note the shards in it, and migrate them. Doing it again changes
    nothing.

    Raises:
        SchemaError: a database could not be migrated.
    """
    report = await migrate_database(settings.directory_url, "directory")
    if report.error is not None:
        raise SchemaError(report.error, report.remedy or "")
    async with await Directory.open(settings.directory_url) as directory:
        for name, url in shards:
            shard_id = await directory.add_shard(name, url, actor=_ACTOR, reason="start")
            if not directory.placement.ranges_of(shard_id):
                first = directory.placement.end
                await directory.add_range(
                    shard_id, first, first + ORGS_PER_SHARD, actor=_ACTOR, reason="start"
                )
    fleet = await migrate(settings)
    for database in fleet.databases:
        if database.error is not None:
            raise SchemaError(f"{database.name}: {database.error}", database.remedy or "")
