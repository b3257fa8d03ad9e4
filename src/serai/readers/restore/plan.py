"""What differs between a version and the present: a row to put back, to change back, to take away.

Owns the comparison, row by row, of what the walk put aside with what is there. Promises memory of
one page, that a row which is not the one that the record speaks of stops everything, and that roles
stay as they are unless they are asked for. Never changes a row of the organisation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from serai.core.errors import Code, SeraiError
from serai.log.past import agrees, changed, then, unpacked
from serai.model import Vertical
from serai.readers.restore.link import Conn, Restored, Step, Wish, query

PAGE_ROWS: Final = 500
WRITE_ROWS: Final = 500
"""Rows of one version: a page that a device pulls never ends inside a version."""
WRITE_BYTES: Final = 1 << 20
_FIRST: Final = UUID(int=0)
_DELETES_FROM: Final = 1_000
"""Places of deletes come after all others: what refers to a row goes before it."""
_encode = msgspec.json.Encoder().encode


class Change(NamedTuple):
    """A row to write. `changed`, `diff`: of an update, as `serai.ports.store.RowOp` says them."""

    collection: int
    id: UUID
    scope: UUID
    op: str
    doc: str
    changed: str | None = None
    diff: str | None = None


def place(vertical: Vertical, change: Change) -> int:
    """Return where a change stands in the order of writes."""
    position = vertical.collections.index(vertical.by_number[change.collection])
    return _DELETES_FROM - position if change.op == "delete" else position


def plan(conn: Conn, wish: Wish, report: Restored, step: Step) -> None:
    """Find what differs and put it in order; the report counts it.

    Raises:
        SeraiError: `conflict`: a row is not the one that the record speaks of.
    """
    vertical = wish.vertical
    kept = None if wish.grants else vertical.by_name[vertical.grants.collection].number
    total = query(conn, "count_pasts")[0][0]
    collection, after, done = 0, _FIRST, 0
    while page := query(
        conn, "beside", org=wish.org_id, collection=collection, after=after, limit=PAGE_ROWS
    ):
        collection, after = page[-1][:2]
        differing = [each for each in map(_compared, page) if each is not None]
        wanted = [each for each in differing if each.collection != kept]
        report.kept += len(differing) - len(wanted)
        _put(conn, vertical, wanted)
        done += len(page)
        step("compare", done, total)
    if kept is not None:
        report.unreferenced = _orphans(conn, wish, kept)
    for number, op, count in query(conn, "count_ops"):
        counts = report.rows.setdefault(vertical.by_number[number].name, {})
        counts[op] = counts.get(op, 0) + count


def _compared(found: tuple[Any, ...]) -> Change | None:
    collection, row_id, scope, packed, doc, version = found
    was = row_then(row_id, packed, doc, version)
    if was is None:
        return None if doc is None else Change(collection, row_id, scope, "delete", doc)
    if doc is None:
        return Change(collection, row_id, scope, "insert", was)
    names = changed(doc, was)
    if not names:
        return None
    diff = _encode(names).decode()
    return Change(collection, row_id, scope, "update", was, ",".join(names), diff)


def row_then(row_id: UUID, packed: bytes, doc: str | None, version: int | None) -> str | None:
    """Return a row as it was, None if it was not there.

    Args:
        doc, version: of the row now, None if it is not there.

    Raises:
        SeraiError: `conflict`: it is not the row that the record speaks of.
    """
    past = unpacked(packed)
    if not agrees(past, version):
        detail = (
            f"Row {row_id} is not the one that the audit record speaks of (version {past.version}, "
            f"the row says {version}). Nothing was changed. Run `serai org verify`."
        )
        raise SeraiError(Code.CONFLICT, detail)
    return then(past, doc)


def _put(conn: Conn, vertical: Vertical, changes: list[Change]) -> None:
    if changes:
        query(
            conn,
            "put_ops",
            places=[place(vertical, each) for each in changes],
            **columns(changes),
        )


def columns(changes: list[Change]) -> dict[str, list[Any]]:
    """Return changes as the arrays that statements take."""
    return {
        "collections": [each.collection for each in changes],
        "ids": [each.id for each in changes],
        "scopes": [each.scope for each in changes],
        "ops": [each.op for each in changes],
        "docs": [each.doc for each in changes],
        "changed": [each.changed for each in changes],
        "diffs": [each.diff for each in changes],
    }


def _orphans(conn: Conn, wish: Wish, kept: int) -> int:
    """Take along the roles at properties that go; return how many."""
    vertical = wish.vertical
    source = vertical.by_number[kept]
    last = place(vertical, Change(kept, _FIRST, _FIRST, "delete", ""))
    for name, declared in source.fields.items():
        if declared.target is not None:
            target = vertical.by_name[declared.target].number
            given = {"kept": kept, "field": name, "target": target, "place": last}
            query(conn, "put_orphans", org=wish.org_id, **given)
    return sum(n for number, _, n in query(conn, "count_ops") if number == kept)


def planned(conn: Conn) -> Iterator[list[Change]]:
    """Yield the changes in order, as many at once as one version may hold."""
    at, after = -1, _FIRST
    waiting: list[Change] = []
    size = 0
    while page := query(conn, "ops", place=at, after=after, limit=PAGE_ROWS):
        at, after = page[-1][0], page[-1][2]
        for row in page:
            change = Change(*row[1:])
            if waiting and (len(waiting) >= WRITE_ROWS or size + len(change.doc) > WRITE_BYTES):
                yield waiting
                waiting, size = [], 0
            waiting.append(change)
            size += len(change.doc)
    if waiting:
        yield waiting
