"""Pulls in process: 100 rows behind, and nothing new.

Owns `pull` and `empty-pull`: from a decoded request to an answer ready to be sent, without HTTP, so
that the difference to the same figures over HTTP is the cost of HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import uuid4

import msgspec

from serai.bench import floors
from serai.bench.cpu import Meter, Spent
from serai.bench.figure import Figure, Load, rounded
from serai.bench.rows import COLLECTION, ROW_BYTES, Rows
from serai.bench.stage import Stage, open_stage
from serai.gate.caller import Caller, Grant
from serai.readers.sync import pull
from serai.readers.sync.pull import PullResult
from serai.wire.sync import ChangesRequest, WantedCollection

ROWS_PER_PULL: Final = 100
TASKS: Final = 16
_PULLS_PER_WRITE: Final = 0.5
_WARM_PART: Final = 10


async def rows(load: Load) -> list[Figure]:
    """Pulls of 100 changes from the log."""
    async with open_stage() as stage:
        (org_id,) = await stage.organisations(1)
        reader = Reader(stage, org_id)
        behind = await reader.token()
        made = Rows(stage.runtime.vertical)
        wishes = [made.insert(org_id, once=False) for _ in range(ROWS_PER_PULL)]
        await asyncio.gather(*map(stage.shard.coalescer.submit, wishes))
        pulls = max(load.writes // ROWS_PER_PULL, TASKS)
        spent = await timed(stage, pulls, lambda: reader.pull(behind))
        floor = await floors.reads_of_rows(stage, pulls, ROWS_PER_PULL)
        count = pulls * ROWS_PER_PULL
        return [
            Figure(
                figure="pull_rows_per_second",
                value=rounded(count / spent.seconds),
                unit="rows/s",
                floor=rounded(count / floor.seconds),
                python_us_per_row=spent.python_us(count),
                postgres_us_per_row=spent.postgres_us(count),
                conditions=f"{pulls} pulls of {ROWS_PER_PULL} changes of {ROW_BYTES} B, {TASKS} at"
                f" once, encoded, in process; floor: {floors.PAGES}",
            )
        ]


async def nothing(load: Load) -> list[Figure]:
    """Pulls of a device that holds all there is."""
    async with open_stage() as stage:
        organisations = await stage.organisations(load.organisations)
        readers = [Reader(stage, org_id) for org_id in organisations[:1_000]]
        held = [(reader, await reader.token()) for reader in readers]
        pulls = max(int(load.writes * _PULLS_PER_WRITE), TASKS)
        turn = 0

        async def one() -> PullResult:
            nonlocal turn
            turn += 1
            reader, token = held[turn % len(held)]
            return await reader.pull(token)

        spent = await timed(stage, pulls, one)
        floor = await floors.reads_by_key(stage, pulls, organisations[: len(held)])
        return [
            Figure(
                figure="empty_pulls_per_second",
                value=rounded(pulls / spent.seconds),
                unit="pulls/s",
                floor=rounded(pulls / floor.seconds),
                python_us_per_row=spent.python_us(pulls),
                postgres_us_per_row=spent.postgres_us(pulls),
                conditions=f"{pulls} pulls over {len(held)} organisations, {TASKS} at once,"
                f" encoded, in process; floor: {floors.KEYS}",
            )
        ]


class Reader:
    """A device of an organisation's owner, without a network."""

    def __init__(
        self, stage: Stage, org_id: int, collection: str = COLLECTION, *, grants_version: int = 0
    ) -> None:
        vertical = stage.runtime.vertical
        grant = Grant.from_memberships(vertical, grants_version, [(vertical.owner_role, None)])
        self._caller = Caller(org_id, uuid4(), grant, vertical)
        self._stage = stage
        self._collection = collection

    async def pull(self, token: str | None) -> PullResult:
        """Pull once, as far as to the bytes of the answer."""
        stage = self._stage
        wanted = [WantedCollection(name=self._collection, since_token=token)]
        found = await pull(
            stage.shard.store,
            self._caller,
            stage.runtime.sealer,
            ChangesRequest(collections=wanted, batch_size=ROWS_PER_PULL),
            now=stage.runtime.clock.now(),
        )
        msgspec.json.encode(found.answer)
        return found

    async def token(self) -> str:
        """Return the token of a device that holds all there is."""
        token: str | None = None
        while True:
            (part,) = (await self.pull(token)).answer.collections
            before, token = token, part.next_token
            if token == before and not part.has_more:
                return token


async def timed(stage: Stage, count: int, work: Callable[[], Awaitable[object]]) -> Spent:
    """Do the work so many times, a few at once, warmed up by a tenth; return what it took."""

    async def some(times: int) -> None:
        for _ in range(times):
            await work()

    await asyncio.gather(*(some(count // TASKS // _WARM_PART) for _ in range(TASKS)))
    with Meter(stage.postgres) as spent:
        await asyncio.gather(
            *(some(count // TASKS + (lane < count % TASKS)) for lane in range(TASKS))
        )
    return spent
