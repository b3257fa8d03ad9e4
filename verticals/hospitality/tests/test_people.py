"""Who may give which role, whose shifts one writes, and who sees pay.

Owns the examples for memberships, staff, pay and shifts.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from house import (
    ACCOUNTANT,
    ADMIN,
    AUDITOR,
    DESK,
    MANAGER,
    OWNER,
    A,
    B,
    Books,
    named,
    person,
)

ROW = named("a row")
STAN = person("stan", "staff")


def grant(role: str, at: UUID | None = A, who: str = "nina") -> dict[str, object]:
    """Return a membership as a client sends it."""
    return {
        "user_id": str(named(who)),
        "role": role,
        "property_id": None if at is None else str(at),
    }


def give(who, role: str, at: UUID | None = A, to: str = "nina") -> str | None:
    """Ask fresh books to give a role."""
    return Books().ask(who, "insert", "memberships", ROW, grant(role, at, to))


@pytest.mark.parametrize("role", ["owner", "admin"])
def test_only_an_owner_makes_owners_and_admins(role):
    assert give(OWNER, role) is None
    assert give(ADMIN, role) == "role_above"
    assert give(MANAGER, role) == "forbidden"


@pytest.mark.parametrize("role", ["accountant", "manager", "front_desk", "staff", "auditor"])
def test_an_admin_gives_the_other_roles(role):
    assert give(ADMIN, role) is None
    assert give(ACCOUNTANT, role) == "forbidden"


def test_an_admin_of_one_property_gives_nothing_at_another_and_nothing_everywhere():
    of_a = person("ada", "admin", at=A)
    assert give(of_a, "staff", A) is None
    assert give(of_a, "staff", B) == "role_above"
    assert give(of_a, "staff", None) == "role_above"


def test_an_owner_of_one_property_makes_no_owner_of_all():
    of_a = person("otto", "owner", at=A)
    assert give(of_a, "owner", A) is None
    assert give(of_a, "owner", None) == "role_above"


def test_nobody_gives_oneself_a_role():
    assert give(ADMIN, "accountant", None, to="adam") == "own_role"
    assert give(OWNER, "accountant", None, to="olga") == "own_role"


def test_an_organisation_keeps_an_owner(books):
    own = grant("owner", None, "olga")
    second = person("oscar", "owner", at=None)
    assert books.ask(second, "insert", "memberships", ROW, own) is None
    assert books.ask(OWNER, "delete", "memberships", ROW) == "own_role"
    assert books.ask(ADMIN, "delete", "memberships", ROW) == "role_above"
    assert books.ask(second, "delete", "memberships", ROW) is None


def test_a_membership_is_given_and_taken_never_changed(books):
    assert books.ask(OWNER, "insert", "memberships", ROW, grant("staff")) is None
    change = {"role": "owner"}
    assert books.ask(OWNER, "update", "memberships", ROW, change) == "field_read_only"
    assert books.row("memberships", ROW)["role"] == "staff"


def staff(user: str | None = None, at=A) -> dict[str, object]:
    """Return a colleague as a client sends it."""
    return {
        "property_id": str(at),
        "name": "Somebody",
        "department": "rooms",
        "active": True,
        "user_id": None if user is None else str(named(user)),
    }


def shift(who: str, start: str = "08:00", end: str | None = "16:00", at=A) -> dict[str, object]:
    """Return a shift of 2026-03-09 as a client sends it."""
    return {
        "property_id": str(at),
        "staff_id": str(named(f"staff {who}")),
        "business_date": "2026-03-09",
        "starts_at": f"2026-03-09T{start}:00Z",
        "ends_at": None if end is None else f"2026-03-09T{end}:00Z",
        "break_minutes": 30,
    }


@pytest.fixture
def crew(books: Books) -> Books:
    """Books with Stan, who has an account, and Sue, who has none, at A; Bob at B."""
    for name, user, at in (("stan", "stan", A), ("sue", None, A), ("bob", None, B)):
        key = named(f"staff {name}")
        assert books.ask(OWNER, "insert", "staff", key, staff(user, at)) is None
    return books


def test_staff_write_their_own_shifts_and_no_others(crew):
    assert crew.ask(STAN, "insert", "shifts", ROW, shift("stan", end=None)) is None
    end = {"ends_at": "2026-03-09T17:00:00+01:00"}
    assert crew.ask(STAN, "update", "shifts", ROW, end) is None
    assert crew.row("shifts", ROW)["ends_at"] == "2026-03-09T16:00:00.000000Z"
    other = named("other")
    assert crew.ask(STAN, "insert", "shifts", other, shift("sue")) == "not_your_shift"
    assert crew.ask(MANAGER, "insert", "shifts", other, shift("sue")) is None
    assert crew.ask(STAN, "update", "shifts", other, {"note": "x"}) == "not_your_shift"
    assert crew.ask(STAN, "delete", "shifts", ROW) == "forbidden"
    assert crew.ask(MANAGER, "delete", "shifts", ROW) is None


@pytest.mark.parametrize(("start", "end"), [("16:00", "08:00"), ("08:00", "08:00")])
def test_no_shift_has_a_negative_or_no_length(crew, start, end):
    row = shift("stan", start, end)
    assert crew.ask(MANAGER, "insert", "shifts", ROW, row) == "shift_length"


def test_no_shift_is_longer_than_a_day(crew):
    row = shift("stan")
    row["ends_at"] = "2026-03-10T08:00:01Z"
    assert crew.ask(MANAGER, "insert", "shifts", ROW, row) == "shift_length"
    row["ends_at"] = "2026-03-10T08:00:00Z"
    assert crew.ask(MANAGER, "insert", "shifts", ROW, row) is None


def test_a_shift_and_pay_are_for_people_of_the_same_property(crew):
    assert crew.ask(OWNER, "insert", "shifts", ROW, shift("bob")) == "other_property"
    assert crew.ask(OWNER, "insert", "staff_pay", ROW, pay("bob")) == "other_property"


def pay(who: str) -> dict[str, object]:
    """Return a wage at property A as a client sends it."""
    return {
        "property_id": str(A),
        "staff_id": str(named(f"staff {who}")),
        "from_date": "2026-01-01",
        "basis": "hour",
        "pay_minor": 14_50,
        "pay_currency": "EUR",
    }


def test_pay_is_written_by_owner_and_accountant_alone(crew):
    for who in (ADMIN, MANAGER, DESK, STAN, AUDITOR):
        assert crew.ask(who, "insert", "staff_pay", ROW, pay("sue")) == "forbidden"
    assert crew.ask(ACCOUNTANT, "insert", "staff_pay", ROW, pay("sue")) is None
    # To who may not read it the row is not there at all.
    assert crew.ask(ADMIN, "update", "staff_pay", ROW, {"pay_minor": 1}) == "not_found"
    assert crew.ask(AUDITOR, "update", "staff_pay", ROW, {"pay_minor": 1}) == "forbidden"
    assert crew.ask(OWNER, "update", "staff_pay", ROW, {"pay_minor": 15_00}) is None


def test_accounts_of_all_houses_are_not_changed_from_one(books):
    row = {"code": "x", "name": "X", "kind": "expense", "usali_schedule": 5, "active": True}
    of_a = person("anton", "accountant", at=A)
    assert books.ask(of_a, "insert", "accounts", ROW, row) == "not_everywhere"
    assert books.ask(ACCOUNTANT, "insert", "accounts", ROW, row) is None
    assert books.ask(of_a, "delete", "accounts", ROW) == "not_everywhere"
