"""The statements of a report, made from a collection's declaration.

Owns what can be asked of a collection, and its SQL. Promises that a name which is not declared is
refused in words, before any shard is asked. Never runs a statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final, LiteralString, cast

from psycopg import sql

from serai.model import Collection, FieldKind, Vertical
from serai.shard.queries import load_queries

_SQL: Final[dict[str, LiteralString]] = {
    # A file of the package, in which no user writes.
    name: cast("LiteralString", text)
    for name, text in load_queries("serai.app", "report_forms.sql").items()
}
_NO_CURRENCY: Final = sql.SQL("NULL::text")
_NO_SUM: Final = sql.SQL("NULL::bigint")
_NO_DAY: Final = sql.SQL("NULL::date")
_SUM: Final = sql.SQL("sum({})")


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


class Statements:
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
        names = {
            "source": sql.Identifier(vertical.name, collection.name),
            "currency": _NO_CURRENCY if currency is None else sql.Identifier("t", currency),
            "sum": _NO_SUM if summed is None else _SUM.format(sql.Identifier("t", summed)),
            "day": _NO_DAY if dated is None else sql.Identifier("t", dated),
        }
        self.totals = sql.SQL(_SQL["totals"]).format(**names)
        self.shares = sql.SQL(_SQL["shares"]).format(**names)


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
