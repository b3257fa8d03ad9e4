"""A restore into a new organisation: the rows of a version, copied beside the one that goes on.

Owns the copy from a snapshot of the source into one transaction of the target. Promises that the
new organisation is `moved` there, so nobody is served from it, until it is opened; that what a
killed copy leaves can be swept; that the source goes on taking writes and is not changed. Never
copies what belongs to the other organisation alone: replies, devices, refusals, its audit record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from serai.log.audit import FIRST_HASH
from serai.readers.restore.link import Busy, Conn, Restored, Step, Wish, connect, query, silent
from serai.readers.restore.plan import PAGE_ROWS, WRITE_BYTES, WRITE_ROWS, Change, row_then
from serai.readers.restore.walk import Walk
from serai.readers.restore.writing import Order, order_of, write

_BEFORE_FIRST: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class NewHome:
    """Where the new organisation goes: its number, and its shard's URL as the owner."""

    org_id: int
    url: str


def into_new(
    url: str, wish: Wish, new: NewHome, *, dry_run: bool = False, step: Step = silent
) -> Restored:
    """Copy an organisation as it was at a version; the new one is not served yet.

    Raises:
        SeraiError: see `Walk`, `write`. Busy: the target has such an organisation already.
        psycopg.OperationalError: a shard does not answer.
    """
    with connect(url) as source:
        query(source, "make_stage")
        with source.transaction(force_rollback=True):
            source.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            walk = Walk(source, wish.org_id, wish.at, step)
            walk.read()
            report = Restored(wish.at, walk.head, walk.head, walk.epoch, walk.entries)
            _count(source, wish, report)
            if not dry_run:
                _copy(source, wish, new, report, step)
    return report


def _count(source: Conn, wish: Wish, report: Restored) -> None:
    """Count what there was, by collection."""
    for batch in _batches(source, wish):
        for change in batch:
            name = wish.vertical.by_number[change.collection].name
            counts = report.rows.setdefault(name, {"insert": 0})
            counts["insert"] += 1


def _copy(source: Conn, wish: Wish, new: NewHome, report: Restored, step: Step) -> None:
    with connect(new.url) as target, target.transaction():
        query(target, "make_new", org=new.org_id)
        if query(target, "new_state", org=new.org_id) != [("moved", 0)]:
            raise Busy(f"There is an organisation {new.org_id} on that shard already.")
        entry = order_of(wish, report, wish.org_id)
        stands = {"version": 0, "number": 0, "hash": FIRST_HASH}
        order = Order(new.org_id, entry, lambda: _batches(source, wish), stands, logged=False)
        write(target, wish, order, report, step)
        step("commit", 0, 1)


def _batches(source: Conn, wish: Wish) -> Iterator[list[Change]]:
    waiting: list[Change] = []
    size = 0
    for change in _rows(source, wish):
        if waiting and (len(waiting) >= WRITE_ROWS or size + len(change.doc) > WRITE_BYTES):
            yield waiting
            waiting, size = [], 0
        waiting.append(change)
        size += len(change.doc)
    if waiting:
        yield waiting


def _rows(source: Conn, wish: Wish) -> Iterator[Change]:
    """Yield every row as it was, collection by collection in order of dependency."""
    roles = wish.vertical.grants.collection
    for collection in wish.vertical.collections:
        if collection.name != roles or wish.grants:
            yield from _still_there(source, wish.org_id, collection.number)
            yield from _gone(source, wish.org_id, collection.number)


def _still_there(source: Conn, org_id: int, collection: int) -> Iterator[Change]:
    after = _BEFORE_FIRST
    given = {"org": org_id, "collection": collection, "limit": PAGE_ROWS}
    while page := query(source, "rows", **given, after=after):
        after = page[-1][0]
        ids = [row[0] for row in page]
        keys = {"collections": [collection] * len(ids), "ids": ids}
        pasts = {row_id: past for _, row_id, past in query(source, "pasts", **keys)}
        for row_id, scope, doc, version in page:
            past = pasts.get(row_id)
            was = doc if past is None else row_then(row_id, past, doc, version)
            if was is not None:
                yield Change(collection, row_id, scope, "insert", was)


def _gone(source: Conn, org_id: int, collection: int) -> Iterator[Change]:
    after = _BEFORE_FIRST
    given = {"org": org_id, "collection": collection, "limit": PAGE_ROWS}
    while page := query(source, "gone_rows", **given, after=after):
        after = page[-1][0]
        for row_id, scope, packed in page:
            was = row_then(row_id, packed, None, None)
            if was is not None:
                yield Change(collection, row_id, scope, "insert", was)


def open_new(new: NewHome) -> None:
    """Let the new organisation be served. Doing it again changes nothing."""
    with connect(new.url) as conn:
        query(conn, "open_new", org=new.org_id)


def sweep_new(new: NewHome) -> None:
    """Remove what a copy that died has left."""
    with connect(new.url) as conn:
        query(conn, "sweep_new", org=new.org_id)
