"""The directory on a real database: placement, creation, outage, keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from serai.core.errors import Code, SeraiError
from serai.shard.directory import Directory
from serai.shard.enrol import add_replica, remove_replica
from serai.shard.secrets import add_secret, ensure_secret, retire_secret, secrets

WHO = {"actor": "ann", "reason": "test"}
# A poll that never comes: these tests refresh by themselves.
NEVER = 3600.0
Open = Callable[[], Awaitable[Directory]]


@pytest.fixture
async def open_directory(migrated_database):
    """Return a function that opens the directory as one more process would."""
    opened: list[Directory] = []

    async def open_one() -> Directory:
        opened.append(await Directory.open(migrated_database, poll_seconds=NEVER, listen=False))
        return opened[-1]

    yield open_one
    for directory in opened:
        await directory.close()


@pytest.fixture
async def directory(open_directory: Open):
    """A directory with two shards: organisations 1 to 99 and 100 to 199."""
    directory = await open_directory()
    for name, first, stop in (("one", 1, 100), ("two", 100, 200)):
        shard_id = await directory.add_shard(name, f"postgresql://host/{name}", **WHO)
        await directory.add_range(shard_id, first, stop, **WHO)
    return directory


def ask(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


async def test_a_new_organisation_has_a_home_at_once(directory):
    org_id = await directory.create_organisation("demo.hotels", name="Demo Hotels")
    assert directory.resolve(org_id).name == "one"
    assert await directory.org_by_key("demo.hotels") == org_id


async def test_an_organisation_created_twice_is_one(directory, open_directory):
    other = await open_directory()
    creators = [d.create_organisation("demo.hotels") for d in (directory, other) for _ in range(10)]
    assert len(set(await asyncio.gather(*creators))) == 1


async def test_creators_at_once_never_share_a_number(directory, migrated_database):
    orgs = await asyncio.gather(*(directory.create_organisation(f"org-{n}") for n in range(40)))
    rows = ask(
        migrated_database,
        "SELECT lower(orgs), next_org_id FROM serai_directory.org_range ORDER BY 1",
    )
    given = [n for first, after in rows for n in range(int(str(first)), int(str(after)))]
    assert sorted(orgs) == given
    assert len(given) == 40


async def test_new_organisations_go_where_the_fewest_are(directory):
    orgs = [await directory.create_organisation(f"org-{n}") for n in range(4)]
    assert orgs == [1, 100, 2, 101]


async def test_a_shard_from_which_many_were_moved_gets_the_next_ones(directory):
    """What counts is who lives there, not how many numbers its range has given."""
    orgs = [await directory.create_organisation(f"org-{n}") for n in range(8)]
    for org_id in orgs:
        if directory.resolve(org_id).name == "one":
            await directory.set_override(org_id, 2, **WHO)
    new = [await directory.create_organisation(f"new-{n}") for n in range(9)]
    assert [directory.resolve(org_id).name for org_id in new] == ["one"] * 8 + ["two"]
    for org_id in orgs:
        await directory.set_override(org_id, None, **WHO)
    # Now 12 live on the first and 5 on the second.
    later = [await directory.create_organisation(f"later-{n}") for n in range(3)]
    assert {directory.resolve(org_id).name for org_id in later} == {"two"}


async def test_organisations_moved_together_are_counted_once_each(directory, migrated_database):
    for n in range(6):
        await directory.create_organisation(f"org-{n}")  # 1, 100, 2, 101, 3, 102
    ask(
        migrated_database,
        "INSERT INTO serai_directory.org_override (org_id, shard_id) "
        "VALUES (1, 2), (2, 2), (100, 1)",
    )
    load = "SELECT name, orgs FROM serai_directory.shard_load ORDER BY shard_id"
    assert ask(migrated_database, load) == [("one", 2), ("two", 4)]
    ask(migrated_database, "UPDATE serai_directory.org_override SET shard_id = 1")
    assert ask(migrated_database, load) == [("one", 4), ("two", 2)]
    ask(migrated_database, "DELETE FROM serai_directory.org_override WHERE org_id >= 2")
    assert ask(migrated_database, load) == [("one", 3), ("two", 3)]


@pytest.mark.parametrize("state", ["closed", "draining"])
async def test_a_shard_that_is_not_open_gets_nobody_new_and_keeps_its_own(directory, state):
    first = await directory.create_organisation("first")
    await directory.set_shard_state(directory.resolve(first).id, state, **WHO)
    others = [await directory.create_organisation(f"org-{n}") for n in range(3)]
    assert {directory.resolve(org_id).name for org_id in others} == {"two"}
    assert directory.resolve(first).name == "one"


async def test_a_full_fleet_refuses_and_numbers_are_never_given_twice(open_directory):
    directory = await open_directory()
    shard_id = await directory.add_shard("tiny", "postgresql://host/tiny", **WHO)
    await directory.add_range(shard_id, 1, 4, **WHO)
    results = await asyncio.gather(
        *(directory.create_organisation(f"org-{n}") for n in range(8)), return_exceptions=True
    )
    assert sorted(r for r in results if isinstance(r, int)) == [1, 2, 3]
    refused = [r for r in results if isinstance(r, SeraiError)]
    assert [r.code for r in refused] == [Code.UNAVAILABLE] * 5


@pytest.mark.parametrize("key", ["", "Demo", "a b", "-a", "a.", "a" * 101, "ä"])
async def test_a_key_that_is_not_one_is_refused(directory, key):
    with pytest.raises(SeraiError) as caught:
        await directory.create_organisation(key)
    assert caught.value.code is Code.FIELDS_INVALID
    assert caught.value.errors[0][0] == "key"


async def test_ranges_cannot_overlap_and_adding_one_again_is_no_error(directory):
    await directory.add_range(1, 1, 100, **WHO)
    with pytest.raises(SeraiError) as caught:
        await directory.add_range(2, 50, 60, **WHO)
    assert caught.value.code is Code.CONFLICT


async def test_a_moved_organisation_is_found_by_every_process_that_asks_again(
    directory, open_directory
):
    org_id = await directory.create_organisation("demo.hotels")
    other = await open_directory()
    await directory.set_override(org_id, 2, **WHO)
    assert other.resolve(org_id).name == "one"
    assert await other.refresh() is True
    assert other.resolve(org_id).name == "two"
    assert other.stats.reloads == 0, "a move is taken from the audit, not read whole"
    await directory.set_override(org_id, None, **WHO)
    await other.refresh()
    assert other.resolve(org_id).name == "one"
    assert other.version == directory.version
    assert await other.refresh() is False


async def test_a_new_shard_is_seen_by_processes_that_run_already(directory, open_directory):
    other = await open_directory()
    shard_id = await directory.add_shard("three", "postgresql://host/three", **WHO)
    await directory.add_range(shard_id, 200, 300, **WHO)
    await other.refresh()
    assert other.resolve(250).name == "three"
    assert [shard.name for shard in other.shards] == ["one", "two", "three"]


async def test_a_process_follows_the_directory_without_being_told(
    directory, migrated_database, eventually
):
    org_id = await directory.create_organisation("demo.hotels")
    async with await Directory.open(migrated_database, poll_seconds=0.01) as other:
        await directory.set_override(org_id, 2, **WHO)
        await eventually(lambda: other.resolve(org_id).name == "two")


async def test_moving_nobody_or_nowhere_is_refused(directory):
    for org_id, shard_id in ((999, 2), (await directory.create_organisation("a"), 999)):
        with pytest.raises(SeraiError) as caught:
            await directory.set_override(org_id, shard_id, **WHO)
        assert caught.value.code is Code.NOT_FOUND


async def test_who_moved_an_organisation_and_why_is_on_record(directory, migrated_database):
    org_id = await directory.create_organisation("demo.hotels")
    await directory.set_override(org_id, 2, actor="ann", reason="shard one is full")
    rows = ask(
        migrated_database,
        "SELECT actor, reason, action, subject, after ->> 'shard_id'"
        " FROM serai_directory.placement_audit ORDER BY version DESC LIMIT 1",
    )
    assert rows == [("ann", "shard one is full", "insert", "org_override", "2")]


async def test_a_change_by_hand_is_on_record_too_and_no_password_is(directory, migrated_database):
    ask(migrated_database, "UPDATE serai_directory.shard SET url = 'postgresql://u:pw@h/d'")
    audit = ask(
        migrated_database,
        "SELECT reason, before::text || after::text FROM serai_directory.placement_audit"
        " ORDER BY version DESC LIMIT 2",
    )
    assert [reason for reason, _ in audit] == ["not given", "not given"]
    assert "pw" not in str(audit)
    await directory.refresh()
    assert directory.resolve(1).url == "postgresql://u:pw@h/d"


async def test_a_new_organisation_changes_nobodys_placement(directory):
    before = directory.version
    await directory.create_organisation("demo.hotels")
    assert await directory.refresh() is False
    assert directory.version == before


async def test_a_process_too_far_behind_reads_everything(directory, open_directory):
    org_id = await directory.create_organisation("demo.hotels")
    other = await open_directory()
    async with directory.pool.connection() as c:
        await c.execute("DELETE FROM serai_directory.placement_audit")
    await directory.set_override(org_id, 2, **WHO)
    await other.refresh()
    assert other.resolve(org_id).name == "two"
    async with directory.pool.connection() as c:
        await c.execute("DELETE FROM serai_directory.placement_audit")
        await c.execute("UPDATE serai_directory.version SET version = version + 5")
    await other.refresh()
    assert (other.stats.reloads, other.version) == (1, directory.version + 5)


async def test_known_organisations_are_served_while_the_directory_is_down(
    directory, migrated_database, outage
):
    org_id = await directory.create_organisation("demo.hotels")
    with outage(migrated_database):
        for work in (directory.refresh, lambda: directory.org_by_key("never.seen")):
            with pytest.raises(SeraiError) as caught:
                await work()
            assert caught.value.code is Code.UNAVAILABLE
        assert directory.resolve(org_id).name == "one"
        assert await directory.org_by_key("demo.hotels") == org_id
        assert (directory.stats.refresh_failures, directory.stats.stale_resolves) == (1, 1)


async def test_after_an_outage_the_directory_is_followed_again(
    directory, migrated_database, outage, eventually
):
    org_id = await directory.create_organisation("demo.hotels")
    async with await Directory.open(migrated_database, poll_seconds=0.01) as other:
        with outage(migrated_database):
            await eventually(lambda: other.stats.refresh_failures > 3)
            other.resolve(org_id)
            assert other.stats.stale_resolves == 1
        done = other.stats.refreshes
        await eventually(lambda: other.stats.refreshes > done)
        other.resolve(org_id)
        assert other.stats.stale_resolves == 1


async def test_a_directory_that_is_down_at_the_start_is_an_error_at_once(migrated_database, outage):
    with outage(migrated_database), pytest.raises(SeraiError) as caught:
        await Directory.open(migrated_database)
    assert caught.value.code is Code.UNAVAILABLE


async def test_all_processes_seal_with_the_key_that_the_first_one_made(directory, open_directory):
    other = await open_directory()
    made = iter(bytes([n]) * 32 for n in range(1, 9))
    asked = [ensure_secret(d.pool, "token", lambda: next(made)) for d in (directory, other) * 3]
    answers = await asyncio.gather(*asked)
    assert all(answer == answers[0] for answer in answers)
    assert list(answers[0]) == [1]


async def test_a_key_is_rotated_by_adding_one_and_the_newest_cannot_be_retired(directory):
    await ensure_secret(directory.pool, "jwt", lambda: b"first")
    assert await add_secret(directory.pool, "jwt", b"second") == 2
    assert await secrets(directory.pool, "jwt") == {1: b"first", 2: b"second"}
    await retire_secret(directory.pool, "jwt", 1)
    await retire_secret(directory.pool, "jwt", 2)
    assert await secrets(directory.pool, "jwt") == {2: b"second"}
    assert await secrets(directory.pool, "token") == {}


async def test_replicas_are_known_in_every_process_and_their_passwords_in_no_audit(
    directory, open_directory, migrated_database
):
    other = await open_directory()
    before = directory.version
    url = "postgresql://ann:secret@host-a:5432/one"
    (shard, _) = directory.shards
    await add_replica(directory, shard.id, "one-a", url, **WHO)
    await add_replica(directory, shard.id, "one-a", url, **WHO)
    assert directory.version == before + 1, "the same again is no change"
    await other.refresh()
    (known,) = other.shards[0].replicas
    assert (known.name, known.url) == ("one-a", url)
    assert "secret" not in repr(other.shards)
    await remove_replica(directory, shard.id, "one-a", **WHO)
    await other.refresh()
    assert other.shards[0].replicas == ()
    audit = ask(
        migrated_database,
        "SELECT action, subject, actor, coalesce(after, before)::text"
        " FROM serai_directory.placement_audit WHERE subject = 'replica' ORDER BY version",
    )
    assert [row[:3] for row in audit] == [
        ("insert", "replica", "ann"),
        ("delete", "replica", "ann"),
    ]
    assert all("secret" not in str(row[3]) and "host-a" not in str(row[3]) for row in audit)


async def test_a_replica_of_no_shard_is_refused(directory):
    with pytest.raises(SeraiError) as refused:
        await add_replica(directory, 99, "x", "postgresql://host/x", **WHO)
    assert refused.value.code is Code.NOT_FOUND
