"""A restore as an operator asks for it: which organisation, from where, into what.

Owns the way from a name and a version or a moment to the shards, and the record of new
organisations in the directory. Promises that what a dead restore left is ended by the next one;
that a new organisation is in the directory only when all of it is on its shard; that the thread
which works is told to stop when the command is. Never touches another organisation.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import psycopg

from serai.app.operator import operator
from serai.app.runtime import load_vertical
from serai.app.settings import Settings
from serai.app.shard_facts import ShardError, fleet_directory
from serai.app.shards import shard_named
from serai.app.system_actor import SystemActor
from serai.app.whereabouts import home_of
from serai.core.clock import SystemClock, timestamp_text
from serai.core.errors import Code, SeraiError
from serai.readers.restore import (
    Busy,
    Interrupted,
    NewHome,
    Restored,
    Wish,
    into_new,
    into_same,
    open_new,
    sweep_new,
)
from serai.readers.restore.link import Conn, Step, connect, query, silent
from serai.schema.collections import generate
from serai.schema.compat import check_database
from serai.shard.placement import ShardRef
from serai.shard.queries import load_queries

T = TypeVar("T")
_SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.app", "restoring.sql").items()
}
_SILENT: Final[Step] = silent


@dataclass(frozen=True, slots=True)
class RestoreOrder:
    """What an operator wants.

    Attributes:
        org: key or number. at: a version or a moment.
        into: key of the new organisation; None: the same one. name: the new one's, for people.
        to: the new one's shard; None: of the emptiest open range.
        grants: roles as well.
        step: is told each step; raises to stop.
    """

    org: str
    at: int | datetime
    reason: str
    into: str | None = None
    name: str = ""
    to: str | None = None
    grants: bool = False
    dry_run: bool = False
    step: Step = _SILENT


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it: of which organisation, where, in which one it is now."""

    org_id: int
    into: int | None
    shard: str
    told: Restored
    present: bool = False


async def restore_organisation(settings: Settings, order: RestoreOrder) -> Outcome:
    """Bring an organisation back to a version, or make a new one of it.

    Raises:
        SchemaError: the schema of a shard is older or newer than this code.
        ShardError: there is no such organisation or shard, or it is busy.
        SeraiError: see `serai.readers.restore`. psycopg.OperationalError: a database is away.
    """
    org_id, _, home = await home_of(settings, order.org)
    statements = generate(load_vertical(settings.vertical))
    async with fleet_directory(settings) as directory:
        shard = None if order.to is None else await shard_named(directory, order.to)
        refs = {ref.id: ref for ref in directory.shards}
        for ref in {home} if shard is None else {home, shard}:
            await check_database(ref.url, "shard", statements=statements)
        wish = _wish(
            settings, order, org_id, await asyncio.to_thread(_version, home.url, org_id, order)
        )
        work = _Work(settings.directory_url, home, shard, refs, wish, order)
        with _refused():
            return await _in_thread(work.same if order.into is None else work.new, work)


def _version(url: str, org_id: int, order: RestoreOrder) -> int:
    if isinstance(order.at, int):
        return order.at
    with connect(url) as conn:
        found = query(conn, "version_at", org=org_id, moment=order.at)
    if not found:
        detail = "The audit record of the organisation does not go back to that moment."
        raise SeraiError(Code.FIELDS_INVALID, detail)
    return int(found[0][0])


def _wish(settings: Settings, order: RestoreOrder, org_id: int, at: int) -> Wish:
    vertical = load_vertical(settings.vertical)
    return Wish(
        org_id=org_id,
        at=at,
        vertical=vertical,
        author=str(SystemActor(vertical).user_id),
        actor=operator(),
        reason=order.reason,
        now=timestamp_text(SystemClock().now()),
        grants=order.grants,
    )


@contextlib.contextmanager
def _refused() -> Generator[None]:
    try:
        yield
    except Busy as busy:
        raise ShardError(str(busy)) from busy


