"""Reads right after a write, with streaming replicas: who answers them, and whether they are right.

Owns `replicas`. Each client writes a row, then at once reads it, lists the newest rows and pulls,
through whichever worker takes the connection, and each answer is compared with what was written. A
wrong answer ends the run: there is no figure for being right often.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import msgspec

from serai.bench.figure import Figure, Load, percentile, rounded
from serai.bench.rows import COLLECTION, Rows
from serai.bench.stage import CONNECTIONS_MAX, WORKERS, Member, Served, Stage, open_stage
from serai.core.limits import REPLICA_WAIT_SECONDS_MAX
from serai.embedded.ports import free_port
from serai.embedded.postgres import EmbeddedPostgresSettings, EmbeddedReplica, Follows
from serai.shard.directory import Directory
from serai.shard.enrol import add_replica
from serai.telemetry import catalogue as m

_REPLICAS: Final = 2
_CLIENTS_MAX: Final = 16
_THINKING_SECONDS: Final = 0.05
"""Between two writes of a client: the share is that of a machine with some time left."""
_NEWEST: Final = 5
_SHARD_DATABASE: Final = "serai_shard_1"
_LOOK_SECONDS: Final = 0.05
_OPERATIONS: Final = ("create", "get", "list", "pullChanges")
"""What a round asks, one of each."""
_ASKED: Final = tuple(f'{m.REQUESTS.name}{{operation="{each}' for each in _OPERATIONS)


@dataclass(slots=True)
class _Client:
    """One device and browser of an organisation."""

    session: aiohttp.ClientSession
    url: str
    member: Member
    rows: Rows
    token: str | None = None
    rounds: int = 0
    reads: int = 0
    seconds: list[float] = field(default_factory=list[float])

    async def round(self) -> None:
        """Write, and read it in three ways.

        Raises:
            AssertionError: an answer is older than the write.
        """
        text = self.rows.text()
        status, headers, row = await self._send("POST", f"/v1/{COLLECTION}", text)
        assert status == HTTPStatus.CREATED, f"a write was answered with {status}"
        position, version = headers["Serai-Version"], row["version"]
        path = f"/v1/{COLLECTION}/{row['id']}"
        found = await self._read("GET", path, None, position)
        assert found == row, "a row is older than its write"
        listed = await self._read(
            "GET", f"/v1/{COLLECTION}?order=-id&limit={_NEWEST}", None, position
        )
        assert row in listed["rows"], "a list is older than the write"
        part: dict[str, Any] = {"name": COLLECTION}
        body = {"collections": [part if self.token is None else part | {"sinceToken": self.token}]}
        pulled = await self._read("POST", "/v1/sync/changes", body, position)
        assert pulled["version"] >= version, "a page is older than the write"
        (answer,) = pulled["collections"]
        assert any(change["id"] == row["id"] for change in answer["changes"]), "a page lacks it"
        self.token = answer["nextToken"]
        self.rounds += 1

    async def _read(self, method: str, path: str, body: object, position: str) -> Any:
        begun = time.perf_counter()
        text = None if body is None else msgspec.json.encode(body).decode()
        status, _, answer = await self._send(method, path, text, position)
        assert status == HTTPStatus.OK, f"a read was answered with {status}"
        self.seconds.append(time.perf_counter() - begun)
        self.reads += 1
        return answer

    async def _send(
        self, method: str, path: str, text: str | None, position: str | None = None
    ) -> tuple[int, Any, Any]:
        headers = {"Authorization": f"Bearer {self.member.token}"}
        if text is not None:
            headers["Content-Type"] = "application/json"
            headers["Idempotency-Key"] = secrets.token_hex(8)
        if position is not None:
            headers["Serai-Min-Version"] = position
        url = f"{self.url}{path}"
        async with self.session.request(method, url, data=text, headers=headers) as answer:
            return answer.status, answer.headers, msgspec.json.decode(await answer.read())


async def replicas(load: Load) -> list[Figure]:
    """Reads after a write, over HTTP, with two replicas."""
    port = free_port()
    async with (
        open_stage() as stage,
        _replicated(stage),
        stage.served(SERAI_METRICS_PORT=str(port)) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
    ):
        count = min(load.connections, _CLIENTS_MAX)
        members = await stage.members(await stage.organisations(count))
        clients = [_client(session, server, stage, member) for member in members]
        await _warm(session, port, clients)
        before = await _told(session, port, clients)
        for client in clients:
            client.reads, client.seconds = 0, []
        until = time.perf_counter() + load.seconds
        await asyncio.gather(*(_rounds(client, until) for client in clients))
        spent = {
            k: v - before.get(k, 0.0) for k, v in (await _told(session, port, clients)).items()
        }
        return _figures(clients, spent)


def _client(
    session: aiohttp.ClientSession, server: Served, stage: Stage, member: Member
) -> _Client:
    return _Client(session, server.url, member, Rows(stage.runtime.vertical))


async def _rounds(client: _Client, until: float) -> None:
    while time.perf_counter() < until:
        await client.round()
        await asyncio.sleep(_THINKING_SECONDS)


async def _warm(session: aiohttp.ClientSession, port: int, clients: list[_Client]) -> None:
    """Go on until every worker has found its replicas well."""
    while (await _counted(session, port)).get("used", 0.0) < 1:
        await asyncio.gather(*(client.round() for client in clients))


async def _told(
    session: aiohttp.ClientSession, port: int, clients: list[_Client]
) -> dict[str, float]:
    """Return what is counted once all rounds so far are: a worker tells its numbers once a
    second.
    """
    asked = len(_OPERATIONS) * sum(client.rounds for client in clients)
    while True:
        found = await _counted(session, port)
        if found.get("asked", 0.0) >= asked:
            return found
        await asyncio.sleep(_LOOK_SECONDS)


async def _counted(session: aiohttp.ClientSession, port: int) -> dict[str, float]:
    """Return reads by who answered them, waits, requests of rounds, and whether all workers use all
    replicas.
    """
    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    found: dict[str, float] = {}
    used: list[float] = []
    for line in lines:
        name, _, value = line.rpartition(" ")
        if name.startswith(f"{m.REPLICA_READS.name}{{"):
            found[name.split('"')[1]] = float(value)
        elif name.startswith(m.REPLICA_WAIT_SECONDS.name):
            found[name.removeprefix(m.REPLICA_WAIT_SECONDS.name)] = float(value)
        elif name.startswith(f"{m.REPLICA_USED.name}{{"):
            used.append(float(value))
        elif name.startswith(_ASKED):
            found["asked"] = found.get("asked", 0.0) + float(value)
    found["used"] = float(len(used) == _REPLICAS and all(used))
    return found


def _figures(clients: list[_Client], spent: dict[str, float]) -> list[Figure]:
    by = {k: v for k, v in spent.items() if k == "replica" or k.startswith("primary_")}
    statements = sum(by.values())
    reads = sum(client.reads for client in clients)
    waits = spent.get("_count", 0.0)
    at_most_25_ms = spent.get('_bucket{le="0.025"}', 0.0)
    seconds = [each for client in clients for each in client.seconds]
    others = ", ".join(f"{k} {v:g}" for k, v in sorted(by.items()) if k != "replica" and v)
    words = (
        f"{reads} reads right after a write (a row, a list, a pull), all right, by {len(clients)}"
        f" clients over {WORKERS} workers and {_REPLICAS} replicas; {statements:g} statements that"
        f" a replica could answer ({others or 'none by the primary'})"
    )
    mean = 1_000 * spent.get("_sum", 0.0) / waits if waits else 0.0
    bound = 1_000 * REPLICA_WAIT_SECONDS_MAX
    return [
        Figure(
            figure="replica_share",
            value=rounded(by.get("replica", 0.0) / max(statements, 1)),
            unit="of reads",
            conditions=words,
        ),
        Figure(
            figure="replica_read_p99_ms",
            value=rounded(1_000 * percentile(seconds, 0.99)),
            unit="ms",
            conditions=f"of one read over HTTP; {waits:g} waited for a replica, {mean:.1f} ms on"
            f" average, at most {bound:g} ms by the bound, {waits - at_most_25_ms:g} woke up after"
            " 25 ms",
        ),
    ]


@contextlib.asynccontextmanager
async def _replicated(stage: Stage) -> AsyncGenerator[None]:
    """Give the stage's shard its replicas."""
    async with AsyncExitStack() as stack:
        directory = await stack.enter_async_context(
            await Directory.open(stage.settings.directory_url)
        )
        for number in range(1, _REPLICAS + 1):
            follows = Follows(stage.url, f"copy_{number}")
            # A replica has room for no fewer connections than its primary.
            room = EmbeddedPostgresSettings(max_connections=CONNECTIONS_MAX)
            replica = await stack.enter_async_context(EmbeddedReplica(follows, room))
            await add_replica(
                directory,
                directory.shards[0].id,
                f"copy-{number}",
                replica.url(_SHARD_DATABASE),
                actor="serai bench",
                reason="replica_share",
            )
        yield
