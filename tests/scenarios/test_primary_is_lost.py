"""The primary of a shard is lost under load; its replica takes its place."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import aiohttp
import psutil
import psycopg
import pytest
import pytest_asyncio

from integration.app.programs import Ended, Shell
from integration.http.house import Api, Inn, make_inn, new_row, token_for
from serai.app.asgi import http_app
from serai.app.fleet import prepare_fleet
from serai.app.promotion import promote
from serai.app.runtime import open_runtime
from serai.app.serving import served
from serai.app.settings import Settings
from serai.app.shard_facts import ShardError
from serai.core.ids import uuid7
from serai.embedded.ports import free_port
from serai.embedded.postgres import EmbeddedPostgres, EmbeddedReplica, Follows, set_synchronous
from serai.shard.directory import Directory
from serai.shard.enrol import add_replica

SECONDS = 60.0
SHARDS = ("shard-1", "shard-2")


@dataclass
class Till:
    """Writes rows one after another, each until it is acknowledged, under one key."""

    api: Api
    acknowledged: list[str] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    progress: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def run(self, done: asyncio.Event) -> None:
        while not done.is_set():
            row_id, key = str(uuid7()), secrets.token_hex(8)
            row = {"id": row_id, **new_row("properties", {}, row_id)}
            while (status := await self._try(row, key)) != 201:
                self.errors.append(status)
                await asyncio.sleep(0)
            self.acknowledged.append(row_id)
            self.progress.release()

    async def _try(self, row: object, key: str) -> int:
        answer = await self.api("POST", "/v1/properties", row, Idempotency_Key=key)
        assert answer.status in {201, 503, 504}, answer
        return answer.status

    async def more(self, count: int) -> None:
        """Wait until so many more are acknowledged."""
        async with asyncio.timeout(SECONDS):
            for _ in range(count):
                await self.progress.acquire()


@dataclass
class Fleet:
    """Two shards on servers of their own, the directory on a third; the first has a replica."""

    primary: EmbeddedPostgres
    replica: EmbeddedReplica
    settings: Settings
    inns: list[Inn]
    url: str

    def kill_primary(self) -> None:
        """End every process of it with signal 9."""
        first = psutil.Process(self.primary.pid)
        for each in [first, *first.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()

    @asynccontextmanager
    async def tills(self) -> AsyncGenerator[list[Till]]:
        """Yield a till of each organisation."""
        async with aiohttp.ClientSession(auto_decompress=True) as session:
            yield [
                Till(Api(session, self.url, await token_for(session, self.url, inn)))
                for inn in self.inns
            ]

    def asked(self, text: str, *values: object) -> list[tuple[object, ...]]:
        """Ask the replica's server by SQL, past everything under test."""
        with psycopg.connect(self.replica.url("shard"), autocommit=True) as connection:
            return connection.execute(text.encode(), values).fetchall()


@pytest_asyncio.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        directory, primary, other = [
            await stack.enter_async_context(EmbeddedPostgres()) for _ in range(3)
        ]
        await directory.create_database("directory")
        for each in (primary, other):
            await each.create_database("shard")
        settings = Settings(directory_url=directory.url("directory"), pool_min=1, pool_max=8)
        urls = [each.url("shard") for each in (primary, other)]
        await prepare_fleet(settings, list(zip(SHARDS, urls, strict=True)))
        follows = Follows(primary.url(), "copy_1")
        replica = await stack.enter_async_context(EmbeddedReplica(follows))
        async with await Directory.open(settings.directory_url) as known:
            url, shard_id = replica.url("shard"), known.shards[0].id
            await add_replica(known, shard_id, "copy-1", url, actor="t", reason="t")
        inns = [await make_inn(settings.directory_url, f"inn-{n}") for n in range(2)]
        port = free_port()
        runtime = await stack.enter_async_context(open_runtime(settings))
        assert {runtime.directory.resolve(inn.org_id).name for inn in inns} == set(SHARDS)
        inns.sort(key=lambda inn: runtime.directory.resolve(inn.org_id).name)
        app = await stack.enter_async_context(http_app(runtime))
        await stack.enter_async_context(served(app, "127.0.0.1", port))
        yield Fleet(primary, replica, settings, inns, f"http://127.0.0.1:{port}")


async def typed(shell: Shell, *words: str) -> Ended:
    """Type a command of `serai shard` while everything else goes on."""
    return await asyncio.to_thread(shell.run, "shard", *words)


def _kept(fleet: Fleet, org_id: int) -> list[UUID]:
    """Return the rows that the log has as inserted, in order; its versions have no gap."""
    found = fleet.asked(
        "select version, id from serai.log where org_id = %s and collection = 1"
        " and change::json ->> 'action' = 'insert' order by version",
        org_id,
    )
    return [row_id for _, row_id in found if isinstance(row_id, UUID)]


