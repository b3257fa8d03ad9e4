"""`serai report`: count and sum a collection over all shards.

Owns the command. Promises that a number which may be incomplete is shown as such, on standard error
and by the status 1, and with `--json` by `partial`. Never changes anything.
"""

from __future__ import annotations

import sys
from datetime import date
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter, validators

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.run import CommandFailed, print_json, run

if TYPE_CHECKING:
    from serai.app.report import Report
    from serai.app.report_sql import Question


def report(  # noqa: PLR0913 - one parameter an option
    collection: Annotated[str, Parameter(help="What to count, such as revenues.")],
    *,
    summed: Annotated[
        str | None, Parameter(name="--sum", help="A number to add up, such as amount_minor.")
    ] = None,
    top: Annotated[
        int,
        Parameter(
            help="Name so many organisations with most of it.",
            validator=validators.Number(gte=0, lte=1_000),
        ),
    ] = 0,
    first: Annotated[date | None, Parameter(name="--from", help="First day, included.")] = None,
    last: Annotated[date | None, Parameter(name="--to", help="Last day, included.")] = None,
    dated: Annotated[
        str | None,
        Parameter(name="--by", help="Which day; without it, the one the months are made by."),
    ] = None,
    deadline: Annotated[
        float,
        Parameter(help="Seconds for each shard.", validator=validators.Number(gt=0, lte=3_600)),
    ] = 10.0,
    as_json: Json = False,
) -> int:
    """Count the rows of a collection over all shards, and add up a number of it.

    Amounts are added by currency. A shard that does not answer in time is named, and the status is
    1: the numbers are without it.
    """
    from serai.app.report_sql import Question

    question = Question(collection, summed, dated, first, last, top)
    return run(_report(question, deadline, as_json=as_json))


async def _report(question: Question, deadline: float, *, as_json: bool) -> int:
    from serai.app.report import report
    from serai.app.report_sql import ReportError
    from serai.app.runtime import load_vertical

    settings = load_settings()
    try:
        found = await report(
            settings, load_vertical(settings.vertical), question, deadline_seconds=deadline
        )
    except ReportError as error:
        raise CommandFailed(str(error)) from None
    if as_json:
        print_json({**msgspec.to_builtins(found), "partial": found.partial})
    else:
        _tell(found)
    return 1 if found.partial else 0


def _tell(found: Report) -> None:
    if not found.totals:
        print(f"{found.collection}: no rows")
    for total in found.totals:
        added = "" if total.sum is None else f"  sum {total.sum:,}"
        print(f"{found.collection}: {total.rows:,} rows{added}{_in(total.currency)}")
    for place, share in enumerate(found.top, 1):
        added = "" if share.sum is None else f"  sum {share.sum:,}"
        name = share.key or f"organisation {share.org_id}"
        print(f"{place:>4}. {name:<40} {share.rows:>10,} rows{added}{_in(share.currency)}")
    for missing in found.missing:
        print(f"PARTIAL: without {missing.shard}: {missing.why}", file=sys.stderr)
    if found.moved:
        print(
            "PARTIAL: placement changed meanwhile; an organisation that moved may be counted twice "
            "or not at all. Ask again.",
            file=sys.stderr,
        )


def _in(currency: str | None) -> str:
    return "" if currency is None else f" minor units of {currency}"
