"""A town: each server on a machine of its own, as far as the network goes.

Owns a directory, two shards, a replica of the first, `serai serve`, an organisation on each shard,
and devices. The tests sit at a desk that reaches everything and is never cut off. Promises that
what is stored is read by SQL written here, past everything under test. Never decides what is right.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import aiohttp
import psycopg

from integration.client.hotel import HELD, NUMBERS, a_phone, held
from integration.http.house import Api, Inn, make_inn, new_row, token_for
from scenarios.house import SECONDS, House, Server, a_name
from scenarios.load import BY_DEVICE
from scenarios.network import Network, Place, a_network
from serai.app.fleet import prepare_fleet
from serai.app.settings import Settings
from serai.client import AccessToken, Pace, SyncClient
from serai.embedded.ports import free_port
from serai.embedded.postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresSettings,
    EmbeddedReplica,
    Follows,
)
from serai.shard.directory import Directory
from serai.shard.enrol import add_replica

PLACES = ("desk", "api", "directory", "shard-1", "shard-2", "replica", "mover")
SHARDS = ("shard-1", "shard-2")
QUICK = Pace(backoff_first=0.1, backoff_max=1.0, foreground_poll=1.0)
"""Of the phones: a person looks on."""


class Listens(EmbeddedPostgresSettings):
    """A server that other machines reach."""

    def parameters(self, port: int, socket_dir: Path) -> dict[str, str]:
        return {**super().parameters(port, socket_dir), "listen_addresses": "*"}


class _There(EmbeddedPostgres):
    """A server at a place."""

    network: Network
    place: Place

    def at(self, network: Network, name: str) -> None:
        self.network, self.place = network, network[name]

    def url(self, database: str = "postgres") -> str:
        return super().url(database).replace("@127.0.0.1:", f"@{self.place.address}:")

    async def start(self) -> None:
        with self.network.at(self.place.name):
            await super().start()
        await self._let_in()

    async def _let_in(self) -> None:
        """Let the other machines in, with their passwords."""
        file = self.data_dir / "data" / "pg_hba.conf"
        text, more = file.read_text(), "host all,replication all 10.9.0.0/16 scram-sha-256\n"
        if more not in text:
            file.write_text(text + more)
            with psycopg.connect(self.socket_url(), autocommit=True) as connection:
                connection.execute("select pg_reload_conf()")


S = TypeVar("S", bound=_There)


class Postgres(_There):
    """A primary at a place."""


class Replica(_There, EmbeddedReplica):
    """A replica at a place."""


@dataclass
class Town:
    """Everything. `houses`: an organisation on each shard, in the order of `SHARDS`."""

    network: Network
    servers: dict[str, Postgres]
    server: Server
    houses: list[House]
    inns: list[Inn]
    replica: Replica

    def shows(self, series: str) -> float | None:
        """Return what the server's metrics say of a series, asked on its own machine."""
        with self.network.at("api"):
            address = f"http://127.0.0.1:{self.server.more['SERAI_METRICS_PORT']}/metrics"
            with urllib.request.urlopen(address) as answer:
                lines = answer.read().decode().splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(series)), None)

    @property
    def directory_url(self) -> str:
        return self.servers["directory"].url("directory")


@asynccontextmanager
async def a_town(folder: Path) -> AsyncGenerator[Town]:
    """Build it, and serve it. Whoever goes there is at the desk (`Network.at`)."""
    async with AsyncExitStack() as stack:
        network = stack.enter_context(a_network(*PLACES))
        stack.enter_context(network.at("desk"))
        servers: dict[str, Postgres] = {}
        for name in ("directory", *SHARDS):
            server = Postgres(Listens(data_dir=folder / name, port=free_port()))
            servers[name] = await _started(stack, server, network, name)
            await server.create_database(name)
        directory = servers["directory"].url("directory")
        urls = [(name, servers[name].url(name)) for name in SHARDS]
        await prepare_fleet(Settings(directory_url=directory), urls)
        follows = Follows(servers[SHARDS[0]].url(), "copy_1")
        copy = Replica(follows, Listens(data_dir=folder / "replica", port=free_port()))
        replica = await _started(stack, copy, network, "replica")
        async with await Directory.open(directory) as known:
            url, shard = replica.url(SHARDS[0]), known.shards[0]
            await add_replica(known, shard.id, "copy-1", url, actor="t", reason="t")
        inns = [await make_inn(directory, f"inn-{n}") for n in range(2)]
        more = {"SERAI_HOST": "0.0.0.0", "SERAI_METRICS_PORT": str(free_port())}  # noqa: S104 - of a network that nobody else is in
        api = Server(free_port(), folder, directory, more, network["api"].address)
        with network.at("api"):
            await api.start()
        stack.push_async_callback(_stopped, api)
        houses = [await house_of(servers, api, inn) for inn in inns]
        assert [house.shard for house in houses] == list(SHARDS)
        yield Town(network, servers, api, houses, inns, replica)


