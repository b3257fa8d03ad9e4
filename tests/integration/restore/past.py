"""What a hotel was, noted while it was so, and restores as an operator's command does them.

Owns the states that the tests compare: rows as values, and digests of the tables that are made from
them. What is there is read by SQL of its own. Never restores anything by itself.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from integration.moves.street import Fleet, House
from serai.app.restoring import Outcome, RestoreOrder, restore_organisation
from serai.log.verify import verify
from serai.readers.move import link
from serai.readers.move.contents import contents, faults

PROGRAM = Path(__file__).with_name("killed_restore.py")
ACCOUNTS, MEMBERSHIPS = 3, 13
Rows = dict[tuple[int, UUID], dict[str, Any]]


@dataclass(frozen=True)
class State:
    """What an organisation has. `typed`: table -> (rows, digest) of those made from rows."""

    rows: Rows
    typed: dict[str, tuple[int, str]]

    def of(self, collection: int) -> Rows:
        return {key: row for key, row in self.rows.items() if key[0] == collection}

    def without(self, collection: int) -> Rows:
        return {key: row for key, row in self.rows.items() if key[0] != collection}


def state(fleet: Fleet, shard: str, org_id: int) -> State:
    rows = fleet.sql(shard, "SELECT collection, id, doc FROM serai.row WHERE org_id = %s", org_id)
    with link.connect(fleet.url(shard)) as conn:
        tables = contents(conn, org_id).tables
    return State(
        {(number, row_id): msgspec.json.decode(doc) for number, row_id, doc in rows},
        {name: told for name, told in tables.items() if name.startswith("hospitality.")},
    )


def now(house: House) -> State:
    return state(house.fleet, house.home, house.org_id)


def version(house: House) -> int:
    ((found,),) = house.fleet.sql(
        house.home, "SELECT version FROM serai.org WHERE org_id = %s", house.org_id
    )
    return found


def state_of(fleet: Fleet, shard: str, org_id: int) -> str | None:
    found = fleet.sql(shard, "SELECT state FROM serai.org WHERE org_id = %s", org_id)
    return found[0][0] if found else None


async def restored(house: House, at: Any, **given: Any) -> Outcome:
    order = RestoreOrder(str(house.org_id), at, "a test", **given)
    return await restore_organisation(house.fleet.owner.settings, order)


async def whole(house: House, org_id: int | None = None, shard: str | None = None) -> None:
    """The record holds, it takes writes, and the typed tables say what the rows say."""
    fleet, org_id, shard = house.fleet, org_id or house.org_id, shard or house.home
    await fleet.runtime.directory.refresh()
    store = (await fleet.runtime.shard_for(org_id)).store
    report = await verify(store, org_id)
    assert report.broken is None, report
    with link.connect(fleet.url(shard)) as conn:
        content = contents(conn, org_id)
    assert faults(content) == []
    assert content.state == "active"
    ((held,),) = fleet.sql(
        shard, "SELECT count(*) FROM serai.restore_hold WHERE org_id = %s", org_id
    )
    assert held == 0
    ((both,),) = fleet.sql(
        shard,
        "SELECT count(*) FROM serai.row r JOIN serai.tombstone t USING (org_id, collection, id)"
        " WHERE r.org_id = %s",
        org_id,
    )
    assert both == 0, "a row is there and deleted"


async def some_life(house: House) -> None:
    """Change, remove and add rows of several collections; a day's books move to another month."""
    kept, gone = await house.rest(), await house.rest()
    await house.write("update", "vendors", kept, {"name": "Twice"})
    await house.write("update", "vendors", kept, {"name": "Thrice"})
    await house.write("delete", "vendors", gone, {})
    await house.pushed(2)
    other = await house.insert("revenues", house.row("revenues"))
    await house.write("update", "revenues", other, {"business_date": "2026-03-03"})
    await house.write("delete", "revenues", UUID(house.ids["revenues"]), {})
    house.ids["revenues"] = str(other)


async def killed(house: House, *words: str) -> None:
    """Run a process that dies at a step, and wait until its server has noticed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        house.fleet.directory,
        str(house.org_id),
        *words,
        stderr=subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == -9, said


def noticed(house: House) -> None:
    """Wait until nobody holds the restore of the organisation."""
    fleet, home = house.fleet, house.home
    key = "serai.restore_key(%s)"
    fleet.sql(home, f"SELECT pg_advisory_lock({key})", house.org_id)
