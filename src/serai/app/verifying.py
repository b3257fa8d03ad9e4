"""Whether an organisation is whole where it lives, and in one place only.

Owns what `serai org verify` finds: the shards that hold something of it, its tables' rows and
digests, its rows against the tables made from them, its audit record. Promises that two homes are
compared column by column where both hold a copy of the same version. Never changes anything.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from serai.app.runtime import load_vertical
from serai.app.settings import Settings
from serai.app.shard_facts import ShardError, fleet_directory
from serai.log.postgres import PostgresStore
from serai.log.verify import verify
from serai.readers.move.contents import Content, contents, differences, faults
from serai.readers.move.link import connect
from serai.shard.pools import PinnedPool


@dataclass(slots=True)
class Verified:
    """What was found.

    Attributes:
        shard: where it lives, by the directory.
        states: shard -> what it says of the organisation, of those that know it.
        tables: table -> (rows, digest) at its home; those without rows are left out.
        entries: of the audit record that were checked.
        compared: the shard that holds another copy of the same version, if one does.
        problems: what is wrong, a sentence each.
    """

    org_id: int
    shard: str
    states: dict[str, str] = field(default_factory=dict[str, str])
    tables: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    epoch: int = 0
    version: int = 0
    entries: int = 0
    compared: str | None = None
    problems: list[str] = field(default_factory=list[str])


async def verify_organisation(settings: Settings, name: str) -> Verified:
    """Look at an organisation, by key or number, on every shard.

    Raises:
        ShardError: there is none. psycopg.OperationalError: a shard does not answer.
    """
    async with fleet_directory(settings) as directory:
        org_id = await directory.org_by_key(name)
        if org_id is None and name.isdecimal():
            org_id = int(name)
        home = None if org_id is None else directory.placement.resolve(org_id)
        if org_id is None or home is None:
            raise ShardError(f"There is no organisation {name!r}.")
        found = Verified(org_id, home.name)
        held: dict[str, Content] = {}
        for ref in directory.shards:
            held[ref.name] = await asyncio.to_thread(_contents, ref.url, org_id)
        _judge(found, held)
        if held[home.name].head is not None:
            vertical = load_vertical(settings.vertical)
            async with PinnedPool(home.url, size_min=1, size_max=2) as pool:
                report = await verify(PostgresStore(pool, vertical), org_id)
            found.entries = report.entries
            if report.broken is not None:
                wrong = report.broken
                found.problems.append(f"audit record, entry {wrong.number}: {wrong.detail}")
    return found


def _judge(found: Verified, held: dict[str, Content]) -> None:
    home = held[found.shard]
    found.states = {name: c.state for name, c in held.items() if c.state != "absent" or c.rows}
    found.tables = {name: told for name, told in home.tables.items() if told[0]}
    if home.head is not None:
        found.epoch, found.version = home.head["epoch"], home.head["version"]
    if home.state != "active":
        found.problems.append(f"{found.shard}, where it lives, says {home.state}")
    found.problems += faults(home)
    for name, other in held.items():
        if name == found.shard:
            continue
        if other.state == "active":
            found.problems.append(f"{name} takes writes for it too")
        # A target knows its version only when its copy is complete.
        if other.rows and other.head is not None and home.head is not None:
            same = ("epoch", "version", "audit_number")
            if all(other.head[each] == home.head[each] for each in same):
                found.compared = name
                found.problems += [f"{name}: {line}" for line in differences(home, other)]


def _contents(url: str, org_id: int) -> Content:
    with connect(url, name="serai verify") as conn:
        return contents(conn, org_id)
