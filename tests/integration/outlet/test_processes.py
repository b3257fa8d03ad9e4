"""Real `serai outlet` processes and a real NATS server, killed with signal 9."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest_asyncio

from integration.app.programs import SERAI
from integration.moves.street import Fleet, House
from integration.outlet.consumer import Copy, read
from integration.outlet.desk import SECONDS, position, send_all, sending, stored
from integration.outlet.nats_server import NatsServer, nats_server
from serai.adapters.nats import NatsBus
from serai.app.outlet_care import rewind_one
from serai.embedded.ports import free_port

_END_WAITING = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
STREAM, SUBJECT = "SERAI", "serai.changes"


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncGenerator[NatsServer]:
    async with nats_server(tmp_path) as running:
        yield running


def bus_of(server: NatsServer) -> NatsBus:
    return NatsBus([server.url], STREAM, SUBJECT)


async def ids_of(server: NatsServer, house: House) -> list[str]:
    return [name for name, _ in await server.read(STREAM, f"{SUBJECT}.{house.org_id}")]


async def known(server: NatsServer, house: House) -> Copy:
    messages = await server.read(STREAM, f"{SUBJECT}.{house.org_id}")
    return read([body for _, body in messages], house.org_id)


async def caught_up(server: NatsServer, house: House) -> Copy:
    async with asyncio.timeout(SECONDS):
        while (copy := await known(server, house)).version < position(house)[1]:  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0)
    return copy


def environment(fleet: Fleet, url: str) -> dict[str, str]:
    plain = {n: v for n, v in os.environ.items() if not n.startswith("SERAI_")}
    return {**plain, "SERAI_DIRECTORY_URL": fleet.directory, "SERAI_OUTLET_URL": url}


@asynccontextmanager
async def outlet(fleet: Fleet, url: str, *flags: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(SERAI, "outlet", *flags),
        env=environment(fleet, url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ran(fleet: Fleet, url: str, *flags: str) -> tuple[int | None, str, str]:
    async with outlet(fleet, url, *flags) as process, asyncio.timeout(SECONDS):
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()


async def test_an_outlet_killed_before_it_notes_sends_again_and_leaves_nothing_out(
    fleet: Fleet, house: House, server: NatsServer
):
    # A stream that forgets at once which ids it has seen: every repetition is there.
    await server.make(STREAM, f"{SUBJECT}.*", forgets=True)
    bus = bus_of(server)
    await send_all(fleet, bus)
    await house.pushed(5)
    before = await server.count(STREAM)
    with psycopg.connect(fleet.url(house.home)) as held:
        held.execute("SELECT 1 FROM serai.outlet WHERE org_id = %s FOR UPDATE", (house.org_id,))
        async with outlet(fleet, server.url + f"/{STREAM}") as process, asyncio.timeout(SECONDS):
            while await server.count(STREAM) < before + 5:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0)
            process.kill()
            await process.wait()
        # Its statement, which waits for the row, would still be run by the database.
        while held.execute(_END_WAITING).fetchall():
            pass
    code, out, err = await ran(fleet, server.url + f"/{STREAM}", "--once", "--json")
    assert code == 0, err
    assert out.startswith('{"messages": 5, ')
    ids = await ids_of(server, house)
    assert ids[-5:] == ids[-10:-5], "the same messages under the same ids"
    copy = await known(server, house)
    assert (copy.gaps, copy.repeated) == ([], 5)
    assert copy.rows == stored(house)


async def test_a_stream_drops_those_repetitions_while_it_remembers(
    fleet: Fleet, house: House, server: NatsServer
):
    await send_all(fleet, bus_of(server))
    count = await server.count(STREAM)
    fleet.sql(
        house.home,
        "WITH x AS (UPDATE serai.outlet SET version = 3 WHERE org_id = %s RETURNING org_id)"
        " INSERT INTO serai.outlet_due SELECT org_id FROM x",
        house.org_id,
    )
    sent = await send_all(fleet, bus_of(server))
    assert sent.messages == position(house)[1] - 3
    assert await server.count(STREAM) == count
    assert await rewind_one(fleet.owner.settings, str(house.org_id), 3, reason="r")
    await send_all(fleet, bus_of(server))
    assert await server.count(STREAM) == count + sent.messages, "a rewind is no repetition"


async def test_what_a_server_lost_at_its_death_comes_again_while_the_outlet_runs(
    fleet: Fleet, house: House, server: NatsServer
):
    async with sending(fleet, bus_of(server)):
        await caught_up(server, house)
        await server.kill()
        server.save()
        await server.start()
        await house.pushed(20)
        await caught_up(server, house)
        await server.kill()
        server.restore()
        await server.start()
        await house.pushed(2)
        copy = await caught_up(server, house)
    assert copy.gaps == []
    assert copy.order == [(1, n + 1) for n in range(copy.version)]
    assert copy.rows == stored(house)


async def test_what_was_lost_while_no_outlet_ran_is_a_gap_that_a_rewind_closes(
    fleet: Fleet, house: House, server: NatsServer
):
    await send_all(fleet, bus_of(server))
    held = (await known(server, house)).version
    await server.kill()
    server.save()
    await server.start()
    await house.pushed(3)
    await send_all(fleet, bus_of(server))
    await server.kill()
    server.restore()
    await server.start()
    await house.pushed(1)
    code, _, err = await ran(fleet, server.url + f"/{STREAM}", "--once")
    assert code == 0
    assert "the bus has lost messages" in err
    assert "type serai outlet rewind" in err
    copy = await known(server, house)
    assert (copy.gaps, copy.version) == ([(held + 3, held)], held)
    rewound = await ran(
        fleet, server.url, "rewind", "--org", str(house.org_id), "--to", str(held), "--reason", "r"
    )
    assert rewound[:2] == (0, f"1 organisations are sent again from after version {held}\n")
    await ran(fleet, server.url + f"/{STREAM}", "--once")
    copy = await known(server, house)
    assert (copy.version, copy.rows) == (position(house)[1], stored(house))


async def test_a_bus_that_is_not_there_is_told_without_its_password(fleet: Fleet, house: House):
    url = f"nats://me:geheim@127.0.0.1:{free_port()}/{STREAM}"
    code, out, err = await ran(fleet, url, "--once", "--json")
    assert (code, out) == (1, "")
    assert "The bus takes nothing (no NATS server answers" in err
    assert "geheim" not in err


async def test_an_outlet_that_is_told_to_stop_notes_what_was_accepted(
    fleet: Fleet, house: House, server: NatsServer
):
    url = server.url + f"/{STREAM}"
    async with outlet(fleet, url, "--json") as process:
        await caught_up(server, house)
        process.terminate()
        out, err = await process.communicate()
    assert (process.returncode, out) == (0, b'{"started": true}\n'), err
    again = await send_all(fleet, bus_of(server))
    assert again.messages == 0
