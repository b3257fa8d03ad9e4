"""`serai org move | verify` and `serai shard move | drain`: organisations change their shard.

Owns nothing but the commands. Promises that each may be stopped at any moment and typed again, that
`--dry-run` changes nothing, and an exit status of 1 if an organisation did not move. Never moves
one by itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.run import CommandFailed, console, print_json, run
from serai.cli.words import Reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from serai.app.move_run import MoveOptions, MoveReport
    from serai.app.moving import Order
    from serai.app.verifying import Verified

_SHOWN_MAX = 20

Org = Annotated[str, Parameter(help="Key or number of the organisation.")]
DryRun = Annotated[
    bool, Parameter(name="--dry-run", negative=(), help="Tell what would move; change nothing.")
]


@Parameter(name="*")
@dataclass(frozen=True)
class Pace:
    """How fast many organisations move.

    Attributes:
        batch: Organisations that move together.
        workers: Batches at a time.
        rate: Organisations a second at most.
    """

    batch: Annotated[
        int,
        Parameter(
            validator=validators.Number(gte=1, lte=1000), help="Organisations that move together."
        ),
    ] = 100
    workers: Annotated[
        int, Parameter(validator=validators.Number(gte=1, lte=16), help="Batches at a time.")
    ] = 2
    rate: Annotated[
        float | None,
        Parameter(validator=validators.Number(gt=0), help="Organisations a second at most."),
    ] = None


def move(
    org: Annotated[str | None, Parameter(help="Key or number of the organisation.")] = None,
    *,
    to: Annotated[str | None, Parameter(help="Name of the shard.")] = None,
    resume: Annotated[
        bool, Parameter(negative=(), help="End the moves that a mover which is gone has left.")
    ] = False,
    reason: Reason = "moved by command",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Move an organisation to another shard while it is written to. Doing it again goes on."""
    if resume == (org is not None) or (to is None) != resume:
        raise CommandFailed("Say which organisation and `--to` which shard, or `--resume` alone.")
    if org is None or to is None:
        return _done(_resume(reason, as_json=as_json))
    return _done(_move(org, to, reason, dry_run=dry_run, as_json=as_json))


async def _move(org: str, to: str, reason: str, *, dry_run: bool, as_json: bool) -> int:
    from serai.app.move_run import MoveOptions
    from serai.app.moving import move_organisations
    from serai.app.shards import known_shard
    from serai.app.whereabouts import whereabouts

    settings = load_settings()
    found = await whereabouts(settings, org)
    if found is None:
        raise CommandFailed(f"There is no organisation {org!r}.")
    if dry_run:
        await known_shard(settings, to)
        return _would(
            {"organisations": int(found.shard != to), "from": found.shard, "to": to}, as_json
        )
    report = await _watched(
        lambda order: move_organisations(settings, [found.org_id], to, order),
        reason,
        MoveOptions(workers=1),
    )
    return _tell(report, as_json=as_json)


async def _resume(reason: str, *, as_json: bool) -> int:
    from serai.app.move_run import MoveOptions
    from serai.app.moving import resume_moves

    settings = load_settings()
    report = await _watched(lambda order: resume_moves(settings, order), reason, MoveOptions())
    return _tell(report, as_json=as_json)


