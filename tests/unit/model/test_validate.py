"""What becomes of the fields that a client sends, by hand-written rows and by properties.

Owns the tests of `serai.model.validate`: names, ownership, values, and that every fault is named.
Expected rows are written out; the properties compare with `Field.parser`, which has tests of its
own. Never touches a store.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.core.errors import Code, SeraiError
from serai.model import (
    Collection,
    Scope,
    boolean,
    choice,
    date,
    integer,
    money,
    reference,
    text,
    timestamp,
    user,
)
from serai.model.rules import Op
from serai.model.validate import row_values

PROPERTY = "0198c0de-0000-7000-8000-000000000001"
GUEST = "0198c0de-0000-7000-8000-000000000002"

STAYS = Collection(
    name="stays",
    number=7,
    doc="Nights of a guest",
    scope=Scope.PROPERTY,
    fields={
        "guest_id": reference("guests", "Who stays"),
        "state": choice("Where it stands", "booked", "arrived", "left"),
        "arrival": date("First night"),
        "booked_at": timestamp("When it was booked"),
        "adults": integer("Adults", minimum=1, maximum=20),
        "note": text("Anything", maximum=50, optional=True),
        "source": text("Where the booking came from", fixed=True, optional=True),
        "late": boolean("Arrives late"),
        **money("price", "Price of the stay", minimum=0),
        "posted_by": user("Who posted it", server=True),
        "posted_at": timestamp("When it was posted", server=True, optional=True),
    },
)

SENT: dict[str, object] = {
    "property_id": PROPERTY,
    "guest_id": GUEST,
    "state": "booked",
    "arrival": "2026-03-01",
    "booked_at": "2026-02-01T13:00:00+01:00",
    "adults": 2,
    "late": False,
    "price_minor": 12_345,
    "price_currency": "EUR",
}

STORED = {
    "property_id": PROPERTY,
    "guest_id": GUEST,
    "state": "booked",
    "arrival": "2026-03-01",
    "booked_at": "2026-02-01T12:00:00.000000Z",
    "adults": 2,
    "note": None,
    "source": None,
    "late": False,
    "price_minor": 12_345,
    "price_currency": "EUR",
    "posted_by": None,
    "posted_at": None,
}


def refused(fields: Mapping[str, object], op: Op) -> SeraiError:
    with pytest.raises(SeraiError) as caught:
        row_values(STAYS, fields, op)
    return caught.value


def test_an_insert_becomes_the_whole_row_in_declared_order_with_one_spelling_of_each_value() -> (
    None
):
    row = row_values(STAYS, SENT, "insert")
    assert row == STORED
    assert list(row) == list(STORED)


def test_the_order_in_which_a_phone_sends_its_fields_does_not_change_the_stored_text() -> None:
    backwards = dict(reversed(SENT.items()))
    assert list(row_values(STAYS, backwards, "insert").items()) == list(STORED.items())


def test_two_inserts_never_share_a_row() -> None:
    first = row_values(STAYS, SENT, "insert")
    first["note"] = "changed by the rule"
    assert row_values(STAYS, SENT, "insert") == STORED


def test_a_null_for_an_optional_field_is_the_same_as_leaving_it_out() -> None:
    assert row_values(STAYS, {**SENT, "note": None}, "insert") == STORED


def test_an_update_keeps_to_the_fields_that_were_sent() -> None:
    assert row_values(STAYS, {"adults": 3, "note": None}, "update") == {"adults": 3, "note": None}
    assert row_values(STAYS, {}, "update") == {}


def test_a_form_with_five_mistakes_shows_all_five_at_once() -> None:
    wrong = {**SENT, "adults": 0, "arrival": "2026-02-30", "state": "lost", "price_currency": "eur"}
    del wrong["guest_id"]
    error = refused(wrong, "insert")
    assert error.code is Code.FIELDS_INVALID
    assert dict(error.errors) == {
        "adults": "must be from 1 to 20",
        "arrival": "must be a date such as 2026-01-31",
        "state": "must be one of booked, arrived, left",
        "price_currency": "must match [A-Z]{3}",
        "guest_id": "is required",
    }


@pytest.mark.parametrize("op", ["insert", "update"])
def test_a_field_that_nobody_declared_is_refused_by_name(op: Op) -> None:
    fields = {**SENT, "colour": "red"} if op == "insert" else {"colour": "red"}
    error = refused(fields, op)
    assert error.code is Code.FIELD_UNKNOWN
    assert error.errors == (("colour", "is no field of stays"),)


@pytest.mark.parametrize("op", ["insert", "update"])
@pytest.mark.parametrize("name", ["id", "org_id", "version"])
def test_the_members_beside_a_row_cannot_be_smuggled_into_it(op: Op, name: str) -> None:
    fields = {**SENT, name: PROPERTY} if op == "insert" else {name: PROPERTY}
    assert refused(fields, op).code is Code.FIELD_UNKNOWN


@pytest.mark.parametrize("op", ["insert", "update"])
@pytest.mark.parametrize("name", ["posted_by", "posted_at"])
def test_a_client_cannot_say_who_posted_a_stay(op: Op, name: str) -> None:
    fields = {**SENT, name: None} if op == "insert" else {name: GUEST}
    error = refused(fields, op)
    assert error.code is Code.FIELD_READ_ONLY
    assert error.errors == ((name, "is set by the server"),)


@pytest.mark.parametrize("name", ["property_id", "source"])
def test_what_is_fixed_at_the_insert_stays_as_it_was(name: str) -> None:
    error = refused({name: SENT.get(name), "adults": 2}, "update")
    assert error.code is Code.FIELD_READ_ONLY
    assert error.errors == ((name, "never changes after the insert"),)


def test_a_property_field_that_forgot_to_say_fixed_is_fixed_all_the_same() -> None:
    rooms = Collection(
        name="rooms",
        number=8,
        doc="Rooms",
        scope=Scope.PROPERTY,
        fields={"property_id": reference("properties", "Where it is"), "name": text("Its number")},
    )
    with pytest.raises(SeraiError) as caught:
        row_values(rooms, {"property_id": PROPERTY}, "update")
    assert caught.value.code is Code.FIELD_READ_ONLY


def test_the_gravest_fault_gives_the_code_and_the_others_are_listed_too() -> None:
    fields = {**SENT, "colour": 1, "posted_by": GUEST, "adults": "two"}
    error = refused(fields, "insert")
    assert error.code is Code.FIELD_UNKNOWN
    assert {name for name, _ in error.errors} == {"colour", "posted_by", "adults"}


def test_an_update_to_null_of_a_required_field_is_refused() -> None:
    error = refused({"adults": None}, "update")
    assert error.code is Code.FIELDS_INVALID
    assert [name for name, _ in error.errors] == ["adults"]


@pytest.mark.parametrize("value", [1.0, 1e3, True, "1", 2**53, -(2**53), [1], {"n": 1}])
def test_money_is_never_anything_but_an_integer_that_every_reader_keeps(value: object) -> None:
    assert refused({"price_minor": value}, "update").code is Code.FIELDS_INVALID


@pytest.mark.parametrize("value", ["a\x00b", "\ud800", "x" * 51])
def test_texts_that_a_database_or_a_phone_cannot_hold_are_refused(value: str) -> None:
    assert refused({"note": value}, "update").code is Code.FIELDS_INVALID


def test_a_delete_carries_no_fields() -> None:
    assert row_values(STAYS, {}, "delete") == {}
    assert refused({"note": "why"}, "delete").errors == (("note", "a delete has no fields"),)


def test_two_collections_of_one_name_are_not_taken_for_one_another() -> None:
    other = Collection(
        name="stays", number=7, doc="Another", scope=Scope.ORGANISATION, fields={"a": text("A")}
    )
    assert row_values(other, {"a": "x"}, "insert") == {"a": "x"}
    assert row_values(STAYS, SENT, "insert") == STORED


def test_many_short_lived_declarations_do_not_mix_and_do_not_pile_up() -> None:
    for number in range(3_000):
        one = Collection(
            name="c", number=1, doc="c", scope=Scope.ORGANISATION, fields={f"f{number}": text("x")}
        )
        assert row_values(one, {f"f{number}": "y"}, "insert") == {f"f{number}": "y"}


json_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=60),
    st.lists(st.integers(), max_size=2),
    st.just({"nested": 1}),
    st.sampled_from(list(SENT.values())),
)
names = st.sampled_from([*STAYS.fields, "id", "colour", ""])


@given(
    st.dictionaries(names, json_values, max_size=6), st.sampled_from(["insert", "update", "delete"])
)
def test_whatever_is_sent_the_answer_is_a_canonical_row_or_a_refusal_that_names_a_field(
    fields, op
) -> None:
    try:
        row = row_values(STAYS, fields, op)
    except SeraiError as error:
        row, faults = {}, dict(error.errors)
        assert faults, error  # noqa: PT017 - both outcomes are right, each is checked
        assert faults.keys() <= {*fields, *STAYS.fields}
    for name, value in row.items():
        if name in fields:
            assert value == STAYS.fields[name].parser()(fields[name])
            assert STAYS.fields[name].parser()(value) == value


def test_checking_a_row_costs_microseconds_not_more() -> None:
    row_values(STAYS, SENT, "insert")
    best = min(_seconds_per_row() for _ in range(20))
    assert best < 60e-6, (
        f"{best * 1e6:.1f} us a row: something in the path is not compiled any more"
    )


def _seconds_per_row() -> float:
    rounds = 200
    started = time.process_time()
    for _ in range(rounds):
        row_values(STAYS, SENT, "insert")
    return (time.process_time() - started) / rounds
