"""The writes of a restore: versions of at most 500 rows, within one transaction of the caller.

Owns their order and the entry of the audit record that says who ordered it and why. Promises that
rows, log, record and typed tables say the same when it returns, and that the organisation's own
row is locked by the last statement alone: writes of its neighbours do not wait for it. Rows that
exchanged a unique value, or were deleted and made anew under it, cannot be written one after the
other; then the typed tables of the organisation are made anew from its rows, which costs time and
nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import errors

from serai.core.ids import ORG_SCOPE
from serai.readers.restore.link import Busy, Conn, Restored, Step, Wish, query, violated
from serai.readers.restore.plan import Change, columns

_encode = msgspec.json.Encoder().encode
Batches = Callable[[], Iterable[list[Change]]]


@dataclass(frozen=True, slots=True)
class Order:
    """Where the writes go, and what they are.

    Attributes:
        org_id: the organisation that is written. entry: what the record says of the order.
        batches: gives the changes, anew each time it is called.
        stands: its version, and number and hash of the last entry of its record.
        logged: devices are told; an organisation that is new has none.
    """

    org_id: int
    entry: Change
    batches: Batches
    stands: dict[str, Any]
    logged: bool = True


def order_of(wish: Wish, report: Restored, source: int | None = None) -> Change:
    """Return the entry that says what was ordered.

    Args:
        source: the organisation whose state it is, if it is another one.
    """
    content: dict[str, object] = {
        "at": wish.at,
        "before": report.before,
        "actor": wish.actor,
        "reason": wish.reason,
        "grants": wish.grants,
    }
    if source is not None:
        content["source"] = source
    doc = _encode(content).decode()
    return Change(0, UUID(int=0), ORG_SCOPE, "restore", doc)


def write(conn: Conn, wish: Wish, order: Order, report: Restored, step: Step) -> None:
    """Write all batches, the order before them, and where the organisation stands then.

    Raises:
        SeraiError: `conflict`: the database refuses what it once had.
    """
    try:
        try:
            with conn.transaction():
                stands = _run(conn, wish, order, report, step, typed=True)
        except (errors.UniqueViolation, errors.ForeignKeyViolation):
            report.retyped = True
            stands = _run(conn, wish, order, report, step, typed=False)
            step("type", 0, 1)
            query(conn, "retype", org=order.org_id)
    except psycopg.IntegrityError as error:
        raise violated(wish.at, error) from error
    roles = wish.vertical.grants.collection in report.rows
    before, new = order.stands["version"], not order.logged
    given = {"before": before, "grants": roles, "new": new}
    if not query(conn, "end", org=order.org_id, **given, **stands)[0][0]:
        raise Busy("Somebody changed the organisation past its writes. Nothing was restored.")
    report.after = stands["version"]


def _run(
    conn: Conn, wish: Wish, order: Order, report: Restored, step: Step, *, typed: bool
) -> dict[str, Any]:
    """Write; return where the organisation stands then."""
    given = {"org": order.org_id, "now": wish.now, "author": wish.author, "typed": typed}
    done, total = 0, report.changes + 1
    stands: dict[str, Any] = order.stands
    for batch in _after(order.entry, order.batches()):
        told = query(conn, "write", **given, logged=order.logged, **stands, **columns(batch))
        version, number, sha = told[0]
        stands = {"version": version, "number": number, "hash": sha}
        done += len(batch)
        step("write", done, total)
    return stands


def _after(first: Change, batches: Iterable[list[Change]]) -> Iterator[list[Change]]:
    """Put one change before the first batch, or alone where there is none."""
    before: list[Change] = [first]
    for batch in batches:
        yield before + batch
        before = []
    if before:
        yield before
