"""Four eyes, limits and closed days of expenses.

Owns the examples, and two properties over random histories: nothing is paid that was not approved
by a person who neither entered nor submitted it, and the costs of a closed day stay what they were.
"""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from house import (
    ACCOUNTANT,
    ADMIN,
    AUDITOR,
    BAR,
    DESK,
    LAUNDRY,
    MANAGER,
    OWNER,
    A,
    B,
    Books,
    invoice,
    named,
    person,
)
from serai_hospitality.rules.expenses import reversal_id

BILL = named("a bill")
DAY = "2026-03-05"


def submitted(books: Books, amount: int = 50_00, day: str = DAY, **others: str) -> Books:
    """Enter a bill as the front desk and submit it."""
    row = invoice(amount, day, status="submitted", **others)
    assert books.ask(DESK, "insert", "expenses", BILL, row) is None
    return books


def to(books: Books, who, status: str, key: UUID = BILL, **others: str) -> str | None:
    """Ask for a step."""
    return books.ask(who, "update", "expenses", key, {"status": status, **others})


def paid(books: Books, amount: int = 50_00) -> Books:
    """Take a bill all the way."""
    submitted(books, amount)
    assert to(books, MANAGER, "approved") is None
    assert to(books, ACCOUNTANT, "paid") is None
    return books


def test_a_bill_goes_from_draft_to_paid_and_names_everyone_on_the_way(books):
    assert books.ask(DESK, "insert", "expenses", BILL, invoice(50_00, DAY)) is None
    assert to(books, DESK, "submitted") is None
    assert to(books, MANAGER, "approved", decision_note="as agreed") is None
    assert to(books, ACCOUNTANT, "paid") is None
    row = books.row("expenses", BILL)
    who = [row[f"{what}_by"] for what in ("created", "submitted", "decided", "paid")]
    assert who == [str(p.user_id) for p in (DESK, DESK, MANAGER, ACCOUNTANT)]
    assert row["paid_at"] == "2026-03-10T09:30:00.000000Z"
    assert row["decision_note"] == "as agreed"
    assert row["voided_by"] is None


def test_who_submitted_does_not_approve(books):
    row = invoice(50_00, DAY, status="submitted")
    assert books.ask(MANAGER, "insert", "expenses", BILL, row) is None
    assert to(books, MANAGER, "approved") == "four_eyes"
    assert to(books, MANAGER, "rejected") == "four_eyes"
    assert to(books, ACCOUNTANT, "approved") is None


def test_who_submitted_does_not_approve_what_another_entered(books):
    assert books.ask(DESK, "insert", "expenses", BILL, invoice(50_00, DAY)) is None
    assert to(books, MANAGER, "submitted") is None
    assert to(books, MANAGER, "approved") == "four_eyes"
    assert to(books, ACCOUNTANT, "approved") is None


def test_who_entered_does_not_approve_what_another_submitted(books):
    assert books.ask(MANAGER, "insert", "expenses", BILL, invoice(50_00, DAY)) is None
    assert to(books, DESK, "submitted") is None
    assert to(books, MANAGER, "approved") == "four_eyes"


def test_not_even_the_owner_approves_the_own_bill(books):
    assert books.ask(OWNER, "insert", "expenses", BILL, invoice(1, DAY)) is None
    assert to(books, OWNER, "submitted") is None
    assert to(books, OWNER, "approved") == "four_eyes"


