"""Movers lose one of their ends: packets vanish, and they are not told.

Owns I12 for movers that neither die nor go on: the process that serves ends their moves by itself,
an organisation has one home at every moment, and the old mover changes nothing when it is heard
again. One cut does both: to who moves to shard-1 it is the target that is away, to who moves from
there the source. Promises that leases are made to run out, never waited for; what is waited for
else is the end of a move, looked for each time that a neighbour's writes were acknowledged. Never
decides what is right but by the ledgers of the loads and the devices.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from integration.http.house import make_inn
from scenarios.house import SECONDS, House
from scenarios.load import Load, under_load
from scenarios.town import SHARDS, Town, house_of, phones

pytestmark = pytest.mark.asyncio(loop_scope="session")
PROGRAM = str(Path(__file__).with_name("gated_mover.py"))
BETWEEN = 10
CUT = "shard-1"
STEPS = {"copy serai.audit": "undone", "last changes": "undone", "flip": "moved"}
"""Before which the line is cut, and how such a move ends."""


class Mover:
    """The process at its place."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self, words: str) -> None:
        """Wait until it is at this step."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            line = b"..."
            while line.decode().strip() != words:
                line = await self.process.stdout.readline()
                assert line, "it ended without a word"

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


@asynccontextmanager
async def mover_of(town: Town, house: House, target: str, step: str) -> AsyncGenerator[Mover]:
    """Start one that waits before the step, and wait until it does."""
    ((number,),) = directory(
        town, "select shard_id from serai_directory.shard where name = %s", target
    )
    ends = (town.servers[name].url(name) for name in (house.shard, target))
    words = (town.directory_url, *ends, str(house.org_id), str(number), step)
    with town.network.at("mover"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, PROGRAM, *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
    try:
        mover = Mover(process)
        await mover.says(step)
        yield mover
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def directory(town: Town, text: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(town.directory_url, autocommit=True) as connection:
        done = connection.execute(text.encode(), values)
        return done.fetchall() if done.description else []


@dataclass
class Move:
    """A move that is cut off."""

    step: str
    house: House
    load: Load
    mover: Mover
    home: str
    target: str

    @property
    def ends_at(self) -> str:
        return self.target if STEPS[self.step] == "moved" else self.home

    def states(self, town: Town) -> dict[str, str]:
        """Return what the organisation is on each shard that has ever held it."""
        found: dict[str, str] = {}
        for name in SHARDS:
            with psycopg.connect(town.servers[name].url(name)) as connection:
                rows = connection.execute(
                    b"select state from serai.org where org_id = %s", [self.house.org_id]
                ).fetchall()
            if rows:
                found[name] = str(rows[0][0])
        return found


async def test_the_moves_of_who_was_cut_off_are_ended_by_who_serves_and_by_nobody_else(
    town: Town, tmp_path: Path
):
    async with AsyncExitStack() as stack:
        neighbour = await stack.enter_async_context(under_load(town.houses[1], desks=1, phones=0))
        steps = [step for step in STEPS for _ in SHARDS]
        inns = [await make_inn(town.directory_url, f"cut-{n}") for n, _ in enumerate(steps)]
        houses = [await house_of(town.servers, town.server, inn) for inn in inns]
        await stack.enter_async_context(phones(tmp_path, *houses))
        moves = [
            await begun(stack, town, house, step) for house, step in zip(houses, steps, strict=True)
        ]
        assert [move.home for move in moves] == [*SHARDS] * len(STEPS)
        town.network.cut("mover", CUT)
        try:
            for move in moves:
                move.mover.go_on()
            await flipped(town, [move for move in moves if move.ends_at == move.target], neighbour)
            ends = await ended(town, moves, neighbour)
            assert ends == {move.house.org_id: STEPS[move.step] for move in moves}
            for move in moves:
                # What is stored is looked for there.
                move.house.postgres, move.house.shard = town.servers[move.ends_at], move.ends_at
                await move.load.reached(BETWEEN)
        finally:
            town.network.mend("mover", CUT)
        for move in moves:
            assert await move.mover.outcome() in {"LostTurn", "OperationalError"}, move.step
            await move.load.reached(BETWEEN)
            states = move.states(town)
            assert states.pop(move.ends_at) == "active"
            assert set(states.values()) <= {"moved"}, move
            told = {"org_moved"} if move.step.startswith("copy") else {"org_frozen", "org_moved"}
            assert {*move.load.codes} <= told, "writes waited for more than a pause"
        assert (neighbour.refused, neighbour.lost) == ({}, []), "who does not move noticed"


async def begun(stack: AsyncExitStack, town: Town, house: House, step: str) -> Move:
    """Let an organisation be written to, and a mover take it to the other shard as far as the
    step.
    """
    home = house.shard
    target = next(name for name in SHARDS if name != home)
    load = await stack.enter_async_context(under_load(house, desks=1, phones=1))
    await load.reached(BETWEEN)
    mover = await stack.enter_async_context(mover_of(town, house, target, step))
    # It gives no sign of life at its gate; nobody is to take it for dead yet.
    lease(town, [house.org_id], "now() + interval '1 hour'")
    return Move(step, house, load, mover, home, target)


def lease(town: Town, orgs: Sequence[int], until: str) -> list[int]:
    """Set until when their movers are left alone; return those whose move has no end yet."""
    found = directory(
        town,
        f"update serai_directory.move set lease_until = {until} where org_id = any(%s)"  # noqa: S608 - a text of this module
        " and step not in ('moved', 'undone') returning org_id",
        [*orgs],
    )
    return [org for (org,) in found]


def steps_of(town: Town, moves: Sequence[Move]) -> dict[int, str]:
    """Return organisation -> how far the directory has its move."""
    orgs = [move.house.org_id for move in moves]
    found = directory(
        town, "select org_id, step from serai_directory.move where org_id = any(%s)", orgs
    )
    assert len(found) == len(orgs), "nobody began a move again"
    return dict(found)


async def flipped(town: Town, moves: Sequence[Move], neighbour: Load) -> None:
    """Wait until the directory, which is not cut off, has their new home."""
    async with asyncio.timeout(SECONDS):
        while {*steps_of(town, moves).values()} != {"flipped"}:
            await neighbour.reached(BETWEEN)


async def ended(town: Town, moves: Sequence[Move], neighbour: Load) -> dict[int, str]:
    """Let leases run out until every move has its end; return organisation -> the end.

    Again and again, for who takes a move over may find locks of a mover that is not heard of: they
    stay until PostgreSQL gives its line up.
    """
    async with asyncio.timeout(SECONDS):
        while lease(town, [move.house.org_id for move in moves], "now()"):
            await neighbour.reached(BETWEEN)
    return steps_of(town, moves)
