"""Bookings of the public "hotel booking demand" data to guests, stays and nightly revenues.

Owns the meaning of that file's columns. One line is one guest, one stay and, for a check-out, one
revenue a night. Equal lines are different bookings. Unknown is null (`NULL` country, `NA`
children), never 0. A negative rate gives allowances: a charge is never negative. Contains data of
Antonio, Almeida & Nunes (2019), CC BY 4.0, see `data/README.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from operator import itemgetter
from typing import Final

from serai.model import BadLine, ImportedLine, NewRow, Row
from serai_hospitality.collections.houses import NIGHTS_MAX, PARTY_MAX
from serai_hospitality.importers.portfolio import Portfolio
from serai_hospitality.importers.records import (
    LineError,
    LineIds,
    cells,
    columns,
    minor_from_decimal,
)

COLUMNS: Final = (
    "hotel",
    "lead_time",
    "arrival_date_year",
    "arrival_date_month",
    "arrival_date_day_of_month",
    "stays_in_weekend_nights",
    "stays_in_week_nights",
    "adults",
    "children",
    "babies",
    "country",
    "distribution_channel",
    "assigned_room_type",
    "adr",
    "reservation_status",
)
STATUS: Final = {"Check-Out": "checked_out", "Canceled": "cancelled", "No-Show": "no_show"}
CHANNEL: Final = {
    "Direct": "direct",
    "Corporate": "corporate",
    "TA/TO": "travel_agent",
    "GDS": "gds",
    "Undefined": "other",
}
MONTH: Final = {
    name: number
    for number, name in enumerate(
        (
            *("January", "February", "March", "April", "May", "June"),
            *("July", "August", "September", "October", "November", "December"),
        ),
        start=1,
    )
}
CURRENCY: Final = "EUR"
_LEAD_DAYS_MAX: Final = 3_650
_ROOM_TYPE_CHARS_MAX: Final = 20
_COUNTRY_CHARS: Final = (2, 3)
_GUEST, _STAY, _FIRST_NIGHT = range(3)
"""Parts of a line."""
_NUMBER: Final = {str(n): n for n in range(_LEAD_DAYS_MAX + 1)}
"""Spelling -> count: a look-up is both the conversion and the check."""


class BookingMapper:
    """Maps lines of one file.

    Args:
        header: the first line of the file.
        file_sha256: of the plain file.
        portfolio: where the rows go.

    Raises:
        ValueError: the header is not one of this format.
    """

    def __init__(self, header: str, file_sha256: str, portfolio: Portfolio) -> None:
        """Find the columns and prepare what all rows share."""
        self._count, positions = columns(header, COLUMNS)
        self._when, self._what = itemgetter(*positions[:7]), itemgetter(*positions[7:])
        self._ids = LineIds(file_sha256)
        self._properties = {name: str(key) for name, key in portfolio.properties.items()}
        self._rooms_account = str(portfolio.accounts["rooms"])

    def __call__(self, line_number: int, line: str) -> ImportedLine | BadLine:
        """Return the guest, the stay and the nights of a line, or why there are none.

        The header is line 1.
        """
        try:
            return self._map(line_number, line)
        except LineError as error:
            return BadLine(line_number, str(error))

    def _map(self, line_number: int, line: str) -> ImportedLine:
        found = cells(line, self._count)
        hotel, lead, year, month, day, weekend_nights, week_nights = self._when(found)
        adults, children, babies, country, channel, room_type, adr, status = self._what(found)
        property_id = self._properties.get(hotel)
        if property_id is None:
            raise LineError(f"{hotel!r} is no property")
        arrival = _ordinal(year, month, day)
        nights = _count("nights", week_nights, NIGHTS_MAX) + _count(
            "nights", weekend_nights, NIGHTS_MAX
        )
        if nights > NIGHTS_MAX:
            raise LineError(f"{nights} nights are more than {NIGHTS_MAX}")
        stay_row: Row = {
            "property_id": property_id,
            "guest_id": "",
            "status": _word("status", status, STATUS),
            "arrival": _iso(arrival),
            "departure": _iso(arrival + nights),
            "nights": nights,
            "adults": _count("adults", adults, PARTY_MAX),
            "children": None if children == "NA" else _count("children", children, PARTY_MAX),
            "babies": _count("babies", babies, PARTY_MAX),
            "room_type": _room_type(room_type),
            "room": None,
            "channel": _word("channel", channel, CHANNEL),
            "rate_minor": minor_from_decimal(adr),
            "rate_currency": CURRENCY,
            "booked_on": _iso(arrival - _count("lead time", lead, _LEAD_DAYS_MAX)),
            "note": None,
        }
        return self._records(line_number, stay_row, _country(country), arrival)

    def _records(
        self, line_number: int, stay: Row, country: str | None, arrival: int
    ) -> ImportedLine:
        """Give the rows their ids, and a checked-out stay its nights."""
        ids = self._ids
        guest_id, stay_id = ids.of(line_number, _GUEST), ids.of(line_number, _STAY)
        stay["guest_id"] = str(guest_id)
        guest: Row = {
            "property_id": stay["property_id"],
            "name": None,
            "email": None,
            "phone": None,
            "country": country,
            "language": None,
            "note": None,
        }
        rows = [NewRow("guests", guest_id, guest), NewRow("stays", stay_id, stay)]
        nights = stay["nights"]
        if stay["status"] == "checked_out" and isinstance(nights, int) and nights:
            night = self._night(str(stay_id), stay)
            for k in range(nights):
                row = night.copy()
                row["business_date"] = _iso(arrival + k)
                rows.append(NewRow("revenues", ids.of(line_number, _FIRST_NIGHT + k), row))
        return ImportedLine(line_number, tuple(rows))

    def _night(self, stay_id: str, stay: Row) -> Row:
        amount = stay["rate_minor"]
        assert isinstance(amount, int), "a stay has a rate"
        return {
            "property_id": stay["property_id"],
            "stay_id": stay_id,
            "account_id": self._rooms_account,
            "kind": "charge" if amount >= 0 else "allowance",
            "business_date": "",
            "amount_minor": amount,
            "amount_currency": CURRENCY,
            "note": None,
            "occurred_at": None,
            "original_business_date": None,
            "review": None,
            "reviewed_by": None,
            "corrects": None,
        }


def read_bookings(
    lines: Iterable[str], file_sha256: str, portfolio: Portfolio
) -> Iterator[ImportedLine | BadLine]:
    """Yield what each line after the header becomes.

    Raises:
        ValueError: there is no header of this format.
    """
    numbered = enumerate(lines, start=1)
    _, header = next(numbered, (1, ""))
    mapper = BookingMapper(header, file_sha256, portfolio)
    for number, line in numbered:
        yield mapper(number, line)


def _count(what: str, text: str, most: int) -> int:
    value = _NUMBER.get(text)
    if value is None or value > most:
        raise LineError(f"{text!r} is not a number of {what} from 0 to {most}")
    return value


def _word(what: str, text: str, words: dict[str, str]) -> str:
    value = words.get(text)
    if value is None:
        raise LineError(f"{text!r} is no {what}")
    return value


@lru_cache(maxsize=4_096)
def _ordinal(year: str, month: str, day: str) -> int:
    try:
        return date(int(year), MONTH[month], int(day)).toordinal()
    except (KeyError, ValueError):
        raise LineError(f"{day!r} {month!r} {year!r} is no date") from None


@lru_cache(maxsize=16_384)
def _iso(ordinal: int) -> str:
    try:
        return date.fromordinal(ordinal).isoformat()
    except (ValueError, OverflowError):
        raise LineError("a date is out of range") from None


@lru_cache(maxsize=1_024)
def _country(text: str) -> str | None:
    if text == "NULL":
        return None
    if len(text) not in _COUNTRY_CHARS or not (
        text.isascii() and text.isalpha() and text.isupper()
    ):
        raise LineError(f"{text!r} is no country")
    return text


@lru_cache(maxsize=1_024)
def _room_type(text: str) -> str | None:
    if text in ("", "NULL"):
        return None
    if len(text) > _ROOM_TYPE_CHARS_MAX or not text.isprintable():
        raise LineError(f"{text!r} is no room type")
    return text
