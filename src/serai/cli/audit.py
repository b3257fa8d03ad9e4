"""`serai org audit`: who did what, and whether the record of it is whole.

Owns nothing but the commands. Promises an exit status of 1 for a record that is not as it was
written, and one JSON line an entry with `--json`. Never changes anything. What it lists holds every
collection of the organisation, restricted ones too: it is for the operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from cyclopts import App, Parameter, validators

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.audit_retention import add_to
from serai.cli.importing import progress_bar
from serai.cli.run import CommandFailed, console, print_json, run

if TYPE_CHECKING:
    from serai.log.verify import Report
    from serai.ports.store import AuditEntry, AuditReader

app = App(name="audit", help="The audit record: list, verify, prune, keep.")
add_to(app)
Org = Annotated[str, Parameter(help="Key of the organisation.")]
_HASH_CHARS = 64


@app.command
def verify(
    org: Org,
    *,
    first: Annotated[
        int,
        Parameter(name="--from", validator=validators.Number(gte=1), help="First entry to check."),
    ] = 1,
    expect: Annotated[
        str | None, Parameter(help="NUMBER:HASH of an entry, as noted from an earlier run.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Compute the chain of the record again. Status 1 if anything is missing or was changed."""
    return run(_verify(org, first, _noted(expect), as_json=as_json))


async def _verify(key: str, first: int, expect: tuple[int, bytes] | None, *, as_json: bool) -> int:
    from serai.app.homes import RecordAtHome
    from serai.app.runtime import open_runtime
    from serai.log.verify import verify as verified

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        org_id = await runtime.directory.org_by_key(key)
        if org_id is None:
            raise CommandFailed(f"There is no organisation {key!r}.")
        store = RecordAtHome(runtime.homes)
        with progress_bar() as bar:
            task = bar.add_task("audit", total=None)

            def show(report: Report) -> None:
                bar.update(task, total=report.total, completed=report.number)

            report = await verified(store, org_id, first=first, expect=expect, progress=show)
    _tell(report, key, as_json=as_json)
    return 0 if report.broken is None else 1


def _noted(text: str | None) -> tuple[int, bytes] | None:
    if text is None:
        return None
    number, _, digest = text.partition(":")
    try:
        noted = int(number), bytes.fromhex(digest)
    except ValueError:
        noted = 0, b""
    if noted[0] < 1 or len(digest) != _HASH_CHARS:
        raise CommandFailed("--expect is NUMBER:HASH, as `serai org audit verify` printed it.")
    return noted


def _tell(report: Report, key: str, *, as_json: bool) -> None:
    broken = report.broken
    if as_json:
        wrong = None
        if broken is not None:
            wrong = {"number": broken.number, "kind": broken.kind, "detail": broken.detail}
        print_json(
            {
                "org": key,
                "ok": broken is None,
                "first": report.first,
                "entries": report.entries,
                "dropped": report.dropped,
                "number": report.number,
                "hash": report.hash.hex(),
                "broken": wrong,
            }
        )
        return
    if report.dropped:
        console.print(f"entries 1 to {report.dropped} were dropped by retention")
    if broken is None:
        console.print(f"{report.entries} entries from {report.first} on are as they were written")
    else:
        console.print(f"broken at entry {broken.number}: {broken.detail}")
    console.print(f"good up to {report.number}:{report.hash.hex()}")


@app.command(name="list")
def list_entries(
    org: Org,
    *,
    row: Annotated[UUID | None, Parameter(help="Only entries of this row.")] = None,
    user: Annotated[UUID | None, Parameter(help="Only entries of this user or API key.")] = None,
    limit: Annotated[
        int, Parameter(validator=validators.Number(gte=1), help="How many at most.")
    ] = 50,
    as_json: Json = False,
) -> int:
    """List entries, newest first."""
    return run(_list(org, row, user, limit, as_json=as_json))


async def _list(key: str, row: UUID | None, user: UUID | None, limit: int, *, as_json: bool) -> int:
    from serai.app.homes import RecordAtHome
    from serai.app.runtime import open_runtime

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        org_id = await runtime.directory.org_by_key(key)
        if org_id is None:
            raise CommandFailed(f"There is no organisation {key!r}.")
        store = RecordAtHome(runtime.homes)
        names = {c.number: c.name for c in runtime.vertical.collections}
        await _print(store, org_id, row, user, limit, names, as_json=as_json)
    return 0


async def _print(
    store: AuditReader,
    org_id: int,
    row: UUID | None,
    user: UUID | None,
    limit: int,
    names: dict[int, str],
    *,
    as_json: bool,
) -> None:
    """Print page by page, so that a list of any length takes the memory of one page."""
    from serai.core.limits import AUDIT_PAGE_ENTRIES

    before = None
    while limit > 0:
        entries = await store.audit_list(
            org_id, before=before, row_id=row, user_id=user, limit=min(limit, AUDIT_PAGE_ENTRIES)
        )
        for entry in entries:
            _print_entry(entry, names, as_json=as_json)
        if len(entries) < min(limit, AUDIT_PAGE_ENTRIES):
            return
        limit -= len(entries)
        before = entries[-1].number


def _print_entry(entry: AuditEntry, names: dict[int, str], *, as_json: bool) -> None:
    collection = names.get(entry.collection, "-")
    if as_json:
        print_json(
            {
                "number": entry.number,
                "at": entry.at,
                "version": entry.version,
                "user": str(entry.user_id),
                "device": None if entry.device_id is None else str(entry.device_id),
                "via": entry.via,
                "op": entry.op,
                "collection": collection,
                "row": str(entry.row_id),
                "content": entry.content,
                "hash": entry.hash.hex(),
            }
        )
        return
    who = f"{entry.user_id} {entry.via:<6} {entry.device_id or '-'!s:<36}"
    print(f"{entry.number:>8}  {entry.at}  {who}  {entry.op:<6} {collection} {entry.row_id}")
    print(f"          {entry.content}")
