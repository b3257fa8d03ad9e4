"""Each kind of field at its edges: what is taken, in which spelling, and what is refused.

Owns the tests of `Field.parser`. Accepted values and their one spelling are written by hand; the
properties say that a spelling is final and that equal values have equal texts. Never declares a
whole collection.
"""

from __future__ import annotations

import json
from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.core.limits import INTEGER_MAX, MONEY_MINOR_MAX, TEXT_CHARS_MAX
from serai.model import (
    Field,
    boolean,
    choice,
    integer,
    money,
    reference,
    text,
    timestamp,
    user,
)
from serai.model import date as date_field
from serai.model.fields import FieldError, Value

ID = "0198c0de-0000-7000-8000-000000000001"
KINDS: dict[str, Field] = {
    "text": text("Note"),
    "integer": integer("Adults"),
    "boolean": boolean("Late"),
    "date": date_field("Arrival"),
    "timestamp": timestamp("Booked at"),
    "choice": choice("State", "booked", "left"),
    "reference": reference("guests", "Who"),
    "user": user("By whom"),
    "minor": money("price", "Price")["price_minor"],
    "currency": money("price", "Price")["price_currency"],
}
each_kind = pytest.mark.parametrize("field", KINDS.values(), ids=KINDS.keys())
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.dates().map(str)
    | st.datetimes().map(lambda d: d.isoformat() + "+02:00")
    | st.uuids().map(str),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)


def refusal(field: Field, value: object) -> str:
    with pytest.raises(FieldError) as caught:
        field.parser()(value)
    return str(caught.value)


@each_kind
@given(value=json_values)
def test_whatever_is_sent_is_refused_or_has_one_final_spelling(field, value) -> None:
    parse = field.parser()
    try:
        stored = parse(value)
    except FieldError as error:
        assert str(error)  # noqa: PT017 - both outcomes are right, each is checked
        return
    assert parse(stored) == stored
    assert type(parse(stored)) is type(stored)
    assert parse(json.loads(json.dumps(stored))) == stored
    assert not isinstance(stored, float)


@each_kind
def test_null_is_a_value_of_optional_fields_only(field: Field) -> None:
    assert refusal(field, None)
    optional = Field(
        kind=field.kind, doc="", optional=True, choices=field.choices, target=field.target
    )
    assert optional.parser()(None) is None


@each_kind
@pytest.mark.parametrize("value", [1.0, 0.1, float("nan"), float("inf"), [], {}, [1], {"a": 1}])
def test_no_field_takes_a_fraction_a_list_or_an_object(field: Field, value: object) -> None:
    assert refusal(field, value).startswith("must ")


@pytest.mark.parametrize("name", ["integer", "minor"])
@pytest.mark.parametrize("value", [True, False, "1", "", 12.0, 1e2])
def test_a_yes_is_not_one_cent(name: str, value: object) -> None:
    assert refusal(KINDS[name], value) == "must be an integer, without a fraction or an exponent"


@pytest.mark.parametrize("value", [0, 1, "true", "false", "", None])
def test_a_number_is_not_a_yes(value: object) -> None:
    assert refusal(KINDS["boolean"], value) == "must be true or false"


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        (integer("n"), -INTEGER_MAX, INTEGER_MAX),
        (integer("n", minimum=0), 0, INTEGER_MAX),
        (integer("n", maximum=0), -INTEGER_MAX, 0),
        (integer("n", minimum=-3, maximum=7), -3, 7),
        (KINDS["minor"], -MONEY_MINOR_MAX, MONEY_MINOR_MAX),
        (money("p", "P", minimum=0)["p_minor"], 0, MONEY_MINOR_MAX),
    ],
)
def test_a_number_is_taken_up_to_its_bounds_and_not_one_further(
    field: Field, low: int, high: int
) -> None:
    parse = field.parser()
    assert (parse(low), parse(high)) == (low, high)
    assert refusal(field, low - 1) == refusal(field, high + 1) == f"must be from {low} to {high}"
    assert refusal(field, 10**400)


def test_a_text_is_measured_in_characters_as_the_database_measures_it() -> None:
    """PostgreSQL's `length` counts code points: an emoji is one, a loose accent is one more."""
    field = text("Note", minimum=2, maximum=3)
    bed, accented = "\U0001f6cf", "e\u0301"
    assert field.parser()(bed * 3) == bed * 3
    assert field.parser()(accented) == accented
    for wrong in ("", "a", bed, bed * 4, accented * 2):
        assert refusal(field, wrong) == "must have 2 to 3 characters"


def test_a_text_without_bounds_of_its_own_has_the_house_bound() -> None:
    parse = text("Note").parser()
    assert parse("") == ""
    assert parse("x" * TEXT_CHARS_MAX) == "x" * TEXT_CHARS_MAX
    assert refusal(text("Note"), "x" * (TEXT_CHARS_MAX + 1)) == "must have 0 to 4000 characters"


def test_a_text_that_may_hold_nothing_holds_nothing() -> None:
    assert text("Empty", maximum=0).parser()("") == ""
    assert refusal(text("Empty", maximum=0), "x")


