"""Reads that replicas answer: never older than asked, and without the primary where it can be."""

from __future__ import annotations

import asyncio

import pytest

from integration.http.house import Api, new_row
from integration.replicas.cluster import Cluster
from serai.core.limits import REPLICA_WAIT_SECONDS_MAX

pytestmark = pytest.mark.asyncio(loop_scope="session")
BY_PRIMARY = ("primary_none", "primary_behind", "primary_failed")


async def wrote(api: Api, name: str) -> tuple[str, str]:
    """Write a property; return its path and the position of the write."""
    answer = await api("POST", "/v1/properties", new_row("properties", {}, name))
    assert answer.status == 201, answer
    return answer.headers["Location"], answer.headers["Serai-Version"]


async def renamed(api: Api, path: str, name: str) -> str:
    """Change the name; return the position of the write."""
    answer = await api("PATCH", path, {"name": name}, Content_Type="application/merge-patch+json")
    assert answer.status == 200, answer
    return answer.headers["Serai-Version"]


async def test_a_read_through_any_worker_sees_the_write_whose_version_it_names(cluster: Cluster):
    inn = await cluster.inn()
    async with cluster.owners(inn) as (first, second):
        path, position = await wrote(first, "0")
        for n in range(1, 60):
            position = await renamed(first, path, str(n))
            read = await second("GET", path, Serai_Min_Version=position)
            listed = await second("GET", "/v1/properties", Serai_Min_Version=position)
            assert read.json["data"]["name"] == str(n)
            assert [row["data"]["name"] for row in listed.json["rows"]] == [str(n)]
    by = cluster.answered()
    assert by["replica"] > 0, by


async def test_a_read_that_names_no_version_is_as_fresh_as_ever(cluster: Cluster):
    inn = await cluster.inn()
    cluster.copies[0].pause()
    cluster.copies[1].pause()
    try:
        async with cluster.owners(inn) as (first, second):
            path, _ = await wrote(first, "0")
            for n in range(1, 10):
                await renamed(first, path, str(n))
                assert (await second("GET", path)).json["data"]["name"] == str(n)
                rows = (await second("GET", "/v1/properties")).json["rows"]
                assert [row["data"]["name"] for row in rows] == [str(n)]
        assert cluster.answered() == {}
    finally:
        cluster.copies[0].resume()
        cluster.copies[1].resume()


async def test_an_old_position_is_answered_by_a_replica_that_stands_still(cluster: Cluster):
    """It is not the newest state, and not asked to be."""
    inn = await cluster.inn()
    async with cluster.owners(inn) as (first, second):
        path, old = await wrote(first, "old")
        await asyncio.gather(*(copy.server.caught_up() for copy in cluster.copies))
        for copy in cluster.copies:
            copy.pause()
        try:
            new = await renamed(first, path, "new")
            cluster.answered()
            read = await second("GET", path, Serai_Min_Version=old)
            # On a busy machine both may have been taken out by now.
            shown = "old" if cluster.answered()["replica"] else "new"
            assert read.json["data"]["name"] == shown
            read = await second("GET", path, Serai_Min_Version=new)
            assert read.json["data"]["name"] == "new"
        finally:
            for copy in cluster.copies:
                copy.resume()
    assert cluster.answered()["replica"] == 0


async def test_a_phone_pulls_from_replicas_and_misses_nothing(cluster: Cluster):
    inn = await cluster.inn()
    async with cluster.owners(inn) as (first, second):
        token, seen = None, dict[str, str]()
        for n in range(40):
            path, _ = await wrote(first, f"p{n}")
            if n % 3 == 0:
                await renamed(first, path, f"q{n}")
            more = True
            while more:
                wanted = {"name": "properties"} | ({"sinceToken": token} if token else {})
                body = {"collections": [wanted], "batchSize": 5}
                answer = await second("POST", "/v1/sync/changes", body, Idempotency_Key=None)
                (part,) = answer.json["collections"]
                assert "mustRefetch" not in part
                for change in part["changes"]:
                    seen[change["id"]] = change["data"]["name"]
                token, more = part["nextToken"], part["hasMore"]
        newest = await first("GET", "/v1/sync/refusals")
        assert newest.status == 200
        body = {"collections": [{"name": "properties", "sinceToken": token}]}
        last = await _head(first)
        answer = await second(
            "POST",
            "/v1/sync/changes",
            body,
            Idempotency_Key=None,
            Serai_Min_Version=f"1.{last}",
        )
        for change in answer.json["collections"][0]["changes"]:
            seen[change["id"]] = change["data"]["name"]
    expected = {f"q{n}" if n % 3 == 0 else f"p{n}" for n in range(40)}
    assert set(seen.values()) == expected
    assert cluster.answered()["replica"] > 0


