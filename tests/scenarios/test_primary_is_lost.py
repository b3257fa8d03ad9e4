"""The primary of a shard is lost under load; its replica takes its place."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from integration.app.programs import Shell
from scenarios.pair import SECONDS, Pair, pulled, token_of, typed
from serai.app.promotion import promote
from serai.app.shard_facts import ShardError
from serai.embedded.ports import free_port
from serai.embedded.postgres import set_synchronous
from serai.shard.directory import Directory
from serai.shard.enrol import add_replica


def _kept(pair: Pair, org_id: int) -> list[UUID]:
    """Return the rows that the log has as inserted, in order; its versions have no gap."""
    found = pair.asked(
        "select version, id from serai.log where org_id = %s and collection = 1"
        " and change::json ->> 'action' = 'insert' order by version",
        org_id,
    )
    return [row_id for _, row_id in found if isinstance(row_id, UUID)]


async def test_a_synchronous_replica_takes_over_and_no_acknowledged_write_is_lost_or_doubled(
    pair: Pair, tmp_path: Path
):
    """By the command; another replica followed the old primary, too."""
    shell = Shell(
        tmp_path, {"SERAI_DIRECTORY_URL": pair.settings.directory_url, "SUDO_USER": "ann"}
    )
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/shard"
    async with await Directory.open(pair.settings.directory_url) as known:
        shard_id = known.shards[0].id
        await add_replica(known, shard_id, "copy-2", nowhere, actor="t", reason="t")
    await set_synchronous(pair.primary.url(), ["copy_1"])
    async with pair.tills() as (till, neighbour):
        done = asyncio.Event()
        tasks = [asyncio.create_task(each.run(done)) for each in (till, neighbour)]
        await till.more(20)
        pair.kill_primary()
        words = ("shard-1", "--to", "copy-1", "--primary-is-down", "--synchronous")
        promoted = await typed(shell, "promote", *words, "--reason", "its machine burned")
        await till.more(20)
        done.set()
        await asyncio.gather(*tasks)
    kept = [str(each) for each in _kept(pair, pair.inns[0].org_id)]
    assert len(kept) == len(set(kept)), "a write was done twice"
    assert set(till.acknowledged) <= set(kept), "an acknowledged write is lost"
    assert set(kept) == set(till.acknowledged), "nothing appears that was not asked for"
    assert neighbour.errors == [], "the other shard noticed"
    assert promoted.status == 0, promoted
    assert "copy-1 is the primary of shard-1" in promoted.err
    assert "epoch" not in promoted.err
    again = "serai shard replica add shard-1 copy-2 - --reason 'follows copy-1'"
    assert [line for line in promoted.err.splitlines() if line.startswith(again)], promoted
    head = "select epoch, version, state from serai.org where org_id = %s"
    ((epoch, version, state),) = pair.asked(head, pair.inns[0].org_id)
    assert (epoch, state) == (1, "active")
    versions = pair.asked(
        "select count(distinct version), max(version) from serai.log where org_id = %s",
        pair.inns[0].org_id,
    )
    assert versions == [(version, version)]
    audit = "select reason from serai_directory.placement_audit order by version desc limit 3"
    with psycopg.connect(pair.settings.directory_url) as directory:
        reasons = directory.execute(audit.encode()).fetchall()
    assert reasons == [("promoted copy-1: its machine burned",)] * 3


async def test_an_asynchronous_one_raises_the_epoch_so_that_devices_check_anew(
    pair: Pair, tmp_path: Path
):
    shell = Shell(tmp_path, {"SERAI_DIRECTORY_URL": pair.settings.directory_url})
    async with pair.tills() as (till, _):
        token = await token_of(till.api)
        pair.kill_primary()
        words = ("shard-1", "--to", "copy-1", "--primary-is-down", "--json")
        promoted = await typed(shell, "promote", *words, "--reason", "its machine burned")
        told = promoted.json
        assert (told["old_primary"], told["epochs"], told["left_out"]) == ("down", 1, [])
        async with asyncio.timeout(SECONDS):
            while not (answer := await pulled(till.api, token)).get("mustRefetch"):  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0)
        assert "nextToken" in answer


async def test_a_planned_promotion_loses_nothing_and_needs_nobodys_word(pair: Pair, tmp_path: Path):
    """By the commands: the replica is listed, left out, added again, and promoted."""
    shell = Shell(
        tmp_path, {"SERAI_DIRECTORY_URL": pair.settings.directory_url, "SUDO_USER": "ann"}
    )
    listed = (await typed(shell, "replica", "list", "--json")).json
    assert [(each["shard"], each["name"], each["state"]) for each in listed] == [
        ("shard-1", "copy-1", "follows")
    ]
    copy = ("shard-1", "copy-1")
    assert (await typed(shell, "replica", "remove", *copy, "--reason", "a look")).status == 0
    assert (await typed(shell, "replica", "list", "--json")).json == []
    url = pair.replica.url("shard")
    added = await typed(shell, "replica", "add", *copy, url, "--reason", "looked", "--json")
    assert added.json == {"shard": "shard-1", "replica": "copy-1"}
    async with pair.tills() as (till, neighbour):
        done = asyncio.Event()
        tasks = [asyncio.create_task(each.run(done)) for each in (till, neighbour)]
        await till.more(10)
        why = ("--reason", "a larger machine", "--json")
        promoted = (await typed(shell, "promote", "shard-1", "--to", "copy-1", *why)).json
        await till.more(10)
        done.set()
        await asyncio.gather(*tasks)
    del promoted["seconds"]
    assert promoted == {
        "shard": "shard-1",
        "replica": "copy-1",
        "old_primary": "fenced",
        "epochs": 0,
        "left_out": [],
        "brought_back": [],
        "waiting": [],
        "missing": [],
    }
    history = (await typed(shell, "history", "--json")).json
    noted = [(each["actor"].split("@")[0], each["reason"]) for each in history]
    assert ("ann", "promoted copy-1: a larger machine") in noted
    assert {("ann", "a look"), ("ann", "looked")} <= set(noted)
    kept = [str(each) for each in _kept(pair, pair.inns[0].org_id)]
    assert sorted(kept) == sorted(till.acknowledged)
    assert neighbour.errors == []
    with (
        psycopg.connect(pair.primary.url("shard"), autocommit=True) as old,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        old.execute("update serai.org set version = version + 1")


async def test_a_primary_that_does_not_answer_is_not_taken_for_dead(pair: Pair):
    pair.kill_primary()
    with pytest.raises(ShardError, match="--primary-is-down"):
        await promote(
            pair.settings,
            "shard-1",
            "copy-1",
            synchronous=True,
            primary_is_down=False,
            reason="it seems dead",
        )
    assert await pair.replica.is_replica()


async def test_a_replica_that_nobody_knows_is_named_with_those_that_are_known(pair: Pair):
    with pytest.raises(ShardError, match=r"no replica 'copy-9'\. Replicas: copy-1"):
        await promote(
            pair.settings,
            "shard-1",
            "copy-9",
            synchronous=True,
            primary_is_down=True,
            reason="a slip of the pen",
        )
