"""`serai bench seed`: a PostgreSQL with as many organisations as a fleet's machine holds.

Owns the command and its progress bar. Promises that a run that was ended goes on when it is given
again with the same directory, and that one which holds something else is left as it is. Never
measures anything but its own time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from serai.cli import Json
from serai.cli.run import CommandFailed, console, print_json, run

if TYPE_CHECKING:
    from serai.bench.seed import Seeded


def seed(
    *,
    orgs: Annotated[int, Parameter(help="How many organisations.")],
    data_dir: Annotated[Path, Parameter(help="Where the PostgreSQL is to be, or is begun.")],
    as_json: Json = False,
) -> int:
    """Make organisations with properties, ledgers and owners, in sizes of real operators.

    Five million take some minutes and 40 GB. Ended in the middle and given again, it goes on.
    """
    return run(_seed(data_dir, orgs, as_json=as_json))


async def _seed(data_dir: Path, orgs: int, *, as_json: bool) -> int:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from serai.bench.seed import seed

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=as_json or not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=1.0)

        def say(step: str, part: float) -> None:
            bar.update(task, description=step, completed=part)

        try:
            made = await seed(data_dir, orgs, say)
        except ValueError as error:
            raise CommandFailed(str(error)) from None
    if as_json:
        print_json(_members(made))
    else:
        print(
            f"{made.organisations:,} organisations, {made.properties:,} properties, "
            f"{made.rows:,} rows in {made.seconds:.0f} s; {made.bytes / made.organisations:,.0f} B "
            f"an organisation on disk.\nserai dev --data-dir {data_dir} serves them."
        )
    return 0


def _members(made: Seeded) -> dict[str, int | float]:
    return {
        "organisations": made.organisations,
        "properties": made.properties,
        "rows": made.rows,
        "seconds": round(made.seconds, 1),
        "bytes": made.bytes,
        "bytes_per_org": round(made.bytes / made.organisations),
        "tables_full_before": made.went_on,
    }