@pytest.mark.parametrize("value", ["\x00", "a\x00b", "\ud800", "a\udc00"])
def test_a_text_that_no_database_can_keep_is_refused(value: str) -> None:
    assert "NUL or half a surrogate" in refusal(KINDS["text"], value)


@pytest.mark.parametrize(
    "value", ["\n", "\t", "\u2028", "\ufeff", "\U0010ffff", '"\\', "{version}"]
)
def test_any_other_character_is_kept_as_it_is(value: str) -> None:
    assert KINDS["text"].parser()(value) == value


def test_a_pattern_holds_for_the_whole_text() -> None:
    field = text("Code", pattern="[a-z]+")
    assert field.parser()("abc") == "abc"
    for wrong in ("abc1", "1abc", "abc\n", "", "ABC"):
        assert refusal(field, wrong) == "must match [a-z]+"


@pytest.mark.parametrize("value", ["eur", "EU", "EURO", "EU1", " EUR", "\u0415UR", "EUR\n"])
def test_a_currency_is_three_capital_letters(value: str) -> None:
    assert refusal(KINDS["currency"], value)


def test_an_amount_is_two_fields_of_money_and_both_are_bound_together() -> None:
    pair = money("price", "Price", minimum=0, optional=True, fixed=True)
    assert list(pair) == ["price_minor", "price_currency"]
    assert all(f.money and f.optional and f.fixed and not f.server for f in pair.values())


@pytest.mark.parametrize("value", ["2024-02-29", "0001-01-01", "9999-12-31", "2026-01-31"])
def test_a_day_of_the_calendar_is_taken(value: str) -> None:
    assert KINDS["date"].parser()(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "2026-02-29",
        "2026-02-30",
        "2026-13-01",
        "2026-00-10",
        "0000-01-01",
        "2026-1-1",
        "20260131",
        "31-01-2026",
        "2026/01/31",
        "2026-W05-6",
        "2026-01-31T",
        " 2026-01-3",
        "\u0662\u0660\u0662\u0666-01-31",
        "10000-01-1",
        "",
        20260131,
    ],
)
def test_what_is_no_day_of_the_calendar_is_refused(value: object) -> None:
    assert refusal(KINDS["date"], value) == "must be a date such as 2026-01-31"


@given(st.dates())
def test_every_day_is_kept(day: date) -> None:
    assert KINDS["date"].parser()(day.isoformat()) == day.isoformat()


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z"),
        ("2026-01-31T12:00:00+00:00", "2026-01-31T12:00:00.000000Z"),
        ("2026-01-31T00:30:00+05:45", "2026-01-30T18:45:00.000000Z"),
        ("2026-01-31T12:00:00.5-03:30", "2026-01-31T15:30:00.500000Z"),
        ("2026-01-31T23:59:59.999999Z", "2026-01-31T23:59:59.999999Z"),
    ],
)
def test_a_moment_is_stored_in_utc_whatever_the_phones_zone(sent: str, stored: str) -> None:
    assert KINDS["timestamp"].parser()(sent) == stored


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T12:00:00",
        "2026-01-31",
        "2026-02-30T12:00:00Z",
        "2026-01-31T25:00:00Z",
        "2026-01-31T12:61:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2026-01-31T12:00:00+25:00",
        "2026-01-31T12:00:00 Europe/Lisbon",
        "now",
        "",
        1_769_860_800,
    ],
)
def test_a_moment_without_zone_or_outside_the_calendar_is_refused(value: object) -> None:
    assert "with its offset" in refusal(KINDS["timestamp"], value)


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)))  # noqa: DTZ001 - the offset is added as text
def test_the_same_moment_from_two_phones_is_the_same_text(moment) -> None:
    parse = KINDS["timestamp"].parser()
    assert parse(moment.isoformat() + "Z") == parse(moment.isoformat() + "+00:00")


def test_a_choice_is_one_of_its_words_letter_by_letter() -> None:
    assert KINDS["choice"].parser()("left") == "left"
    for wrong in ("Left", "left ", "", "other", 0, None, ["left"]):
        assert refusal(KINDS["choice"], wrong) == "must be one of booked, left"


@pytest.mark.parametrize("name", ["reference", "user"])
@pytest.mark.parametrize("value", [ID.upper(), ID[:-1], "", 7, "{" + ID + "}"])
def test_a_reference_is_an_id_in_its_one_spelling(name: str, value: object) -> None:
    assert KINDS[name].parser()(ID) == ID
    assert refusal(KINDS[name], value)


@pytest.mark.parametrize(
    "value", ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]
)
def test_a_reference_never_names_the_organisation_or_every_property(value: str) -> None:
    assert "reserved" in refusal(KINDS["reference"], value)


def test_a_parser_is_usable_for_many_values() -> None:
    parse = integer("n", minimum=1, maximum=9).parser()
    stored: list[Value] = [parse(n) for n in range(1, 10)]
    assert stored == [1, 2, 3, 4, 5, 6, 7, 8, 9]
