"""A process whose copy of the placement is old: it finds the organisation where it is now, and
never writes where it was.
"""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from integration.fleet.two_shards import Moved, flip, move, set_state
from integration.http.house import new_row, sql, state
from serai.app.organisations import create_organisation
from serai.app.runtime import open_runtime
from serai.app.settings import Settings
from serai.core.ids import uuid7

EVERYTHING = "SELECT count(*) FROM serai.row WHERE org_id = %s"


def rows_at(url: str, org_id: int) -> int:
    return sql(url, EVERYTHING, org_id)[0][0]


def log_at(url: str, org_id: int) -> int:
    return sql(url, "SELECT count(*) FROM serai.log WHERE org_id = %s", org_id)[0][0]


async def pull(there: Moved, token: str | None) -> Any:
    asked: dict[str, Any] = {"name": "guests"}
    if token is not None:
        asked["sinceToken"] = token
    answer = await there.api("POST", "/v1/sync/changes", {"collections": [asked]})
    assert answer.status == 200, answer
    return answer.json["collections"][0]


async def filled(there: Moved) -> tuple[str, list[str]]:
    """Pull guests to the end; return (token, ids)."""
    token: str | None = None
    ids: list[str] = []
    more = True
    while more:
        page = await pull(there, token)
        ids += [change["id"] for change in page["changes"]]
        token, more = page["nextToken"], page["hasMore"]
    assert token is not None
    return token, ids


async def test_a_write_lands_at_the_new_home_and_nowhere_else(here: Moved) -> None:
    move(here)
    before = rows_at(here.new, here.inn.org_id)
    made = await here.api("POST", "/v1/guests", new_row("guests", here.inn.rows, "Ada"))
    assert made.status == 201, made
    assert rows_at(here.new, here.inn.org_id) == before + 1
    assert log_at(here.old, here.inn.org_id) == 0
    assert here.runtime.directory.resolve(here.inn.org_id).name == "shard-2"


async def test_a_write_that_was_done_before_the_move_gets_its_first_answer_after_it(
    here: Moved,
) -> None:
    row = new_row("guests", here.inn.rows, "Ada")
    first = await here.api("POST", "/v1/guests", row, Idempotency_Key="once")
    move(here)
    again = await here.api("POST", "/v1/guests", row, Idempotency_Key="once")
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_row_is_read_and_listed_from_the_new_home(here: Moved) -> None:
    guest = here.inn.rows["guests"]
    before = (await here.api("GET", f"/v1/guests/{guest}")).body
    move(here)
    found = await here.api("GET", f"/v1/guests/{guest}")
    assert (found.status, found.body) == (200, before)


async def test_a_list_comes_from_the_new_home_and_is_not_empty(here: Moved) -> None:
    before = (await here.api("GET", "/v1/guests")).json
    move(here)
    assert (await here.api("GET", "/v1/guests")).json == before
    assert len(before["rows"]) == 1


async def test_a_refusal_is_not_judged_by_rows_of_the_old_home(here: Moved) -> None:
    """The old home has no such row any more, and would say 404 to a change that is right."""
    move(here)
    guest = here.inn.rows["guests"]
    changed = await here.api("PATCH", f"/v1/guests/{guest}", {"phone": "+351 1"})
    assert changed.status == 200, changed


async def test_a_device_goes_on_with_its_token_and_downloads_nothing_again(here: Moved) -> None:
    token, ids = await filled(here)
    assert ids == [here.inn.rows["guests"]]
    move(here)
    page = await pull(here, token)
    assert (page["changes"], page["hasMore"]) == ([], False)
    made = await here.api("POST", "/v1/guests", new_row("guests", here.inn.rows, "Ada"))
    page = await pull(here, page["nextToken"])
    assert [change["id"] for change in page["changes"]] == [made.json["id"]]


async def test_a_fresh_device_is_filled_from_the_new_home(here: Moved) -> None:
    move(here)
    _, ids = await filled(here)
    assert ids == [here.inn.rows["guests"]]


async def test_a_devices_queue_is_applied_at_the_new_home_once(here: Moved) -> None:
    device, row = str(uuid7()), new_row("guests", here.inn.rows, "Ada")

    def batch(*numbers: int) -> dict[str, Any]:
        return {
            "deviceId": device,
            "mutations": [
                {
                    "number": n,
                    "collection": "guests",
                    "op": "insert",
                    "id": f"0192a000-0000-7000-8000-{n:012d}",
                    "fields": row,
                }
                for n in numbers
            ],
        }

    # Ids are the test's own, but of one organisation: others have theirs.
    first = await here.api("POST", "/v1/sync/mutations", batch(1, 2), Idempotency_Key=None)
    assert [r["status"] for r in first.json["results"]] == ["applied", "applied"]
    move(here)
    before = rows_at(here.new, here.inn.org_id)
    second = await here.api("POST", "/v1/sync/mutations", batch(1, 2, 3), Idempotency_Key=None)
    results = second.json["results"]
    assert [(r["status"], r.get("replayed", False)) for r in results] == [
        ("applied", True),
        ("applied", True),
        ("applied", False),
    ]
    assert rows_at(here.new, here.inn.org_id) == before + 1
    refusals = await here.api("GET", "/v1/sync/refusals")
    assert refusals.json["refusals"] == []


