"""The two kinds of file as the platform's importers.

Owns what the platform asks of a kind beside the mapping of lines: the rows to set up, the first
day, a sample, and the figures that a correct import of it reproduces, which are those published
with the data (`data/README.md`). Never maps a line itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from serai.model import BadLine, Figure, ImportContext, ImportedLine, Importer, NewRow, Sample
from serai_hospitality.data import data_path
from serai_hospitality.importers.hotel_bookings import read_bookings
from serai_hospitality.importers.portfolio import portfolio
from serai_hospitality.importers.supplier_payments import AccountRules, read_payments

Read = Callable[[Iterable[str], ImportContext], Iterator[ImportedLine | BadLine]]

_STAYS: Final = "SELECT count(*) FROM hospitality.stays WHERE org_id = $1"  # SQL here: a figure
_REVENUES: Final = "FROM hospitality.revenues WHERE org_id = $1 AND amount_currency = 'EUR'"
_EXPENSES: Final = "FROM hospitality.expenses WHERE org_id = $1 AND amount_currency = 'GBP'"


@dataclass(frozen=True, slots=True)
class FileKind:
    """An importer into the portfolio of two hotels.

    Attributes:
        doc: what the file is.
        first_day, last_day: the earliest and the latest business date in it.
        sample: the file that ships, with its figures.
        read: takes the lines to rows.
    """

    doc: str
    first_day: date
    last_day: date
    sample: Sample
    read: Read

    def setup(self, org_key: str) -> list[NewRow]:
        """Return the two hotels and the chart of accounts."""
        return list(portfolio(org_key).records)

    def lines(
        self, stream: Iterable[str], context: ImportContext
    ) -> Iterator[ImportedLine | BadLine]:
        """Return every line of the file after its header, in order."""
        return self.read(stream, context)


def _bookings(stream: Iterable[str], context: ImportContext) -> Iterator[ImportedLine | BadLine]:
    return read_bookings(stream, context.file_sha256, portfolio(context.org_key))


def _payments(stream: Iterable[str], context: ImportContext) -> Iterator[ImportedLine | BadLine]:
    with data_path("expense_accounts.csv").open(encoding="utf-8") as file:
        rules = AccountRules(file)
    place = portfolio(context.org_key)
    return read_payments(stream, context.file_sha256, place, rules, context.imported_by)


HOTEL_BOOKINGS: Final = FileKind(
    doc="Hotel bookings (CSV of the hotel booking demand data set)",
    first_day=date(2015, 7, 1),
    last_day=date(2017, 9, 30),
    sample=Sample(
        data_path("hotel_bookings.csv.gz"),
        (
            Figure("stays", _STAYS, 119_390),
            Figure("stays_checked_out", f"{_STAYS} AND status = 'checked_out'", 75_166),
            Figure("stays_cancelled", f"{_STAYS} AND status = 'cancelled'", 43_017),
            Figure("stays_no_show", f"{_STAYS} AND status = 'no_show'", 1_207),
            Figure("revenues", f"SELECT count(*) {_REVENUES}", 255_040),
            Figure("revenue_minor", f"SELECT sum(amount_minor)::bigint {_REVENUES}", 2_599_626_041),
        ),
    ),
    read=_bookings,
)
SUPPLIER_PAYMENTS: Final = FileKind(
    doc="Supplier payments (CSV of the Greater London Authority's expenditure)",
    first_day=date(2008, 4, 1),
    last_day=date(2013, 4, 30),
    sample=Sample(
        data_path("gla_expenditure.csv.gz"),
        (
            Figure("expenses", f"SELECT count(*) {_EXPENSES}", 18_148),
            Figure("expense_minor", f"SELECT sum(amount_minor)::bigint {_EXPENSES}", 5_830_094_753),
            Figure("credit_notes", f"SELECT count(*) {_EXPENSES} AND amount_minor < 0", 809),
        ),
    ),
    read=_payments,
)
IMPORTERS: Final[Mapping[str, Importer]] = {
    "hotel-bookings": HOTEL_BOOKINGS,
    "supplier-payments": SUPPLIER_PAYMENTS,
}
