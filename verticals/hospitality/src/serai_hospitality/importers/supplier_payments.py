"""Payments published by a city government to vendors and expenses.

Owns the meaning of that file's columns and which of its lines a hotel could have: no grants, no
capital, nothing above 25,000 either way, nothing without an account rule. Amounts are realistic in
shape (vendors, credit notes, split documents), not in level. A negative amount is a credit note.
Vendors are the same when their names are, but for case and spaces: the file's own vendor numbers
changed over the years and are missing in the first two.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from typing import Final
from uuid import UUID

from serai.model import BadLine, ImportedLine, NewRow, Row
from serai_hospitality.importers.portfolio import CITY, RESORT, Portfolio
from serai_hospitality.importers.records import (
    LineError,
    LineIds,
    cells,
    columns,
    minor_from_decimal,
)

COLUMNS: Final = ("ID", "Vendor", "AccountDescription", "DocNo", "Amount", "Date")
CURRENCY: Final = "GBP"
AMOUNT_MINOR_MAX: Final = 25_000_00
_VENDOR_CHARS_MAX: Final = 160
_DESCRIPTION_CHARS_MAX: Final = 300
_DOCUMENT_CHARS_MAX: Final = 60
_ISO_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class AccountRules:
    """Rules from account description to account code; the first that matches wins."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Read `expense_accounts.csv`: account, USALI schedule, pattern on the upper-cased
        description.
        """
        reader = csv.DictReader(lines)
        self._rules = [
            (row["account"], re.compile(row["pattern_on_upper_cased_account_description"]))
            for row in reader
        ]
        self._known: dict[str, str | None] = {}

    def account_of(self, description: str) -> str | None:
        """Return the code of the account, None if no rule matches."""
        if description not in self._known:
            upper = description.upper()
            matching = (code for code, pattern in self._rules if pattern.search(upper))
            self._known[description] = next(matching, None)
        return self._known[description]


class PaymentMapper:
    """Maps lines of one file.

    Args:
        header: the first line of the file.
        file_sha256: of the plain file.
        portfolio: where the rows go.
        rules: from description to account.
        imported_by: the user in whose name the expenses are entered.

    Raises:
        ValueError: the header is not one of this format.
    """

    def __init__(
        self,
        header: str,
        file_sha256: str,
        portfolio: Portfolio,
        rules: AccountRules,
        imported_by: UUID,
    ) -> None:
        """Find the columns and prepare what all rows share."""
        self._count, self._positions = columns(header, COLUMNS)
        self._ids = LineIds(file_sha256)
        self._source = f"supplier-payments:{file_sha256[:16]}"
        self._portfolio = portfolio
        self._rules = rules
        self._imported_by = str(imported_by)
        self._vendors: dict[str, NewRow | None] = {}

    def __call__(self, line_number: int, line: str) -> ImportedLine | BadLine:
        """Return the expense of a line with its vendor, or why there is none.

        The header is line 1. The vendor is shared: it comes with every line that names it.
        """
        try:
            return self._map(line_number, line)
        except LineError as error:
            return BadLine(line_number, str(error))

    def _map(self, line_number: int, line: str) -> ImportedLine | BadLine:
        found = cells(line, self._count)
        number, vendor_name, description, document, amount_text, day = [
            found[position] for position in self._positions
        ]
        amount = minor_from_decimal(amount_text)
        business_date = _day(day)
        property_id = str(self._portfolio.properties[_property_name(number)])
        reason, account = self._account(description, amount)
        if account is None:
            return BadLine(line_number, reason, expected=True)
        vendor = self._vendor(vendor_name)
        row: Row = {
            "property_id": property_id,
            "vendor_id": None if vendor is None else str(vendor.id),
            "account_id": str(self._portfolio.accounts[account]),
            "kind": "invoice" if amount >= 0 else "credit_note",
            "status": "paid",
            "business_date": business_date,
            "amount_minor": amount,
            "amount_currency": CURRENCY,
            "document": _plain("document", document, _DOCUMENT_CHARS_MAX),
            "description": _plain("description", description, _DESCRIPTION_CHARS_MAX),
            "decision_note": None,
            "source": f"{self._source}:{line_number}",
            "created_by": self._imported_by,
            **_NOT_KNOWN,
        }
        expense = NewRow("expenses", self._ids.of(line_number), row)
        return ImportedLine(line_number, (expense,), () if vendor is None else (vendor,))

    def _account(self, description: str, amount: int) -> tuple[str, str | None]:
        """Return (reason to drop, None) or ("", account code)."""
        upper = description.upper()
        for word in ("GRANT", "CAPITAL"):
            if word in upper:
                return f"the account description has {word}", None
        account = self._rules.account_of(description)
        if account is None:
            return "no account rule matches the description", None
        if account not in self._portfolio.accounts:
            raise LineError(
                f"the rules name the account {account!r}, which the chart does not have"
            )
        if abs(amount) > AMOUNT_MINOR_MAX:
            return "the amount exceeds 25,000", None
        return "", account

    def _vendor(self, name: str) -> NewRow | None:
        if name not in self._vendors:
            plain = _plain("vendor", name, _VENDOR_CHARS_MAX)
            spelled = None if plain is None else plain.upper()
            if spelled is None or len(spelled) > _VENDOR_CHARS_MAX:
                self._vendors[name] = None
            else:
                row: Row = {
                    "name": spelled,
                    "code": None,
                    "tax_number": None,
                    "email": None,
                    "active": True,
                }
                self._vendors[name] = NewRow("vendors", self._portfolio.vendor_id(spelled), row)
        return self._vendors[name]


_NOT_KNOWN: Final[Row] = dict.fromkeys(
    (
        *("submitted_by", "submitted_at", "decided_by", "decided_at", "paid_by", "paid_at"),
        *("voided_by", "voided_at", "occurred_at", "original_business_date"),
        *("review", "reviewed_by", "corrects"),
    )
)


def read_payments(
    lines: Iterable[str],
    file_sha256: str,
    portfolio: Portfolio,
    rules: AccountRules,
    imported_by: UUID,
) -> Iterator[ImportedLine | BadLine]:
    """Yield what each line after the header becomes.

    Raises:
        ValueError: there is no header of this format.
    """
    numbered = enumerate(lines, start=1)
    _, header = next(numbered, (1, ""))
    mapper = PaymentMapper(header, file_sha256, portfolio, rules, imported_by)
    for number, line in numbered:
        yield mapper(number, line)


def _property_name(number: str) -> str:
    """Return whose payment it is: an even id is the city's, an odd one the resort's."""
    if not (number.isascii() and number.isdecimal()):
        raise LineError(f"{number!r} is no id")
    return RESORT if number[-1] in "13579" else CITY


@lru_cache(maxsize=16_384)
def _day(text: str) -> str:
    if _ISO_DATE.fullmatch(text) is None:
        raise LineError(f"{text!r} is no date")
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise LineError(f"{text!r} is no date") from None


@lru_cache(maxsize=16_384)
def _plain(what: str, text: str, most: int) -> str | None:
    """Return the text with single spaces, None if nothing is left."""
    plain = " ".join(text.split())
    if _CONTROL.search(plain) or len(plain) > most:
        raise LineError(f"the {what} is longer than {most} characters or has control characters")
    return plain or None