async def _head(api: Api) -> int:
    body = {"collections": [{"name": "properties"}]}
    return (await api("POST", "/v1/sync/changes", body, Idempotency_Key=None)).json["version"]


@pytest.mark.parametrize(
    "text", ["", "12", "1.", "0.1", "1.01", "-1.2", "1.2.3", "1.9007199254740992", "a.b", "1,2"]
)
async def test_a_position_that_is_none_is_refused_and_not_ignored(cluster: Cluster, text: str):
    inn = await cluster.inn()
    async with cluster.owners(inn) as (first, _):
        for path in ("/v1/properties", "/v1/properties/00000000-0000-7000-8000-000000000001"):
            answer = await first("GET", path, Serai_Min_Version=text)
            assert answer.code == "header_invalid"


async def test_a_position_of_another_epoch_is_never_answered_by_a_replica(cluster: Cluster):
    """After a restore the same number stands for something else."""
    inn = await cluster.inn()
    async with cluster.owners(inn) as (first, second):
        path, _ = await wrote(first, "before")
        await asyncio.gather(*(copy.server.caught_up() for copy in cluster.copies))
        for copy in cluster.copies:
            copy.pause()
        try:
            cluster.sql("update serai.org set epoch = 2 where org_id = %s returning 1", inn.org_id)
            position = await renamed(first, path, "after")
            assert position.startswith("2.")
            old = f"1.{int(position.removeprefix('2.')) - 1}"
            cluster.answered()
            read = await second("GET", path, Serai_Min_Version=position)
            assert read.json["data"]["name"] == "after"
            assert cluster.answered()["replica"] == 0
        finally:
            for copy in cluster.copies:
                copy.resume()
        await asyncio.gather(*(copy.server.caught_up() for copy in cluster.copies))
        await cluster.until_used("copy-1", "copy-2")
        cluster.answered()
        read = await second("GET", path, Serai_Min_Version=old)
        assert read.json["data"]["name"] == "after"
        assert cluster.answered()["replica"] == 0


@pytest.mark.parametrize("state", ["frozen", "moved"])
async def test_an_organisation_on_the_move_is_not_read_from_replicas(cluster: Cluster, state: str):
    inn = await cluster.inn()
    async with cluster.owners(inn) as (first, second):
        path, position = await wrote(first, "here")
        cluster.sql(
            "update serai.org set state = %s where org_id = %s returning 1", state, inn.org_id
        )
        await asyncio.gather(*(copy.server.caught_up() for copy in cluster.copies))
        cluster.answered()
        await second("GET", path, Serai_Min_Version=position)
        assert cluster.answered()["replica"] == 0


async def test_a_replica_shows_one_organisation_to_the_role_of_requests(cluster: Cluster):
    """The second wall stands on a replica too."""
    one, other = await cluster.inn(), await cluster.inn()
    async with cluster.owners(one) as (first, _), cluster.owners(other) as (_, stranger):
        path, position = await wrote(first, "mine")
        _, theirs = await wrote(stranger, "theirs")
        assert theirs == position
        answer = await stranger("GET", path, Serai_Min_Version=position)
        assert answer.code == "not_found"
        listed = await stranger("GET", "/v1/properties", Serai_Min_Version=position)
        assert [row["data"]["name"] for row in listed.json["rows"]] == ["theirs"]


async def test_no_read_waits_longer_for_a_replica_than_the_bound(cluster: Cluster):
    inn = await cluster.inn()
    async with cluster.owners(inn) as (first, second):
        path, _ = await wrote(first, "0")
        cluster.copies[0].pause()
        cluster.copies[1].pause()
        try:
            position = await renamed(first, path, "1")
            read = await second("GET", path, Serai_Min_Version=position)
            assert read.json["data"]["name"] == "1"
        finally:
            cluster.copies[0].resume()
            cluster.copies[1].resume()
    by = cluster.answered()
    assert (by["replica"], by.total()) == (0, 1)
    # What the loop adds to a bound that has come is not counted here: it is no wait for a replica.
    waits = [each for worker in cluster.workers for each in worker.counts.waits]
    assert all(each < 100 * REPLICA_WAIT_SECONDS_MAX for each in waits)
