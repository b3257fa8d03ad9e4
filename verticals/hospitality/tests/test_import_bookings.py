"""The real bookings come out as the published totals, and each trap of the file is met.

Owns the totals (written by hand from the data's description), an independent recomputation with
`csv` and `Decimal`, and bad lines. Nothing here uses a float.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import Decimal
from uuid import RFC_4122

import pytest

from house import OWNER, Books, Source, minor
from serai.model import BadLine, ImportedLine, NewRow
from serai_hospitality import VERTICAL
from serai_hospitality.importers import BookingMapper, portfolio, read_bookings
from serai_hospitality.importers.records import IMPORT_NAMESPACE, LineIds, minor_from_decimal

PLACE = portfolio("demo.hotels")
CITY, RESORT = PLACE.properties["City Hotel"], PLACE.properties["Resort Hotel"]
SAMPLE_EVERY = 97


def of(lines: list[ImportedLine | BadLine], collection: str) -> list[NewRow]:
    """Return the rows of a collection."""
    return [
        new
        for line in lines
        if isinstance(line, ImportedLine)
        for new in line.rows
        if new.collection == collection
    ]


def cell(source: Source, column: str) -> list[str]:
    """Return a column of the file, read by the standard library."""
    return [row[column] for row in csv.DictReader(source.lines)]


def test_every_booking_becomes_a_stay_in_its_status(bookings):
    assert not [line for line in bookings if isinstance(line, BadLine)]
    stays = of(bookings, "stays")
    assert len(stays) == len({new.id for new in stays}) == 119_390
    assert Counter(new.row["status"] for new in stays) == {
        "checked_out": 75_166,
        "cancelled": 43_017,
        "no_show": 1_207,
    }
    assert len({new.id for new in of(bookings, "guests")}) == 119_390


def test_revenues_are_the_published_euros_to_the_cent(bookings):
    nights = of(bookings, "revenues")
    assert len(nights) == len({new.id for new in nights}) == 255_040
    totals: Counter[object] = Counter()
    for new in nights:
        totals[new.row["property_id"]] += minor(new.row)
    assert totals == {str(CITY): 14_394_410_18, str(RESORT): 11_601_850_23}
    assert totals.total() == 25_996_260_41


def test_the_average_rate_is_the_published_one(bookings, bookings_file):
    published = {"City Hotel": "106.504555", "Resort Hotel": "96.773213"}
    sums, counts = defaultdict[str, Decimal](Decimal), Counter[str]()
    for row in csv.DictReader(bookings_file.lines):
        nights = int(row["stays_in_week_nights"]) + int(row["stays_in_weekend_nights"])
        if row["reservation_status"] == "Check-Out":
            sums[row["hotel"]] += Decimal(row["adr"]) * nights
            counts[row["hotel"]] += nights
    micro = Decimal("0.000001")
    assert {h: str((sums[h] / counts[h]).quantize(micro)) for h in counts} == published
    for hotel, key in (("City Hotel", CITY), ("Resort Hotel", RESORT)):
        mine = [n.row for n in of(bookings, "revenues") if n.row["property_id"] == str(key)]
        total = Decimal(sum(map(minor, mine))) / 100
        assert str((total / len(mine)).quantize(micro)) == published[hotel]


def test_the_fullest_nights_are_the_published_ones(bookings):
    sold = Counter((n.row["property_id"], n.row["business_date"]) for n in of(bookings, "revenues"))
    # The city was as full on seven later days; the description names the first.
    for key, rooms, first, days in ((CITY, 226, "2016-08-13", 8), (RESORT, 187, "2016-03-25", 1)):
        mine = {str(day): count for (place, day), count in sold.items() if place == str(key)}
        assert max(mine.values()) == rooms
        fullest = sorted(day for day, count in mine.items() if count == rooms)
        assert (fullest[0], len(fullest)) == (first, days)


def test_equal_lines_are_different_bookings(bookings, bookings_file):
    lines = bookings_file.lines[1:]
    assert len(lines) - len(set(lines)) == 31_994
    seen: set[str] = set()
    lost = 0
    for line, imported in zip(lines, bookings, strict=True):
        if line in seen:
            lost += sum(minor(n.row) for n in imported.rows if n.collection == "revenues")
        seen.add(line)
    assert lost == 3_019_364_08


def test_a_check_out_without_a_night_is_a_stay_without_a_revenue(bookings):
    bare = [
        line
        for line in bookings
        if line.rows[1].row["status"] == "checked_out" and line.rows[1].row["nights"] == 0
    ]
    assert len(bare) == 680
    assert {len(line.rows) for line in bare} == {2}
    assert all(line.rows[1].row["arrival"] == line.rows[1].row["departure"] for line in bare)


def test_a_stay_that_paid_nothing_still_occupies_its_room(bookings):
    free = [
        line
        for line in bookings
        if line.rows[1].row["status"] == "checked_out"
        and line.rows[1].row["nights"]
        and line.rows[1].row["rate_minor"] == 0
    ]
    assert len(free) == 1_066
    assert all(len(line.rows) == 2 + line.rows[1].row["nights"] for line in free)
    assert {n.row["kind"] for line in free for n in line.rows[2:]} == {"charge"}


def test_the_one_negative_rate_is_on_line_14971_and_gives_allowances(bookings, bookings_file):
    assert ",-6.38," in bookings_file.lines[14_971 - 1]
    (line,) = [line for line in bookings if line.rows[1].row["rate_minor"] < 0]
    assert line.line == 14_971
    nights = [new.row for new in line.rows[2:]]
    assert len(nights) == 10
    assert {(row["kind"], row["amount_minor"]) for row in nights} == {("allowance", -6_38)}


def test_unknown_is_null_and_never_zero(bookings, bookings_file):
    assert cell(bookings_file, "country").count("NULL") == 488
    assert sum(new.row["country"] is None for new in of(bookings, "guests")) == 488
    assert cell(bookings_file, "children").count("NA") == 4
    assert sum(new.row["children"] is None for new in of(bookings, "stays")) == 4


def test_dates_are_those_of_an_independent_reading(bookings, bookings_file):
    months = ["", "January", "February", "March", "April", "May", "June", "July", "August"]
    months += ["September", "October", "November", "December"]
    rows = list(csv.DictReader(bookings_file.lines))
    for row, line in list(zip(rows, bookings, strict=True))[::SAMPLE_EVERY]:
        arrival = date(
            int(row["arrival_date_year"]),
            months.index(row["arrival_date_month"]),
            int(row["arrival_date_day_of_month"]),
        )
        nights = int(row["stays_in_week_nights"]) + int(row["stays_in_weekend_nights"])
        stay = line.rows[1].row
        assert stay["arrival"] == str(arrival)
        assert stay["departure"] == str(arrival + timedelta(nights))
        assert stay["booked_on"] == str(arrival - timedelta(int(row["lead_time"])))
        assert [n.row["business_date"] for n in line.rows[2:]] == [
            str(arrival + timedelta(k)) for k in range(len(line.rows) - 2)
        ]


def test_rows_are_spelled_as_the_platform_would_spell_them(bookings):
    parsers = {c.name: {n: f.parser() for n, f in c.fields.items()} for c in VERTICAL.collections}
    for line in bookings:
        for new in line.rows:
            fields = parsers[new.collection]
            assert list(new.row) == list(fields), "every field, in declared order"
            for name, value in new.row.items():
                assert (parse := fields[name]) is not None
                assert value is None or parse(value) == value
                assert value is not None or VERTICAL.by_name[new.collection].fields[name].optional


def test_rows_are_stored_as_they_were_mapped(bookings):
    """The rules change nothing about an imported row, so an import may write what it mapped."""
    books = Books()
    for new in PLACE.records:
        assert books.ask(OWNER, "insert", new.collection, new.id, _sent(new)) is None
    for line in bookings[::SAMPLE_EVERY]:
        for new in line.rows:
            assert books.ask(OWNER, "insert", new.collection, new.id, _sent(new)) is None
            assert books.row(new.collection, new.id) == new.row


def _sent(new: NewRow) -> dict[str, object]:
    fields = VERTICAL.by_name[new.collection].fields
    return {name: value for name, value in new.row.items() if not fields[name].server}


def test_ids_follow_from_file_and_line_alone(bookings, bookings_file):
    sha = bookings_file.sha256
    line = bookings[0]
    assert line.line == 2
    ids = LineIds(sha)
    assert [row.id for row in line.rows] == [ids.of(2, part) for part in range(len(line.rows))]
    again = list(read_bookings(bookings_file.lines[:500], sha, PLACE))
    assert again == bookings[:499]
    other = list(read_bookings(bookings_file.lines[:500], "0" * 64, PLACE))
    assert {n.id for n in of(again, "stays")}.isdisjoint(n.id for n in of(other, "stays"))


def test_ids_are_in_order_of_lines_and_none_is_there_twice(bookings):
    ids = [row.id for line in bookings for row in line.rows]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(("line", "part"), [(1, 0), (119_391, 70), (2**40 - 1, 2**16 - 1)])
def test_an_id_is_a_uuid_version_8_that_holds_line_and_part(line, part):
    made = LineIds("ab" * 32).of(line, part)
    assert (made.version, made.variant) == (8, RFC_4122)
    assert made.int & (1 << 56) - 1 == line << 16 | part
    digest = hashlib.sha256(IMPORT_NAMESPACE.bytes + b"ab" * 32).digest()
    assert made.bytes[:6] == digest[:6], "which file it is"


@pytest.mark.parametrize(("line", "part"), [(-1, 0), (0, -1), (2**40, 0), (0, 2**16)])
def test_what_has_no_room_in_an_id_is_refused(line, part):
    with pytest.raises(ValueError, match="has no id"):
        LineIds("ab" * 32).of(line, part)


def broken(line: str, **cells: str) -> str:
    """Return a line of the file with some cells replaced."""
    header: list[str] = HEADER.split(",")
    found = line.rstrip("\n").split(",")
    for name, value in cells.items():
        found[header.index(name)] = value
    return ",".join(found) + "\n"


HEADER: str = (
    "hotel,is_canceled,lead_time,arrival_date_year,arrival_date_month,arrival_date_week_number,"
    "arrival_date_day_of_month,stays_in_weekend_nights,stays_in_week_nights,adults,children,babies,"
    "meal,country,market_segment,distribution_channel,is_repeated_guest,previous_cancellations,"
    "previous_bookings_not_canceled,reserved_room_type,assigned_room_type,booking_changes,"
    "deposit_type,agent,company,days_in_waiting_list,customer_type,adr,required_car_parking_spaces,"
    "total_of_special_requests,reservation_status,reservation_status_date"
)
GOOD = (
    "Resort Hotel,0,7,2015,July,27,1,0,1,1,0,0,BB,GBR,Direct,Direct,0,0,0,A,C,0,No Deposit,"
    "NULL,NULL,0,Transient,75,0,0,Check-Out,2015-07-02\n"
)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"hotel": "Hostel"}, "'Hostel' is no property"),
        ({"arrival_date_month": "Juli"}, "'1' 'Juli' '2015' is no date"),
        ({"arrival_date_day_of_month": "31", "arrival_date_month": "June"}, "is no date"),
        ({"stays_in_week_nights": "-1"}, "'-1' is not a number of nights from 0 to 730"),
        ({"stays_in_week_nights": "700", "stays_in_weekend_nights": "31"}, "731 nights"),
        ({"adults": "2.0"}, "'2.0' is not a number of adults from 0 to 99"),
        ({"children": "NULL"}, "'NULL' is not a number of children from 0 to 99"),
        ({"babies": "100"}, "'100' is not a number of babies from 0 to 99"),
        ({"country": "Portugal"}, "'Portugal' is no country"),
        ({"distribution_channel": "Fax"}, "'Fax' is no channel"),
        ({"adr": "75.125"}, "'75.125' is not an amount with at most 2 decimals"),
        ({"adr": "1e3"}, "'1e3' is not an amount with at most 2 decimals"),
        ({"adr": "NaN"}, "'NaN' is not an amount"),
        ({"adr": "\u0667\u0665"}, "is not an amount"),
        ({"reservation_status": "Perhaps"}, "'Perhaps' is no status"),
        ({"lead_time": ""}, "'' is not a number of lead time from 0 to 3650"),
        ({"assigned_room_type": "x" * 21}, "is no room type"),
        ({"meal": "a,b"}, "has 33 cells, not 32"),
        ({"meal": '"a'}, "the quotes do not close"),
    ],
)
def test_a_bad_line_is_named_with_its_reason_and_the_next_is_imported(cells, reason):
    lines = [HEADER + "\n", GOOD, broken(GOOD, **cells), GOOD]
    first, bad, last = read_bookings(lines, "00" * 32, PLACE)
    assert isinstance(first, ImportedLine)
    assert isinstance(bad, BadLine)
    assert (bad.line, bad.expected) == (3, False)
    assert reason in bad.reason
    assert isinstance(last, ImportedLine)
    assert last.line == 4


def test_a_quoted_cell_may_hold_a_comma():
    lines = [HEADER + "\r\n", broken(GOOD, meal='"B,B"').replace("\n", "\r\n")]
    (line,) = read_bookings(lines, "00" * 32, PLACE)
    assert isinstance(line, ImportedLine)


def test_an_empty_line_is_a_bad_line_and_an_empty_file_another_kind_of_file():
    (bad,) = read_bookings([HEADER, "\n"], "00" * 32, PLACE)
    assert bad == BadLine(2, "has 1 cells, not 32")
    with pytest.raises(ValueError, match="no column hotel"):
        list(read_bookings([], "00" * 32, PLACE))


def test_columns_are_found_by_name_in_any_order_behind_a_byte_order_mark():
    names, cells = HEADER.split(","), GOOD.rstrip("\n").split(",")
    header, line = ",".join(reversed(names)), ",".join(reversed(cells))
    mapper = BookingMapper("\ufeff" + header, "00" * 32, PLACE)
    assert mapper(2, line) == BookingMapper(HEADER, "00" * 32, PLACE)(2, GOOD)


def test_a_file_of_another_kind_is_refused_before_its_first_line():
    with pytest.raises(ValueError, match="has no column hotel, lead_time"):
        BookingMapper("a,b,c", "00" * 32, PLACE)
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        BookingMapper(HEADER, "XY", PLACE)


@pytest.mark.parametrize(
    ("text", "minor"),
    [("75", 7500), ("75.5", 7550), ("-6.38", -638), ("0", 0), ("0.01", 1), ("5400.00", 540000)],
)
def test_money_comes_from_its_digits(text, minor):
    assert minor_from_decimal(text) == minor
    assert minor == int(Decimal(text) * 100)
