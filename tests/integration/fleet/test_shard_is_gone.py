"""One of two shards stops answering under load; and the directory does. Real servers, each a
PostgreSQL of its own.

Owns what the organisations of the other shard notice: nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psutil
import pytest
import pytest_asyncio

from integration.fleet.two_shards import Lifeless
from integration.http.house import Answer, Api, Inn, make_inn, new_row, owner_of
from serai.app.asgi import http_app
from serai.app.fleet import prepare_fleet
from serai.app.runtime import Runtime, open_runtime
from serai.app.serving import served
from serai.app.settings import Settings
from serai.embedded.ports import free_port
from serai.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresSettings
from serai.shard.breaker import State

SECONDS = 60.0
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class House:
    """Two organisations, one on each shard, and the process that serves them."""

    servers: dict[str, EmbeddedPostgres]
    runtime: Runtime
    settings: Settings
    url: str
    well: Api
    ill: Api
    inns: tuple[Inn, Inn]

    def breaker(self, name: str) -> State:
        return next(s for s in self.runtime.shards if s.ref.name == name).guard.breaker.state


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(tmp_path_factory) -> AsyncIterator[dict[str, EmbeddedPostgres]]:
    """A PostgreSQL for the directory and one for each shard, which come back at their ports."""
    folder = tmp_path_factory.mktemp("servers")
    made = {
        name: EmbeddedPostgres(EmbeddedPostgresSettings(data_dir=folder / name, port=free_port()))
        for name in ("directory", "shard-1", "shard-2")
    }
    try:
        for name, server in made.items():
            await server.start()
            await server.create_database(name)
        urls = {name: server.url(name) for name, server in made.items()}
        settings = Settings(directory_url=urls["directory"])
        await prepare_fleet(settings, [(n, urls[n]) for n in ("shard-1", "shard-2")])
        yield made
    finally:
        for server in made.values():
            await server.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def house(servers: dict[str, EmbeddedPostgres]) -> AsyncIterator[House]:
    """The process, and a fresh organisation on each shard."""
    directory, port = servers["directory"].url("directory"), free_port()
    url = f"http://127.0.0.1:{port}"
    settings = Settings(directory_url=directory, port=port, issuer=url, pool_min=2, pool_max=8)
    inns = [await make_inn(directory, f"inn-{secrets.token_hex(4)}") for _ in range(2)]
    async with open_runtime(settings) as runtime, http_app(runtime) as app:
        inns.sort(key=lambda inn: runtime.directory.resolve(inn.org_id).name)
        assert runtime.directory.resolve(inns[1].org_id).name == "shard-2"
        async with (
            served(Lifeless(app), "127.0.0.1", port),
            owner_of(inns[0], url) as well,
            owner_of(inns[1], url) as ill,
        ):
            yield House(servers, runtime, settings, url, well, ill, (inns[0], inns[1]))


@dataclass
class Load:
    """Requests of one organisation, one after the other in each of some lanes, until told to stop;
    what came back.
    """

    api: Api
    answers: list[Answer] = field(default_factory=list)
    stopped: bool = False

    async def lane(self) -> None:
        while not self.stopped:
            row = new_row("guests", {}, "Ada") | {"property_id": self.place}
            self.answers.append(await self.api("POST", "/v1/guests", row))
            self.answers.append(await self.api("GET", "/v1/guests?limit=1"))

    place: str = ""

    @property
    def statuses(self) -> set[int]:
        return {answer.status for answer in self.answers}


@asynccontextmanager
async def load(api: Api, lanes: int) -> AsyncGenerator[Load]:
    """Ask again and again while the body runs. Ends when the last answer has come."""
    running = Load(api)
    made = await api("POST", "/v1/properties", new_row("properties", {}))
    assert made.status == 201, made
    running.place = made.json["id"]
    tasks = [asyncio.create_task(running.lane()) for _ in range(lanes)]
    try:
        yield running
    finally:
        running.stopped = True
        await asyncio.gather(*tasks)


def processes(server: EmbeddedPostgres) -> list[psutil.Process]:
    """The server's first process and all that it has forked."""
    first = psutil.Process(server.pid)
    return [first, *first.children(recursive=True)]


@asynccontextmanager
async def held_still(server: EmbeddedPostgres) -> AsyncGenerator[None]:
    """Stop every process of a server as a machine that hangs does: connections stay, nothing comes
    back.
    """
    stopped = processes(server)
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def gone(server: EmbeddedPostgres) -> AsyncGenerator[None]:
    """Stop a server: who connects is refused."""
    await server.stop()
    try:
        yield
    finally:
        await server.start()