async def test_a_synchronous_replica_takes_over_and_no_acknowledged_write_is_lost_or_doubled(
    fleet: Fleet, tmp_path: Path
):
    """By the command; another replica followed the old primary, too."""
    shell = Shell(
        tmp_path, {"SERAI_DIRECTORY_URL": fleet.settings.directory_url, "SUDO_USER": "ann"}
    )
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/shard"
    async with await Directory.open(fleet.settings.directory_url) as known:
        shard_id = known.shards[0].id
        await add_replica(known, shard_id, "copy-2", nowhere, actor="t", reason="t")
    await set_synchronous(fleet.primary.url(), ["copy_1"])
    async with fleet.tills() as (till, neighbour):
        done = asyncio.Event()
        tasks = [asyncio.create_task(each.run(done)) for each in (till, neighbour)]
        await till.more(20)
        fleet.kill_primary()
        words = ("shard-1", "--to", "copy-1", "--primary-is-down", "--synchronous")
        promoted = await typed(shell, "promote", *words, "--reason", "its machine burned")
        await till.more(20)
        done.set()
        await asyncio.gather(*tasks)
    kept = [str(each) for each in _kept(fleet, fleet.inns[0].org_id)]
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
    ((epoch, version, state),) = fleet.asked(head, fleet.inns[0].org_id)
    assert (epoch, state) == (1, "active")
    versions = fleet.asked(
        "select count(distinct version), max(version) from serai.log where org_id = %s",
        fleet.inns[0].org_id,
    )
    assert versions == [(version, version)]
    audit = "select reason from serai_directory.placement_audit order by version desc limit 3"
    with psycopg.connect(fleet.settings.directory_url) as directory:
        reasons = directory.execute(audit.encode()).fetchall()
    assert reasons == [("promoted copy-1: its machine burned",)] * 3


async def test_an_asynchronous_one_raises_the_epoch_so_that_devices_check_anew(
    fleet: Fleet, tmp_path: Path
):
    shell = Shell(tmp_path, {"SERAI_DIRECTORY_URL": fleet.settings.directory_url})
    async with fleet.tills() as (till, _):
        token = await _token(till.api)
        fleet.kill_primary()
        words = ("shard-1", "--to", "copy-1", "--primary-is-down", "--json")
        promoted = await typed(shell, "promote", *words, "--reason", "its machine burned")
        told = promoted.json
        assert (told["old_primary"], told["epochs"], told["left_out"]) == ("down", 1, [])
        async with asyncio.timeout(SECONDS):
            while not (answer := await _pull(till.api, token)).get("mustRefetch"):  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0)
        assert "nextToken" in answer


async def test_a_planned_promotion_loses_nothing_and_needs_nobodys_word(
    fleet: Fleet, tmp_path: Path
):
    """By the commands: the replica is listed, left out, added again, and promoted."""
    shell = Shell(
        tmp_path, {"SERAI_DIRECTORY_URL": fleet.settings.directory_url, "SUDO_USER": "ann"}
    )
    listed = (await typed(shell, "replica", "list", "--json")).json
    assert [(each["shard"], each["name"], each["state"]) for each in listed] == [
        ("shard-1", "copy-1", "follows")
    ]
    copy = ("shard-1", "copy-1")
    assert (await typed(shell, "replica", "remove", *copy, "--reason", "a look")).status == 0
    assert (await typed(shell, "replica", "list", "--json")).json == []
    url = fleet.replica.url("shard")
    added = await typed(shell, "replica", "add", *copy, url, "--reason", "looked", "--json")
    assert added.json == {"shard": "shard-1", "replica": "copy-1"}
    async with fleet.tills() as (till, neighbour):
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
    }
    history = (await typed(shell, "history", "--json")).json
    noted = [(each["actor"].split("@")[0], each["reason"]) for each in history]
    assert ("ann", "promoted copy-1: a larger machine") in noted
    assert {("ann", "a look"), ("ann", "looked")} <= set(noted)
    kept = [str(each) for each in _kept(fleet, fleet.inns[0].org_id)]
    assert sorted(kept) == sorted(till.acknowledged)
    assert neighbour.errors == []
    with (
        psycopg.connect(fleet.primary.url("shard"), autocommit=True) as old,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        old.execute("update serai.org set version = version + 1")


async def test_a_primary_that_does_not_answer_is_not_taken_for_dead(fleet: Fleet):
    fleet.kill_primary()
    with pytest.raises(ShardError, match="--primary-is-down"):
        await promote(
            fleet.settings,
            "shard-1",
            "copy-1",
            synchronous=True,
            primary_is_down=False,
            reason="it seems dead",
        )
    assert await fleet.replica.is_replica()


async def test_a_replica_that_nobody_knows_is_named_with_those_that_are_known(fleet: Fleet):
    with pytest.raises(ShardError, match=r"no replica 'copy-9'\. Replicas: copy-1"):
        await promote(
            fleet.settings,
            "shard-1",
            "copy-9",
            synchronous=True,
            primary_is_down=True,
            reason="a slip of the pen",
        )


async def _pull(api: Api, token: str | None) -> dict[str, object]:
    wanted = {"name": "properties"} | ({"sinceToken": token} if token else {})
    body = {"collections": [wanted]}
    answer = await api("POST", "/v1/sync/changes", body, Idempotency_Key=None)
    return answer.json["collections"][0] if answer.status == 200 else {}


async def _token(api: Api) -> str:
    return str((await _pull(api, None))["nextToken"])
