"""A restore into the same organisation: new versions on top that say what was.

Owns its order: read the record while the organisation is written to, stop its writes, read the
rest, compare, write, let it take writes again. Promises that all that changes is one transaction on
the shard; a process that is killed leaves nothing but the hold on writes, which ends when the
shard's keeper or the next restore sees that nobody is behind it. Never raises the epoch: no number
is used twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import psycopg

from serai.core.errors import Code, SeraiError
from serai.readers.restore.link import (
    Busy,
    Conn,
    Restored,
    Step,
    Wish,
    connect,
    hold,
    query,
    silent,
)
from serai.readers.restore.plan import plan, planned
from serai.readers.restore.walk import Walk
from serai.readers.restore.writing import Order, order_of, write


def into_same(
    url: str,
    wish: Wish,
    *,
    moving: Callable[[], bool],
    dry_run: bool = False,
    step: Step = silent,
) -> Restored:
    """Bring an organisation back to a version where it lives.

    Args:
        url: of its home, as the owner.
        moving: tells whether a move of it is under way; asked while it takes no writes.
        dry_run: compare only; writes go on meanwhile.

    Raises:
        Busy: somebody else restores, moves or transfers it. SeraiError: see `Walk`, `plan`,
            `write`.
        psycopg.OperationalError: the shard does not answer.
    """
    with connect(url) as conn:
        if not dry_run:
            hold(conn, wish.org_id)
            query(conn, "thaw", org=wish.org_id)
        query(conn, "make_stage")
        walk = Walk(conn, wish.org_id, wish.at, step)
        if dry_run:
            with conn.transaction(force_rollback=True):
                conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                return _compared(conn, wish, walk, step)
        walk.read()
        step("freeze", 0, 1)
        given: dict[str, object] = {"org": wish.org_id, "actor": wish.actor, "reason": wish.reason}
        if not _frozen(conn, given):
            raise Busy("It takes no writes now: it is being moved or transferred, or has left.")
        try:
            return _restored(conn, wish, walk, moving, step)
        except BaseException:
            # If the connection is gone the keeper does it.
            with contextlib.suppress(psycopg.OperationalError):
                query(conn, "thaw", org=wish.org_id)
            raise


def _frozen(conn: Conn, given: dict[str, object]) -> bool:
    """Stop its writes; tell whether there were any to stop.

    Raises:
        Busy: a write in flight does not end.
    """
    try:
        frozen: bool = query(conn, "freeze", **given)[0][0]
    except psycopg.errors.LockNotAvailable as error:
        raise Busy("A write of the organisation does not end. Try again.") from error
    return frozen


def _compared(conn: Conn, wish: Wish, walk: Walk, step: Step) -> Restored:
    walk.read()
    if walk.transferred:
        detail = (
            f"A property came or went by `serai org transfer` up to version {walk.transferred}: it "
            "is not to be in two organisations, or in none. Restore to that version or a later "
            "one, or make a new organisation (`--into`)."
        )
        raise SeraiError(Code.CONFLICT, detail)
    report = Restored(wish.at, walk.head, walk.head, walk.epoch, walk.entries)
    plan(conn, wish, report, step)
    return report


def _restored(
    conn: Conn, wish: Wish, walk: Walk, moving: Callable[[], bool], step: Step
) -> Restored:
    step("look for moves", 0, 1)
    if moving():
        raise Busy(
            "It is being moved, or a property of it transferred. Restore it when that has ended."
        )
    with conn.transaction():
        report = _compared(conn, wish, walk, step)
        if report.changes:
            entry = order_of(wish, report)
            order = Order(wish.org_id, entry, lambda: planned(conn), walk.stands)
            write(conn, wish, order, report, step)
        step("thaw", 0, 1)
        query(conn, "thaw", org=wish.org_id)
        step("commit", 0, 1)
    return report
