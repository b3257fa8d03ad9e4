"""Two people changed one row: what is merged, what is a conflict, and that no amount is made up.

Owns the tests of `serai.log.merge`. The oracle keeps the whole history of a row, change by change,
and finds out from it what others did since the version somebody saw; the code under test has only
the version of each field. Never goes through a store.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.log.merge import Conflict, Merged, merge_delete, merge_update
from serai.model import Collection, Policy
from serai.model.fields import Value
from serai.model.rules import Row
from serai.ports.store import StoredRow
from unit.log.house import HOUSE, SEA

STAYS, PAY, SIGNS = (HOUSE.by_name[name] for name in ("stays", "pay", "signs"))
CREATED = 10


@dataclass
class History:
    """A row and everything that was done to it, one version after the other."""

    collection: Collection
    now: Row
    version: int = CREATED
    changes: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def write(self, values: Row) -> None:
        altered = [n for n, v in values.items() if self.now[n] != v]
        if altered:
            self.version += 1
            self.now = {**self.now, **values}
            self.changes += [(self.version, n) for n in altered]

    def stored(self) -> StoredRow:
        last = {name: version for version, name in self.changes}
        return StoredRow(self.version, SEA, "", last, CREATED)

    def foreign(self, base: int) -> list[str]:
        if base < CREATED or base > self.version:
            return list(self.collection.fields)
        names = {name for version, name in self.changes if version > base}
        return [name for name in self.collection.fields if name in names]


def history(collection: Collection, *writes: Row) -> History:
    made = History(collection, dict.fromkeys(collection.fields))
    for each in writes:
        made.write(each)
    return made


def merged(made: History, wanted: Row, base: int | None) -> Merged | Conflict:
    return merge_update(made.collection, made.stored(), made.now, wanted, base)


def row_values(collection: Collection) -> st.SearchStrategy[Row]:
    values: st.SearchStrategy[Value] = st.sampled_from([None, 1, 2, "EUR", "USD"])
    return st.dictionaries(st.sampled_from(list(collection.fields)), values, max_size=4)


HALVES = {
    "price_minor": "price_currency",
    "price_currency": "price_minor",
    "fee_minor": "fee_currency",
    "fee_currency": "fee_minor",
}


@given(st.data(), st.sampled_from([STAYS, SIGNS]))
def test_each_field_ends_as_the_history_says(data, collection) -> None:
    made = history(collection, *data.draw(st.lists(row_values(collection), max_size=6)))
    base = data.draw(st.integers(CREATED - 2, made.version + 1))
    wanted = data.draw(row_values(collection))
    foreign = made.foreign(base)
    asked = {n for n, v in wanted.items() if v != made.now[n]}
    asked |= {HALVES[n] for n in asked if n in HALVES}
    clash = [n for n in foreign if n in asked and collection.policy_of(n) is not Policy.LAST_WRITE]
    outcome = merged(made, wanted, base)
    if clash:
        assert outcome == Conflict(tuple(clash))
    else:
        kept = {*foreign, *(HALVES[n] for n in foreign if n in HALVES)} - wanted.keys()
        names = tuple(n for n in collection.fields if n in kept)
        assert outcome == Merged({**made.now, **wanted}, names)


@given(st.data())
def test_a_row_that_goes_as_a_whole_takes_no_change_on_top_of_another(data) -> None:
    made = history(PAY, *data.draw(st.lists(row_values(PAY), max_size=5)))
    base = data.draw(st.integers(CREATED - 2, made.version + 1))
    wanted = data.draw(row_values(PAY))
    foreign = made.foreign(base)
    expected = Conflict(tuple(foreign)) if foreign else Merged({**made.now, **wanted}, ())
    assert merged(made, wanted, base) == expected


@given(st.data(), st.sampled_from([STAYS, SIGNS, PAY]))
def test_who_has_seen_the_row_as_it_is_always_writes(data, collection) -> None:
    made = history(collection, *data.draw(st.lists(row_values(collection), max_size=4)))
    wanted = data.draw(row_values(collection))
    for base in (None, made.version):
        assert merged(made, wanted, base) == Merged({**made.now, **wanted}, ())
        assert merge_delete(collection, made.stored(), base) == Merged(None, ())


@pytest.mark.parametrize("above", [1, 5, 2**53])
def test_a_base_of_the_future_saw_nothing(above: int) -> None:
    """A wrong client must not get past the check for conflicts, least of all with money."""
    made = history(PAY, {"wage_minor": 100, "wage_currency": "EUR"})
    base = made.version + above
    assert merged(made, {"wage_minor": 90}, base) == Conflict(tuple(PAY.fields))
    assert merge_delete(PAY, made.stored(), base) == Conflict(tuple(PAY.fields))
    stays = history(STAYS, {"price_minor": 100, "note": "late"})
    assert merged(stays, {"price_minor": 90}, base) == Conflict(("price_minor", "price_currency"))


def test_two_desks_that_change_different_fields_both_win() -> None:
    made = history(STAYS, {"note": "late", "nights": 2})
    base = made.version
    made.write({"nights": 3})
    outcome = merged(made, {"note": "very late"}, base)
    assert outcome == Merged({**made.now, "note": "very late", "nights": 3}, ("nights",))


def test_two_desks_that_write_the_same_value_do_not_quarrel() -> None:
    made = history(STAYS, {"nights": 2})
    made.write({"nights": 3})
    assert merged(made, {"nights": 3}, made.version - 1) == Merged(made.now, ())


def test_a_value_that_others_changed_and_changed_back_was_changed_all_the_same() -> None:
    made = history(STAYS, {"nights": 2})
    base = made.version
    made.write({"nights": 9})
    made.write({"nights": 2})
    assert merged(made, {"nights": 5}, base) == Conflict(("nights",))


@pytest.mark.parametrize("name", ["price_minor", "price_currency"])
@pytest.mark.parametrize("collection", [STAYS, SIGNS])
def test_an_amount_is_never_made_of_two_peoples_halves(name: str, collection: Collection) -> None:
    """One desk takes EUR for USD while another, which still sees EUR, raises the amount."""
    name = name if collection is STAYS else name.replace("price", "fee")
    other = HALVES[name]
    values: Row = {n: 100 if n.endswith("minor") else "EUR" for n in (name, other)}
    made = history(collection, values)
    base = made.version
    made.write({other: 200 if other.endswith("minor") else "USD"})
    mine: Value = 300 if name.endswith("minor") else "GBP"
    assert merged(made, {name: mine}, base) == Conflict((other,))
    assert merged(made, {name: mine}, made.version) == Merged({**made.now, name: mine}, ())


def test_money_beside_fields_of_the_last_write_is_not_overwritten() -> None:
    made = history(SIGNS, {"words": "a", "fee_minor": 100, "fee_currency": "EUR"})
    base = made.version
    made.write({"words": "b", "fee_minor": 150})
    halves = ("fee_minor", "fee_currency")
    assert merged(made, {"words": "c"}, base) == Merged({**made.now, "words": "c"}, halves)
    assert merged(made, {"words": "c", "fee_minor": 120}, base) == Conflict(("fee_minor",))


def test_a_delete_does_not_throw_away_what_its_maker_has_not_seen() -> None:
    made = history(STAYS, {"nights": 2})
    base = made.version
    made.write({"nights": 3})
    assert merge_delete(STAYS, made.stored(), base) == Conflict(("nights",))


def test_a_delete_by_last_write_takes_texts_but_never_money_unseen() -> None:
    made = history(SIGNS, {"words": "a", "fee_minor": 100, "fee_currency": "EUR"})
    base = made.version
    made.write({"words": "b"})
    assert merge_delete(SIGNS, made.stored(), base) == Merged(None, ())
    made.write({"fee_minor": 90})
    assert merge_delete(SIGNS, made.stored(), base) == Conflict(("words", "fee_minor"))


def test_a_conflict_names_fields_in_the_order_of_the_declaration() -> None:
    made = history(STAYS, {"nights": 1})
    base = made.version
    made.write({"source": "web", "nights": 2, "note": "x"})
    wanted: Row = {"source": "desk", "nights": 3, "note": "y"}
    assert merged(made, wanted, base) == Conflict(("note", "nights", "source"))


def test_merging_leaves_the_stored_row_as_it_was() -> None:
    made = history(STAYS, {"nights": 1})
    before = dict(made.now)
    merged(made, {"nights": 5}, None)
    assert made.now == before
