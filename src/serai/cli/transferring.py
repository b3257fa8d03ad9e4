"""`serai org transfer | transfers`: a property goes to another organisation.

Owns nothing but the commands. Promises that each may be stopped at any moment and typed again, that
`--dry-run` changes nothing, and an exit status of 1 if the property did not go over. Never
transfers one by itself.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec
from cyclopts import Parameter, validators

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.run import CommandFailed, console, print_json, run
from serai.cli.words import Reason

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from serai.app.settings import Settings
    from serai.app.transfer.running import Asked, Ended, Foreseen, Runner
    from serai.app.transfer.saga import TransferStats


def transfer(
    prop: Annotated[UUID | None, Parameter(name="PROPERTY", help="Id of the property.")] = None,
    *,
    source: Annotated[
        str | None, Parameter(name="--from", help="Key or number of who gives it.")
    ] = None,
    to: Annotated[str | None, Parameter(help="Key or number of who gets it.")] = None,
    resume: Annotated[
        bool,
        Parameter(
            negative=(),
            help="End what others left: finish what was decided, undo the rest.",
        ),
    ] = False,
    reason: Reason = "transferred by command",
    dry_run: Annotated[
        bool,
        Parameter(name="--dry-run", negative=(), help="Tell what would go over; change nothing."),
    ] = False,
    as_json: Json = False,
) -> int:
    """Transfer a property with all its rows to another organisation, wholly or not at all. Nobody
    writes to it meanwhile, and the taker's other writes wait; reads go on.
    """
    given = (prop, source, to)
    if resume and not any(given):
        return _done(_resume(as_json=as_json))
    if resume or prop is None or source is None or to is None:
        raise CommandFailed("Say which property, `--from` whom and `--to` whom, or `--resume`.")
    return _done(_transfer(prop, (source, to), reason, dry_run=dry_run, as_json=as_json))


def transfers(
    org: Annotated[str | None, Parameter(help="Key or number of the organisation.")] = None,
    *,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1), help="At most.")] = 20,
    as_json: Json = False,
) -> int:
    """List transfers, newest first: who, when, why, from where to where, how far."""
    return _done(_transfers(org, limit, as_json=as_json))


async def _transfer(
    prop: UUID, ends: tuple[str, str], reason: str, *, dry_run: bool, as_json: bool
) -> int:
    from serai.app.transfer.running import Asked, runner

    settings = load_settings()
    giver, taker = [await _number(settings, name) for name in ends]
    if giver == taker:
        raise CommandFailed("Both are the same organisation.")
    asked = Asked(prop, giver, taker, reason)
    async with runner(settings) as running:
        if dry_run:
            return _would(asked, await running.foresee(asked), as_json=as_json)
        ended = await running.end_stale()
        stats = await _watched(running, asked)
    _tell(asked, stats, ended, as_json=as_json)
    return 0


async def _resume(*, as_json: bool) -> int:
    from serai.app.transfer.running import runner

    async with runner(load_settings()) as running:
        ended = await running.end_stale()
    if as_json:
        print_json(asdict(ended))
    else:
        console.print(f"{len(ended.finished)} finished, {len(ended.undone)} undone")
        for number, why in ended.stuck.items():
            console.print(f"transfer {number} cannot be ended now: {why}")
    return 1 if ended.stuck else 0


async def _transfers(org: str | None, limit: int, *, as_json: bool) -> int:
    from serai.app.transfer.running import past_transfers

    settings = load_settings()
    number = None if org is None else await _number(settings, org)
    found = await past_transfers(settings, number, limit)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return 0
    for past in found:
        state = f"{past.step}, left alone" if past.gone else past.step
        print(
            f"{past.transfer_id:>6}  {past.started_at:%Y-%m-%d %H:%M}  {past.property_id}"
            f"  {past.from_org} -> {past.to_org}  {past.rows:>8} rows  {state:<20}"
            f"  {past.actor}: {past.reason}"
        )
    return 0


async def _watched(running: Runner, asked: Asked) -> TransferStats:
    """Run a transfer with a progress bar."""
    from serai.cli.importing import progress_bar

    with progress_bar() as bar:
        task = bar.add_task("rows", total=None)

        def show(stats: TransferStats) -> None:
            # Each row arrives once and leaves once.
            bar.update(task, total=2 * stats.total or None, completed=stats.rows + stats.removed)

        return await running.transfer(asked, show)


async def _number(settings: Settings, name: str) -> int:
    from serai.app.whereabouts import whereabouts

    found = await whereabouts(settings, name)
    if found is None:
        raise CommandFailed(f"There is no organisation {name!r}.")
    return found.org_id


def _done(main: Coroutine[Any, Any, int]) -> int:
    """Run a command; what cannot be done is told in words."""
    from serai.app.shard_facts import ShardError
    from serai.app.transfer.reasons import Untransferable

    try:
        return run(main)
    except (ShardError, Untransferable) as error:
        raise CommandFailed(str(error)) from error


def _would(asked: Asked, found: Foreseen, *, as_json: bool) -> int:
    if as_json:
        print_json({"dry_run": True, "property": str(asked.property_id), **asdict(found)})
        return 1 if found.against else 0
    for name, rows in found.collections.items():
        console.print(f"{name:<24} {rows:>9} rows go over")
    for name, rows in found.matched.items():
        console.print(f"{name:<24} {rows:>9} that they refer to are the taker's own")
    for name, rows in found.present.items():
        console.print(f"{name:<24} {rows:>9} that they refer to came with an earlier transfer")
    for name, rows in found.copied.items():
        console.print(f"{name:<24} {rows:>9} that they refer to are copied")
    console.print(f"{found.grants} roles at the property end; the taker gives its own")
    for line in found.against:
        console.print(f"cannot be done now: {line}")
    return 1 if found.against else 0


def _tell(asked: Asked, stats: TransferStats, ended: Ended, *, as_json: bool) -> None:
    if as_json:
        told = asdict(stats) | {"pause": round(stats.pause, 3)}
        print_json(
            {"property": str(asked.property_id), "from": asked.from_org, "to": asked.to_org}
            | told
            | {"ended": asdict(ended)}
        )
        return
    if ended.finished or ended.undone:
        console.print(
            f"transfers left by others: {len(ended.finished)} finished, {len(ended.undone)} undone"
        )
    copied = ", ".join(f"{n} {name}" for name, n in stats.copied.items()) or "nothing"
    console.print(
        f"{stats.rows} rows went over and {stats.grants} roles ended; copied: {copied};"
        f" writes of the taker waited {stats.pause * 1000:.0f} ms"
    )
