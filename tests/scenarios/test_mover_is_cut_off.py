"""A mover loses one of its ends: packets vanish, and it is not told.

Owns I12 for a mover that neither dies nor goes on: whoever takes over ends the move, the
organisation has one home at every moment, and the old mover changes nothing when it is heard again.
Never waits for a lease: it is made to run out.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import psycopg
import pytest

from scenarios.house import SECONDS
from scenarios.load import Load, under_load
from scenarios.town import SHARDS, Town, phones
from serai.app.move_run import MoveOptions
from serai.app.moving import Order, resume_moves
from serai.app.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="session")
PROGRAM = str(Path(__file__).with_name("gated_mover.py"))
AT_ONCE = MoveOptions(grace_seconds=0.0)
BETWEEN = 20


def directory(town: Town, text: str, *values: object) -> list[tuple[object, ...]]:
    with psycopg.connect(town.directory_url, autocommit=True) as connection:
        done = connection.execute(text.encode(), values)
        return done.fetchall() if done.description else []


class Mover:
    """The process at its place."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self, words: str) -> None:
        """Wait until it is at this step."""
        while await self.line() != words:
            pass

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            line = await self.process.stdout.readline()
        assert line, "it ended without a word"
        return line.decode().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    async def outcome(self) -> str:
        """Return its last line."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            said = await self.process.stdout.read()
            assert await self.process.wait() == 0
        return said.decode().split("\n")[-2]


async def a_mover(town: Town, org_id: int, source: str, target: str, step: str) -> Mover:
    """Start a mover that waits before the step, and wait until it does."""
    ((number,),) = directory(
        town, "select shard_id from serai_directory.shard where name = %s", target
    )
    urls = (town.directory_url, *(town.servers[name].url(name) for name in (source, target)))
    with town.network.at("mover"):
        mover = Mover(
            await asyncio.create_subprocess_exec(
                *(sys.executable, PROGRAM, *urls, str(org_id), str(number), step),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        )
    await mover.says(step)
    return mover


async def ended(town: Town, org_id: int) -> None:
    """Resume moves until this one has its end: locks of a mover that is not heard of stay until
    PostgreSQL gives its line up.
    """
    settings, order = Settings(directory_url=town.directory_url), Order("not heard of", AT_ONCE)
    under_way = (
        "select 1 from serai_directory.move where org_id = %s and step not in ('moved', 'undone')"
    )
    async with asyncio.timeout(SECONDS):
        while directory(town, under_way, org_id):
            report = await resume_moves(settings, order)
            assert report.failed == {}


def states(town: Town, org_id: int) -> dict[str, str]:
    """Return what the organisation is on each shard."""
    found: dict[str, str] = {}
    for name in SHARDS:
        with psycopg.connect(town.servers[name].url(name)) as connection:
            row = connection.execute(
                b"select state from serai.org where org_id = %s", [org_id]
            ).fetchone()
        found[name] = "absent" if row is None else str(row[0])
    return found


def moved_to(town: Town, load: Load, home: str) -> None:
    """Look for what is stored at the new home."""
    load.house.postgres, load.house.shard = town.servers[home], home


@pytest.mark.parametrize(
    ("end", "step"),
    [
        ("target", "copy serai.audit"),
        ("target", "last changes"),
        ("target", "open"),
        ("source", "freeze"),
        ("directory", "flip"),
        ("directory", "end"),
    ],
)
async def test_a_successor_ends_the_move_and_who_was_cut_off_changes_nothing_any_more(
    town: Town, tmp_path: Path, end: str, step: str
):
    house = town.houses[0]
    home = house.shard
    target = next(name for name in SHARDS if name != home)
    lost = {"source": home, "target": target, "directory": "directory"}[end]
    async with phones(tmp_path, house), under_load(house, desks=2, phones=1) as load:
        await load.reached(BETWEEN)
        mover = await a_mover(town, house.org_id, home, target, step)
        town.network.cut("mover", lost)
        try:
            mover.go_on()
            directory(town, "update serai_directory.move set lease_until = now()")
            await ended(town, house.org_id)
            moved_to(town, load, target)
            await load.reached(BETWEEN)
        finally:
            town.network.mend("mover", lost)
        assert await mover.outcome() in {"LostTurn", "OperationalError"}
        assert states(town, house.org_id) == {target: "active", home: "moved"}
        await load.reached(BETWEEN)
    assert states(town, house.org_id) == {target: "active", home: "moved"}
    assert set(load.codes) <= {"org_frozen", "org_moved"}, "writes waited, and were not refused"


async def test_a_mover_that_is_heard_again_in_time_ends_its_move_itself(town: Town, tmp_path: Path):
    house = town.houses[0]
    home = house.shard
    target = next(name for name in SHARDS if name != home)
    async with phones(tmp_path, house), under_load(house, desks=2, phones=1) as load:
        await load.reached(BETWEEN)
        mover = await a_mover(town, house.org_id, home, target, "copy serai.audit")
        town.network.cut("mover", target)
        mover.go_on()
        await load.reached(BETWEEN)
        town.network.mend("mover", target)
        assert await mover.outcome() == "moved"
        moved_to(town, load, target)
        await load.reached(BETWEEN)
    assert states(town, house.org_id) == {target: "active", home: "moved"}
