"""Starts and stops that are cancelled, fail or come twice, inside one event loop."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from integration.abandoned import abandoned
from integration.embedded.processes import open_files, rows, users_of
from serai.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresSettings

NEW, OLD = "a new folder", "an old folder"


def descriptors() -> list[str]:
    """What this process has open, by kind."""
    return sorted(target.partition("[")[0] for target in open_files())


async def start_and_stop(server: EmbeddedPostgres) -> None:
    """A cancellation at the last stage of the start arrives at the next wait."""
    await server.start()
    await server.stop()


def on(home, **options) -> EmbeddedPostgres:
    return EmbeddedPostgres(EmbeddedPostgresSettings(data_dir=home), **options)


@pytest.mark.parametrize(
    ("stage", "folder"),
    [("locked", OLD), ("initdb", NEW), ("starting", OLD), ("starting", NEW), ("ready", OLD)],
)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_start_cancelled_at_any_stage_leaves_nothing_running(
    my_home, my_place, loop, stage, folder
):
    home = my_home if folder == OLD else my_place.path / "new"
    before = abandoned()

    async def cancelled():
        task = asyncio.current_task()
        assert task is not None
        server = on(home, on_stage=lambda now: now == stage and task.cancel())
        with pytest.raises(asyncio.CancelledError):
            await start_and_stop(server)
        task.uncancel()
        await server.stop()
        assert users_of(home) == []
        assert abandoned() <= before

    async def cancelled_twice_then_started():
        await cancelled()
        # The first time, an event loop opens what it keeps.
        open_before = descriptors()
        await cancelled()
        assert descriptors() == open_before
        async with on(home) as again:
            assert rows(again.url(), "SELECT 1") == [(1,)]

    run = asyncio.run if loop == "asyncio" else uvloop.run
    run(cancelled_twice_then_started())


async def test_an_error_of_the_listener_ends_the_start_and_the_server(my_home):
    def broken(stage):
        if stage == "starting":
            raise ValueError("the progress bar is broken")

    before = descriptors()
    with pytest.raises(ValueError, match="progress bar"):
        await on(my_home, on_stage=broken).start()
    assert users_of(my_home) == []
    assert descriptors() == before


async def test_a_cancelled_stop_is_finished_by_the_next_one(my_home):
    before = descriptors()
    server = on(my_home)
    await server.start()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await server.stop()
    with pytest.raises(RuntimeError, match="not running"):
        server.url()
    with pytest.raises(RuntimeError, match="stop it first"):
        await server.start()
    await server.stop()
    assert users_of(my_home) == []
    assert descriptors() == before
    async with server:
        assert rows(server.url()) == [(1,)]


async def test_two_starts_of_one_object_make_one_server(my_home):
    server = on(my_home)
    outcomes = await asyncio.gather(server.start(), server.start(), return_exceptions=True)
    assert outcomes[0] is None
    assert isinstance(outcomes[1], RuntimeError)
    assert rows(server.url()) == [(1,)]
    await server.stop()


async def test_every_one_of_several_stops_waits_for_the_end(my_home):
    server = on(my_home)
    await server.start()

    async def stopped():
        await server.stop()
        return users_of(my_home)

    assert await asyncio.gather(stopped(), stopped(), stopped()) == [[], [], []]


async def test_a_stop_during_a_start_waits_for_it_and_stops_the_server(my_home):
    server = on(my_home)
    start = asyncio.create_task(server.start())
    await asyncio.sleep(0)
    await server.stop()
    await start
    assert users_of(my_home) == []


async def test_an_object_starts_and_stops_as_often_as_it_is_asked(my_home):
    server, before = on(my_home), None
    for expected in ([(1,)], [(1,), (2,)], [(1,), (2,), (2,)]):
        async with server:
            assert rows(server.url()) == expected
            rows(server.url(), "INSERT INTO kept VALUES (2)")
        before = descriptors() if before is None else before
        assert descriptors() == before
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.port


async def test_a_database_made_by_two_tasks_is_made_once(my_home):
    async with on(my_home) as server:
        await asyncio.gather(*(server.create_database("hotel's") for _ in range(2)))
        await server.create_database("hotel's")
        assert rows(server.url("hotel's"), "SELECT current_database()") == [("hotel's",)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0},
        {"port": 65_536},
        {"max_connections": 0},
        {"start_seconds_max": 0},
        {"stop_seconds_max": -1},
        {"settings": {"fsync": "off"}},
        {"settings": {"FSYNC": "off"}},
        {"settings": {"listen_addresses": "*"}},
        {"settings": {"port": 1}},
        {"settings": {"hba_file": "/etc/hba"}},
        {"settings": {"x; -c fsync": "off"}},
    ],
    ids=str,
)
def test_a_setting_that_would_break_a_promise_is_refused_before_anything_starts(wrong):
    with pytest.raises(ValueError, match=r"is|must|cannot|has its own field"):
        EmbeddedPostgresSettings(**wrong)
