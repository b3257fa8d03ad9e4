"""`serai bench`: the published figures, measured on this machine.

Owns the command, the table and the progress bar. Promises that with `--json` standard output holds
one JSON line for each figure and nothing else. Never judges: a target is shown, and the status is 0
whether it is reached or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import App, Parameter, validators

from serai.cli import Json
from serai.cli.run import CommandFailed, console, print_json, run

if TYPE_CHECKING:
    from serai.bench.figure import Figure

app = App()
app.command(
    "serai.cli.seeding:seed", name="seed", help="Make a PostgreSQL with many organisations."
)
_WIDTH: Final = 140
"""Where there is no terminal, so that a table in a file is whole."""
Name = Literal[
    "all",
    "centre",
    "user",
    "fleet",
    "commit",
    "pull",
    "empty-pull",
    "http-write",
    "http-push",
    "http-pull",
    "http-empty-pull",
    "bootstrap",
    "history",
    "cold-start",
    "import",
    "directory",
    "scale",
    "replicas",
    "failover",
    "segments",
    "move",
    "move-large",
    "move-many",
]


@app.default
def bench(
    *names: Annotated[Name, Parameter(help="What to measure; nothing for all.")],
    hot: Annotated[bool, Parameter(negative=(), help="With commit: one organisation.")] = False,
    plot: Annotated[Path | None, Parameter(help="Draw the figures into this PNG file.")] = None,
    scale: Annotated[
        float,
        Parameter(
            help="A part of the load, for a first look.", validator=validators.Number(gt=0, lte=10)
        ),
    ] = 1.0,
    as_json: Json = False,
) -> int:
    """Measure figures beside plain PostgreSQL and plain SQLite, each on a server of its own.

    Processor time counts PostgreSQL with all its processes, and Python with the whole server; a
    load client over HTTP is apart. Other programs on the machine change seconds and rates, and
    processor time much less.
    """
    if hot and tuple(names) != ("commit",):
        raise CommandFailed("--hot goes with commit alone: serai bench commit --hot.")
    if plot is not None:
        _need_matplotlib()
    chosen = ["commit --hot"] if hot else _chosen(names)
    return run(_bench(chosen, plot, scale, as_json=as_json))


def _chosen(names: tuple[Name, ...]) -> list[str]:
    """Return what to measure, groups written out, each once."""
    from serai.bench.suite import ALL, CENTRE, FLEET, USER

    groups = {"all": [*ALL], "centre": [*CENTRE], "user": [*USER], "fleet": [*FLEET]}
    asked = [each for name in names or ("all",) for each in groups.get(name, [name])]
    return [*dict.fromkeys(asked)]


def _need_matplotlib() -> None:
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise CommandFailed("--plot needs matplotlib. Install it: pip install 'serai[plot]'.")


async def _bench(chosen: list[str], plot: Path | None, scale: float, *, as_json: bool) -> int:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from serai.bench.figure import Load
    from serai.bench.suite import ALL, shared_conditions

    load = Load().scaled(scale)
    measured: list[Figure] = []
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        disable=as_json or not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=len(chosen))
        for name in chosen:
            bar.update(task, description=name)
            found = await ALL[name](load)
            bar.advance(task)
            measured += found
            if as_json:
                for figure in found:
                    print_json(figure.line())
    conditions = shared_conditions() + ("" if scale == 1 else f", scale {scale:g}")
    if not as_json:
        _show(measured, conditions)
    if plot is not None:
        from serai.bench.plot import draw

        draw(measured, conditions, plot)
    return 0


def _show(measured: list[Figure], conditions: str) -> None:
    """Print a table on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=conditions, title_justify="left", expand=False)
    for name in ("figure", "value", "target", "floor", "ratio", "Python us", "PostgreSQL us"):
        table.add_column(name, justify="left" if name == "figure" else "right", no_wrap=True)
    for each in measured:
        target = "" if each.target is None else str(each.target)
        style = "" if each.target is None or each.target.met(each.value) else "yellow"
        cells = (each.floor, each.ratio, each.python_us_per_row, each.postgres_us_per_row)
        value = f"{each.value:,g} {each.unit}"
        table.add_row(each.figure, value, target, *map(_cell, cells), style=style)
    out = Console(highlight=False, markup=False, emoji=False)
    if not out.is_terminal:
        out.width = _WIDTH
    out.print(table)
    for each in measured:
        out.print(f"{each.figure}: {each.conditions}", soft_wrap=True)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:,g}"
