"""Whatever table holds rows of organisations moves: those of today, and one that is added later.

Owns the guard that a new table cannot be forgotten, and what the copy does with tables that it
knows nothing of. Never counts on a list of tables.
"""

from __future__ import annotations

import asyncio

from integration.moves.street import Fleet, House
from serai.readers.move import Mover, Places, Records
from serai.readers.move.link import connect

LATER = """
CREATE TABLE IF NOT EXISTS serai.added_later (
    org_id bigint NOT NULL, n integer GENERATED ALWAYS AS IDENTITY, note text NOT NULL,
    twice text GENERATED ALWAYS AS (note || note) STORED, PRIMARY KEY (org_id, n)
)
"""


def other(home: str) -> str:
    return "b" if home == "a" else "a"


def test_every_table_of_organisations_is_found_by_its_column_and_begins_with_it(
    fleet: Fleet,
) -> None:
    by_hand = fleet.sql(
        "a",
        "SELECT table_schema || '.' || table_name FROM information_schema.columns c"
        " WHERE column_name = 'org_id' AND table_schema IN ('serai', 'hospitality')"
        " AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid ="
        " (c.table_schema || '.' || c.table_name)::regclass)"
        " AND table_name NOT IN ('org', 'move_reply') ORDER BY 1",
    )
    found = fleet.sql("a", "SELECT name, key FROM serai.move_tables() ORDER BY name")
    assert [(name,) for name, _ in found] == by_hand
    assert [name for name, key in found if key[0] != "org_id"] == []
    assert len(found) > 20


async def test_a_table_that_is_added_later_moves_and_what_is_written_to_it_meanwhile(
    fleet: Fleet, house: House
) -> None:
    home = house.home
    for shard in ("a", "b"):
        fleet.sql(shard, LATER)
    add = "INSERT INTO serai.added_later (org_id, note) VALUES (%s, %s)"
    for note in ("kept", "changed", "removed"):
        fleet.sql(home, add, house.org_id, note)
    shard_ids = dict(fleet.sql("directory", "SELECT name, shard_id FROM serai_directory.shard"))
    try:
        with connect(fleet.directory) as conn:
            (claim,) = Records(conn).claim(
                [house.org_id], shard_ids[other(home)], actor="test", reason="-"
            )

        def step(name: str) -> None:
            if name == "freeze":
                fleet.sql(home, add, house.org_id, "added")
                for change in (
                    "UPDATE serai.added_later SET note = 'other' WHERE note = 'changed'",
                    "DELETE FROM serai.added_later WHERE note = 'removed'",
                ):
                    fleet.sql(home, f"{change} AND org_id = %s", house.org_id)

        places = Places(fleet.directory, fleet.url(home), fleet.url(other(home)))
        with Mover(places, step=step) as mover:
            mover.move(claim)
        assert fleet.sql(
            other(home),
            "SELECT n, note, twice FROM serai.added_later WHERE org_id = %s ORDER BY n",
            house.org_id,
        ) == fleet.sql(
            home,
            "SELECT n, note, twice FROM serai.added_later WHERE org_id = %s ORDER BY n",
            house.org_id,
        )
    finally:
        for shard in ("a", "b"):
            fleet.sql(shard, "DROP TABLE serai.added_later")
    await house.check(other(home))


async def test_shards_with_different_tables_are_told_and_nothing_moves(
    fleet: Fleet, house: House
) -> None:
    home = house.home
    fleet.sql(home, LATER)
    try:
        report = await fleet.move(house.org_id, to=other(home))
    finally:
        fleet.sql(home, "DROP TABLE serai.added_later")
    assert report.failed == {
        house.org_id: "The two shards differ in serai.added_later. Run `serai migrate` first."
    }
    await house.rest()
    await house.check(home)


async def test_rows_that_swap_a_unique_value_while_they_move_arrive(
    fleet: Fleet, house: House
) -> None:
    """Codes of accounts are unique; the last changes bring only where the swap ended."""
    home = house.home
    one, two = [
        await house.insert("accounts", house.row("accounts") | {"code": code})
        for code in ("swap_one", "swap_two")
    ]
    shard_ids = dict(fleet.sql("directory", "SELECT name, shard_id FROM serai_directory.shard"))
    with connect(fleet.directory) as conn:
        (claim,) = Records(conn).claim(
            [house.org_id], shard_ids[other(home)], actor="test", reason="-"
        )
    await swap_under(fleet, house, claim, [(one, "swap_two"), (two, "swap_one")])
    found = fleet.sql(
        other(home),
        "SELECT id, code FROM hospitality.accounts WHERE org_id = %s AND code LIKE 'swap%%'",
        house.org_id,
    )
    assert dict(found) == {one: "swap_two", two: "swap_one"}
    await house.check(other(home))


async def swap_under(fleet: Fleet, house: House, claim, codes) -> None:
    """Move, and give the accounts these codes after the copy and before the freeze."""
    loop = asyncio.get_running_loop()
    home = house.home

    async def swap() -> None:
        for row_id, code in [(codes[0][0], "swap_aside"), *reversed(codes), codes[0]]:
            await house.write("update", "accounts", row_id, {"code": code})

    def step(name: str) -> None:
        if name == "freeze":
            asyncio.run_coroutine_threadsafe(swap(), loop).result()

    def move() -> None:
        places = Places(fleet.directory, fleet.url(home), fleet.url(other(home)))
        with Mover(places, step=step) as mover:
            mover.move(claim)

    await asyncio.to_thread(move)
