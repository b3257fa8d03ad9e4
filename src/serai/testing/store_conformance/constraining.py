"""Cases: what the rows themselves forbid, told by code and by field.

Owns required fields, bounds, references, uniqueness, ids that are taken and ids that are gone.
Promises that a refused write changes nothing and never fails its neighbours. Never looks at
the wording of a message.
"""

from __future__ import annotations

from typing import Final

from serai.core.errors import Code
from serai.core.ids import uuid7
from serai.model.fields import Value
from serai.ports.store import Committed, Failed, PlannedWrite
from serai.testing.store_conformance.desk import Case, Desk
from serai.testing.vertical import GUESTS, PAYMENTS, STAYS, WAGES


async def _refused(desk: Desk, write: PlannedWrite, code: Code, *fields: str) -> None:
    before = await desk.store.head(desk.org)
    outcome = await desk.commit_one(write)
    assert isinstance(outcome, Failed), outcome
    assert (outcome.code, outcome.fields) == (code, fields), outcome
    assert outcome.detail
    assert await desk.store.head(desk.org) == before
    for op in write.ops:
        if op.op == "insert":
            assert await desk.stored(op.collection, op.id) is None


async def a_required_field_is_required(desk: Desk) -> None:
    """Of any kind, in any collection."""
    await _refused(desk, desk.plan(desk.guest(name=None)), Code.FIELDS_INVALID, "name")
    wage = desk.wage(wage_minor=None)
    await _refused(desk, desk.plan(wage), Code.FIELDS_INVALID, "wage_minor")


async def a_money_row_without_its_day_is_refused_by_field(desk: Desk) -> None:
    """The field by whose month the table is cut is required like any other."""
    amount: dict[str, Value] = {"amount_minor": 1, "amount_currency": "EUR"}
    op = desk.row(PAYMENTS, uuid7(), business_date=None, **amount)
    await _refused(desk, desk.plan(op), Code.FIELDS_INVALID, "business_date")


async def bounds_and_choices_hold(desk: Desk) -> None:
    """Lengths, ranges, choices: the store is the last to look."""
    guest = desk.guest()
    await desk.done(desk.plan(guest))
    await _refused(desk, desk.plan(desk.guest("")), Code.FIELDS_INVALID, "name")
    await _refused(desk, desk.plan(desk.guest("x" * 201)), Code.FIELDS_INVALID, "name")
    await _refused(desk, desk.plan(desk.wage(wage_minor=0)), Code.FIELDS_INVALID, "wage_minor")
    stay = desk.stay(guest.id, status="sleeping")
    await _refused(desk, desk.plan(stay), Code.FIELDS_INVALID, "status")
    assert await desk.done(desk.plan(desk.guest("x" * 200))) == 4


async def a_reference_needs_its_row(desk: Desk) -> None:
    """On insert and on update; a null refers to nothing; a row of another organisation is none."""
    other = await Desk.open(desk.subject)
    stranger, guest = other.guest(), desk.guest()
    await other.done(other.plan(stranger))
    await desk.done(desk.plan(guest))
    await _refused(desk, desk.plan(desk.stay(uuid7())), Code.REFERENCE_MISSING, "guest_id")
    await _refused(desk, desk.plan(desk.stay(stranger.id)), Code.REFERENCE_MISSING, "guest_id")
    stay = desk.stay(guest.id)
    await desk.done(desk.plan(stay))
    moved = await desk.change(STAYS, stay.id, guest_id=str(uuid7()))
    await _refused(desk, moved, Code.REFERENCE_MISSING, "guest_id")
    paid: dict[str, Value] = {
        "amount_minor": 5,
        "amount_currency": "EUR",
        "business_date": "2026-01-31",
    }
    wrong = desk.row(PAYMENTS, uuid7(), stay_id=str(uuid7()), **paid)
    await _refused(desk, desk.plan(wrong), Code.REFERENCE_MISSING, "stay_id")
    assert await desk.done(desk.plan(desk.row(PAYMENTS, uuid7(), stay_id=None, **paid))) == 5


async def a_row_that_is_referred_to_stays(desk: Desk) -> None:
    """A delete of it is refused until nothing refers to it any more."""
    guest = desk.guest()
    stay = desk.stay(guest.id)
    payment = desk.row(
        PAYMENTS,
        uuid7(),
        stay_id=str(stay.id),
        amount_minor=5,
        amount_currency="EUR",
        business_date="2026-01-31",
    )
    await desk.done(desk.plan(guest, stay, payment))
    await _refused(desk, await desk.removal(GUESTS, guest.id), Code.REFERENCED)
    await _refused(desk, await desk.removal(STAYS, stay.id), Code.REFERENCED)
    await desk.delete(PAYMENTS, payment.id)
    await desk.delete(STAYS, stay.id)
    assert await desk.delete(GUESTS, guest.id) == 6


