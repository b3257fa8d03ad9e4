"""Moves that a dead mover left are ended by the process that serves, and by nobody's command.

Owns what upkeep does with them, whose rights it has, and what it tells. A lease is made to run out,
never waited for. Never looks at how long anything takes.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Generator, MutableMapping
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
import pytest

from integration.moves.dead import kill_mover, other
from integration.moves.street import Fleet, House
from serai.app.asgi import Application
from serai.app.ending import keep_moves_once
from serai.app.organisations import create_organisation
from serai.app.runtime import open_runtime
from serai.app.settings import Settings
from serai.readers.move import Records
from serai.readers.move.link import connect
from serai.schema.admission import role_of_requests
from serai.telemetry.recorder import Recorder


class Heard(Recorder):
    """Keeps what upkeep tells."""

    def __init__(self) -> None:
        self.rounds: list[bool] = []
        self.left: list[int] = []
        self.ended: list[tuple[int, int, int, int]] = []

    def upkeep(self, task: str, *, done: bool) -> None:
        assert task == "moves"
        self.rounds.append(done)

    def moves_left(self, moves: int) -> None:
        self.left.append(moves)

    def moves_ended(self, finished: int, undone: int, stuck: int, copies: int) -> None:
        self.ended.append((finished, undone, stuck, copies))


async def kept(fleet: Fleet) -> Heard:
    """Let the process that serves look once."""
    heard = Heard()
    await keep_moves_once(fleet.runtime, heard, grace_seconds=0)
    return heard


@pytest.fixture(autouse=True)
def nothing_left(fleet: Fleet) -> None:
    """Forget what earlier tests left: upkeep looks at all there is."""
    fleet.sql("directory", "DELETE FROM serai_directory.move")


@contextmanager
def held(fleet: Fleet, shard: str, *orgs: int) -> Generator[None]:
    """Let somebody else have the rows of organisations on a shard."""
    with psycopg.connect(fleet.url(shard)) as conn:
        conn.execute("SELECT FROM serai.org WHERE org_id = ANY (%s) FOR UPDATE", (list(orgs),))
        yield
        conn.rollback()


@pytest.mark.parametrize("step", ["claim source", "copy", "last changes", "flip"])
async def test_a_move_that_had_not_flipped_is_undone_and_writes_go_on_where_they_were(
    fleet: Fleet, house: House, step: str
) -> None:
    home = house.home
    before = house.content(home)
    await kill_mover(fleet, house, step)
    fleet.give_up()
    heard = await kept(fleet)
    assert heard.left == [1]
    assert heard.ended == [(0, 1, 0, 0)]
    assert heard.rounds == [True]
    assert house.same(before, home) == []
    assert house.content(other(home)).rows == 0
    await house.rest()
    await house.check(home)
    assert (await kept(fleet)).left == [0]


@pytest.mark.parametrize("step", ["open", "close", "end"])
async def test_a_move_that_had_flipped_is_finished_and_its_old_copy_is_removed(
    fleet: Fleet, house: House, step: str
) -> None:
    home = house.home
    before = house.content(home)
    await kill_mover(fleet, house, step)
    fleet.give_up()
    assert (await kept(fleet)).ended == [(1, 0, 0, 1)]
    assert house.same(before, other(home)) == []
    assert house.content(home).rows == 0
    await house.rest()
    await house.check(other(home))


async def test_a_mover_that_still_gives_signs_of_life_is_left_alone(
    fleet: Fleet, house: House
) -> None:
    home = house.home
    await kill_mover(fleet, house, "flip")
    heard = await kept(fleet)
    assert heard.left == [0]
    assert heard.ended == []
    assert house.states()[home] == "frozen"
    fleet.give_up()
    await kept(fleet)


async def test_an_old_copy_stays_as_long_as_it_is_to(fleet: Fleet, house: House) -> None:
    home = house.home
    await kill_mover(fleet, house, "end")
    fleet.give_up()
    heard = Heard()
    await keep_moves_once(fleet.runtime, heard, grace_seconds=3_600)
    assert heard.ended == [(1, 0, 0, 0)]
    assert house.content(home).rows > 0
    assert (await kept(fleet)).ended == [(0, 0, 0, 1)]


async def test_one_organisation_that_somebody_holds_keeps_no_other_from_its_end(
    fleet: Fleet, house: House
) -> None:
    """Three moves of one batch, so of one claim; the second one's row is in somebody's hands."""
    others = [House(fleet, await create_organisation(fleet.owner, f"h{secrets.token_hex(4)}"))]
    while others[-1].home != house.home or len(others) < 3:
        others.append(
            House(fleet, await create_organisation(fleet.owner, f"h{secrets.token_hex(4)}"))
        )
    batch = [each for each in others if each.home == house.home]
    for each in batch:
        await each.rest()
    orgs = sorted(each.org_id for each in batch)
    ids = dict(fleet.sql("directory", "SELECT name, shard_id FROM serai_directory.shard"))
    with connect(fleet.directory) as conn:
        Records(conn).claim(orgs, ids[other(house.home)], actor="test", reason="to be left")
    fleet.give_up()
    with held(fleet, house.home, orgs[1]):
        heard = await kept(fleet)
    assert heard.ended == [(0, len(orgs) - 1, 1, 0)]
    assert heard.rounds == [True]
    # Who took it over gives no sign of life any more.
    fleet.give_up()
    assert (await kept(fleet)).ended == [(0, 1, 0, 0)]
    for each in batch:
        await each.check(house.home)


async def test_a_shard_that_does_not_answer_keeps_no_other_move_from_its_end(
    fleet: Fleet, house: House
) -> None:
    """A move to a third shard, which is nowhere, was begun before this one was left."""
    home = house.home
    lost = House(fleet, await create_organisation(fleet.owner, f"h{secrets.token_hex(4)}"))
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    (row,) = fleet.sql(
        "directory",
        "INSERT INTO serai_directory.shard (name, url, state) VALUES (%s, %s, 'closed')"
        " RETURNING shard_id",
        f"n{secrets.token_hex(3)}",
        nowhere,
    )
    try:
        with connect(fleet.directory) as conn:
            Records(conn).claim([lost.org_id], row[0], actor="test", reason="to nowhere")
        await kill_mover(fleet, house, "flip")
        fleet.give_up()
        heard = await kept(fleet)
        assert heard.ended == [(0, 1, 1, 0)]
        assert house.states()[home] == "active"
    finally:
        fleet.sql("directory", "DELETE FROM serai_directory.move WHERE to_shard = %s", row[0])
        fleet.sql("directory", "DELETE FROM serai_directory.shard WHERE shard_id = %s", row[0])


async def test_many_processes_end_a_move_once(fleet: Fleet, house: House) -> None:
    home = house.home
    await kill_mover(fleet, house, "flip")
    fleet.give_up()
    heards = await asyncio.gather(*(kept(fleet) for _ in range(4)))
    ended = [each for heard in heards for each in heard.ended]
    assert sum(undone for _, undone, _, _ in ended) == 1
    assert all(heard.rounds == [True] for heard in heards)
    await house.rest()
    await house.check(home)


async def test_a_process_without_the_owners_password_tells_and_changes_nothing(
    fleet: Fleet, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    home = house.home
    await kill_mover(fleet, house, "flip")
    fleet.give_up()
    role = await role_of_requests(fleet.directory)
    settings = Settings(directory_url=role.url(fleet.directory))
    async with open_runtime(settings) as runtime:
        heard = Heard()
        with caplog.at_level(logging.WARNING, "serai.app.ending"):
            await keep_moves_once(runtime, heard, grace_seconds=0)
    assert heard.left == [1]
    assert heard.ended == []
    assert "serai org move --resume" in caplog.text
    assert house.states()[home] == "frozen"
    await kept(fleet)


async def test_the_directory_is_away_and_upkeep_waits_for_the_next_round(
    fleet: Fleet, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """The address in the settings is wrong from now on; the pool of the role still answers."""
    await kill_mover(fleet, house, "flip")
    fleet.give_up()
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    runtime = fleet.runtime
    known = runtime.settings
    runtime.settings = msgspec.structs.replace(known, directory_url=nowhere)
    try:
        heard = await kept(fleet)
    finally:
        runtime.settings = known
    assert heard.rounds == [False]
    assert "waits for the next round" in caplog.text
    await kept(fleet)


class Said(logging.Handler):
    """Tells when something was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.something = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        del record
        self.something.set()


async def test_a_process_that_serves_ends_moves_by_itself(
    fleet: Fleet, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """The application that `serai serve` runs, until it says that it has ended a move."""
    home = house.home
    await kill_mover(fleet, house, "flip")
    fleet.give_up()
    application = Application(Settings(directory_url=fleet.directory))
    told: asyncio.Queue[str] = asyncio.Queue()
    inbox: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()

    async def send(message: MutableMapping[str, Any]) -> None:
        await told.put(message["type"])

    await inbox.put({"type": "lifespan.startup"})
    serving = asyncio.create_task(application({"type": "lifespan"}, inbox.get, send))
    assert await told.get() == "lifespan.startup.complete"
    said = Said()
    logging.getLogger("serai.app.ending").addHandler(said)
    try:
        with caplog.at_level(logging.INFO, "serai.app.ending"):
            await said.something.wait()
    finally:
        logging.getLogger("serai.app.ending").removeHandler(said)
    assert "0 finished, 1 undone" in caplog.text
    await inbox.put({"type": "lifespan.shutdown"})
    assert await told.get() == "lifespan.shutdown.complete"
    await serving
    await house.rest()
    await house.check(home)