@pytest.mark.parametrize(
    ("who", "most"), [(MANAGER, 2_000_00), (ACCOUNTANT, 5_000_00), (ADMIN, 10_000_00)]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_role_approves_up_to_its_limit_and_no_cent_more(who, most, sign):
    assert to(submitted(Books(), sign * (most + 1)), who, "approved") == "limit"
    assert to(submitted(Books(), sign * most), who, "approved") is None


def test_the_owner_approves_any_amount_in_any_currency(books):
    submitted(books, 9_000_000_00, amount_currency="JPY")
    assert to(books, ADMIN, "approved") == "limit"
    assert to(books, OWNER, "approved") is None


def test_the_best_of_several_roles_counts_and_a_role_elsewhere_does_not(books):
    submitted(books, 4_000_00)
    here = person("two hats", "manager", "accountant")
    there = person("two hats", "manager")
    assert to(books, there, "approved") == "limit"
    assert to(books, here, "approved") is None
    assert to(submitted(Books()), person("of B", "manager", at=B), "approved") == "not_found"


def test_a_rejected_bill_can_be_mended_and_is_decided_anew(books):
    submitted(books)
    assert to(books, MANAGER, "rejected", decision_note="which account?") is None
    assert books.ask(DESK, "update", "expenses", BILL, {"document": "7"}) == "not_a_draft"
    assert to(books, DESK, "draft") is None
    row = books.row("expenses", BILL)
    assert (row["decided_by"], row["submitted_by"]) == (None, None)
    assert books.ask(DESK, "update", "expenses", BILL, {"account_id": str(LAUNDRY)}) is None
    assert to(books, DESK, "submitted") is None
    assert to(books, MANAGER, "approved") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"amount_minor": 1},
        {"amount_currency": "USD"},
        {"business_date": "2026-03-06"},
        {"document": "X"},
        {"kind": "credit_note"},
        {"status": "approved", "amount_minor": 1},
    ],
)
def test_nothing_of_a_bill_changes_once_it_is_submitted(books, fields):
    submitted(books)
    assert books.ask(MANAGER, "update", "expenses", BILL, fields) == "not_a_draft"
    assert books.row("expenses", BILL)["amount_minor"] == 50_00


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("paid", "status_step"),
        ("approved", "status_step"),
        ("rejected", "status_step"),
    ],
)
def test_a_draft_skips_no_step(books, status, word):
    assert books.ask(DESK, "insert", "expenses", BILL, invoice(50_00, DAY)) is None
    assert to(books, OWNER, status) == word


@pytest.mark.parametrize("status", ["approved", "rejected", "paid", "void"])
def test_nobody_enters_a_bill_that_is_decided_already(books, status):
    row = invoice(50_00, DAY, status=status)
    assert books.ask(OWNER, "insert", "expenses", BILL, row) == "status_step"


def test_only_an_owner_imports_and_only_an_import_may_be_paid_already(books):
    row = invoice(50_00, DAY, status="paid", source="file:2")
    assert books.ask(ADMIN, "insert", "expenses", BILL, row) == "import_role"
    assert books.ask(OWNER, "insert", "expenses", BILL, row) is None
    found = books.row("expenses", BILL)
    assert (found["created_by"], found["decided_by"]) == (str(OWNER.user_id), None)
    change = {"source": None}
    assert books.ask(OWNER, "update", "expenses", BILL, change) == "field_read_only"


def test_roles_take_only_the_steps_that_are_theirs(books):
    submitted(books)
    assert to(books, DESK, "approved") == "status_role"
    assert to(books, AUDITOR, "approved") == "forbidden"
    assert to(books, MANAGER, "void") == "status_role"
    assert to(books, MANAGER, "approved") is None
    assert to(books, MANAGER, "paid") == "status_role"
    assert to(books, ADMIN, "paid") == "status_role"
    assert to(books, ACCOUNTANT, "paid") is None


def test_a_role_that_only_approves_changes_the_status_and_nothing_else(books):
    """No role of the table is like that today; the rule holds for the one that will be."""
    from dataclasses import replace  # noqa: PLC0415 - this test alone makes a table of its own

    from house import ORG, VERTICAL  # noqa: PLC0415 - as above
    from serai.gate.caller import Caller, Grant  # noqa: PLC0415 - as above

    table = {**VERTICAL.permissions, ("approver", "expenses"): frozenset({"read", "approve"})}
    vertical = replace(VERTICAL, permissions=table)
    grant = Grant.from_memberships(vertical, 1, [("approver", A), ("manager", A)])
    approver = Caller(ORG, named("approver"), grant, vertical)
    bare = Caller(
        ORG, named("bare"), Grant.from_memberships(vertical, 1, [("approver", A)]), vertical
    )
    submitted(books)
    assert books.ask(bare, "update", "expenses", BILL, {"amount_minor": 1}) == "status_only"
    assert books.ask(bare, "update", "expenses", BILL, {"decision_note": "x"}) == "status_only"
    assert to(books, bare, "approved") == "limit"  # without a limit in the table, none
    assert to(books, approver, "approved") is None


def test_a_draft_is_deleted_and_a_submitted_bill_is_not(books):
    assert books.ask(MANAGER, "insert", "expenses", BILL, invoice(50_00, DAY)) is None
    assert books.ask(MANAGER, "delete", "expenses", BILL) is None
    submitted(books)
    assert books.ask(MANAGER, "delete", "expenses", BILL) == "submitted"
    assert books.ask(DESK, "delete", "expenses", BILL) == "forbidden"