async def rows_that_refer_to_one_another_go_together(desk: Desk) -> None:
    """In one write, in any order of its rows."""
    guest = desk.guest()
    stay = desk.stay(guest.id)
    await desk.done(desk.plan(stay, guest))
    one, two = await desk.removal(GUESTS, guest.id), await desk.removal(STAYS, stay.id)
    reads = [(r.collection, r.id, r.version) for r in (*one.reads, *two.reads)]
    assert await desk.done(desk.plan(*one.ops, *two.ops, reads=reads)) == 4


async def a_unique_value_is_there_once(desk: Desk) -> None:
    """In the organisation; on insert and on update; two nulls are the same; a delete frees it."""
    ada, bea, bare = desk.guest(card="1"), desk.guest("Bea", card="1"), desk.guest("Cay")
    await desk.done(desk.plan(ada, bea, bare))
    fields = ("name", "card")
    await _refused(desk, desk.plan(desk.guest(card="1")), Code.NOT_UNIQUE, *fields)
    await _refused(desk, desk.plan(desk.guest("Cay")), Code.NOT_UNIQUE, *fields)
    await _refused(desk, await desk.change(GUESTS, bea.id, name="Ada"), Code.NOT_UNIQUE, *fields)
    other = await Desk.open(desk.subject)
    assert await other.done(other.plan(other.guest(card="1"))) == 3
    await desk.delete(GUESTS, ada.id)
    assert await desk.update(GUESTS, bea.id, name="Ada") == 5


async def a_row_is_inserted_once(desk: Desk) -> None:
    """A second insert of its id says so, in a table by month as well."""
    guest, wage = desk.guest(), desk.wage()
    paid: dict[str, Value] = {"amount_minor": 5, "amount_currency": "EUR"}
    payment = desk.row(PAYMENTS, uuid7(), business_date="2026-01-31", **paid)
    await desk.done(desk.plan(guest, wage, payment))
    for number, values in (
        (GUESTS, {"name": "Other"}),
        (WAGES, {"person": "Other", "wage_minor": 2, "wage_currency": "EUR"}),
        (PAYMENTS, {"business_date": "2026-01-01", **paid}),
        (PAYMENTS, {"business_date": "2031-07-01", **paid}),
    ):
        row_id = next(op.id for op in (guest, wage, payment) if op.collection == number)
        again = desk.plan(desk.row(number, row_id, **values), reads=[])
        outcome = await desk.commit_one(again)
        assert isinstance(outcome, Failed), outcome
        assert outcome.code is Code.ROW_EXISTS, outcome
    assert await desk.version() == 3


async def a_deleted_row_does_not_come_back(desk: Desk) -> None:
    """Its id is gone: a device that still holds it must not mistake a new row for it."""
    guest = desk.guest()
    await desk.done(desk.plan(guest))
    await desk.delete(GUESTS, guest.id)
    await _refused(desk, desk.plan(guest), Code.ROW_GONE)


async def a_refused_write_does_not_fail_its_neighbours(desk: Desk) -> None:
    """Wherever it stands, and if there are several; the others get dense versions."""
    good = [desk.plan(desk.guest(f"good {n}")) for n in range(5)]
    bad = desk.plan(desk.guest(name=None))
    worse = desk.plan(desk.guest("bad"), desk.stay(uuid7()))
    outcomes = await desk.commit(bad, good[0], good[1], worse, good[2], bad, good[3], good[4])
    kinds = [o.code if isinstance(o, Failed) else o for o in outcomes]
    assert kinds == [
        Code.FIELDS_INVALID,
        Committed(3),
        Committed(4),
        Code.REFERENCE_MISSING,
        Committed(5),
        Code.FIELDS_INVALID,
        Committed(6),
        Committed(7),
    ]
    assert await desk.stored(GUESTS, worse.ops[0].id) is None, "a write is taken whole or not"


CASES: Final[tuple[Case, ...]] = (
    a_required_field_is_required,
    a_money_row_without_its_day_is_refused_by_field,
    bounds_and_choices_hold,
    a_reference_needs_its_row,
    a_row_that_is_referred_to_stays,
    rows_that_refer_to_one_another_go_together,
    a_unique_value_is_there_once,
    a_row_is_inserted_once,
    a_deleted_row_does_not_come_back,
    a_refused_write_does_not_fail_its_neighbours,
)
