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
from dataclasses import dataclass
from datetime import date
from heapq import nlargest
from typing import Final

import msgspec
import psycopg
from psycopg import sql

from serai.app.settings import Settings
from serai.app.shard_facts import OPTIONS, fleet_directory
from serai.model import Collection, FieldKind, Vertical
from serai.schema.database import Conn, connected
from serai.schema.database_url import failure_of, fault_of
from serai.shard.directory import Directory
from serai.shard.placement import ShardRef
from serai.shard.queries import load_queries

TOP_MAX: Final = 1_000
SHARDS_AT_ONCE: Final = 16
_CLEANUP_SECONDS: Final = 1.0
"""For the server to end a statement by its own timeout, before the connection is given up."""
_SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.app", "report.sql").items()
}


class ReportError(Exception):
    """A report that cannot be made. The message says why and what can be."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to count.

    Attributes:
        summed: an integer field to add up; None: rows are only counted.
        dated: the field of days that `first` and `last` are of, both included.
        top: how many organisations to name, those with the largest sum, or with most rows.
    """

    collection: str
    summed: str | None = None
    dated: str | None = None
    first: date | None = None
    last: date | None = None
    top: int = 0


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
    statements = _Statements(vertical, question)
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


class _Statements:
    """The two statements of a question: totals, and the organisations with most."""

    def __init__(self, vertical: Vertical, question: Question) -> None:
        collection = vertical.by_name.get(question.collection)
        if collection is None:
            known = ", ".join(vertical.by_name)
            raise ReportError(f"There is no collection {question.collection}. There are: {known}.")
        summed, dated = _summed(collection, question), _dated(collection, question)
        currency = None if summed is None else _currency_of(collection, summed)
        self.arguments = {"first": question.first, "last": question.last, "top": question.top}
        self.top = question.top
        none = sql.SQL("NULL::text")
        parts = {
            "source": sql.Identifier(vertical.name, collection.name),
            "currency": none if currency is None else sql.Identifier("t", currency),
            "sum": sql.SQL("NULL::bigint")
            if summed is None
            else sql.SQL("sum({})").format(sql.Identifier("t", summed)),
            "dates": sql.SQL("")
            if dated is None
            else sql.SQL(
                "AND {day} >= coalesce(%(first)s::date, '-infinity') "
                "AND {day} <= coalesce(%(last)s::date, 'infinity')"
            ).format(day=sql.Identifier("t", dated)),
        }
        # no org_id: over every organisation of a shard, by its owner
        where = sql.SQL(
            "FROM {source} t WHERE NOT EXISTS ("
            " SELECT FROM unnest(%(elsewhere)s::bigint[]) e (org_id) WHERE e.org_id = t.org_id"
            ") {dates}"
        ).format(source=parts["source"], dates=parts["dates"])
        self.totals = sql.SQL("SELECT {currency}, count(*), {sum} {where} GROUP BY 1").format(
            currency=parts["currency"], sum=parts["sum"], where=where
        )
        self.shares = sql.SQL(
            "SELECT g.org_id, g.currency, g.rows, g.sum FROM ("
            " SELECT s.*, row_number() OVER ("
            "     PARTITION BY s.currency ORDER BY s.weight DESC, s.org_id) AS place"
            " FROM (SELECT t.org_id, {currency} AS currency, count(*) AS rows, {sum} AS sum,"
            "     coalesce({sum}, count(*)) AS weight {where} GROUP BY 1, 2) s"
            ") g WHERE g.place <= %(top)s"
        ).format(currency=parts["currency"], sum=parts["sum"], where=where)


def _summed(collection: Collection, question: Question) -> str | None:
    if question.summed is None:
        return None
    numbers = [n for n, f in collection.fields.items() if f.kind is FieldKind.INTEGER]
    if question.summed not in numbers:
        known = ", ".join(numbers) or "none"
        raise ReportError(
            f"{question.summed} is no number of {collection.name}. These are: {known}."
        )
    return question.summed


def _dated(collection: Collection, question: Question) -> str | None:
    if question.first is None and question.last is None:
        return None
    days = [n for n, f in collection.fields.items() if f.kind is FieldKind.DATE]
    dated = question.dated or collection.month_of
    if dated not in days:
        known = ", ".join(days) or "none"
        raise ReportError(
            f"Say which day of {collection.name} --from and --to are of. These are: {known}."
        )
    return dated


def _currency_of(collection: Collection, summed: str) -> str | None:
    """Return the field beside an amount that says in what it is."""
    beside = summed.removesuffix("_minor") + "_currency"
    return beside if summed.endswith("_minor") and beside in collection.fields else None


async def _ask(
    directory: Directory, ref: ShardRef, statements: _Statements, seconds: float
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
            async with conn.transaction():
                return await _answer(directory, ref, statements, conn)
    except TimeoutError:
        return Missing(ref.name, f"no answer within {seconds:g} s")
    except psycopg.errors.QueryCanceled:
        return Missing(ref.name, f"not done within {seconds:g} s")
    except psycopg.Error as error:
        return Missing(ref.name, failure_of(error))


async def _answer(directory: Directory, ref: ShardRef, statements: _Statements, conn: Conn) -> Part:
    # One snapshot for all that follows.
    await conn.execute(_SQL["one_snapshot"])
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
