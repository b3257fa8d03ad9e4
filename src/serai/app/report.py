"""Reports over all shards: count, sum, and the organisations with most of it.

Owns scatter and gather. Promises that each shard has a deadline of its own and holds up no other;
that an answer in which a shard is missing says so; that memory does not grow with organisations,
for a shard gives totals and at most as many organisations as are asked for; and that amounts of
different currencies are never added. An organisation that was moved is counted at its home alone.
One that moves while the report runs may be counted twice or not at all: then the report says that
placement changed meanwhile. Never changes anything.

The organisations with most are exact: each lives whole on one shard, so the first ten of all are
among the first ten of each.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from heapq import nlargest
from typing import Final

import msgspec
import psycopg

from serai.app.report_sql import Question, Statements
from serai.app.settings import Settings
from serai.app.shard_facts import OPTIONS, fleet_directory
from serai.model import Vertical
from serai.schema.database import Conn, connected
from serai.schema.database_url import failure_of, fault_of
from serai.shard.directory import Directory
from serai.shard.placement import ShardRef
from serai.shard.queries import load_queries

SHARDS_AT_ONCE: Final = 16
_CLEANUP_SECONDS: Final = 1.0
"""For the server to end a statement by its own timeout, before the connection is given up."""
_SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.app", "report.sql").items()
}


class Total(msgspec.Struct, frozen=True):
    """Rows, and the sum of a field in its unit; `currency` is None for what is no amount."""

    currency: str | None
    rows: int
    sum: int | None


class Share(msgspec.Struct, frozen=True):
    """What one organisation has of a total."""

    org_id: int
    currency: str | None
    rows: int
    sum: int | None
    key: str | None = None

    @property
    def weight(self) -> int:
        """What organisations are ordered by."""
        return self.rows if self.sum is None else self.sum


class Missing(msgspec.Struct, frozen=True):
    """A shard that gave no answer, and why."""

    shard: str
    why: str


class Report(msgspec.Struct, frozen=True):
    """The answer.

    Attributes:
        totals: by currency.
        top: by currency, largest first.
        shards: how many answered.
        missing: those that did not; the totals are without them.
        moved: placement changed while the report ran.
    """

    collection: str
    totals: list[Total]
    top: list[Share]
    shards: int
    missing: list[Missing]
    moved: bool

    @property
    def partial(self) -> bool:
        """Something may be missing, or there twice."""
        return bool(self.missing) or self.moved


class Part(msgspec.Struct, frozen=True):
    """One shard's answer."""

    totals: list[Total]
    top: list[Share]


async def report(
    settings: Settings, vertical: Vertical, question: Question, *, deadline_seconds: float
) -> Report:
    """Ask every shard.

    Raises:
        ReportError: the collection has no such fields.
        SettingsError, SchemaError: there is no directory to ask.
    """
    statements = Statements(vertical, question)
    async with fleet_directory(settings) as directory:
        version = directory.version
        gate = asyncio.Semaphore(SHARDS_AT_ONCE)

        async def one(ref: ShardRef) -> Part | Missing:
            async with gate:
                return await _ask(directory, ref, statements, deadline_seconds)

        parts = await asyncio.gather(*map(one, directory.shards))
        await directory.refresh()
        found = gathered(question, parts, moved=directory.version != version)
        keys = await _keys(settings, [share.org_id for share in found.top])
    named = [msgspec.structs.replace(share, key=keys.get(share.org_id)) for share in found.top]
    return msgspec.structs.replace(found, top=named)


def gathered(question: Question, parts: Sequence[Part | Missing], *, moved: bool) -> Report:
    """Put the answers of shards together."""
    answers = [part for part in parts if isinstance(part, Part)]
    rows: defaultdict[str | None, int] = defaultdict(int)
    sums: defaultdict[str | None, int] = defaultdict(int)
    shares: defaultdict[str | None, list[Share]] = defaultdict(list)
    for part in answers:
        for total in part.totals:
            rows[total.currency] += total.rows
            sums[total.currency] += total.sum or 0
        for share in part.top:
            shares[share.currency].append(share)
    currencies = sorted(rows, key=lambda currency: currency or "")
    summed = question.summed is not None
    return Report(
        collection=question.collection,
        totals=[Total(c, rows[c], sums[c] if summed else None) for c in currencies],
        top=[
            share
            for c in currencies
            for share in nlargest(question.top, shares[c], key=lambda share: share.weight)
        ],
        shards=len(answers),
        missing=[part for part in parts if isinstance(part, Missing)],
        moved=moved,
    )


async def _ask(
    directory: Directory, ref: ShardRef, statements: Statements, seconds: float
) -> Part | Missing:
    fault = fault_of(ref.url)
    if fault is not None:
        return Missing(ref.name, f"its URL is {fault}")
    try:
        async with (
            asyncio.timeout(seconds + _CLEANUP_SECONDS),
            connected(ref.url, OPTIONS) as conn,
        ):
            await conn.execute(_SQL["bounded"], {"limit": f"{round(seconds * 1_000)}ms"})
            # One snapshot for all that follows.
            await conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            await conn.set_read_only(True)
            async with conn.transaction():
                return await _answer(directory, ref, statements, conn)
    except TimeoutError:
        return Missing(ref.name, f"no answer within {seconds:g} s")
    except psycopg.errors.QueryCanceled:
        return Missing(ref.name, f"not done within {seconds:g} s")
    except psycopg.Error as error:
        return Missing(ref.name, failure_of(error))


async def _answer(directory: Directory, ref: ShardRef, statements: Statements, conn: Conn) -> Part:
    states = await (await conn.execute(_SQL["not_active"])).fetchall()
    # Frozen may be the home for a moment, or a copy of it: the directory says which.
    elsewhere = [
        org_id
        for org_id, state in states
        if state == "moved" or directory.resolve(org_id).id != ref.id
    ]
    arguments = {**statements.arguments, "elsewhere": elsewhere}
    totals = await (await conn.execute(statements.totals, arguments)).fetchall()
    shares = (
        await (await conn.execute(statements.shares, arguments)).fetchall()
        if statements.top
        else []
    )
    return Part(
        [Total(currency, rows, _whole(total)) for currency, rows, total in totals],
        [Share(org_id, currency, rows, _whole(total)) for org_id, currency, rows, total in shares],
    )


def _whole(total: object) -> int | None:
    """Return a sum, which PostgreSQL gives as a decimal without a fraction."""
    return None if total is None else int(str(total))


async def _keys(settings: Settings, org_ids: Sequence[int]) -> dict[int, str]:
    if not org_ids:
        return {}
    async with connected(settings.directory_url, OPTIONS) as conn:
        found = await (await conn.execute(_SQL["keys"], {"org_ids": list(org_ids)})).fetchall()
    return dict(found)