@pytest.mark.parametrize("way", [held_still, gone], ids=["hangs", "refuses"])
async def test_organisations_of_the_other_shard_notice_nothing(
    house: House, way, eventually, caplog
) -> None:
    async with load(house.well, 4) as well, load(house.ill, 12) as ill:
        await eventually(lambda: len(well.answers) > 20 and len(ill.answers) > 20)
        assert ill.statuses == {200, 201}
        async with way(house.servers["shard-2"]):
            await eventually(lambda: house.breaker("shard-2") is State.OPEN)
            refused, served = len(ill.answers), len(well.answers)
            await eventually(lambda: len(ill.answers) > refused + 100)
            await eventually(lambda: len(well.answers) > served + 100)
            told = ill.answers[-1]
            assert (told.status, told.code) == (503, "unavailable")
            assert told.headers["Retry-After"] == "1"
            # All that waited for the shard was let go: no request of it is under way for long.
            assert {answer.status for answer in ill.answers[refused + 20 :]} == {503}
        await eventually(lambda: house.breaker("shard-2") is State.CLOSED)
        back = len(ill.answers)
        await eventually(lambda: len(ill.answers) > back + 40)
        assert {answer.status for answer in ill.answers[-20:]} == {200, 201}
    assert well.statuses == {200, 201}, "not one error, before, meanwhile, after"
    assert house.breaker("shard-1") is State.CLOSED
    lines = [r.getMessage() for r in caplog.records if r.name == "serai.shard.guard"]
    assert [line.split(" (")[0].split(" after")[0] for line in lines] == [
        "shard shard-2 does not answer",
        "shard shard-2 answers again",
    ]


async def test_what_was_acknowledged_before_a_shard_hung_is_there_after_and_nothing_twice(
    house: House, eventually
) -> None:
    async with load(house.ill, 8) as ill:
        await eventually(lambda: len(ill.answers) > 20)
        async with held_still(house.servers["shard-2"]):
            await eventually(lambda: house.breaker("shard-2") is State.OPEN)
        await eventually(lambda: house.breaker("shard-2") is State.CLOSED)
    acknowledged = {a.json["id"] for a in ill.answers if a.status == 201}
    stored: list[str] = []
    cursor = ""
    while cursor is not None:
        after = f"&cursor={cursor}" if cursor else ""
        page = (await house.ill("GET", f"/v1/guests?limit=100{after}")).json
        stored += [row["id"] for row in page["rows"]]
        cursor = page["nextCursor"]
    assert acknowledged <= set(stored)
    assert len(stored) == len(set(stored))


async def test_a_process_starts_while_a_shard_is_down_and_serves_it_when_it_is_back(
    house: House, eventually
) -> None:
    port = free_port()
    # The tokens of the other process are good here: one installation.
    settings = Settings(
        directory_url=house.settings.directory_url,
        port=port,
        issuer=house.settings.issuer,
        pool_min=1,
    )
    url = f"http://127.0.0.1:{port}"
    async with gone(house.servers["shard-2"]):
        opening = open_runtime(settings)
        runtime = await opening.__aenter__()
        app = http_app(runtime)
        serving = served(Lifeless(await app.__aenter__()), "127.0.0.1", port)
        await serving.__aenter__()
        well = Api(house.well.session, url, house.well.token)
        ill = Api(house.ill.session, url, house.ill.token)
        assert (await well("GET", "/v1/guests")).status == 200
        refused = await ill("GET", "/v1/guests")
        assert (refused.status, refused.code) == (503, "unavailable")
    shard = next(s for s in runtime.shards if s.ref.name == "shard-2")
    await eventually(lambda: shard.guard.breaker.state is State.CLOSED)
    assert (await ill("GET", "/v1/guests")).status == 200
    for context in (serving, app, opening):
        await context.__aexit__(None, None, None)


async def asked_to_wait(answer: Answer) -> None:
    """Wait as long as the answer asks for: who asks again at once runs into the limit of
    sign-ins.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(float(answer.headers["Retry-After"])):
            await asyncio.Event().wait()


async def test_known_organisations_are_served_while_the_directory_is_down(house: House) -> None:
    place = (await house.well("POST", "/v1/properties", new_row("properties", {}))).json["id"]
    row = new_row("guests", {}, "Ada") | {"property_id": place}
    assert (await house.ill("GET", "/v1/guests")).status == 200
    form = {"email": house.inns[0].email, "password": house.inns[0].password}
    async with gone(house.servers["directory"]):
        for api in (house.well, house.ill):
            assert (await api("GET", "/v1/guests")).status == 200
        made = await house.well("POST", "/v1/guests", row)
        assert made.status == 201, made
        pulled = await house.well("POST", "/v1/sync/changes", {"collections": [{"name": "guests"}]})
        assert pulled.status == 200, pulled
        stranger = Api(house.well.session, house.url, None)
        ready = await stranger("GET", "/readyz")
        assert ready.status == 200, "or a balancer would take every process out"
        refused = await stranger("POST", "/v1/auth/token", form, Idempotency_Key=None)
        assert (refused.status, refused.code) == (503, "unavailable"), refused
        assert "Retry-After" in refused.headers
        assert (await house.well("GET", f"/v1/guests/{made.json['id']}")).status == 200
    async with asyncio.timeout(SECONDS):
        while (
            again := await stranger("POST", "/v1/auth/token", form, Idempotency_Key=None)
        ).status == 503:
            await asked_to_wait(again)
    assert again.status == 200, again
