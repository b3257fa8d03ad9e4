"""Where one organisation lives, and whether its shard agrees.

Owns the answer to `serai org where`. Promises to answer from the directory also while the shard
does not. Never changes anything.
"""

from __future__ import annotations

from typing import Final

import msgspec

from serai.app.settings import Settings
from serai.app.shard_facts import OPTIONS, SQL, ShardError, asked, fleet_directory
from serai.schema.database import connected
from serai.shard.directory import Directory
from serai.shard.placement import ShardRef


class Whereabouts(msgspec.Struct, frozen=True):
    """Where an organisation lives.

    Attributes:
        shard: by the directory. by: `range`, or `override` for one that was moved.
        directory_version: that this holds for.
        state: by the shard: `active`, `frozen` (takes no writes), `moved` (it lives elsewhere),
            `absent`; None if the shard does not answer. epoch, version: of the organisation there.
        problem: why the shard does not answer.
    """

    org_id: int
    key: str | None
    shard: str
    by: str
    directory_version: int
    state: str | None = None
    epoch: int | None = None
    version: int | None = None
    problem: str | None = None


async def whereabouts(settings: Settings, name: str) -> Whereabouts | None:
    """Return where the organisation with this key, or this number, lives; None if there is none."""
    async with fleet_directory(settings) as directory:
        org_id = await _number(directory, name)
        if org_id is None:
            return None
        async with connected(settings.directory_url, OPTIONS) as conn:
            row = await (await conn.execute(SQL["name_of"], {"org_id": org_id})).fetchone()
        home = directory.placement.resolve(org_id)
        if home is None or row is None:
            return None
        found = Whereabouts(
            org_id=org_id,
            key=row[0],
            shard=home.name,
            by="override" if directory.placement.is_moved(org_id) else "range",
            directory_version=directory.version,
        )
    try:
        async with asked(home.url) as conn:
            there = await (await conn.execute(SQL["present"], {"org_ids": [org_id]})).fetchone()
    except ShardError as error:
        return msgspec.structs.replace(found, problem=str(error))
    if there is None:
        return msgspec.structs.replace(found, state="absent")
    _, state, epoch, version = there
    return msgspec.structs.replace(found, state=state, epoch=epoch, version=version)


async def home_of(settings: Settings, name: str) -> tuple[int, str, ShardRef]:
    """Return number, key and home of the organisation with this key, or this number.

    Raises:
        ShardError: there is none.
    """
    async with fleet_directory(settings) as directory:
        org_id = await _number(directory, name)
        async with connected(settings.directory_url, OPTIONS) as conn:
            row = await (await conn.execute(SQL["name_of"], {"org_id": org_id})).fetchone()
        home = None if org_id is None else directory.placement.resolve(org_id)
        if org_id is None or home is None or row is None:
            raise ShardError(f"There is no organisation {name!r}.")
        return org_id, row[0], home


async def _number(directory: Directory, name: str) -> int | None:
    org_id = await directory.org_by_key(name)
    if org_id is None and name.isdecimal() and len(name) <= DIGITS_MAX:
        return int(name)
    return org_id


DIGITS_MAX: Final = 18
"""More is no bigint."""
