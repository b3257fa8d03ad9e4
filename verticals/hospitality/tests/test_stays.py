"""Stays: which status follows which, whose guest, how many nights.

Owns the examples. The table of steps is written here again, from what happens at a desk.
"""

from __future__ import annotations

from itertools import product

import pytest

from house import DESK, MANAGER, OWNER, A, B, Books, named

STAY, GUEST = named("stay"), named("guest")
STATUSES = ("reserved", "checked_in", "checked_out", "cancelled", "no_show")

# row: from; column: to. F forward, anyone at the desk; B back, a manager; . never
STEPS = """
             reserved checked_in checked_out cancelled no_show
reserved        =         F          .           F        F
checked_in      B         =          F           .        .
checked_out     .         B          =           .        .
cancelled       B         .          .           =        .
no_show         B         B          .           .        =
"""


def stay(status: str = "reserved", **others: str | int | None) -> dict[str, object]:
    """Return a stay of two nights at A as a client sends it."""
    return {
        "property_id": str(A),
        "guest_id": str(GUEST),
        "status": status,
        "arrival": "2026-03-09",
        "departure": "2026-03-11",
        "adults": 2,
        "children": 0,
        "babies": 0,
        "channel": "direct",
        "rate_minor": 95_00,
        "rate_currency": "EUR",
        **others,
    }


@pytest.fixture
def desk(books: Books) -> Books:
    """Books with a guest at A."""
    row = {"property_id": str(A), "name": "Somebody"}
    assert books.ask(DESK, "insert", "guests", GUEST, row) is None
    return books


@pytest.mark.parametrize("status", STATUSES)
def test_a_stay_may_be_recorded_in_any_status(desk, status):
    assert desk.ask(DESK, "insert", "stays", STAY, stay(status)) is None


def test_nights_are_counted_by_the_server(desk):
    assert desk.ask(DESK, "insert", "stays", STAY, stay()) is None
    assert desk.row("stays", STAY)["nights"] == 2
    assert desk.ask(DESK, "update", "stays", STAY, {"departure": "2026-04-01"}) is None
    assert desk.row("stays", STAY)["nights"] == 23
    assert desk.ask(DESK, "update", "stays", STAY, {"nights": 1}) == "field_read_only"


def test_a_stay_may_have_no_night_but_not_minus_one(desk):
    day_use = stay(departure="2026-03-09")
    assert desk.ask(DESK, "insert", "stays", STAY, day_use) is None
    assert desk.row("stays", STAY)["nights"] == 0
    change = {"departure": "2026-03-08"}
    assert desk.ask(DESK, "update", "stays", STAY, change) == "period"


def expected_steps() -> dict[tuple[str, str], str]:
    """Read the table above."""
    header, *lines = [line.split() for line in STEPS.strip().splitlines()]
    return {
        (line[0], to): mark for line in lines for to, mark in zip(header, line[1:], strict=True)
    }


@pytest.mark.parametrize(("before", "after"), list(product(STATUSES, STATUSES)))
def test_steps_are_those_of_the_table(desk, before, after):
    mark = expected_steps()[before, after]
    assert desk.ask(DESK, "insert", "stays", STAY, stay(before)) is None
    change = {"status": after}
    by_desk, by_manager = {
        "=": (None, None),
        "F": (None, None),
        "B": ("reopen_role", None),
        ".": ("status_step", "status_step"),
    }[mark]
    assert desk.ask(DESK, "update", "stays", STAY, change) == by_desk
    if by_desk is not None:
        assert desk.ask(MANAGER, "update", "stays", STAY, change) == by_manager


def test_a_stay_does_not_take_the_guest_of_another_property(desk):
    there = stay(property_id=str(B))
    assert desk.ask(OWNER, "insert", "stays", STAY, there) == "other_property"
    other = named("guest of B")
    guest = {"property_id": str(B)}
    assert desk.ask(OWNER, "insert", "guests", other, guest) is None
    assert desk.ask(OWNER, "insert", "stays", STAY, stay()) is None
    change = {"guest_id": str(other)}
    assert desk.ask(OWNER, "update", "stays", STAY, change) == "other_property"


def test_a_night_is_not_charged_to_a_stay_of_another_property(desk):
    assert desk.ask(OWNER, "insert", "stays", STAY, stay()) is None
    night = {
        "property_id": str(B),
        "stay_id": str(STAY),
        "account_id": str(named("rooms")),
        "kind": "charge",
        "business_date": "2026-03-09",
        "amount_minor": 95_00,
        "amount_currency": "EUR",
    }
    assert desk.ask(OWNER, "insert", "revenues", named("n"), night) == "other_property"
    night["property_id"] = str(A)
    assert desk.ask(OWNER, "insert", "revenues", named("n"), night) is None


def test_a_desk_does_not_delete_a_stay(desk):
    assert desk.ask(DESK, "insert", "stays", STAY, stay()) is None
    assert desk.ask(DESK, "delete", "stays", STAY) == "forbidden"
    assert desk.ask(MANAGER, "delete", "stays", STAY) is None
