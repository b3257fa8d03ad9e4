"""An organisation brought back to a version where it is, on real PostgreSQL.

Owns what comes back, what stays, who notices, and what the record says of it. What a version was is
noted when it was the present. Never restores an organisation of another test.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from integration.moves.street import Fleet, House
from integration.moves.test_mover_is_killed import kill_mover, resumed
from integration.restore.past import (
    ACCOUNTS,
    MEMBERSHIPS,
    State,
    now,
    restored,
    some_life,
    state,
    state_of,
    version,
    whole,
)
from serai.app.organisations import create_organisation
from serai.app.shard_facts import ShardError
from serai.core.errors import Code, SeraiError
from serai.core.ids import uuid7


async def test_every_version_that_was_can_be_had_again(fleet: Fleet, house: House) -> None:
    states: dict[int, State] = {version(house): now(house)}
    for _ in range(3):
        await some_life(house)
        states[version(house)] = now(house)
    for at, was in [*states.items(), *reversed(states.items())]:
        before = version(house)
        outcome = await restored(house, at)
        assert now(house) == was
        assert (outcome.told.before, outcome.told.after) == (before, version(house))
        assert (version(house) > before) == (outcome.told.changes > 0)
    await whole(house)
    house.told.clear()
    await house.check(house.home)


async def test_a_neighbour_is_the_same_byte_by_byte(fleet: Fleet, house: House) -> None:
    neighbour = House(fleet, await create_organisation(fleet.owner, f"n{secrets.token_hex(4)}"))
    await neighbour.furnish()
    while neighbour.home != house.home:
        await fleet.move(neighbour.org_id, to=house.home)
        await fleet.runtime.directory.refresh()
    before = neighbour.content(neighbour.home)
    at = version(house)
    await some_life(house)
    assert (await restored(house, at)).told.changes > 0
    assert neighbour.content(neighbour.home) == before


async def test_the_record_says_who_ordered_it_and_why_before_what_changed(house: House) -> None:
    at = version(house)
    gone = await house.rest()
    await restored(house, at)
    entries = house.fleet.sql(
        house.home,
        "SELECT op, via, row_id, content FROM serai.audit WHERE org_id = %s ORDER BY number DESC"
        " LIMIT 2",
        house.org_id,
    )
    (op, _, row_id, _), (order, via, _, content) = entries
    assert (op, row_id) == ("delete", gone)
    assert (order, via) == ("restore", "system")
    said = json.loads(content)
    assert (said["at"], said["before"], said["reason"], said["grants"]) == (
        *(at, at + 1, "a test"),
        False,
    )
    assert "@" in said["actor"]


async def test_what_was_deleted_comes_back_and_can_be_deleted_once_more(house: House) -> None:
    row_id = await house.rest()
    at = version(house)
    await house.write("delete", "vendors", row_id, {})
    await restored(house, at)
    await house.write("update", "vendors", row_id, {"name": "Back"})
    await house.write("delete", "vendors", row_id, {})
    with pytest.raises(SeraiError) as refused:
        await house.write("insert", "vendors", row_id, house.vendor())
    assert refused.value.code is Code.ROW_GONE
    await whole(house)


async def test_a_restore_can_be_taken_back_by_another(house: House) -> None:
    at = version(house)
    await some_life(house)
    before, was = version(house), now(house)
    await restored(house, at)
    assert now(house) != was
    await restored(house, before)
    assert now(house) == was
    await whole(house)


async def test_rows_that_exchanged_what_is_unique_get_it_back(house: House) -> None:
    one, other = UUID(house.ids["accounts"]), UUID(house.ids["expense_account"])
    codes = [now(house).rows[ACCOUNTS, row_id]["code"] for row_id in (one, other)]
    at, was = version(house), now(house)
    await house.write("update", "accounts", one, {"code": "9999"})
    await house.write("update", "accounts", other, {"code": codes[0]})
    await house.write("update", "accounts", one, {"code": codes[1]})
    outcome = await restored(house, at)
    assert now(house) == was
    assert (outcome.told.rows, outcome.told.retyped) == ({"accounts": {"update": 2}}, True)
    await whole(house)


async def test_a_row_that_was_deleted_and_entered_anew_becomes_the_old_one(house: House) -> None:
    row = house.row("accounts") | {"code": "7777"}
    old = await house.insert("accounts", row)
    at, was = version(house), now(house)
    await house.write("delete", "accounts", old, {})
    new = await house.insert("accounts", row)
    assert new != old
    outcome = await restored(house, at)
    assert outcome.told.rows == {"accounts": {"insert": 1, "delete": 1}}
    assert now(house) == was
    await whole(house)


async def test_keys_and_numbers_that_were_used_stay_used(house: House) -> None:
    at = version(house)
    key, row_id = str(uuid4()), uuid7()
    vendor = house.vendor()
    first = await house.write("insert", "vendors", row_id, vendor, key)
    sent = await house.pushed(2)
    await restored(house, at)
    after = version(house)
    again = await house.write("insert", "vendors", row_id, vendor, key)
    assert (again.reply, again.version) == (first.reply, first.version)
    assert [result["status"] for result in await house.send(sent)] == ["applied", "applied"]
    assert version(house) == after
    assert (4, row_id) not in now(house).rows


async def test_a_role_that_was_taken_away_stays_away_unless_it_is_asked_for(
    house: House,
) -> None:
    role = UUID(house.ids["memberships"])
    at, was = version(house), now(house)
    await house.write("delete", "memberships", role, {})
    await house.rest()
    outcome = await restored(house, at)
    assert outcome.told.kept == 1
    assert now(house).without(MEMBERSHIPS) == was.without(MEMBERSHIPS)
    assert (MEMBERSHIPS, role) not in now(house).rows
    ((before,),) = grants(house)
    outcome = await restored(house, at, grants=True)
    assert outcome.told.kept == 0
    assert now(house) == was
    # Who holds an old grant hears of it.
    assert grants(house) == [(version(house),)]
    assert version(house) > before
    await whole(house)


def grants(house: House) -> list[tuple[int, ...]]:
    return house.fleet.sql(
        house.home, "SELECT grants_version FROM serai.org WHERE org_id = %s", house.org_id
    )


async def test_a_role_at_a_property_that_goes_goes_with_it(house: House) -> None:
    at, was = version(house), now(house)
    house.ids["properties"] = str(await house.insert("properties", house.row("properties")))
    role = await house.insert("memberships", house.row("memberships"))
    assert (MEMBERSHIPS, role) in now(house).rows
    outcome = await restored(house, at)
    assert outcome.told.unreferenced == 1
    assert now(house) == was
    await whole(house)


async def test_a_dry_run_tells_the_counts_and_changes_nothing(house: House) -> None:
    at = version(house)
    await house.rest()
    await house.write("update", "guests", UUID(house.ids["guests"]), {"name": "Other"})
    await house.write("delete", "expenses", UUID(house.ids["expenses"]), {})
    before = house.content(house.home)
    outcome = await restored(house, at, dry_run=True)
    assert outcome.told.rows == {
        "guests": {"update": 1},
        "expenses": {"insert": 1},
        "vendors": {"delete": 1},
    }
    assert house.content(house.home) == before
    # And it is true.
    assert (await restored(house, at)).told.rows == outcome.told.rows


async def test_a_moment_stands_for_the_last_version_before_it(house: House) -> None:
    at, was = version(house), now(house)
    moment = datetime.now(UTC)
    await some_life(house)
    assert (await restored(house, moment)).told.at == at
    assert now(house) == was
    with pytest.raises(SeraiError, match="does not go back"):
        await restored(house, moment - timedelta(days=9000))


@pytest.mark.parametrize("at", [0, 10**12])
async def test_a_version_that_never_was_is_refused(house: House, at: int) -> None:
    before = house.content(house.home)
    with pytest.raises(SeraiError, match=f"is at version {version(house)}"):
        await restored(house, at)
    assert house.content(house.home) == before


ANCHOR = (
    "INSERT INTO serai.audit_anchor SELECT org_id, number, at, hash FROM serai.audit"
    " WHERE org_id = %s AND number = %s"
)
FORGE = (
    "UPDATE serai.audit SET content = replace(content, 'Other', 'Mine')"
    " WHERE org_id = %s AND version = %s"
)


def without_triggers(house: House, *statements: tuple[str, int]) -> None:
    """Do what only an owner can who switches the walls off."""
    fleet, home = house.fleet, house.home
    fleet.sql(home, "ALTER TABLE serai.audit DISABLE TRIGGER append_only")
    try:
        for statement, argument in statements:
            fleet.sql(home, statement, house.org_id, argument)
    finally:
        fleet.sql(home, "ALTER TABLE serai.audit ENABLE ALWAYS TRIGGER append_only")


async def test_what_retention_has_dropped_is_told_with_the_oldest_that_is_left(
    house: House,
) -> None:
    await some_life(house)
    ((dropped, oldest),) = house.fleet.sql(
        house.home,
        "SELECT number, version FROM serai.audit WHERE org_id = %s AND op <> 'refuse'"
        " ORDER BY number DESC OFFSET 4 LIMIT 1",
        house.org_id,
    )
    states: dict[int, State] = {}
    states[version(house)] = now(house)
    without_triggers(
        house,
        (
            ANCHOR,
            dropped,
        ),
        ("DELETE FROM serai.audit WHERE org_id = %s AND number <= %s", dropped),
    )
    with pytest.raises(SeraiError, match=f"oldest version that can be restored is {oldest}"):
        await restored(house, oldest - 1)
    before = version(house)
    assert (await restored(house, oldest)).told.changes > 0
    await restored(house, before)
    assert now(house) == states[before]
    await whole(house)


async def test_a_record_that_was_tampered_with_restores_nothing(house: House) -> None:
    at = version(house)
    row_id = await house.rest()
    await house.write("update", "vendors", row_id, {"name": "Other"})
    without_triggers(
        house,
        (
            FORGE,
            version(house),
        ),
    )
    before = house.content(house.home)
    with pytest.raises(SeraiError, match="broken at entry"):
        await restored(house, at)
    assert house.content(house.home) == before
    await house.rest()


async def test_a_row_that_was_changed_past_the_record_restores_nothing(house: House) -> None:
    at = version(house)
    row_id = await house.rest()
    house.fleet.sql(
        house.home,
        "UPDATE serai.row SET version = 1 WHERE org_id = %s AND id = %s",
        house.org_id,
        row_id,
    )
    before = house.content(house.home)
    with pytest.raises(SeraiError, match=f"Row {row_id} is not the one"):
        await restored(house, at)
    assert house.content(house.home) == before
    await house.rest()


async def test_an_organisation_on_its_way_is_not_restored(fleet: Fleet, house: House) -> None:
    home, at = house.home, version(house)
    await house.rest()
    for step in ("follow", "flip"):
        await kill_mover(fleet, house, step)
        before = house.content(home)
        with pytest.raises(ShardError, match="moved"):
            await restored(house, at)
        assert house.content(home) == before
        await resumed(fleet)
        await fleet.runtime.directory.refresh()
        home = house.home
    await restored(house, at)
    await whole(house)


async def test_a_write_meanwhile_waits_then_is_told_to_come_back_and_is_done_once(
    house: House,
) -> None:
    at = version(house)
    await house.rest()
    loop, stopped, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def step(name: str, _done: int, _total: int) -> None:
        if name == "write":
            loop.call_soon_threadsafe(stopped.set)
            go_on.wait()

    task = asyncio.create_task(restored(house, at, step=step))
    await stopped.wait()
    # Whoever writes for others in one batch with it waits for no lock.
    free = "SELECT FROM serai.org WHERE org_id = %s FOR NO KEY UPDATE NOWAIT"
    house.fleet.sql(house.home, free, house.org_id)
    key, row_id, vendor = str(uuid4()), uuid7(), house.vendor()
    try:
        with pytest.raises(SeraiError) as refused:
            await house.write("insert", "vendors", row_id, vendor, key)
        assert refused.value.code is Code.ORG_FROZEN
        assert refused.value.retry_after_seconds is not None
        with pytest.raises(ShardError, match="Somebody else restores"):
            await restored(house, at)
    finally:
        go_on.set()
    await task
    first = await house.write("insert", "vendors", row_id, vendor, key)
    assert (await house.write("insert", "vendors", row_id, vendor, key)).version == first.version
    assert first.version == version(house)
    await whole(house)


async def test_writes_of_others_lose_nothing_while_it_runs(house: House) -> None:
    at = version(house)
    async with house.busy(1):
        for _ in range(3):
            await house.told_more(5)
            await restored(house, at)
    house.errors = [
        error
        for error in house.errors
        if not (isinstance(error, SeraiError) and error.code is Code.ORG_FROZEN)
    ]
    await house.check(house.home)
    await whole(house)


async def test_it_lives_on_another_shard_and_is_restored_there(fleet: Fleet, house: House) -> None:
    at, was = version(house), now(house)
    await some_life(house)
    other = "b" if house.home == "a" else "a"
    await fleet.move(house.org_id, to=other)
    await fleet.runtime.directory.refresh()
    outcome = await restored(house, at)
    assert outcome.shard == other
    assert state(fleet, other, house.org_id) == was
    assert state_of(fleet, other, house.org_id) == "active"
    await whole(house)
