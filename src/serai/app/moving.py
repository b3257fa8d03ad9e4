"""Moves as an operator asks for them.

Owns the order of a run: the moves that a dead mover left are ended first, then come those that are
asked for, then old copies are removed. Promises that doing a thing again goes on where it stopped.
Never moves anything by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from serai.app.move_run import MoveOptions, MoveReport, MoveRun, Progress
from serai.app.runtime import Runtime
from serai.core.errors import Code, SeraiError
from serai.shard.placement import ShardRef


def shard_named(runtime: Runtime, name: str) -> ShardRef:
    """Return the shard of this name.

    Raises:
        SeraiError: `not_found`.
    """
    for ref in runtime.directory.shards:
        if ref.name == name:
            return ref
    known = ", ".join(ref.name for ref in runtime.directory.shards)
    raise SeraiError(Code.NOT_FOUND, f"There is no shard {name!r}. There are: {known}.")


async def move_organisations(
    runtime: Runtime,
    orgs: Sequence[int],
    target: ShardRef,
    *,
    actor: str,
    reason: str,
    options: MoveOptions | None = None,
    progress: Progress = lambda _: None,
) -> MoveReport:
    """Move organisations to a shard. Doing it again goes on where it stopped.

    Raises:
        psycopg.OperationalError: the directory or a shard does not answer.
    """
    run = MoveRun(runtime, options or MoveOptions(), actor, reason, progress)
    run.report.asked = len(orgs)
    async with run.alive():
        await run.end_stale()
        await run.move(orgs, target)
        await run.sweep()
    await runtime.directory.refresh()
    return run.report


async def resume_moves(
    runtime: Runtime,
    *,
    actor: str,
    options: MoveOptions | None = None,
    progress: Progress = lambda _: None,
) -> MoveReport:
    """End the moves that a dead mover left: finish those that had flipped, and begin the others
    again.
    """
    run = MoveRun(runtime, options or MoveOptions(), actor, "resumed", progress)
    async with run.alive():
        for target, orgs in (await run.end_stale()).items():
            run.report.asked += len(orgs)
            await run.move(orgs, run.refs[target])
        await run.sweep()
    await runtime.directory.refresh()
    return run.report
