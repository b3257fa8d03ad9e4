"""`serai org restore`: one organisation as it was, in its own place or as a new one.

Owns nothing but the command. Promises that `--dry-run` changes nothing, that it may be stopped at
any moment and typed again, and that what it did is told by collection. Never touches another
organisation.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.importing import progress_bar
from serai.cli.run import CommandFailed, console, print_json, run

if TYPE_CHECKING:
    from serai.app.restoring import Outcome, RestoreOrder

_WORDS = {
    "read": "read the record",
    "compare": "compare",
    "write": "write",
}


def restore(  # noqa: PLR0913 - a command's options
    org: Annotated[str, Parameter(help="Key or number of the organisation.")],
    *,
    at: Annotated[
        str,
        Parameter(help="A version, or a moment such as 2026-01-31T12:00:00Z: its last version."),
    ],
    reason: Annotated[str, Parameter(help="Why; kept in the audit record.")],
    into: Annotated[
        str | None,
        Parameter(help="Key of a new organisation to make of it; without it, in place."),
    ] = None,
    name: Annotated[str, Parameter(help="The new one's name for people.")] = "",
    to: Annotated[str | None, Parameter(help="Shard of the new one.")] = None,
    grants: Annotated[
        bool,
        Parameter(
            negative=(), help="Roles too, also those taken away since. Else they stay as they are."
        ),
    ] = False,
    dry_run: Annotated[
        bool, Parameter(name="--dry-run", negative=(), help="Tell what would change, by counts.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Bring an organisation back to how it was at a version. What was is written on top as new
    versions, so devices get it like any change. With `--into` the organisation goes on as it is,
    and a new one is made of that version. Doing it again goes on where it stopped.
    """
    from serai.app.restoring import RestoreOrder

    if into is None and (to is not None or name):
        raise CommandFailed(
            "`--to` and `--name` are for a new organisation: say its key, `--into`."
        )
    if not reason.strip():
        raise CommandFailed("Say why: `--reason` is kept in the audit record.")
    order = RestoreOrder(org, _moment(at), reason, into, name, to, grants, dry_run)
    return run(_restore(order, as_json=as_json))


def _moment(text: str) -> int | datetime:
    from serai.app.whereabouts import DIGITS_MAX

    if text.isdecimal() and len(text) <= DIGITS_MAX:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise CommandFailed("`--at` is a version, or a moment with its zone: 2026-01-31T12:00:00Z.")
    return moment


async def _restore(order: RestoreOrder, *, as_json: bool) -> int:
    from dataclasses import replace

    from serai.app.restoring import restore_organisation
    from serai.app.shard_facts import ShardError

    bar, step = _watched()
    try:
        with bar:
            outcome = await restore_organisation(load_settings(), replace(order, step=step))
    except ShardError as error:
        raise CommandFailed(str(error)) from error
    if as_json:
        print_json(_as_json(order, outcome))
    else:
        _tell(order, outcome)
    return 0


def _watched() -> tuple[AbstractContextManager[Any], Any]:
    bar = progress_bar()
    task = bar.add_task("restore", total=None)

    def step(what: str, done: int, total: int) -> None:
        bar.update(task, description=_WORDS.get(what, what), completed=done, total=total)

    return bar, step


def _as_json(order: RestoreOrder, outcome: Outcome) -> dict[str, Any]:
    told = outcome.told
    return {
        "org_id": outcome.org_id,
        "into": outcome.into,
        "shard": outcome.shard or None,
        "dry_run": order.dry_run,
        "at": told.at,
        "before": told.before,
        "after": told.after,
        "epoch": told.epoch,
        "entries": told.entries,
        "rows": told.rows,
        "kept": told.kept,
        "unreferenced": told.unreferenced,
        "retyped": told.retyped,
        "present": outcome.present,
    }


def _tell(order: RestoreOrder, outcome: Outcome) -> None:
    told = outcome.told
    if outcome.present:
        console.print(f"organisation {outcome.into} was there already: made by an earlier run")
        return
    words = "would be" if order.dry_run else "were"
    for name, counts in told.rows.items():
        parts = ", ".join(f"{count} {_DONE[op]}" for op, count in sorted(counts.items()))
        # Before what the console says by the other stream.
        print(f"{name:<24} {parts}", flush=True)
    console.print(f"{told.changes} rows {words} written; {told.entries} entries of the record read")
    if told.kept:
        console.print(
            f"{told.kept} roles differ and stay as they are now (`--grants` restores them)"
        )
    if told.unreferenced:
        console.print(f"{told.unreferenced} roles {words} removed with their properties")
    if order.dry_run:
        return
    if outcome.into is not None:
        console.print(f"organisation {outcome.into} ({order.into}) is on {outcome.shard}")
    else:
        console.print(f"version {told.before} -> {told.after}, as at version {told.at}")


_DONE = {"insert": "put back", "update": "changed back", "delete": "taken away"}
