"""`serai org export`: everything of one organisation in a folder, and whether a folder is whole.

Owns nothing but the command. Promises an exit status of 1 for an export that is not as it was
written. Never changes an organisation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.importing import progress_bar
from serai.cli.run import CommandFailed, console, print_json, run


def export(
    org: Annotated[str | None, Parameter(help="Key or number of the organisation.")] = None,
    *,
    to: Annotated[Path | None, Parameter(help="Folder to make; it must not be there yet.")] = None,
    verify: Annotated[Path | None, Parameter(help="Folder of an export to check.")] = None,
    as_json: Json = False,
) -> int:
    """Write everything of an organisation as of one moment into a folder: rows, the audit record,
    refusals, who its people are, and a manifest with sums. With `--verify`, check such a folder.
    """
    if verify is not None:
        if org is not None or to is not None:
            raise CommandFailed("`--verify FOLDER` stands alone.")
        return _verify(verify, as_json=as_json)
    if org is None or to is None:
        raise CommandFailed("Say which organisation and `--to` which folder, or `--verify FOLDER`.")
    return run(_export(org, to, as_json=as_json))


async def _export(org: str, to: Path, *, as_json: bool) -> int:
    from serai.app.exporting import export_organisation
    from serai.app.shard_facts import ShardError

    try:
        with progress_bar() as bar:
            task = bar.add_task("export", total=None)

            def show(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            exported = await export_organisation(load_settings(), org, to, progress=show)
    except ShardError as error:
        raise CommandFailed(str(error)) from error
    manifest = exported.manifest
    if as_json:
        print_json({"folder": str(exported.folder)} | msgspec.to_builtins(manifest))
        return 0
    for each in manifest.files:
        print(f"{each.lines:>10}  {each.path}")
    console.print(
        f"{manifest.key or manifest.org_id} at epoch {manifest.epoch}, version {manifest.version}, "
        f"is in {exported.folder}"
    )
    return 0


def _verify(folder: Path, *, as_json: bool) -> int:
    from serai.app.export_check import check_export

    found = check_export(folder)
    if as_json:
        manifest = found.manifest
        print_json(
            {
                "folder": str(folder),
                "ok": not found.problems,
                "files": found.files,
                "entries": found.entries,
                "problems": found.problems,
                "manifest": None if manifest is None else msgspec.to_builtins(manifest),
            }
        )
        return int(bool(found.problems))
    for problem in found.problems:
        console.print(problem)
    if not found.problems:
        console.print(f"{found.files} files and {found.entries} entries are as they were written")
    return int(bool(found.problems))
