"""Many organisations move in batches, and one that cannot does not hold up the others.

Owns shares of a shard, drains, runs that are cut off and typed again. Organisations are small and
made for each test on a fleet of its own. Never looks at how long anything takes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator

import psycopg
import pytest

from integration.app.programs import Shell
from integration.conftest import MakeDatabase, database_of, drop_database
from integration.moves.street import Fleet, House
from serai.app.fleet import prepare_fleet
from serai.app.move_run import MoveOptions
from serai.app.moving import Order, drain, move_organisations, move_share
from serai.app.organisations import create_organisation
from serai.app.runtime import open_runtime
from serai.app.settings import Settings

SMALL_BATCHES = MoveOptions(batch=4, workers=2, grace_seconds=0)


@pytest.fixture(scope="module")
def templates(make_database: MakeDatabase) -> tuple[str, str, str]:
    """URLs of a directory and of two shards; only templates."""
    urls = make_database(), make_database(), make_database()
    shards = [("a", urls[1]), ("b", urls[2])]
    asyncio.run(prepare_fleet(Settings(directory_url=urls[0]), shards))
    return urls


@pytest.fixture
def own_urls(
    postgres_url: str, make_database: MakeDatabase, templates: tuple[str, str, str]
) -> Iterator[tuple[str, str, str]]:
    """A fleet of this test's own."""
    directory, a, b = (make_database(template) for template in templates)
    with psycopg.connect(directory, autocommit=True) as conn:
        for name, url in (("a", a), ("b", b)):
            conn.execute("UPDATE serai_directory.shard SET url = %s WHERE name = %s", (url, name))
    yield directory, a, b
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        for url in (directory, a, b):
            drop_database(conn, database_of(url))


@pytest.fixture
async def town(own_urls: tuple[str, str, str]):
    """The fleet."""
    settings = Settings(directory_url=own_urls[0])
    async with open_runtime(settings) as runtime, open_runtime(settings, as_owner=True) as owner:
        yield Fleet(runtime, owner, *own_urls)


async def houses(town: Fleet, count: int, *, shard: str = "a") -> list[House]:
    """Make small organisations on one shard."""
    other = "b" if shard == "a" else "a"
    ids = dict(town.sql("directory", "SELECT name, shard_id FROM serai_directory.shard"))
    directory = town.owner.directory
    await directory.set_shard_state(ids[other], "closed", actor="test", reason="-")
    made = [
        House(town, await create_organisation(town.owner, f"h{secrets.token_hex(6)}"))
        for _ in range(count)
    ]
    await directory.set_shard_state(ids[other], "open", actor="test", reason="-")
    await town.runtime.directory.refresh()
    for each in made:
        await each.rest()
        await each.refused_push()
    return made


async def test_batches_move_under_writes_and_nothing_is_lost(town: Fleet) -> None:
    made = await houses(town, 20)
    busy = [each.busy(1) for each in made[::4]]
    for each in busy:
        await each.__aenter__()
    report = await town.move(*(each.org_id for each in made), to="b", options=SMALL_BATCHES)
    for each in busy:
        await each.__aexit__(None, None, None)
    assert (report.moved, report.failed, report.swept) == (20, {}, 20)
    assert len(report.pauses) == 5
    for each in made:
        await each.check("b")
        assert each.content("a").rows == 0


async def test_one_that_cannot_move_does_not_hold_up_its_batch(town: Fleet) -> None:
    made = await houses(town, 8)
    # Somebody has made it by hand where it is to go.
    town.sql("b", "INSERT INTO serai.org (org_id) VALUES (%s)", made[3].org_id)
    report = await town.move(
        *(each.org_id for each in made), to="b", options=MoveOptions(batch=8, grace_seconds=0)
    )
    assert report.moved == 7
    assert report.failed == {made[3].org_id: "An organisation takes writes at the target already."}
    for each in made:
        if each is not made[3]:
            await each.check("b")
    assert made[3].content("a").state == "active"


async def test_a_share_is_the_same_each_time_and_a_larger_one_holds_it(town: Fleet) -> None:
    made = await houses(town, 40)
    settings, order = town.owner.settings, Order("share", SMALL_BATCHES)
    first = await move_share(settings, "a", 30, "b", order)
    there = {each.org_id for each in made if each.content("b").state == "active"}
    assert 0 < first.moved == len(there) < 40
    again = await move_share(settings, "a", 30, "b", order)
    assert (again.asked, again.moved) == (0, 0)
    more = await move_share(settings, "a", 60, "b", order)
    assert more.moved > 0
    assert {e.org_id for e in made if e.content("b").state == "active"} > there
    rest = await move_share(settings, "a", 100, "b", order)
    assert first.moved + more.moved + rest.moved == 40


