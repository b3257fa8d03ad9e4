"""`serai org audit prune` and `keep`: how long the audit record is kept.

Owns nothing but the commands. Promises that a dry run changes nothing, and that a month that is
dropped is printed once it is gone. Never decides what is too old.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter, validators

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.importing import progress_bar
from serai.cli.run import CommandFailed, console, print_json, run

if TYPE_CHECKING:
    from serai.app.retention import AuditMonth

_MEGABYTE = 1_000_000


def add_to(app: App) -> None:
    """Add the commands."""
    app.command(prune)
    app.command(keep)


def prune(
    *,
    before: Annotated[str, Parameter(help="YYYY-MM: months before this one are dropped.")],
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Say what would be dropped, and drop nothing.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Drop months of the audit record, of all organisations, on every shard.

    The last entry of each organisation stays as an anchor: what is left can still be verified. The
    present month and the one before cannot be dropped.
    """
    return run(_prune(_month(before), dry_run=dry_run, as_json=as_json))


async def _prune(before: date, *, dry_run: bool, as_json: bool) -> int:
    from serai.app.retention import audit_months, drop_audit_month
    from serai.app.runtime import open_runtime

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        found = await audit_months(runtime, before)
        with progress_bar() as bar:
            task = bar.add_task("audit", total=len(found))
            for each in found:
                anchored = None if dry_run else await drop_audit_month(runtime, each)
                bar.advance(task)
                _tell(each, anchored, as_json=as_json)
    if not found and not as_json:
        console.print("nothing to drop")
    return 0


def _tell(month: AuditMonth, anchored: int | None, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "shard": month.shard,
                "month": f"{month.month:%Y-%m}",
                "entries": month.entries,
                "bytes": month.bytes,
                "dropped": anchored is not None,
                "organisations": anchored,
            }
        )
        return
    what = f"about {month.entries} entries, {month.bytes / _MEGABYTE:.1f} MB"
    done = "would go" if anchored is None else f"dropped, {anchored} organisations anchored"
    print(f"{month.shard}  {month.month:%Y-%m}  {what}: {done}")


def keep(
    *,
    months: Annotated[
        int | None,
        Parameter(validator=validators.Number(gte=2), help="Whole months beside the present one."),
    ] = None,
    for_ever: Annotated[bool, Parameter(negative=(), help="Drop nothing by itself.")] = False,
    as_json: Json = False,
) -> int:
    """Say, or show, how many months of the audit record every shard keeps; for ever, unless told
    otherwise.

    Upkeep then drops older months by itself, one an hour at most.
    """
    if months is not None and for_ever:
        raise CommandFailed("--months and --for-ever contradict each other.")
    return run(_keep(months, change=for_ever or months is not None, as_json=as_json))


async def _keep(months: int | None, *, change: bool, as_json: bool) -> int:
    from serai.app.retention import keep_audit, kept_audit
    from serai.app.runtime import open_runtime

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        if change:
            await keep_audit(runtime, months)
        kept = await kept_audit(runtime)
    for shard, number in kept.items():
        if as_json:
            print_json({"shard": shard, "months": number})
        else:
            print(f"{shard}  {'for ever' if number is None else f'{number} months'}")
    return 0


def _month(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        raise CommandFailed(f"--before is a month such as 2026-01, not {text!r}.") from None