def test_a_credit_note_is_negative_and_needs_the_same_two_people(books):
    row = invoice(-30_00, DAY, status="submitted")
    assert row["kind"] == "credit_note"
    assert books.ask(DESK, "insert", "expenses", BILL, row) is None
    assert to(books, MANAGER, "approved") is None
    assert books.total("expenses", DAY) == -30_00


def test_an_expense_is_not_booked_to_an_account_of_earnings(books):
    wrong = invoice(1, DAY, account_id=str(BAR))
    assert books.ask(DESK, "insert", "expenses", BILL, wrong) == "account_kind"
    reversal = invoice(1, DAY, kind="reversal")
    assert books.ask(DESK, "insert", "expenses", BILL, reversal) == "reversal_is_made"


def test_a_bill_made_void_on_an_open_day_just_stops_counting(books):
    submitted(books)
    assert to(books, MANAGER, "approved") is None
    assert books.total("expenses", DAY) == 50_00
    assert to(books, ACCOUNTANT, "void", decision_note="twice") is None
    assert books.total("expenses", DAY) == 0
    assert books.row("expenses", BILL)["voided_by"] == str(ACCOUNTANT.user_id)
    assert reversal_id(BILL) not in books.all("expenses")
    assert to(books, OWNER, "approved") == "status_step"


def test_a_bill_made_void_after_the_close_is_taken_back_in_the_open_day(books):
    submitted(books)
    assert to(books, MANAGER, "approved") is None
    assert books.close(DAY) is None
    before = books.row("expenses", BILL)
    assert to(books, ACCOUNTANT, "void", decision_note="twice") is None
    assert books.row("expenses", BILL) == before
    back = books.row("expenses", reversal_id(BILL))
    assert (back["amount_minor"], back["kind"], back["status"]) == (-50_00, "reversal", "approved")
    assert (back["business_date"], back["original_business_date"]) == ("2026-03-06", DAY)
    assert (back["review"], back["corrects"]) == ("pending", str(BILL))
    assert back["decision_note"] == "twice"
    assert to(books, ACCOUNTANT, "void") == "reversed"


def test_what_was_taken_back_is_not_paid_and_its_reversal_not_refunded(books):
    submitted(books)
    assert to(books, MANAGER, "approved") is None
    assert books.close(DAY) is None
    assert to(books, ACCOUNTANT, "void") is None
    assert to(books, ACCOUNTANT, "paid") == "reversed"
    assert to(books, ACCOUNTANT, "paid", reversal_id(BILL)) == "reversed"
    assert to(books, OWNER, "void", reversal_id(BILL)) == "reversal_stays"


def test_a_paid_bill_made_void_waits_for_the_refund(books):
    paid(books)
    assert to(books, ACCOUNTANT, "void") is None
    assert books.row("expenses", BILL)["status"] == "paid"
    assert books.total("expenses", DAY) == 0  # both on the open day
    assert to(books, ACCOUNTANT, "paid", reversal_id(BILL)) is None
    assert books.row("expenses", reversal_id(BILL))["paid_by"] == str(ACCOUNTANT.user_id)


def test_a_bill_of_a_day_closed_meanwhile_counts_where_it_is_approved(books):
    submitted(books)
    assert books.close(DAY) is None
    assert to(books, MANAGER, "approved") is None
    row = books.row("expenses", BILL)
    assert (row["business_date"], row["original_business_date"]) == ("2026-03-06", DAY)
    assert row["review"] == "pending"
    assert books.ask(ACCOUNTANT, "update", "expenses", BILL, {"review": "accepted"}) is None
    assert books.row("expenses", BILL)["reviewed_by"] == str(ACCOUNTANT.user_id)


def test_a_payment_is_recorded_after_the_close_without_touching_the_day(books):
    submitted(books)
    assert to(books, MANAGER, "approved") is None
    assert books.close(DAY) is None
    assert to(books, ACCOUNTANT, "paid") is None
    assert books.total("expenses", DAY) == 50_00
    assert books.total("expenses", "2026-03-06") == 0


