"""Whether directory and shards agree: does each organisation live where it is looked for?

Owns the comparison. Promises to find an organisation that is missing at its home, one that takes
writes at a place where nobody looks for it, and a shard that cannot serve; in pages, so that five
million organisations take the memory of ten thousand. What looks wrong is looked at again with a
fresh copy of the directory, because organisations are made and moved meanwhile. Never mends
anything.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from serai.app.doctor.disk import disk
from serai.app.doctor.finding import Finding, failed, ok, warning
from serai.app.runtime import load_vertical
from serai.app.settings import Settings
from serai.app.shard_facts import OPTIONS, PAGE_ORGS, SQL, ShardError, asked, fleet_directory
from serai.schema.collections import generate
from serai.schema.compat import check_database
from serai.schema.database import Conn, connected, value
from serai.schema.database_url import failure_of
from serai.schema.errors import SchemaError
from serai.schema.generated import GeneratedStatement
from serai.shard.directory import Directory
from serai.shard.placement import ShardRef

_PAGE_SECONDS_MAX: Final = 60.0
_NAMED_MAX: Final = 10
"""Organisations that a finding names; the rest are counted."""
_SUSPECTS_MAX: Final = 1_000
_REMEDY: Final = "See that its PostgreSQL runs and can be reached from here."
OnCompared = Callable[[int, int], None]
"""Is told (organisations compared, all of them)."""


@dataclass(slots=True)
class _Looked:
    """One shard under the eyes of the check. Organisations are suspects until they were looked at
    twice; `lost`: why the shard does not answer any more.
    """

    ref: ShardRef
    conn: Conn
    here: int = 0
    frozen: int = 0
    missing: set[int] = field(default_factory=set[int])
    foreign: set[int] = field(default_factory=set[int])
    lost: str | None = None

    async def ask(self, name: str, **given: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement; none once the shard does not answer."""
        if self.lost is not None:
            return []
        try:
            async with asyncio.timeout(_PAGE_SECONDS_MAX):
                return await (await self.conn.execute(SQL[name], given)).fetchall()
        except TimeoutError:
            self.lost = "no answer in time"
        except psycopg.Error as error:
            self.lost = failure_of(error)
        return []

    async def present(self, org_ids: set[int]) -> dict[int, str]:
        """Return the state of those that are here."""
        rows = await self.ask("present", org_ids=sorted(org_ids))
        return {org_id: state for org_id, state, *_ in rows if state != "moved"}


async def check_shards(
    settings: Settings, progress: OnCompared = lambda _done, _total: None
) -> list[Finding]:
    """Return what there is to say of every shard."""
    found: list[Finding] = []
    looked: dict[int, _Looked] = {}
    statements = generate(load_vertical(settings.vertical))
    async with fleet_directory(settings) as directory, AsyncExitStack() as stack:
        for ref in directory.shards:
            fit = await _fit(ref, statements)
            found.extend(fit)
            if not fit[0].remedy:
                conn = await stack.enter_async_context(connected(ref.url, OPTIONS))
                looked[ref.id] = _Looked(ref, conn)
        known = await stack.enter_async_context(connected(settings.directory_url, OPTIONS))
        await _look_for_missing(directory, known, looked, progress)
        for each in looked.values():
            await _look_for_foreign(directory, each)
        await directory.refresh()
        for each in looked.values():
            await _look_again(directory, each)
    for each in looked.values():
        found.extend(_told(each))
    return found


async def _fit(ref: ShardRef, statements: Sequence[GeneratedStatement]) -> list[Finding]:
    """Say whether this code can serve from the shard; the first finding is what keeps it from
    that.
    """
    try:
        async with asked(ref.url) as conn:
            state = await check_database(ref.url, "shard", statements=statements, options=OPTIONS)
            room = await disk(conn, ref.name)
    except ShardError as error:
        return [failed(ref.name, "reachable", str(error), _REMEDY)]
    except SchemaError as error:
        return [failed(ref.name, "schema", error.problem, error.remedy)]
    return [ok(ref.name, "schema", f"version {state.version}"), *([room] if room.remedy else ())]


async def _look_for_missing(
    directory: Directory, known: Conn, looked: dict[int, _Looked], progress: OnCompared
) -> None:
    """Look for every organisation that the directory knows at its home."""
    total = await value(known, SQL["known_count"])
    done, after = 0, 0
    while True:
        cursor = await known.execute(SQL["known"], {"after": after, "limit": PAGE_ORGS})
        page = [org_id for (org_id,) in await cursor.fetchall()]
        if not page:
            return
        after, done = page[-1], done + len(page)
        homes: defaultdict[int, set[int]] = defaultdict(set)
        for org_id in page:
            home = directory.placement.resolve(org_id)
            if home is not None:
                homes[home.id].add(org_id)
        for shard_id, expected in homes.items():
            if shard_id in looked:
                shard = looked[shard_id]
                _suspect(shard.missing, expected - (await shard.present(expected)).keys())
        progress(done, total)


async def _look_for_foreign(directory: Directory, shard: _Looked) -> None:
    """Look for organisations that are here and whom nobody looks for here."""
    after = 0
    while page := await shard.ask("here", after=after, limit=PAGE_ORGS):
        after = page[-1][0]
        for org_id, state in page:
            shard.here += 1
            shard.frozen += state == "frozen"
            # A frozen one takes no write: it is the copy of a move that is under way.
            if state == "active" and directory.placement.resolve(org_id) != shard.ref:
                _suspect(shard.foreign, {org_id})


async def _look_again(directory: Directory, shard: _Looked) -> None:
    """Keep the suspects that are still wrong by the directory as it is now."""

    def lives_here(org_id: int) -> bool:
        return directory.placement.resolve(org_id) == shard.ref

    present = await shard.present(shard.missing)
    shard.missing = {o for o in shard.missing - present.keys() if lives_here(o)}
    present = await shard.present(shard.foreign)
    shard.foreign = {o for o in shard.foreign if present.get(o) == "active" and not lives_here(o)}


def _suspect(suspects: set[int], more: set[int]) -> None:
    """Note suspects, as many as a person could look at."""
    suspects.update(sorted(more)[: max(0, _SUSPECTS_MAX - len(suspects))])


def _told(shard: _Looked) -> list[Finding]:
    name = shard.ref.name
    if shard.lost is not None:
        return [failed(name, "reachable", shard.lost, _REMEDY)]
    found: list[Finding] = []
    if shard.missing:
        found.append(
            failed(
                name,
                "missing",
                f"organisations that should live here and do not: {_listed(shard.missing)}",
                "One whose creation was cut off: run `serai org create KEY` again. "
                "Others: restore the shard from a backup.",
            )
        )
    if shard.foreign:
        found.append(
            failed(
                name,
                "foreign",
                f"organisations that take writes here and live elsewhere: {_listed(shard.foreign)}",
                "See `serai org where NUMBER`, and finish or undo their move.",
            )
        )
    if shard.frozen:
        found.append(
            warning(
                name,
                "frozen",
                f"{shard.frozen} organisations take no writes",
                "They are being moved. If no move runs, one was cut off: finish or undo it.",
            )
        )
    if not shard.missing and not shard.foreign:
        found.append(ok(name, "organisations", f"{shard.here}, where they are looked for"))
    return found


def _listed(org_ids: set[int]) -> str:
    shown = ", ".join(map(str, sorted(org_ids)[:_NAMED_MAX]))
    more = len(org_ids) - _NAMED_MAX
    if len(org_ids) >= _SUSPECTS_MAX:
        return f"{shown} and at least {more} more"
    return f"{shown} and {more} more" if more > 0 else shown