async def test_a_role_that_was_taken_away_at_the_new_home_counts(here: Moved) -> None:
    """The old home's memberships are as they were when it was left."""
    move(here)
    with psycopg.connect(here.new, autocommit=True) as conn:
        conn.execute("DELETE FROM hospitality.memberships WHERE org_id = %s", (here.inn.org_id,))
        conn.execute(
            "UPDATE serai.org SET grants_version = grants_version + 1 WHERE org_id = %s",
            (here.inn.org_id,),
        )
    here.runtime.directory.resolve(here.inn.org_id)
    version, roles = await here.runtime.homes.grants(here.inn.org_id, uuid7())
    ((new_version,),) = sql(
        here.new, "SELECT grants_version FROM serai.org WHERE org_id = %s", here.inn.org_id
    )
    assert (version, roles) == (new_version, [])


async def test_while_the_directory_is_down_a_moved_organisation_waits_and_nothing_is_written(
    here: Moved, outage
) -> None:
    move(here)
    before = state(here.old, here.inn.org_id), state(here.new, here.inn.org_id)
    with outage(here.fleet.directory):
        refused = await here.api("POST", "/v1/guests", new_row("guests", here.inn.rows, "Ada"))
        assert (refused.status, refused.code) == (503, "org_moved"), refused
        assert refused.headers["Retry-After"] == "1"
    assert (state(here.old, here.inn.org_id), state(here.new, here.inn.org_id)) == before
    async with asyncio.timeout(30):
        # As a client does that was told to come back.
        while (  # noqa: ASYNC110 - the answer itself is what is waited for
            made := await here.api("POST", "/v1/guests", new_row("guests", here.inn.rows, "Ada"))
        ).status == 503:
            await asyncio.sleep(0)
    assert made.status == 201, made


@pytest.mark.parametrize("ends", ["undone", "done"])
async def test_a_write_in_the_middle_of_a_move_waits_for_its_end(
    here: Moved, ends: str, eventually
) -> None:
    set_state(here.old, here.inn.org_id, "frozen")
    body = new_row("guests", here.inn.rows, "Ada")
    writing = asyncio.create_task(here.api("POST", "/v1/guests", body))
    await eventually(lambda: "fenced" in here.heard.kinds)
    assert not writing.done()
    if ends == "undone":
        set_state(here.old, here.inn.org_id, "active")
    else:
        await asyncio.to_thread(move, here)
    made = await writing
    assert made.status == 201, made
    home = here.old if ends == "undone" else here.new
    assert sql(
        home,
        "SELECT count(*) FROM serai.row WHERE org_id = %s AND id = %s",
        here.inn.org_id,
        made.json["id"],
    ) == [(1,)]


async def test_a_move_that_does_not_end_is_told_within_the_time_that_a_request_has(
    here: Moved,
) -> None:
    set_state(here.old, here.inn.org_id, "frozen")
    refused = await here.api("POST", "/v1/guests", new_row("guests", here.inn.rows, "Ada"))
    assert (refused.status, refused.code) == (503, "org_frozen")
    read = await here.api("GET", f"/v1/guests/{here.inn.rows['guests']}")
    assert read.status == 200, "a frozen organisation reads on"


async def test_an_organisation_is_not_made_anew_at_a_home_that_it_left(here: Moved) -> None:
    """Making it again is no error; it must not make an empty one where nobody looks."""
    settings = Settings(directory_url=here.fleet.directory, pool_min=1)
    async with open_runtime(settings, as_owner=True) as operator:
        await operator.directory.unfollow()
        move(here)
        with psycopg.connect(here.old, autocommit=True) as conn:
            conn.execute("DELETE FROM serai.org WHERE org_id = %s", (here.inn.org_id,))
        assert await create_organisation(operator, here.inn.key) == here.inn.org_id
    assert sql(here.old, "SELECT 1 FROM serai.org WHERE org_id = %s", here.inn.org_id) == []


async def test_a_shard_and_a_directory_that_disagree_are_told_and_write_nothing(
    here: Moved,
) -> None:
    """Said to live where it is not: no copy was made, as by a slip of an operator."""
    flip(here)
    await here.runtime.directory.refresh()
    refused = await here.api("POST", "/v1/guests", new_row("guests", here.inn.rows, "Ada"))
    assert (refused.status, refused.code) == (503, "org_moved")
    assert rows_at(here.new, here.inn.org_id) == 0
