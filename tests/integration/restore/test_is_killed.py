"""A restore or an export is killed at each of its steps: whole or not there, and done by the next.

Owns the crash points. The process is one of its own and gets SIGKILL. Never waits for a time: what
is waited for is that the server has noticed.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from integration.moves.street import Fleet, House
from integration.restore.past import (
    MEMBERSHIPS,
    killed,
    noticed,
    now,
    restored,
    some_life,
    state,
    state_of,
    version,
    whole,
)
from integration.restore.test_export import names_in
from serai.app.export_check import check_export
from serai.app.exporting import export_organisation
from serai.core.errors import Code, SeraiError
from serai.log.life_postgres import PostgresLifeStore
from serai.readers.move.contents import differences

IN_PLACE = ("read", "freeze", "look for moves", "compare", "write", "thaw", "commit")
INTO_NEW = ("read", "write", "commit", "list")


@pytest.mark.parametrize("step", IN_PLACE)
async def test_a_killed_restore_has_changed_nothing_and_writes_go_on(
    fleet: Fleet, house: House, step: str
) -> None:
    at, was = version(house), now(house)
    await some_life(house)
    before = house.content(house.home)
    await killed(house, str(at), step)
    noticed(house)
    shard = await fleet.runtime.shard_for(house.org_id)
    frozen = step not in ("read", "freeze")
    if frozen:
        with pytest.raises(SeraiError) as refused:
            await house.rest()
        assert refused.value.code is Code.ORG_FROZEN
    # What every process that serves does each half minute.
    assert await PostgresLifeStore(shard.pool).thaw_restores() == int(frozen)
    assert differences(before, house.content(house.home)) == []
    await house.rest()
    await restored(house, at)
    assert now(house) == was
    await whole(house)


async def test_the_next_restore_needs_nobody_to_thaw(house: House) -> None:
    at, was = version(house), now(house)
    await some_life(house)
    await killed(house, str(at), "commit")
    noticed(house)
    await restored(house, at)
    assert now(house) == was
    await whole(house)


async def test_a_restore_that_lives_is_not_thawed(fleet: Fleet, house: House) -> None:
    at = version(house)
    await house.rest()
    shard = await fleet.runtime.shard_for(house.org_id)
    thawed: list[object] = []

    def step(name: str, _done: int, _total: int) -> None:
        if name == "look for moves":
            thawed.extend(fleet.sql(house.home, "SELECT serai.thaw_restores()"))
            thawed.append(state_of(fleet, house.home, house.org_id))

    await restored(house, at, step=step)
    assert thawed == [(0,), "frozen"]
    assert await PostgresLifeStore(shard.pool).thaw_restores() == 0


@pytest.mark.parametrize("step", INTO_NEW)
async def test_a_killed_copy_is_nobodys_organisation(fleet: Fleet, house: House, step: str) -> None:
    key = f"k{secrets.token_hex(4)}"
    at, was = version(house), now(house)
    await some_life(house)
    before = house.content(house.home)
    target = "b" if house.home == "a" else "a"
    await killed(house, str(at), step, key, target)
    assert await fleet.owner.directory.org_by_key(key) is None
    ((org_id,),) = fleet.sql(
        "directory", "SELECT org_id FROM serai_directory.restored WHERE key = %s", key
    )
    assert fleet.sql("directory", KNOWN, org_id) == []
    assert state_of(fleet, target, org_id) in (None, "moved")
    assert house.content(house.home) == before

    outcome = await restored(house, at, into=key, to=target)
    assert outcome.into == org_id
    assert await fleet.owner.directory.org_by_key(key) == org_id
    assert state(fleet, target, org_id).rows == was.without(MEMBERSHIPS)
    await whole(house, org_id, target)
    assert house.content(house.home) == before


KNOWN = "SELECT FROM serai_directory.organisation WHERE org_id = %s"


async def test_a_copy_that_was_decided_is_opened_by_the_next_run(
    fleet: Fleet, house: House
) -> None:
    key = f"k{secrets.token_hex(4)}"
    at, was = version(house), now(house)
    await killed(house, str(at), "open", key, house.home)
    ((org_id,),) = fleet.sql(
        "directory", "SELECT org_id FROM serai_directory.organisation WHERE key = %s", key
    )
    assert state_of(fleet, house.home, org_id) == "moved"
    for _ in range(2):
        outcome = await restored(house, at, into=key)
        assert (outcome.into, outcome.present) == (org_id, True)
    assert state(fleet, house.home, org_id).rows == was.without(MEMBERSHIPS)
    await whole(house, org_id, house.home)


async def test_what_a_killed_copy_left_goes_with_the_next_restore_of_anything(
    fleet: Fleet, house: House
) -> None:
    left, key = f"k{secrets.token_hex(4)}", f"k{secrets.token_hex(4)}"
    at = version(house)
    await killed(house, str(at), "list", left, house.home)
    ((org_id,),) = fleet.sql(
        "directory", "SELECT org_id FROM serai_directory.restored WHERE key = %s", left
    )
    assert state(fleet, house.home, org_id).rows != {}
    await restored(house, at, into=key)
    assert state(fleet, house.home, org_id).rows == {}
    assert state_of(fleet, house.home, org_id) == "moved"


async def test_a_killed_export_leaves_nothing_that_looks_whole(
    house: House, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    await killed(house, str(folder), "export")
    assert not folder.exists()
    assert check_export(folder.with_name("out.partial")).problems != []
    await export_organisation(house.fleet.owner.settings, str(house.org_id), folder)
    assert check_export(folder).problems == []
    assert names_in(tmp_path) == ["out"]
