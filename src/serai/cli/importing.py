"""`serai import`: foreign files into an organisation, one command for each importer of the
vertical.

Owns the progress bar and the report. Promises an exit status of 1 if a line was bad, and the bad
lines with number and reason. Never stops at a bad line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from serai.app.importing import ImportReport
from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.run import CommandFailed, console, print_json, run

app = App(name="import", help="Import a file: `serai import KIND FILE --org KEY`.")
_SHOWN_MAX = 20


@app.default
def import_file(
    kind: Annotated[str, Parameter(help="An importer of the vertical, such as hotel-bookings.")],
    file: Annotated[Path, Parameter(help="Plain or gzip.")],
    *,
    org: Annotated[str, Parameter(help="Key of the organisation.")],
    as_json: Json = False,
) -> int:
    """Import FILE. Cut and started again, it goes on; done twice, it changes nothing."""
    return run(_import(kind, file, org, as_json=as_json))


async def _import(kind: str, file: Path, key: str, *, as_json: bool) -> int:
    from serai.app.importing import NotImportable
    from serai.app.importing import import_file as import_into
    from serai.app.runtime import open_runtime

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        importer = runtime.vertical.importers.get(kind)
        if importer is None:
            known = ", ".join(sorted(runtime.vertical.importers)) or "none"
            raise CommandFailed(f"There is no importer {kind!r}. There are: {known}.")
        if await runtime.directory.org_by_key(key) is None:
            raise CommandFailed(
                f"There is no organisation {key!r}. Make it: serai org create {key}"
            )
        with progress_bar() as bar:
            task = bar.add_task(kind, total=None)

            def show(report: ImportReport) -> None:
                bar.update(task, total=report.lines, completed=report.done)

            try:
                report = await import_into(runtime, key, importer, file, progress=show)
            except NotImportable as error:
                raise CommandFailed(f"{file} cannot be imported as {kind}: {error}.") from error
    tell(report, as_json=as_json)
    return 1 if report.bad else 0


def progress_bar() -> Progress:
    """Return the bar of long work, on standard error; none where nobody watches."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def tell(report: ImportReport, *, as_json: bool) -> None:
    """Print what an import did."""
    if as_json:
        fields = ("file", "sha256", "lines", "imported", "rows", "present", "left_out", "bad")
        listed = [{"line": line, "reason": reason} for line, reason in report.bad_lines]
        print_json({name: getattr(report, name) for name in fields} | {"bad_lines": listed})
        return
    console.print(
        f"{report.lines} lines: {report.imported} imported as {report.rows} rows, "
        f"{report.present} there already, {report.left_out} left out, {report.bad} bad"
    )
    for line, reason in report.bad_lines[:_SHOWN_MAX]:
        console.print(f"  line {line}: {reason}")
    if report.bad > _SHOWN_MAX:
        console.print(f"  and {report.bad - _SHOWN_MAX} more; --json lists up to a thousand")