async def test_a_drained_shard_is_empty_and_gets_no_new_ones(town: Fleet) -> None:
    made = await houses(town, 10)
    report = await drain(town.owner.settings, "a", Order("away with it", SMALL_BATCHES))
    assert (report.moved, report.failed) == (10, {})
    for each in made:
        await each.check("b")
    counted = town.sql("a", "SELECT count(*) FROM serai.row")
    assert counted == [(0,)]
    states = town.sql("directory", "SELECT name, state, orgs FROM serai_directory.shard_load")
    assert sorted(states) == [("a", "draining", 0), ("b", "open", 10)]
    await town.owner.directory.refresh()
    new = House(town, await create_organisation(town.owner, "brand.new"))
    await town.runtime.directory.refresh()
    assert new.home == "b"


async def test_each_flip_of_a_batch_has_its_entry_in_the_audit_of_placement(town: Fleet) -> None:
    made = await houses(town, 8)
    orgs = [each.org_id for each in made]
    before = town.sql("directory", "SELECT version FROM serai_directory.version")[0][0]
    await town.move(*orgs, to="b", options=MoveOptions(batch=8, grace_seconds=0))
    entries = town.sql(
        "directory",
        "SELECT version, action, (after ->> 'org_id')::bigint, reason"
        " FROM serai_directory.placement_audit WHERE version > %s ORDER BY version",
        before,
    )
    assert entries == [
        (before + n, "insert", org, "a test") for n, org in enumerate(sorted(orgs), 1)
    ]


async def test_a_run_that_was_interrupted_goes_on_when_it_is_typed_again(town: Fleet) -> None:
    made = await houses(town, 24)
    orgs = [each.org_id for each in made]
    some = asyncio.Event()
    order = Order("cut off", SMALL_BATCHES, lambda report: some.set() if report.moved else None)
    run = asyncio.create_task(move_organisations(town.owner.settings, orgs, "b", order))
    await some.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    left = town.sql(
        "directory",
        "SELECT count(*) FROM serai_directory.move WHERE step NOT IN ('moved', 'undone')",
    )
    assert left == [(0,)], "an interrupt leaves no move half done"
    report = await town.move(*orgs, to="b", options=SMALL_BATCHES)
    assert report.failed == {}
    assert report.moved + report.present == 24
    assert report.present > 0
    for each in made:
        await each.check("b")


async def test_the_commands_say_what_they_would_do_do_it_and_find_it_done(
    town: Fleet, tmp_path
) -> None:
    made = await houses(town, 6)
    shell = Shell(tmp_path, {"SERAI_DIRECTORY_URL": town.directory})
    one, *others = made
    org = str(one.org_id)
    would = shell.ok("org", "move", org, "--to", "b", "--dry-run", "--json").json
    assert would == {"dry_run": True, "organisations": 1, "from": "a", "to": "b"}
    assert one.content("a").state == "active"
    told = shell.ok("org", "move", org, "--to", "b", "--json").json
    assert (told["moved"], told["failed"], told["swept"]) == (1, {}, 1)
    found = shell.ok("org", "verify", org, "--json").json
    assert (found["shard"], found["problems"]) == ("b", [])
    assert found["states"] == {"a": "moved", "b": "active"}
    share = ("shard", "move", "--percent", "100", "--from", "a", "--to", "b")
    assert shell.ok(*share, "--dry-run", "--json").json["organisations"] == 5
    told = shell.ok(*share, "--rate", "100", "--batch", "2", "--json").json
    assert (told["asked"], told["moved"]) == (5, 5)
    assert "0 of 0 moved" in shell.ok(*share).err
    drained = shell.ok("shard", "drain", "b", "--json").json
    assert (drained["moved"], drained["failed"]) == (6, {})
    assert shell.ok("org", "move", "--resume", "--json").json["moved"] == 0
    await town.runtime.directory.refresh()
    for each in (one, *others):
        await each.check("a")


async def test_verify_tells_of_a_second_home_and_of_a_row_without_its_twin(
    town: Fleet, tmp_path
) -> None:
    (house,) = await houses(town, 1)
    shell = Shell(tmp_path, {"SERAI_DIRECTORY_URL": town.directory})
    town.sql("b", "INSERT INTO serai.org (org_id) VALUES (%s)", house.org_id)
    town.sql("a", "DELETE FROM hospitality.vendors WHERE org_id = %s", house.org_id)
    done = shell.run("org", "verify", str(house.org_id), "--json")
    assert done.status == 1
    number = town.runtime.vertical.by_name["vendors"].number
    assert done.json["problems"] == [
        f"collection {number}: 1 rows, 0 in its table",
        "b takes writes for it too",
    ]


def test_wrong_use_is_told(tmp_path, own_urls: tuple[str, str, str]) -> None:
    shell = Shell(tmp_path, {"SERAI_DIRECTORY_URL": own_urls[0]})
    for words, said in (
        (("org", "move"), "Say which organisation"),
        (("org", "move", "nobody", "--to", "b"), "There is no organisation 'nobody'."),
        (("shard", "move", "--percent", "5", "--from", "a", "--to", "a"), "the same shard"),
        (("shard", "drain", "z"), "There is no shard 'z'."),
        (("org", "verify", "nobody"), "There is no organisation 'nobody'."),
    ):
        done = shell.run(*words)
        assert done.status == 1, done
        assert said in done.err
