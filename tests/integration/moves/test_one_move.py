"""One organisation moves while it is written to: nothing is lost, nothing comes twice.

Owns the promises of a move that nobody disturbs. What is there afterwards is compared with what was
answered, and with what was there before. Never looks at how long anything takes.
"""

from __future__ import annotations

from uuid import uuid4

import pytest

from integration.moves.street import COLLECTIONS, Fleet, House
from serai.app.operator import operator
from serai.core.errors import Code, SeraiError
from serai.core.ids import uuid7


def other(home: str) -> str:
    return "b" if home == "a" else "a"


async def test_a_quiet_organisation_arrives_as_it_was(fleet: Fleet, house: House) -> None:
    home = house.home
    before = house.content(home)
    assert {
        t for t, (rows, _) in before.tables.items() if t.startswith("hospitality.") and rows
    } == {f"hospitality.{c.name}" for c in fleet.runtime.vertical.collections}
    report = await fleet.move(house.org_id, to=other(home))
    assert (report.moved, report.failed) == (1, {})
    assert house.same(before, other(home)) == []
    await house.check(other(home))
    assert house.content(home).rows == 0


async def test_writes_during_a_move_are_all_there_once(fleet: Fleet, house: House) -> None:
    home = house.home
    async with house.busy():
        report = await fleet.move(house.org_id, to=other(home))
    assert (report.moved, report.failed) == (1, {})
    await house.check(other(home))


async def test_an_organisation_that_goes_to_and_fro_under_writes_keeps_all(
    fleet: Fleet, house: House
) -> None:
    home = house.home
    async with house.busy():
        for to in (other(home), home, other(home), home):
            assert (await fleet.move(house.org_id, to=to)).failed == {}
    await house.check(home)
    back = fleet.sql(
        "directory",
        "SELECT count(*) FROM serai_directory.org_override WHERE org_id = %s",
        house.org_id,
    )
    assert back == [(0,)], "an organisation at the shard of its range needs no override"


async def test_a_key_gets_its_first_answer_at_the_new_home(fleet: Fleet, house: House) -> None:
    key, row_id, row = str(uuid4()), uuid7(), house.vendor()
    first = await house.write("insert", "vendors", row_id, row, key)
    await fleet.move(house.org_id, to=other(house.home))
    again = await house.write("insert", "vendors", row_id, row, key)
    assert (again.replayed, again.version, again.reply) == (True, first.version, first.reply)
    reused = house.intent("insert", "vendors", uuid7(), row, key, b"another")
    home = await fleet.runtime.shard_for(house.org_id)
    with pytest.raises(SeraiError) as refused:
        await home.coalescer.submit(reused)
    assert refused.value.code is Code.KEY_REUSED


async def test_a_phone_goes_on_with_its_numbers_and_hears_of_its_refusal(
    fleet: Fleet, house: House
) -> None:
    sent = await house.pushed(3)
    store = (await fleet.runtime.shard_for(house.org_id)).store
    kept = await store.refusals(house.org_id, user_id=None, after=0, limit=9)
    await fleet.move(house.org_id, to=other(house.home))
    told = dict(house.told)
    results = await house.send(sent)
    assert [result.get("replayed") for result in results] == [True] * 3
    assert house.told == told
    await house.pushed(2)
    store = (await fleet.runtime.shard_for(house.org_id)).store
    assert await store.refusals(house.org_id, user_id=None, after=0, limit=9) == kept
    await house.refused_push()
    after = await store.refusals(house.org_id, user_id=None, after=kept[-1].id, limit=9)
    assert [refusal.number for refusal in after] == [house.next_number - 1]


async def test_no_device_downloads_again_what_it_has(fleet: Fleet, house: House) -> None:
    token, held, _ = await house.pull(None)
    assert len(held) > len(COLLECTIONS)
    await fleet.move(house.org_id, to=other(house.home))
    same, nothing, again = await house.pull(token)
    assert (same, nothing, again) == (token, [], False)
    row_id = await house.rest()
    _, news, again = await house.pull(token)
    assert (news, again) == ([row_id], False)


async def test_a_token_taken_during_a_move_goes_on_after_it(fleet: Fleet, house: House) -> None:
    home = house.home
    token, held, _ = await house.pull(None)
    async with house.busy():
        await fleet.move(house.org_id, to=other(home))
    _, news, again = await house.pull(token)
    assert not again
    assert not set(news) & set(held)
    rows = {
        row_id
        for (row_id,) in fleet.sql(
            other(home),
            "SELECT r.id FROM serai.row r JOIN serai.collection c ON c.number = r.collection"
            " WHERE r.org_id = %s AND c.name = ANY (%s)",
            house.org_id,
            list(COLLECTIONS),
        )
    }
    assert rows == set(held) | set(news)


async def test_a_move_is_in_the_record_and_in_the_audit_of_placement(
    fleet: Fleet, house: House
) -> None:
    home = house.home
    await fleet.move(house.org_id, to=other(home))
    moves = fleet.sql(
        "directory",
        "SELECT step, actor, reason, ended_at IS NOT NULL, swept FROM serai_directory.move"
        " WHERE org_id = %s",
        house.org_id,
    )
    assert moves == [("moved", operator(), "a test", True, True)]
    entries = fleet.sql(
        "directory",
        "SELECT actor, reason, action, (after ->> 'shard_id')::int"
        " FROM serai_directory.placement_audit WHERE subject = 'org_override'"
        " AND (after ->> 'org_id')::bigint = %s",
        house.org_id,
    )
    shard_ids = dict(fleet.sql("directory", "SELECT name, shard_id FROM serai_directory.shard"))
    assert entries == [(operator(), "a test", "insert", shard_ids[other(home)])]


async def test_moving_again_changes_nothing(fleet: Fleet, house: House) -> None:
    target = other(house.home)
    await fleet.move(house.org_id, to=target)
    report = await fleet.move(house.org_id, to=target)
    assert (report.moved, report.present, report.failed) == (0, 1, {})
