"""A closed day never changes, whatever is asked of it, and nothing that was asked is lost.

Owns the examples and the property for revenues and closes; expenses have a file of their own.
Amounts are hundredths of a euro and are counted by hand in the examples.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from house import (
    ACCOUNTANT,
    AUDITOR,
    BAR,
    DESK,
    MANAGER,
    OWNER,
    RENT,
    ROOMS,
    A,
    B,
    Books,
    charge,
    minor,
    named,
    person,
)
from serai_hospitality.rules.revenues import ADJUSTMENTS_MAX, adjustment_id

NIGHT = named("a night")


def closed_book(amount: int = 100_00) -> Books:
    """Return books in which 2026-03-05 is closed with one charge."""
    books = Books()
    assert books.ask(DESK, "insert", "revenues", NIGHT, charge(amount, "2026-03-05")) is None
    assert books.close("2026-03-05") is None
    return books


def test_a_charge_on_an_open_day_is_posted_as_it_is(books):
    assert books.ask(DESK, "insert", "revenues", NIGHT, charge(80_00, "2026-03-05")) is None
    row = books.row("revenues", NIGHT)
    assert (row["business_date"], row["amount_minor"]) == ("2026-03-05", 80_00)
    assert (row["original_business_date"], row["review"], row["corrects"]) == (None, None, None)


def test_a_late_charge_counts_in_the_open_day_and_waits_for_review():
    books = closed_book()
    late = named("late")
    assert books.ask(DESK, "insert", "revenues", late, charge(20_00, "2026-03-03")) is None
    row = books.row("revenues", late)
    assert row["business_date"] == "2026-03-06"
    assert row["original_business_date"] == "2026-03-03"
    assert row["review"] == "pending"
    assert books.total("revenues", "2026-03-03") == 0


def test_a_charge_of_another_property_does_not_mind_the_close_here():
    books = closed_book()
    there = charge(20_00, "2026-03-03", property_id=str(B))
    assert books.ask(OWNER, "insert", "revenues", named("there"), there) is None
    assert books.row("revenues", named("there"))["business_date"] == "2026-03-03"


def test_a_corrected_amount_leaves_the_closed_row_and_posts_the_difference():
    books = closed_book(100_00)
    before = books.row("revenues", NIGHT)
    assert books.ask(DESK, "update", "revenues", NIGHT, {"amount_minor": 90_00}) is None
    assert books.row("revenues", NIGHT) == before
    posted = books.row("revenues", adjustment_id(NIGHT, 1))
    assert posted["amount_minor"] == -10_00
    assert posted["kind"] == "adjustment"
    assert posted["corrects"] == str(NIGHT)
    assert posted["business_date"] == "2026-03-06"
    assert posted["original_business_date"] == "2026-03-05"
    assert posted["review"] == "pending"


def test_a_second_correction_counts_from_the_first_one_not_from_the_original():
    books = closed_book(100_00)
    for amount in (90_00, 85_00):
        assert books.ask(DESK, "update", "revenues", NIGHT, {"amount_minor": amount}) is None
    assert books.row("revenues", adjustment_id(NIGHT, 2))["amount_minor"] == -5_00
    assert books.total("revenues", "2026-03-06") == -15_00


def test_the_same_correction_sent_twice_posts_once():
    books = closed_book(100_00)
    for _ in range(2):
        assert books.ask(DESK, "update", "revenues", NIGHT, {"amount_minor": 90_00}) is None
    assert books.total("revenues", "2026-03-06") == -10_00
    assert adjustment_id(NIGHT, 2) not in books.all("revenues")


def test_a_delete_in_a_closed_day_posts_what_the_row_is_still_worth():
    books = closed_book(100_00)
    assert books.ask(OWNER, "update", "revenues", NIGHT, {"amount_minor": 70_00}) is None
    assert books.ask(OWNER, "delete", "revenues", NIGHT) is None
    assert NIGHT in books.all("revenues")
    assert books.row("revenues", adjustment_id(NIGHT, 2))["amount_minor"] == -70_00
    assert books.total("revenues", "2026-03-05") == 100_00
    assert books.ask(OWNER, "delete", "revenues", NIGHT) is None
    assert books.total("revenues", "2026-03-06") == -100_00


def test_a_correction_of_the_account_takes_the_amount_out_of_one_and_into_the_other():
    books = closed_book(100_00)
    assert books.ask(DESK, "update", "revenues", NIGHT, {"amount_minor": 60_00}) is None
    assert books.ask(DESK, "update", "revenues", NIGHT, {"account_id": str(BAR)}) is None
    by_account = {ROOMS: 0, BAR: 0}
    for row in books.all("revenues").values():
        by_account[UUID(str(row["account_id"]))] += minor(row)
    assert by_account == {ROOMS: 0, BAR: 60_00}


def test_a_correction_of_the_currency_never_mixes_two_currencies():
    books = closed_book(100_00)
    asked = {"amount_minor": 110_00, "amount_currency": "USD"}
    assert books.ask(DESK, "update", "revenues", NIGHT, asked) is None
    posted = {
        (row["amount_currency"], row["amount_minor"])
        for key, row in books.all("revenues").items()
        if key != NIGHT
    }
    assert posted == {("EUR", -100_00), ("USD", 110_00)}


def test_a_correction_of_the_day_reverses_it_and_posts_it_on_the_day_asked_for():
    books = closed_book(100_00)
    assert books.ask(DESK, "update", "revenues", NIGHT, {"business_date": "2026-03-08"}) is None
    assert books.total("revenues", "2026-03-05") == 100_00
    assert books.total("revenues", "2026-03-06") == -100_00
    assert books.total("revenues", "2026-03-08") == 100_00


def test_a_row_moved_from_one_closed_day_to_another_says_both_days():
    books = closed_book(100_00)
    assert books.ask(DESK, "update", "revenues", NIGHT, {"business_date": "2026-03-04"}) is None
    posted = {
        (row["business_date"], row["original_business_date"], row["amount_minor"])
        for key, row in books.all("revenues").items()
        if key != NIGHT
    }
    assert posted == {
        ("2026-03-06", "2026-03-05", -100_00),
        ("2026-03-06", "2026-03-04", 100_00),
    }


def test_an_open_row_moved_to_a_closed_day_goes_to_the_open_day_for_review():
    books = closed_book()
    today = named("today")
    assert books.ask(DESK, "insert", "revenues", today, charge(5_00, "2026-03-07")) is None
    assert books.ask(DESK, "update", "revenues", today, {"business_date": "2026-03-01"}) is None
    row = books.row("revenues", today)
    assert (row["business_date"], row["original_business_date"]) == ("2026-03-06", "2026-03-01")
    assert row["review"] == "pending"


@pytest.mark.parametrize("fields", [{"note": "x"}, {"note": "x", "amount_minor": 1}])
def test_a_note_on_a_closed_row_is_refused_rather_than_half_applied(fields):
    books = closed_book()
    assert books.ask(OWNER, "update", "revenues", NIGHT, fields) == "day_closed"
    assert books.total("revenues", "2026-03-06") == 0


def test_a_correction_cannot_smuggle_in_a_wrong_sign_or_account():
    books = closed_book()
    assert books.ask(DESK, "update", "revenues", NIGHT, {"amount_minor": -1}) == "sign"
    wrong = {"account_id": str(RENT)}
    assert books.ask(DESK, "update", "revenues", NIGHT, wrong) == "account_kind"
    made = {"kind": "adjustment", "amount_minor": 3}
    assert books.ask(DESK, "update", "revenues", NIGHT, made) == "adjustment_is_made"


def test_corrections_of_one_row_have_an_end():
    books = closed_book(100_00)
    for n in range(ADJUSTMENTS_MAX):
        assert books.ask(DESK, "update", "revenues", NIGHT, {"amount_minor": n}) is None
    last = books.ask(DESK, "update", "revenues", NIGHT, {"amount_minor": 500_00})
    assert last == "too_many_corrections"


def test_nobody_enters_an_adjustment_by_hand(books):
    row = charge(1_00, "2026-03-05", kind="adjustment")
    assert books.ask(OWNER, "insert", "revenues", NIGHT, row) == "adjustment_is_made"


def test_an_adjustment_stays_but_its_amount_may_be_undone_while_its_day_is_open():
    books = closed_book(100_00)
    assert books.ask(OWNER, "update", "revenues", NIGHT, {"amount_minor": 90_00}) is None
    made = adjustment_id(NIGHT, 1)
    assert books.ask(OWNER, "delete", "revenues", made) == "adjustment_stays"
    change = {"account_id": str(BAR)}
    assert books.ask(OWNER, "update", "revenues", made, change) == "adjustment_stays"
    assert books.ask(OWNER, "update", "revenues", made, {"amount_minor": 0}) is None
    assert books.close("2026-03-06") is None
    assert books.ask(OWNER, "update", "revenues", made, {"amount_minor": 5}) == "day_closed"


def test_a_review_is_accepted_by_an_accountant_and_says_by_whom():
    books = closed_book()
    late = named("late")
    assert books.ask(DESK, "insert", "revenues", late, charge(20_00, "2026-03-03")) is None
    accepted = {"review": "accepted"}
    assert books.ask(DESK, "update", "revenues", late, accepted) == "review_role"
    assert books.ask(AUDITOR, "update", "revenues", late, accepted) == "forbidden"
    both = {"review": "accepted", "amount_minor": 1}
    assert books.ask(OWNER, "update", "revenues", late, both) == "review_alone"
    assert books.close("2026-03-06") is None  # a review may outlive the close of its day
    assert books.ask(ACCOUNTANT, "update", "revenues", late, accepted) is None
    assert books.row("revenues", late)["reviewed_by"] == str(ACCOUNTANT.user_id)
    assert books.ask(ACCOUNTANT, "update", "revenues", late, {"review": None}) == "review_step"


def test_a_client_cannot_give_itself_an_accepted_review(books):
    row = charge(1_00, "2026-03-05", review="accepted")
    assert books.ask(DESK, "insert", "revenues", NIGHT, row) is None
    assert books.row("revenues", NIGHT)["review"] is None


def test_a_revenue_is_not_booked_to_an_account_of_costs_or_one_out_of_use(books):
    wrong = charge(1_00, "2026-03-05", account_id=str(RENT))
    assert books.ask(DESK, "insert", "revenues", NIGHT, wrong) == "account_kind"
    assert books.ask(OWNER, "update", "accounts", BAR, {"active": False}) is None
    old = charge(1_00, "2026-03-05", account_id=str(BAR))
    assert books.ask(DESK, "insert", "revenues", NIGHT, old) == "account_inactive"


def test_days_close_in_order_without_a_gap():
    books = closed_book()
    assert books.close("2026-03-04") == "not_the_open_day"
    assert books.close("2026-03-07") == "not_the_open_day"
    assert books.close("2026-03-06") is None
    assert books.row("properties", A)["open_business_date"] == "2026-03-07"
    assert books.row("properties", B)["open_business_date"] is None


def test_a_day_that_has_begun_nowhere_is_not_closed(books):
    books.now = datetime(2026, 3, 10, 9, 59, tzinfo=UTC)  # in Kiritimati it is still the 10th
    assert books.close("2026-03-11") == "not_begun"
    books.now = datetime(2026, 3, 10, 10, 0, tzinfo=UTC)
    assert books.close("2026-03-11") is None


def test_a_close_says_who_and_when_and_is_never_taken_back(books):
    assert books.close("2026-03-05") is None
    key = named(f"close {A} 2026-03-05")
    row = books.row("day_closes", key)
    assert row["closed_by"] == str(ACCOUNTANT.user_id)
    assert row["closed_at"] == "2026-03-10T09:30:00.000000Z"
    assert books.ask(OWNER, "delete", "day_closes", key) == "forbidden"
    assert books.ask(OWNER, "update", "day_closes", key, {}) == "forbidden"


def test_the_rule_itself_keeps_a_close_even_if_a_role_were_given_the_right(books):
    from serai.model import Refuse, Row, RuleInput  # noqa: PLC0415 - this test alone calls a rule bare
    from serai_hospitality.rules.closes import CloseRule  # noqa: PLC0415 - as above

    row: Row = {"property_id": str(A), "business_date": "2026-03-05"}
    asked = RuleInput(OWNER, "delete", NIGHT, row, None, {}, books.now)
    verdict = CloseRule().decide(asked)
    assert isinstance(verdict, Refuse)
    assert verdict.code == "close_is_final"


def test_who_may_not_close_does_not_close(books):
    row = {"property_id": str(A), "business_date": "2026-03-05"}
    for who in (DESK, AUDITOR, person("stan", "staff")):
        assert books.ask(who, "insert", "day_closes", named("c"), row) == "forbidden"
    assert books.ask(MANAGER, "insert", "day_closes", named("c"), row) is None


def test_the_open_day_is_nobodys_to_set(books):
    change = {"open_business_date": "2026-01-01"}
    assert books.ask(OWNER, "update", "properties", A, change) == "field_read_only"
    assert books.close("2026-03-05") is None
    assert books.ask(OWNER, "update", "properties", A, {"name": "New"}) is None
    assert books.row("properties", A)["open_business_date"] == "2026-03-06"


def test_a_property_with_closed_days_is_kept(books):
    assert books.ask(OWNER, "delete", "properties", B) is None
    assert books.close("2026-03-05") is None
    assert books.ask(OWNER, "delete", "properties", A) == "has_books"


DAY_ONE = date(2026, 3, 1)
days = st.integers(0, 7).map(lambda n: (DAY_ONE + timedelta(n)).isoformat())
steps = st.one_of(
    st.tuples(st.just("insert"), st.integers(0, 3), st.integers(0, 200_00), days),
    st.tuples(st.just("update"), st.integers(0, 3), st.integers(0, 200_00), st.just("")),
    st.tuples(st.just("delete"), st.integers(0, 3), st.just(0), st.just("")),
    st.tuples(st.just("close"), st.just(0), st.just(0), days),
)


@given(st.lists(steps, max_size=30))
def test_no_sequence_of_writes_changes_a_closed_day_or_loses_an_amount(script):
    books = Books()
    wanted: dict[UUID, int] = {}
    closed: dict[str, int] = {}
    for what, number, amount, day in script:
        key = named(f"row {number}")
        if what == "close":
            if books.close(day) is None:
                until = str(books.row("properties", A)["open_business_date"])
                past = [(DAY_ONE + timedelta(n)).isoformat() for n in range(8)]
                closed |= {d: books.total("revenues", d) for d in past if d < until}
        elif what == "insert":
            if books.ask(OWNER, "insert", "revenues", key, charge(amount, day)) is None:
                wanted[key] = amount
        elif what == "update":
            before = books.all("revenues").get(key)
            # A client sees a closed row as it was first: asking for that is no change.
            same = before is not None and before["amount_minor"] == amount
            done = books.ask(OWNER, "update", "revenues", key, {"amount_minor": amount})
            if done is None and not same:
                wanted[key] = amount
        elif books.ask(OWNER, "delete", "revenues", key) is None:
            wanted[key] = 0
        assert {d: books.total("revenues", d) for d in closed} == closed
        found = dict.fromkeys(wanted, 0)
        for row_key, row in books.all("revenues").items():
            root = row_key if row["corrects"] is None else UUID(str(row["corrects"]))
            found[root] += minor(row)
        assert found == wanted
