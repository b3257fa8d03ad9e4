"""The directory's doorbell on a real database: heard at once, lost, silent, and back."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import psycopg

from serai.core.errors import SeraiError
from serai.shard.connection import connect, unavailable
from serai.shard.directory import Directory
from serai.shard.doorbell import Doorbell
from serai.shard.follow import CHANNEL, Follower, load_placement
from serai.shard.pools import PinnedPool

WHO = {"actor": "ann", "reason": "test"}
NEVER = 3600.0


@asynccontextmanager
async def two_shards(url: str):
    """A directory as the operator's command has it, with organisation 1 on the first of two
    shards.
    """
    async with await Directory.open(url, poll_seconds=NEVER, listen=False) as directory:
        for name, first, stop in (("one", 1, 100), ("two", 100, 200)):
            shard_id = await directory.add_shard(name, f"postgresql://host/{name}", **WHO)
            await directory.add_range(shard_id, first, stop, **WHO)
        await directory.create_organisation("demo.hotels")
        yield directory


def cut_listeners(url: str) -> int:
    """End the server's side of every listening connection; return how many there were."""
    with psycopg.connect(url, autocommit=True) as conn:
        cut = conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'serai doorbell' AND datname = current_database()"
        )
        return len(cut.fetchall())


async def test_a_process_hears_of_a_move_that_no_poll_would_tell(migrated_database, eventually):
    async with (
        two_shards(migrated_database) as operator,
        await Directory.open(migrated_database, poll_seconds=NEVER) as process,
    ):
        await eventually(lambda: process.listening)
        await operator.set_override(1, 2, **WHO)
        assert await process.changed(30)
        assert process.resolve(1).name == "two"


async def test_a_move_made_by_hand_rings_too_once_for_all_that_it_moved(
    migrated_database, eventually
):
    async with two_shards(migrated_database) as operator:
        for n in range(20):
            await operator.create_organisation(f"org-{n}")
        async with await Directory.open(migrated_database, poll_seconds=NEVER) as process:
            await eventually(lambda: process.listening)
            await eventually(lambda: process.stats.refreshes > 0)
            done = process.stats.refreshes
            with psycopg.connect(migrated_database, autocommit=True) as conn:
                conn.execute(
                    "INSERT INTO serai_directory.org_override "
                    "SELECT org_id, 2 FROM serai_directory.organisation WHERE org_id < 100"
                )
            await eventually(lambda: process.resolve(1).name == "two")
            assert process.resolve(10).name == "two"
            assert process.stats.refreshes == done + 1


async def test_a_lost_listener_comes_back_and_nothing_was_missed(migrated_database, eventually):
    async with (
        two_shards(migrated_database) as operator,
        await Directory.open(migrated_database, poll_seconds=NEVER) as process,
    ):
        await eventually(lambda: process.listening)
        assert cut_listeners(migrated_database) == 1
        await eventually(lambda: not process.listening)
        # Nobody listens, and no poll comes: the new connection must make up for it.
        await operator.set_override(1, 2, **WHO)
        await eventually(lambda: process.resolve(1).name == "two")
        assert process.listening


async def test_without_a_doorbell_the_poll_finds_everything(migrated_database, eventually):
    async def nobody():
        raise unavailable()

    async with (
        two_shards(migrated_database) as operator,
        PinnedPool(migrated_database, size_min=1) as pool,
    ):
        async with pool.connection() as c:
            placement = await load_placement(c, None)
        follower = Follower(pool, None, placement, Doorbell(nobody, CHANNEL))
        follower.start(0.01, listen=True)
        await operator.set_override(1, 2, **WHO)
        await eventually(lambda: follower.placement.version == operator.version)
        home = follower.placement.resolve(1)
        assert home is not None
        assert home.name == "two"
        assert (follower.bell.listening, follower.bell.connections) == (False, 0)
        await follower.close()


async def test_a_listener_that_a_cut_network_left_silent_is_replaced(migrated_database, eventually):
    parts = urlsplit(migrated_database)
    silent = asyncio.Event()
    ends: list[asyncio.StreamWriter] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes until `silent`; then nothing, without closing."""
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        ends.extend((writer, back))

        async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while (data := await source.read(65536)) and not silent.is_set():
                target.write(data)

        async with asyncio.TaskGroup() as group:
            group.create_task(carry(reader, back))
            group.create_task(carry(there, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login, _, _ = parts.netloc.rpartition("@")
    through = parts._replace(netloc=f"{login}@127.0.0.1:{port}").geturl()
    urls = iter((through, migrated_database))
    bell = Doorbell(lambda: connect(next(urls)), CHANNEL, silence_seconds=0.2)
    listening = asyncio.create_task(bell.listen())
    await eventually(lambda: bell.listening)
    silent.set()
    await eventually(lambda: bell.connections == 2 and bell.listening)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    for end in ends:
        end.close()
    await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)
    server.close()
    await server.wait_closed()


async def test_many_who_meet_a_moved_organisation_ask_the_directory_twice_at_most(
    migrated_database,
):
    async with (
        two_shards(migrated_database) as operator,
        await Directory.open(migrated_database, poll_seconds=NEVER, listen=False) as process,
    ):
        await operator.set_override(1, 2, **WHO)
        told = await asyncio.gather(*(process.refresh() for _ in range(500)))
        assert process.resolve(1).name == "two"
        assert all(told)
        assert process.stats.refreshes <= 2


async def test_many_who_meet_a_moved_organisation_share_the_failure_of_a_directory_that_is_down(
    migrated_database, outage
):
    async with (
        two_shards(migrated_database),
        await Directory.open(migrated_database, poll_seconds=NEVER, listen=False) as process,
    ):
        with outage(migrated_database):
            told = await asyncio.gather(
                *(process.refresh() for _ in range(500)), return_exceptions=True
            )
        assert {type(error) for error in told} == {SeraiError}
        assert process.stats.refresh_failures <= 2
        async with asyncio.timeout(30):
            while not process.stats.refreshes:
                # The pool asks for a connection again after a moment.
                await process.changed(0.01)
                with contextlib.suppress(SeraiError):
                    await process.refresh()


async def test_a_directory_that_answers_with_an_error_is_followed_when_it_is_well(
    migrated_database, eventually
):
    async with (
        two_shards(migrated_database) as operator,
        await Directory.open(migrated_database, poll_seconds=0.01) as process,
    ):
        with psycopg.connect(migrated_database, autocommit=True) as conn:
            conn.execute("ALTER TABLE serai_directory.version RENAME TO away")
            await eventually(lambda: process.stats.refresh_failures > 3)
            conn.execute("ALTER TABLE serai_directory.away RENAME TO version")
        await operator.set_override(1, 2, **WHO)
        await eventually(lambda: process.resolve(1).name == "two")