def move_share(
    *,
    source: Annotated[str, Parameter(name="--from", help="Name of the shard they are on.")],
    to: Annotated[str, Parameter(help="Name of the shard they go to.")],
    percent: Annotated[
        float,
        Parameter(
            validator=validators.Number(gt=0, lte=100),
            help="Share of all organisations, chosen by their numbers: the same ones each time.",
        ),
    ],
    reason: Reason = "moved by command",
    pace: Pace | None = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Move a share of a shard's organisations to another shard. Doing it again goes on where it
    stopped, and moves nothing once the share is there.
    """
    share = (source, percent, to)
    return _done(_share(share, reason, pace or Pace(), dry_run=dry_run, as_json=as_json))


async def _share(
    share: tuple[str, float, str], reason: str, pace: Pace, *, dry_run: bool, as_json: bool
) -> int:
    from serai.app.moving import move_share as move_them
    from serai.app.moving import share_of

    settings, (source, percent, to) = load_settings(), share
    if dry_run:
        found = await share_of(settings, source, percent, to)
        return _would({"organisations": found, "from": source, "to": to}, as_json)
    report = await _watched(
        lambda order: move_them(settings, *share, order), reason, _options(pace)
    )
    return _tell(report, as_json=as_json)


def drain(
    name: Annotated[str, Parameter(help="Name of the shard.")],
    *,
    reason: Reason = "drained by command",
    pace: Pace | None = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Move every organisation of a shard away, to the open shards that are emptiest. It gets no new
    ones. Doing it again goes on where it stopped.
    """
    return _done(_drain(name, reason, pace or Pace(), dry_run=dry_run, as_json=as_json))


async def _drain(name: str, reason: str, pace: Pace, *, dry_run: bool, as_json: bool) -> int:
    from serai.app.moving import drain as drain_it
    from serai.app.moving import share_of

    settings = load_settings()
    if dry_run:
        found = await share_of(settings, name, 100.0)
        return _would({"organisations": found, "from": name, "to": None}, as_json)
    report = await _watched(lambda order: drain_it(settings, name, order), reason, _options(pace))
    return _tell(report, as_json=as_json)


def verify(org: Org, *, as_json: Json = False) -> int:
    """Tell whether an organisation is whole where it lives, and lives in one place only: rows and
    digests of every table, its audit record, and any other copy. Status 1 if something is wrong.
    """
    return _done(_verify(org, as_json=as_json))


async def _verify(org: str, *, as_json: bool) -> int:
    from serai.app.verifying import verify_organisation

    found = await verify_organisation(load_settings(), org)
    if as_json:
        print_json(asdict(found))
    else:
        _show(found)
    return 1 if found.problems else 0


def _show(found: Verified) -> None:
    for name, (rows, digest) in found.tables.items():
        print(f"{name:<32} {rows:>12} rows  {digest}")
    said = ", ".join(f"{shard}: {state}" for shard, state in found.states.items())
    print(f"lives on {found.shard}, epoch {found.epoch}, version {found.version} ({said})")
    print(f"{found.entries} entries of its audit record are as they were written")
    if found.compared is not None:
        print(f"compared with the copy on {found.compared}")
    for line in found.problems:
        print(f"wrong: {line}")


def _done(main: Coroutine[Any, Any, int]) -> int:
    """Run a command; a shard or an organisation that there is not is told in words."""
    from serai.app.shard_facts import ShardError

    try:
        return run(main)
    except ShardError as error:
        raise CommandFailed(str(error)) from error


def _options(pace: Pace) -> MoveOptions:
    from serai.app.move_run import MoveOptions

    return MoveOptions(pace.batch, pace.workers, pace.rate)


async def _watched(
    work: Callable[[Order], Awaitable[MoveReport]], reason: str, options: MoveOptions
) -> MoveReport:
    """Run a move with a progress bar."""
    from serai.app.moving import Order
    from serai.cli.importing import progress_bar

    with progress_bar() as bar:
        task = bar.add_task("organisations", total=None)

        def show(report: MoveReport) -> None:
            bar.update(task, total=report.asked, completed=report.done)

        return await work(Order(reason, options, show))


def _would(told: dict[str, int | str | None], as_json: bool) -> int:  # noqa: FBT001 - the form of these helpers
    if as_json:
        print_json({"dry_run": True, **told})
    else:
        console.print(
            f"would move {told['organisations']} organisations from {told['from']}"
            f" to {told['to'] or 'the emptiest open shards'}"
        )
    return 0


def _tell(report: MoveReport, *, as_json: bool) -> int:
    status = 1 if report.failed or report.stuck else 0
    pause_ms = round(max(report.pauses, default=0.0) * 1000, 1)
    if as_json:
        told = ("asked", "moved", "present", "ended", "undone", "swept")
        print_json(
            {name: getattr(report, name) for name in told}
            | {"seconds": round(report.seconds, 3), "pause_ms_max": pause_ms}
            | {"failed": {str(org): why for org, why in report.failed.items()}}
            | {"stuck": {str(org): why for org, why in report.stuck.items()}}
        )
        return status
    console.print(
        f"{report.moved} of {report.asked} moved in {report.seconds:.1f} s, {report.present} there"
        f" already, {len(report.failed)} failed; writes waited {pause_ms} ms at most"
    )
    if report.ended or report.undone:
        console.print(f"moves left by others: {report.ended} finished, {report.undone} undone")
    lines = [f"organisation {org} is where it was: {why}" for org, why in report.failed.items()]
    lines += [
        f"the move of organisation {org} that somebody left is not ended: {why}"
        for org, why in report.stuck.items()
    ]
    for line in lines[:_SHOWN_MAX]:
        console.print(f"  {line}")
    if len(lines) > _SHOWN_MAX:
        console.print(f"  and {len(lines) - _SHOWN_MAX} more; --json lists all")
    return status
