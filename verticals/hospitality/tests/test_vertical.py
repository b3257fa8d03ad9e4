"""The declaration: numbers that never change, docs for everything, bounds an accountant expects.

Owns what must hold of the declaration as a whole. Numbers are written here by hand: a row of the
wire is addressed by them for good.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serai.model import FieldKind, Policy, Scope
from serai_hospitality import VERTICAL

NUMBERS = {
    "properties": 1,
    "room_inventory": 2,
    "accounts": 3,
    "vendors": 4,
    "guests": 5,
    "stays": 6,
    "revenues": 7,
    "expenses": 8,
    "staff": 9,
    "staff_pay": 10,
    "shifts": 11,
    "day_closes": 12,
    "memberships": 13,
}
ORGANISATION_WIDE = {"accounts", "vendors", "memberships"}
EVERY = [(c.name, n) for c in VERTICAL.collections for n in c.fields]
RECORD = (Path(__file__).parents[3] / "docs/decisions/0003-hospitality-vertical.md").read_text(
    "utf-8"
)


def test_numbers_of_collections_never_change():
    assert {c.name: c.number for c in VERTICAL.collections} == NUMBERS


def test_scopes_are_those_that_grants_rest_on():
    for c in VERTICAL.collections:
        expected = Scope.ORGANISATION if c.name in ORGANISATION_WIDE else Scope.PROPERTY
        assert c.scope is (Scope.SELF if c.name == "properties" else expected)


@pytest.mark.parametrize(("collection", "field"), EVERY)
def test_every_field_says_what_it_means_and_is_bounded(collection, field):
    declared = VERTICAL.by_name[collection].fields[field]
    assert len(declared.doc) > 2
    assert not declared.doc.endswith(".")
    if declared.kind is FieldKind.TEXT:
        assert declared.maximum is not None
        assert declared.maximum <= 1_000, "a row stays small"
    if declared.kind is FieldKind.INTEGER:
        assert declared.minimum is not None
        assert declared.maximum is not None
    if declared.kind is FieldKind.CHOICE:
        assert all(re.fullmatch("[a-z_]+", word) for word in declared.choices)


def test_every_collection_has_a_line_of_doc_and_readers():
    for c in VERTICAL.collections:
        assert len(c.doc) > 5
        assert any("read" in words for (_, n), words in VERTICAL.permissions.items() if n == c.name)


@pytest.mark.parametrize(("collection", "field"), EVERY)
def test_every_amount_has_its_currency_and_never_takes_the_last_write(collection, field):
    c = VERTICAL.by_name[collection]
    if field.endswith("_minor"):
        currency = c.fields[field.removesuffix("_minor") + "_currency"]
        assert (currency.minimum, currency.maximum, currency.pattern) == (3, 3, "[A-Z]{3}")
        assert c.fields[field].money
        assert c.policy_of(field) is not Policy.LAST_WRITE


def test_the_books_change_as_whole_rows():
    for name in ("revenues", "expenses", "staff_pay", "day_closes", "memberships"):
        assert VERTICAL.by_name[name].policy is Policy.WHOLE_ROW


def test_finance_is_partitioned_by_its_business_date_and_nothing_else_is():
    months = {c.name: c.month_of for c in VERTICAL.collections if c.month_of}
    assert months == {"revenues": "business_date", "expenses": "business_date"}


def test_what_must_be_unique_is():
    unique = {c.name: c.unique for c in VERTICAL.collections if c.unique}
    assert unique == {
        "room_inventory": (("property_id", "room_type", "from_date"),),
        "accounts": (("code",),),
        "staff_pay": (("staff_id", "from_date"),),
        "day_closes": (("property_id", "business_date"),),
        "memberships": (("user_id", "role", "property_id"),),
    }


def test_what_only_the_server_says_is_closed_to_clients():
    server = {(c.name, n) for c in VERTICAL.collections for n, f in c.fields.items() if f.server}
    expected = {
        "properties": "open_business_date",
        "stays": "nights",
        "revenues": "original_business_date reviewed_by corrects",
        "expenses": "original_business_date reviewed_by corrects created_by submitted_by "
        "submitted_at decided_by decided_at paid_by paid_at voided_by voided_at",
        "day_closes": "closed_by closed_at",
    }
    assert server == {(c, n) for c, names in expected.items() for n in names.split()}


def test_checks_speak_of_fields_that_exist():
    words = "not is null and or in distinct from interval minute hours"
    for c in VERTICAL.collections:
        assert len({check.name for check in c.checks}) == len(c.checks)
        for check in c.checks:
            bare = re.sub(r"'[^']*'", "", check.sql).lower()
            names = set(re.findall(r"[a-z_]+", bare)) - set(words.split())
            assert names <= set(c.fields), (c.name, check.name)
            assert check.message.endswith(".")


def test_a_row_of_nothing_but_longest_texts_fits_the_platform():
    from serai.core.limits import ROW_BYTES_MAX  # noqa: PLC0415 - the one bound this test is about

    for c in VERTICAL.collections:
        texts = sum(4 * (f.maximum or 0) for f in c.fields.values() if f.kind is FieldKind.TEXT)
        assert texts + 100 * len(c.fields) < ROW_BYTES_MAX / 2


def test_the_decision_record_names_every_collection_and_special_action():
    basic = {"read", "create", "update", "delete"}
    special = {w for words in VERTICAL.permissions.values() for w in words} - basic
    for word in [*NUMBERS, *special, *VERTICAL.roles]:
        assert f"`{word}`" in RECORD, word
