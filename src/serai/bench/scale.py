"""The same work on one shard with a thousand organisations and with five million.

Owns the figures of scale: how long seeding takes, what an organisation weighs on disk, and how the
processor time of pulls, empty pulls, writes, pushes and moves grows with the number of
organisations beside it. Promises that each number is measured on the same work: a thousand
organisations spread over all of them, warmed up, so that what they touch is in memory; first
touches of others are a figure of their own. Never runs over HTTP: that cost does not know how many
organisations there are.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serai.bench.beside import BATCH, ROWS_PER_PUSH, moves, pushes
from serai.bench.cpu import Meter, Spent
from serai.bench.figure import Figure, Load, rounded
from serai.bench.reading import TASKS, Reader, timed
from serai.bench.rows import COLLECTION, ROW_BYTES, Rows
from serai.bench.seed import Seeded, seed
from serai.bench.stage import Stage, open_stage
from serai.log.coalesce import Coalescer
from serai.log.intent import WriteIntent

HOT: Final = 1_000
_CHANGES: Final = 20
_PULLS: Final = 10_000
_EMPTY_PULLS: Final = 40_000
_COLD: Final = 2_000
_PUSHES: Final = 1_000
_MOVES: Final = 1_000
_LEDGER: Final = "revenues"


@dataclass(frozen=True, slots=True)
class At:
    """What was measured at one number of organisations.

    Attributes:
        works: name -> (what it took, how many).
    """

    seeded: Seeded
    works: dict[str, tuple[Spent, int]]

    @property
    def organisations(self) -> int:
        """How many there were."""
        return self.seeded.organisations

    def us(self, what: str) -> float:
        """Return the processor time of one, both sides, in microseconds."""
        spent, count = self.works[what]
        return spent.python_us(count) + spent.postgres_us(count)


async def scale(load: Load) -> list[Figure]:
    """Seed each number of organisations in turn, and measure on it."""
    found: list[At] = []
    for organisations in load.fleet:
        with tempfile.TemporaryDirectory(prefix="serai-scale-", ignore_cleanup_errors=True) as name:
            home = Path(name)
            # The account that PostgreSQL runs as goes through it.
            await asyncio.to_thread(home.chmod, 0o755)
            seeded = await seed(home / "postgres", organisations)
            async with open_stage(data_dir=home / "postgres") as stage:
                found.append(await _measure(stage, seeded, load))
            await asyncio.to_thread(shutil.rmtree, home / "postgres")
    return [figure for at in found for figure in _of(at)] + _flatness(found[0], found[-1])


async def _measure(stage: Stage, seeded: Seeded, load: Load) -> At:
    hot = _spread(seeded.organisations, min(HOT, load.organisations))
    readers = [await _reader(stage, org_id, COLLECTION) for org_id in hot]
    behind = [await reader.token() for reader in readers]
    rows = Rows(stage.runtime.vertical)
    coalescer = stage.shard.coalescer
    # The first half is the warm-up: epochs, pages, statements.
    writes = [[rows.insert(org_id) for org_id in hot] for _ in range(_CHANGES)]
    await _write(coalescer, [each for some in writes[::2] for each in some], load.in_flight)
    timed_writes = [each for some in writes[1::2] for each in some]
    works: dict[str, tuple[Spent, int]] = {}
    with Meter(stage.postgres) as spent:
        await _write(coalescer, timed_writes, load.in_flight)
    works["write"] = spent, len(timed_writes)
    count = _part(_PULLS, load)
    works["pull"] = await _in_turn(stage, list(zip(readers, behind, strict=True)), count), count
    count = _part(_PUSHES, load)
    works["push"] = await pushes(stage, hot, count), count * ROWS_PER_PUSH
    level = [(reader, await reader.token()) for reader in readers]
    count = _part(_EMPTY_PULLS, load)
    works["empty_pull"] = await _in_turn(stage, level, count), count
    others = _spread(seeded.organisations, min(_part(_COLD, load), seeded.organisations), offset=1)
    strangers, count = deque(others), len(others)
    with Meter(stage.postgres) as spent:
        await asyncio.gather(*(_first_pulls(stage, strangers) for _ in range(TASKS)))
    works["cold_pull"] = spent, count
    gone = _spread(seeded.organisations, min(_part(_MOVES, load), seeded.organisations), offset=1)
    works["move"] = await moves(stage, gone), len(gone) - max(len(gone) // 10, 1)
    return At(seeded, works)


def _spread(organisations: int, count: int, *, offset: int = 0) -> list[int]:
    """Return `count` numbers from 1 to `organisations`, as far from each other as they can be."""
    step = organisations // count
    return [1 + (n * step + offset * step // 2) for n in range(count)]


def _part(count: int, load: Load) -> int:
    return max(count * load.writes // Load().writes, TASKS)


async def _write(coalescer: Coalescer, intents: Sequence[WriteIntent], in_flight: int) -> None:
    waiting = deque(intents)

    async def one_by_one() -> None:
        while waiting:
            await coalescer.submit(waiting.popleft())

    await asyncio.gather(*(one_by_one() for _ in range(in_flight)))


async def _in_turn(stage: Stage, held: Sequence[tuple[Reader, str]], count: int) -> Spent:
    turn = 0

    async def one() -> None:
        nonlocal turn
        turn += 1
        reader, token = held[turn % len(held)]
        await reader.pull(token)

    return await timed(stage, count, one)


async def _first_pulls(stage: Stage, org_ids: deque[int]) -> None:
    while org_ids:
        reader = await _reader(stage, org_ids.popleft(), _LEDGER)
        await reader.pull(None)


async def _reader(stage: Stage, org_id: int, collection: str) -> Reader:
    head = await stage.shard.store.head(org_id)
    assert head is not None, "the seed made it"
    return Reader(stage, org_id, collection, grants_version=head.grants_version)


def _of(at: At) -> list[Figure]:
    name = _short(at.organisations)
    seeded = at.seeded
    said = f"{at.organisations} organisations on one shard; {HOT} of them, in memory"
    cold, colds = at.works["cold_pull"]
    each = f"{cold.seconds / colds * 1e3:.2f} ms each, {TASKS} at once"
    words = {
        "empty_pull": f"pulls with nothing new, {said}",
        "pull": f"pulls of {_CHANGES} changes, {said}",
        "write": f"rows of {ROW_BYTES} B written, {said}",
        "push": f"rows of {ROW_BYTES} B in pushes of {ROWS_PER_PUSH}, {said}",
        "cold_pull": f"first pulls of the ledger of others, pages as the seed left them; {each}",
        "move": f"of others moved to an empty shard, {BATCH} at a time, no writes; old copies stay",
    }
    figures = [
        Figure(
            figure=f"{what}_us_at_{name}",
            value=rounded(at.us(what)),
            unit="us",
            python_us_per_row=at.works[what][0].python_us(at.works[what][1]),
            postgres_us_per_row=at.works[what][0].postgres_us(at.works[what][1]),
            conditions=f"{at.works[what][1]} {conditions}",
        )
        for what, conditions in words.items()
    ]
    went = "" if not seeded.went_on else f"; {seeded.went_on} tables were full already"
    return [
        Figure(
            figure=f"seed_{name}_seconds",
            value=rounded(seeded.seconds),
            unit="s",
            conditions=f"{at.organisations} organisations, {seeded.properties} properties,"
            f" {seeded.rows} rows, each also in its typed table, by COPY, all indexes and"
            f" constraints made after{went}",
        ),
        Figure(
            figure=f"bytes_per_org_at_{name}",
            value=rounded(seeded.bytes / at.organisations),
            unit="B",
            conditions=f"the shard's database on disk, {seeded.bytes / 1e9:.2f} GB, over"
            f" {at.organisations} organisations of {seeded.rows / at.organisations:.1f} rows",
        ),
        *figures,
    ]


def _short(count: int) -> str:
    """Return 1000 as 1k, 5000000 as 5m, and what is no whole number of them as it is."""
    for unit, word in ((10**6, "m"), (10**3, "k")):
        if count % unit == 0:
            return f"{count // unit}{word}"
    return str(count)


def _flatness(first: At, last: At) -> list[Figure]:
    said = f"processor time at {last.organisations} over {first.organisations} organisations"
    return [
        Figure(
            figure=f"flatness_{what}",
            value=rounded(last.us(what) / first.us(what)),
            unit="times",
            conditions=said,
        )
        for what in first.works
    ]