async def _in_thread(work: Callable[[], T], owner: _Work) -> T:
    """Run the work in a thread; if this is cancelled it stops before its next step."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        owner.stop.set()
        await asyncio.gather(running, return_exceptions=True)
        raise


class _Work:
    """One restore, in a thread."""

    def __init__(
        self,
        directory_url: str,
        home: ShardRef,
        shard: ShardRef | None,
        refs: dict[int, ShardRef],
        wish: Wish,
        order: RestoreOrder,
    ) -> None:
        self.stop = threading.Event()
        self._directory = directory_url
        self._home, self._shard, self._refs = home, shard, refs
        self._wish, self._order = wish, order

    def step(self, what: str, done: int, total: int) -> None:
        """Tell the order's step, unless the command was told to stop."""
        if self.stop.is_set():
            raise Interrupted
        self._order.step(what, done, total)

    def same(self) -> Outcome:
        """Restore in place."""
        told = into_same(
            self._home.url,
            self._wish,
            moving=self._moving,
            dry_run=self._order.dry_run,
            step=self.step,
        )
        if not self._order.dry_run:
            self._list_people(self._home.url, self._wish.org_id)
        return Outcome(self._wish.org_id, None, self._home.name, told)

    def _list_people(self, url: str, org_id: int) -> None:
        """List the organisation at the sign-in of those who got a role back."""
        wish = self._wish
        if not wish.grants:
            return
        source = wish.vertical.grants
        given = {"collection": wish.vertical.by_name[source.collection].number}
        with connect(url) as shard, connect(self._directory) as conn:
            found = query(shard, "users", org=org_id, field=source.user_field, **given)
            _ask(conn, "list_people", org=org_id, users=[row[0] for row in found])

    def _moving(self) -> bool:
        with connect(self._directory) as conn:
            found: int = _ask(conn, "under_way", org=self._wish.org_id)[0][0]
        return found > 0

    def new(self) -> Outcome:
        """Restore into a new organisation."""
        if self._order.dry_run:
            told = into_new(
                self._home.url, self._wish, NewHome(0, ""), dry_run=True, step=self.step
            )
            return Outcome(self._wish.org_id, None, "", told)
        with connect(self._directory) as conn:
            self._end_others(conn)
            if not _ask(conn, "lock_key", key=self._order.into)[0][0]:
                raise Busy(f"Somebody else makes {self._order.into!r} now. Wait for that to end.")
            return self._new(conn)

    def _new(self, conn: Conn) -> Outcome:
        new, shard, known = self._begin(conn)
        told = Restored(self._wish.at)
        if known != "done":
            if known == "copying":
                try:
                    told = into_new(self._home.url, self._wish, new, step=self.step)
                    self.step("list", 0, 1)
                    if not _ask(conn, "made", org=new.org_id)[0][0]:
                        raise Busy("Somebody else has ended this restore. Look, then try again.")
                except BaseException:
                    self._undo(conn, new)
                    raise
            self.step("open", 0, 1)
            open_new(new)
            self._list_people(new.url, new.org_id)
            _ask(conn, "done", org=new.org_id)
        present = known != "copying"
        return Outcome(self._wish.org_id, new.org_id, shard.name, told, present)

    def _begin(self, conn: Conn) -> tuple[NewHome, ShardRef, str]:
        order = self._order
        try:
            (found,) = _ask(
                conn,
                "begin",
                key=order.into,
                name=order.name,
                shard=None if self._shard is None else self._shard.id,
                source=self._wish.org_id,
                at=self._wish.at,
                actor=self._wish.actor,
                reason=self._wish.reason,
            )
        except psycopg.errors.UniqueViolation as error:
            detail = f"There is an organisation {order.into!r} already. Choose another key."
            raise SeraiError(Code.CONFLICT, detail) from error
        except psycopg.errors.CheckViolation as error:
            detail = "A key is 1 to 100 of a-z, 0-9, dot, hyphen, underscore."
            raise SeraiError(Code.FIELDS_INVALID, detail) from error
        org_id, shard_id, before, step = found
        if before is not None:
            sweep_new(NewHome(org_id, self._refs[before].url))
        shard = self._refs[shard_id]
        return NewHome(org_id, shard.url), shard, step

    def _undo(self, conn: Conn, new: NewHome) -> None:
        """Leave nothing; what cannot be reached now is swept by the next restore."""
        with contextlib.suppress(psycopg.OperationalError):
            # A decision whose answer was lost stands: then there is nothing to undo.
            if _ask(conn, "undone", org=new.org_id):
                sweep_new(new)

    def _end_others(self, conn: Conn) -> None:
        """Sweep what restores have left that are gone."""
        for org_id, key, shard_id in _ask(conn, "unfinished"):
            if key != self._order.into and _ask(conn, "lock_key", key=key)[0][0]:
                sweep_new(NewHome(org_id, self._refs[shard_id].url))
                _ask(conn, "undone", org=org_id)
                _ask(conn, "unlock_key", key=key)


def _ask(conn: Conn, name: str, /, **given: object) -> list[tuple[Any, ...]]:
    cursor = conn.execute(_SQL[name], given)
    return cursor.fetchall() if cursor.description else []
