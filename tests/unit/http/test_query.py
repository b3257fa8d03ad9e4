"""Queries of a list: what is understood, and that nothing else is taken for it."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote, quote_plus
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.core.clock import timestamp_text
from serai.core.errors import Code, SeraiError
from serai.http.query import ListRequest, cursor_text, list_request, operators, parameters
from serai.testing.vertical import GUESTS, STAYS, VERTICAL

ROWS = VERTICAL.by_number[STAYS]
PEOPLE = VERTICAL.by_number[GUESTS]
ID = UUID("0198c0de-0000-7000-8000-000000000001")


def asked(query: str, collection=ROWS) -> ListRequest:
    return list_request(collection, query.encode())


def refusal(query: str | bytes, collection=ROWS) -> SeraiError:
    raw = query if isinstance(query, bytes) else query.encode()
    with pytest.raises(SeraiError) as caught:
        list_request(collection, raw)
    assert caught.value.code is Code.QUERY_INVALID
    return caught.value


def test_nothing_asked_is_the_first_fifty_by_id():
    assert asked("") == ListRequest(filters=(), order=None, descending=False, limit=50, after=None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("room=12", ("room", "eq", "12")),
        ("room=", ("room", "eq", "")),
        ("room", ("room", "eq", "")),
        ("room=a+b%2Bc%26%3D", ("room", "eq", "a b+c&=")),
        ("room=caf%C3%A9", ("room", "eq", "caf\u00e9")),
        ("room[ne]=12", ("room", "ne", "12")),
        ("room%5Blt%5D=M", ("room", "lt", "M")),
        ("room[null]=true", ("room", "null", True)),
        ("nights=3", ("nights", "eq", 3)),
        ("nights=-3", ("nights", "eq", -3)),
        ("nights=0", ("nights", "eq", 0)),
        ("nights[ge]=9007199254740991", ("nights", "ge", 9007199254740991)),
        ("breakfast=false", ("breakfast", "eq", False)),
        ("arrives_on[gt]=2026-02-28", ("arrives_on", "gt", "2026-02-28")),
        (
            "arrived_at[le]=2026-02-28T12:00:00Z",
            ("arrived_at", "le", "2026-02-28T12:00:00.000000Z"),
        ),
        (
            "arrived_at=2026-02-28T12:00:00%2B02:00",
            ("arrived_at", "eq", "2026-02-28T10:00:00.000000Z"),
        ),
        ("status=booked", ("status", "eq", "booked")),
        (f"guest_id={ID}", ("guest_id", "eq", str(ID))),
        (f"keeper_id[ne]={ID}", ("keeper_id", "ne", str(ID))),
    ],
)
def test_a_filter_is_its_field_operator_and_canonical_value(query, expected):
    assert asked(query).filters == (expected,)


def test_several_filters_hold_together_up_to_ten():
    eight = "room=1&room[ne]=2&room[lt]=3&room[le]=4&room[gt]=5&room[ge]=6&nights=1&nights[ne]=2"
    assert len(asked(f"{eight}&nights[lt]=3&nights[le]=4").filters) == 10
    assert refusal(f"{eight}&nights[lt]=3&nights[le]=4&nights[gt]=5").detail == (
        "A list has at most 10 filters."
    )


@pytest.mark.parametrize(
    ("query", "name", "reason"),
    [
        ("rooms=1", "rooms", "is neither a field"),
        ("Room=1", "Room", "is neither a field"),
        ("id=1", "id", "is neither a field"),
        ("org_id=1", "org_id", "is neither a field"),
        ("room[]=1", "room[]", "is neither a field"),
        ("room[lt=1", "room[lt", "is neither a field"),
        ("room[lt][gt]=1", "room[lt][gt]", "is neither a field"),
        ("room[like]=1", "room[like]", "takes one of lt, le, gt, ge, ne, null"),
        ("room[eq]=1", "room[eq]", "or nothing for equality"),
        ("room[null]=1", "room[null]", "is true or false"),
        ("guest_id[lt]=1", "guest_id[lt]", "takes one of ne"),
        ("guest_id[null]=true", "guest_id[null]", "takes one of ne"),
        ("status[gt]=booked", "status[gt]", "takes one of ne, null"),
        ("breakfast[lt]=true", "breakfast[lt]", "takes one of ne, null"),
        ("nights=3.0", "nights", "is an integer"),
        ("nights=03", "nights", "is an integer"),
        ("nights=%2B3", "nights", "is an integer"),
        ("nights=9007199254740992", "nights", "is an integer"),
        ("nights=1e3", "nights", "is an integer"),
        ("nights=", "nights", "is an integer"),
        ("nights=%D9%A3", "nights", "is an integer"),
        ("breakfast=True", "breakfast", "is true or false"),
        ("breakfast=1", "breakfast", "is true or false"),
        ("arrives_on=2026-02-30", "arrives_on", "must be a date"),
        ("arrives_on=20260228", "arrives_on", "must be a date"),
        ("arrived_at=2026-02-28T12:00:00", "arrived_at", "must be a moment"),
        ("status=gone", "status", "must be one of"),
        ("guest_id=7", "guest_id", ""),
        ("limit=0", "limit", "is a whole number from 1 to 500"),
        ("limit=501", "limit", "is a whole number from 1 to 500"),
        ("limit=-1", "limit", "is a whole number from 1 to 500"),
        ("limit=1.0", "limit", "is a whole number from 1 to 500"),
        ("limit=" + "9" * 400, "limit", "is a whole number from 1 to 500"),
        ("order=rooms", "order", "has no field of this name"),
        ("order=--room", "order", "has no field of this name"),
        ("order=", "order", "has no field of this name"),
        ("room=1&room=1", "room", "stands in the query twice"),
        ("limit=1&limit=2", "limit", "stands in the query twice"),
        ("ro%6Fm=1&room=2", "room", "stands in the query twice"),
    ],
)
def test_a_parameter_that_is_not_understood_is_refused_by_its_name(query, name, reason):
    (told,) = refusal(query).errors
    assert told[0] == name
    assert reason in told[1]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("=1", "A parameter has no name."),
        ("room=1&", "A parameter has no name."),
        ("&room=1", "A parameter has no name."),
        ("room=%", "A percent sign is followed by two hex digits."),
        ("room=%4", "A percent sign is followed by two hex digits."),
        ("room=%zz", "A percent sign is followed by two hex digits."),
        ("room=%FF", "A query is UTF-8 in percent-encoding."),
        ("room=%ED%A0%80", "A query is UTF-8 in percent-encoding."),
        ("room=%00", "A query holds no control characters."),
        ("room%0A=1", "A query holds no control characters."),
        ("room=%7F", "A query holds no control characters."),
        (b"room=caf\xc3\xa9", "A query is ASCII, of 32 KiB at most."),
        ("room=" + "x" * 32_764, "A query is ASCII, of 32 KiB at most."),
    ],
)
def test_a_query_that_is_not_well_formed_is_refused(query, detail):
    assert refusal(query).detail == detail


def test_a_long_name_is_not_repeated_whole_in_the_error():
    error = refusal("x" * 5_000 + "=1")
    assert error.errors[0][0] == "x" * 60
    assert len(error.detail) < 200


def test_a_text_filter_is_not_held_to_the_bounds_of_its_field():
    # A name has 200 characters at most; "above M" or a longer text is a fair question all the same.
    assert asked("name[gt]=" + "x" * 1_000, PEOPLE).filters[0][2] == "x" * 1_000


@pytest.mark.parametrize(
    ("order", "field", "descending"),
    [
        ("id", None, False),
        ("-id", None, True),
        ("room", "room", False),
        ("-arrives_on", "arrives_on", True),
    ],
)
def test_an_order_is_a_field_and_a_direction(order, field, descending):
    found = asked(f"order={order}&limit=7")
    assert (found.order, found.descending, found.limit) == (field, descending, 7)
    assert found.order_text == order


def test_only_what_may_be_null_is_asked_for_null():
    assert operators(ROWS.fields["room"]) == ("lt", "le", "gt", "ge", "ne", "null")
    assert operators(PEOPLE.fields["name"]) == ("lt", "le", "gt", "ge", "ne")
    assert operators(ROWS.fields["guest_id"]) == ("ne",)
    assert operators(ROWS.fields["status"]) == ("ne", "null")


moments = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - the zone is drawn beside it
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001 - the zone is drawn beside it
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
positions = st.one_of(
    st.tuples(st.just("id"), st.none()),
    st.tuples(
        st.just("room"),
        st.none()
        | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=300),
    ),
    st.tuples(st.just("nights"), st.none() | st.integers(-(2**53) + 1, 2**53 - 1)),
    st.tuples(st.just("breakfast"), st.none() | st.booleans()),
    st.tuples(st.just("arrives_on"), st.none() | st.dates().map(str)),
    st.tuples(st.just("arrived_at"), st.none() | moments.map(timestamp_text)),
    st.tuples(st.just("status"), st.none() | st.sampled_from(["booked", "arrived", "left"])),
)


@given(positions, st.booleans(), st.uuids())
def test_the_cursor_of_a_page_leads_to_the_row_after_it(position, descending, row_id):
    name, value = position
    order = ("-" if descending else "") + name
    cursor = cursor_text(asked(f"order={order}"), value, row_id)
    assert quote(cursor) == cursor, "it needs no escape in a query"
    assert asked(f"order={order}&cursor={cursor}").after == (value, row_id)


def a_cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


GOOD = a_cursor(f'["room","12","{ID}"]')


def test_the_cursor_in_these_tests_is_taken():
    assert asked(f"order=room&cursor={GOOD}").after == ("12", ID)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "!!!!",
        GOOD[:-5],
        GOOD + "A",
        GOOD.replace("-", "+") + "+",
        a_cursor("{}"),
        a_cursor("[]"),
        a_cursor(f'["room","12","{ID}",1]'),
        a_cursor(f'["nights","12","{ID}"]'),
        a_cursor(f'["-room","12","{ID}"]'),
        a_cursor(f'["room",12,"{ID}"]'),
        a_cursor(f'["room",["12"],"{ID}"]'),
        a_cursor(f'["room","1\\u0000","{ID}"]'),
        a_cursor('["room","12","7"]'),
        a_cursor('["room","12",null]'),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        "A" * 24_577,
    ],
)
def test_a_cursor_that_was_not_given_out_for_this_order_is_refused(cursor):
    error = refusal(f"order=room&cursor={quote_plus(cursor)}")
    assert error.errors[0][0] == "cursor"


names = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\x7f"), min_size=1
)


@given(st.dictionaries(names, st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]))))
def test_what_a_browser_encodes_is_read_back(given_parameters):
    query = "&".join(f"{quote_plus(n)}={quote_plus(v)}" for n, v in given_parameters.items())
    assert parameters(query.encode()) == given_parameters


@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_a_refusal(raw):
    # Anything but the one error of the catalogue fails here.
    with contextlib.suppress(SeraiError):
        assert all(name in ROWS.fields for name, _, _ in list_request(ROWS, raw).filters)