async def _started(stack: AsyncExitStack, server: S, network: Network, name: str) -> S:
    server.at(network, name)
    stack.push_async_callback(server.stop)
    await server.start()
    return server


async def _stopped(server: Server) -> None:
    if server.up.is_set():
        await server.kill()


async def house_of(servers: Mapping[str, EmbeddedPostgres], server: Server, inn: Inn) -> House:
    """Return an inn with its shard and its first property."""
    async with aiohttp.ClientSession(auto_decompress=True) as session:
        token = await token_for(session, server.url, inn)
        made = await Api(session, server.url, token)(
            "POST", "/v1/properties", new_row("properties", {})
        )
    assert made.status == 201, made
    place = UUID(made.json["id"])
    for name in SHARDS:
        house = House(servers[name], server, inn.org_id, place, token, name)
        if house.sql("select 1 from serai.org where org_id = %s", inn.org_id):
            return house
    raise AssertionError("it lives nowhere")


class Phone:
    """A device that writes through everything, and what it wrote.

    Attributes:
        wrote: names of guests that it has on its disk.
    """

    def __init__(self, client: SyncClient, house: House) -> None:
        self.client, self.house = client, house
        self.wrote: list[str] = []
        self.over = False
        self._news = asyncio.Event()
        client.listen(lambda _: self._news.set())

    async def write(self) -> None:
        """Write, then wait for news or a moment, again and again."""
        while not self.over:
            name = f"{BY_DEVICE} {a_name()}"
            self.client.insert("guests", {"property_id": str(self.house.place), "name": name})
            self.wrote.append(name)
            await self.news(0.2)

    async def news(self, seconds: float) -> None:
        """Wait until something changed, or so long."""
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def until_even(self) -> None:
        """Wait until nothing is left to send and what it shows is what the server holds."""
        async with asyncio.timeout(SECONDS):
            while self.client.status.pending or held(self.client) != stored(self.house):
                self.client.ask()
                await self.news(0.5)
        assert self.client.refusals() == [], "a write that should have waited was refused"
        mine = {row.data["name"]: row.id for row in self.client.rows("guests")}
        assert set(self.wrote) <= set(mine), "written on the device, and lost"
        log = "select count(*) from serai.log where org_id = %s and id = any(%s)"
        ids = [mine[name] for name in self.wrote]
        assert self.house.sql(log, self.house.org_id, ids) == [(len(ids),)], "done twice"


@asynccontextmanager
async def phones(
    folder: Path, *houses: House, tokens: Sequence[AccessToken] = ()
) -> AsyncGenerator[list[Phone]]:
    """Give each house a phone that writes during the block; after it each is even with the
    server.

    Args:
        tokens: of each phone; none: the houses'.
    """
    async with AsyncExitStack() as stack:
        given: list[Phone] = []
        for n, house in enumerate(houses):
            path = folder / f"phone-{n}.db"
            token = tokens[n] if tokens else house.token
            opened = a_phone(path, house.server.url, token, pace=QUICK)
            given.append(Phone(await stack.enter_async_context(opened), house))
        async with asyncio.TaskGroup() as group:
            syncing = [group.create_task(phone.client.run()) for phone in given]
            writing = [group.create_task(phone.write()) for phone in given]
            yield given
            for phone in given:
                phone.over = True
            await asyncio.gather(*writing)
            for phone in given:
                await phone.until_even()
                phone.client.close()
            await asyncio.gather(*syncing)


def stored(house: House) -> dict[tuple[str, UUID], tuple[int, dict[str, Any]]]:
    """Return what the shard holds of what phones keep."""
    names = {NUMBERS[name]: name for name in HELD}
    found = house.sql(
        "select collection, id, version, doc from serai.row"
        " where org_id = %s and collection = any(%s)",
        house.org_id,
        [*names],
    )
    return {(names[n], row_id): (version, json.loads(doc)) for n, row_id, version, doc in found}
