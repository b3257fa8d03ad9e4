"""A new organisation made of what another one was.

Owns what is in it, where it lives, and what it has nothing of: roles, devices, replies. Never
changes the organisation that it was made of.
"""

from __future__ import annotations

import secrets
from uuid import UUID

import pytest

from integration.moves.street import Fleet, House
from integration.restore.past import MEMBERSHIPS, now, restored, some_life, state, version, whole
from serai.core.errors import Code, SeraiError


def a_key() -> str:
    return f"k{secrets.token_hex(4)}"


async def test_it_has_the_rows_of_that_version_and_a_record_that_begins_with_the_order(
    fleet: Fleet, house: House
) -> None:
    at, was = version(house), now(house)
    await some_life(house)
    before = house.content(house.home)
    for target in ("a", "b"):
        key = a_key()
        outcome = await restored(house, at, into=key, to=target, name="As it was")
        org_id = outcome.into
        assert org_id is not None
        assert outcome.shard == target
        there = state(fleet, target, org_id)
        assert there.rows == was.without(MEMBERSHIPS)
        typed = {name: rows for name, (rows, _) in was.typed.items()}
        typed["hospitality.memberships"] = 0
        assert {name: rows for name, (rows, _) in there.typed.items()} == typed
        await whole(house, org_id, target)
        first = fleet.sql(
            target, "SELECT op, content FROM serai.audit WHERE org_id = %s AND number = 1", org_id
        )
        assert first[0][0] == "restore"
        assert f'"source":{house.org_id}' in first[0][1]
        assert fleet.sql(
            "directory",
            "SELECT key, name FROM serai_directory.organisation WHERE org_id = %s",
            org_id,
        ) == [(key, "As it was")]
        for table in ("device", "reply", "refusal", "tombstone", "log"):
            assert fleet.sql(target, f"SELECT FROM serai.{table} WHERE org_id = %s", org_id) == []
    assert house.content(house.home) == before


async def test_it_is_written_to_and_pulled_like_any_other(fleet: Fleet, house: House) -> None:
    at, was = version(house), now(house)
    outcome = await restored(house, at, into=a_key())
    assert outcome.into is not None
    await fleet.runtime.directory.refresh()
    new = House(fleet, outcome.into, ids=dict(house.ids))
    token, delivered, refetch = await new.pull(None)
    kept = {row_id for number, row_id in was.rows if number in (1, 4, 5)}
    assert (set(delivered), refetch) == (kept, False)
    written = [await new.rest(), (await new.pushed(1))[0].id]
    await new.write("delete", "vendors", UUID(house.ids["vendors"]), {})
    _, delivered, refetch = await new.pull(token)
    assert (set(delivered), refetch) == ({*written, UUID(house.ids["vendors"])}, False)
    # The other one has not heard of it.
    assert now(house) == was


async def test_roles_come_along_only_if_they_are_asked_for(fleet: Fleet, house: House) -> None:
    user = "INSERT INTO serai_directory.users (user_id, email, name, password_hash, state)"
    row = now(house).rows[MEMBERSHIPS, UUID(house.ids["memberships"])]
    fleet.sql(
        "directory",
        f"{user} VALUES (%s, %s, '', '-', 'active')",
        row["user_id"],
        f"{row['user_id']}@example.com",
    )
    at, was = version(house), now(house)
    outcome = await restored(house, at, into=a_key(), grants=True)
    assert outcome.into is not None
    assert state(fleet, outcome.shard, outcome.into).rows == was.rows
    listed = "SELECT user_id::text FROM serai_directory.user_org WHERE org_id = %s"
    assert fleet.sql("directory", listed, outcome.into) == [(row["user_id"],)]


async def test_a_key_that_is_taken_or_is_none_is_refused(fleet: Fleet, house: House) -> None:
    at = version(house)
    taken = a_key()
    await fleet.owner.directory.create_organisation(taken)
    for key, code in ((taken, Code.CONFLICT), ("Not A Key", Code.FIELDS_INVALID)):
        with pytest.raises(SeraiError) as refused:
            await restored(house, at, into=key)
        assert refused.value.code is code


async def test_a_dry_run_makes_nothing(fleet: Fleet, house: House) -> None:
    at, was = version(house), now(house)
    await some_life(house)
    key = a_key()
    outcome = await restored(house, at, into=key, dry_run=True)
    assert outcome.told.changes == len(was.without(MEMBERSHIPS))
    assert await fleet.owner.directory.org_by_key(key) is None
    restoring = "SELECT FROM serai_directory.restored WHERE key = %s"
    assert fleet.sql("directory", restoring, key) == []
