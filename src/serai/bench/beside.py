"""Pushes of devices, and moves to another shard, on a shard that holds many other organisations.

Owns the part of the figures of scale that needs devices and a second shard. Promises that a push is
as a device sends it, numbered and without its pull, and that moves are those of `serai org move`,
without the removal of old copies. Never goes over HTTP.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid4

import msgspec

from serai.app.fleet import prepare_fleet
from serai.app.move_hands import ThreadHands
from serai.app.move_run import MoveOptions, MoveRun
from serai.bench.cpu import Meter, Spent
from serai.bench.rows import Rows
from serai.bench.stage import SHARD, Stage
from serai.core.ids import uuid7
from serai.gate.caller import Caller, Grant
from serai.readers.sync import push
from serai.shard.connection import connect
from serai.shard.directory import Directory
from serai.shard.queries import load_queries
from serai.wire.sync import Mutation, MutationsRequest

ROWS_PER_PUSH: Final = 20
BATCH: Final = 100
_TASKS: Final = 16
_WARM_PART: Final = 10
_SECOND: Final = "serai_shard_2"
_SQL: Final = load_queries("serai.bench", "bench.sql")


@dataclass(slots=True)
class _Device:
    """A device of an organisation's owner."""

    caller: Caller
    id: UUID = field(default_factory=uuid4)
    number: int = 0

    def batch(self, rows: Rows) -> MutationsRequest:
        """Return its next push."""
        mutations: list[Mutation] = []
        for _ in range(ROWS_PER_PUSH):
            self.number += 1
            mutations.append(
                Mutation(
                    number=self.number,
                    collection=rows.collection.name,
                    id=uuid7(),
                    op="insert",
                    base=0,
                    fields={
                        name: msgspec.Raw(msgspec.json.encode(value))
                        for name, value in rows.row().items()
                    },
                )
            )
        return MutationsRequest(device_id=self.id, mutations=mutations)


async def pushes(stage: Stage, org_ids: Sequence[int], count: int) -> Spent:
    """Push so many times, a few at once, after a warm-up of a tenth; return what it took."""
    vertical = stage.runtime.vertical
    rows = Rows(vertical)
    devices: list[_Device] = []
    for org_id in org_ids:
        head = await stage.shard.store.head(org_id)
        assert head is not None, "the seed made it"
        roles = [(vertical.owner_role, None)]
        grant = Grant.from_memberships(vertical, head.grants_version, roles)
        devices.append(_Device(Caller(org_id, uuid4(), grant, vertical)))

    async def some(turns: deque[int]) -> None:
        while turns:
            device = devices[turns.popleft() % len(devices)]
            answer = await push(
                stage.shard.store,
                stage.shard.coalescer,
                device.caller,
                stage.runtime.sealer,
                device.batch(rows),
                now=stage.runtime.clock.now(),
            )
            results = answer.results
            assert len(results) == ROWS_PER_PUSH, "each mutation has an answer"

    async def all_of(first: int, last: int) -> None:
        turns = deque(range(first, last))
        await asyncio.gather(*(some(turns) for _ in range(_TASKS)))

    warm = max(count // _WARM_PART, 1)
    await all_of(0, warm)
    with Meter(stage.postgres) as spent:
        await all_of(warm, warm + count)
    return spent


async def moves(stage: Stage, org_ids: Sequence[int]) -> Spent:
    """Move organisations to a second shard of the same PostgreSQL, after a warm-up of a tenth;
    return what it took.

    Raises:
        RuntimeError: one of them did not move.
    """
    owner = await connect(stage.url)
    try:
        await owner.execute(_SQL["second_shard"])
    finally:
        await owner.close()
    url = stage.url.replace(SHARD, _SECOND)
    await prepare_fleet(stage.settings, [("shard-1", stage.url), ("shard-2", url)])
    # As their owner, not as the role of requests.
    async with await Directory.open(stage.settings.directory_url) as directory:
        shards = {ref.name: ref for ref in directory.shards}
    target = shards["shard-2"]
    options = MoveOptions(batch=BATCH, grace_seconds=0)
    hands = ThreadHands(stage.settings.directory_url, list(shards.values()), options.workers)
    run = MoveRun(hands, list(shards.values()), options, lambda _: None)
    warm = max(len(org_ids) // _WARM_PART, 1)
    async with run.alive():
        await run.move(org_ids[:warm], target)
        with Meter(stage.postgres) as spent:
            await run.move(org_ids[warm:], target)
    if run.report.moved != len(org_ids):
        raise RuntimeError(f"{run.report.moved} of {len(org_ids)} moved: {run.report.failed}")
    return spent