def test_a_late_bill_waits_for_review_in_the_open_day(books):
    assert books.close(DAY) is None
    assert books.ask(DESK, "insert", "expenses", BILL, invoice(9_00, "2026-03-01")) is None
    row = books.row("expenses", BILL)
    assert (row["business_date"], row["original_business_date"]) == ("2026-03-06", "2026-03-01")
    late = {"business_date": "2026-03-02"}
    assert books.ask(DESK, "update", "expenses", BILL, late) is None
    row = books.row("expenses", BILL)
    assert (row["business_date"], row["original_business_date"]) == ("2026-03-06", "2026-03-02")
    mixed = {"review": "accepted", "document": "1"}
    assert books.ask(ACCOUNTANT, "update", "expenses", BILL, mixed) == "review_alone"


STATUSES = ("draft", "submitted", "approved", "rejected", "paid", "void")
# Most steps of a random history are ones that exist, else no history would get far.
NEXT = {
    "draft": ("submitted", "submitted", "void"),
    "submitted": ("approved", "approved", "approved", "rejected", "draft"),
    "approved": ("paid", "paid", "void"),
    "rejected": ("draft",),
    "paid": ("void",),
    "void": STATUSES,
}
DAYS = ("2026-03-04", "2026-03-05")
people = st.sampled_from((OWNER, ACCOUNTANT, MANAGER, DESK))
bills = st.sampled_from((named("bill 1"), named("bill 2")))
amounts = st.integers(-1_000_00, 3_000_00)
step = st.tuples(st.just("step"), people, bills, st.integers(0, 59))
moves = st.one_of(
    st.tuples(
        st.just("insert"),
        people,
        bills,
        st.sampled_from(STATUSES[:3]),
        amounts,
        st.sampled_from(DAYS),
    ),
    step,
    step,
    step,
    st.tuples(st.just("edit"), people, bills, amounts),
    st.tuples(st.just("delete"), people, bills),
    st.tuples(st.just("close"), st.sampled_from(DAYS)),
    st.tuples(st.just("refund"), people, bills),
)


def two_drafts() -> Books:
    """Return books with a bill entered at the desk and one of the manager's."""
    books = Books()
    for bill, who, day in ((named("bill 1"), DESK, DAYS[0]), (named("bill 2"), MANAGER, DAYS[1])):
        assert books.ask(who, "insert", "expenses", bill, invoice(40_00, day)) is None
    return books


def two_approved() -> Books:
    """Return the same two bills, both approved by the accountant."""
    books = two_drafts()
    for bill, who in ((named("bill 1"), DESK), (named("bill 2"), MANAGER)):
        assert to(books, who, "submitted", bill) is None
        assert to(books, ACCOUNTANT, "approved", bill) is None
    return books


def play(books: Books, move):
    """Ask for one move; refusals are fine."""
    match move:
        case ("insert", who, bill, status, amount, day):
            books.ask(who, "insert", "expenses", bill, invoice(amount, day, status=status))
        case ("step", who, bill, pick) if bill in books.all("expenses"):
            following = (*NEXT[str(books.row("expenses", bill)["status"])] * 3, *STATUSES)
            to(books, who, following[pick % len(following)], bill)
        case ("edit", who, bill, amount):
            books.ask(who, "update", "expenses", bill, {"amount_minor": amount})
        case ("delete", who, bill):
            books.ask(who, "delete", "expenses", bill)
        case ("refund", who, bill):
            to(books, who, "paid", reversal_id(bill))
        case ("close", day):
            books.close(day)
        case _:
            assert move[0] == "step", move


@settings(max_examples=300)
@given(st.lists(moves, min_size=6, max_size=40))
def test_no_history_pays_a_bill_that_two_people_did_not_see(script):
    books = two_drafts()
    approved: dict[UUID, object] = {}
    for move in script:
        play(books, move)
        for key, row in books.all("expenses").items():
            if row["status"] in ("approved", "paid"):
                assert row["submitted_by"] is not None
                assert row["decided_by"] not in (None, row["submitted_by"], row["created_by"])
                assert approved.setdefault(key, row["amount_minor"]) == row["amount_minor"]
            else:
                approved.pop(key, None)


@settings(max_examples=300)
@given(st.lists(moves, min_size=6, max_size=40), st.sampled_from([two_drafts, two_approved]))
def test_no_history_changes_the_costs_of_a_closed_day(script, start):
    books = start()
    closed: dict[str, int] = {}
    for move in script:
        play(books, move)
        assert {day: books.total("expenses", day) for day in closed} == closed
        until = books.row("properties", A)["open_business_date"]
        for day in DAYS:
            if until is not None and day < str(until) and day not in closed:
                closed[day] = books.total("expenses", day)
