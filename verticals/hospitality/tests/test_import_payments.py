"""The real payments come out as the published totals; what a hotel cannot have is left out.

Owns the totals, an independent reading with `csv`, `re` and `Decimal`, and bad lines.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from decimal import Decimal

import pytest

from house import CREATED_BY, OWNER, Books, minor
from serai.model import BadLine, ImportedLine, Row
from serai_hospitality import VERTICAL
from serai_hospitality.data import data_path
from serai_hospitality.importers import AccountRules, PaymentMapper, portfolio
from serai_hospitality.importers.records import LineIds

PLACE = portfolio("demo.hotels")
HEADER = "ID,VendorID,Vendor,AccountCode,AccountDescription,DocNo,Amount,Date,Source\n"
GOOD = "4,,Some  Caterer ltd,,Catering Charges,D7,1390.11,2008-04-01,338-april_2008\n"


def rules() -> AccountRules:
    """Return the rules that ship."""
    return AccountRules(data_path("expense_accounts.csv").read_text("utf-8").splitlines())


def mapped(line: str):
    """Map one line as line 2 of a file."""
    return PaymentMapper(HEADER, "00" * 32, PLACE, rules(), CREATED_BY)(2, line)


def kept_line(line: str) -> ImportedLine:
    """Map one line that is kept."""
    found = mapped(line)
    assert isinstance(found, ImportedLine)
    return found


def imported(lines: list[ImportedLine | BadLine]) -> list[ImportedLine]:
    return [line for line in lines if isinstance(line, ImportedLine)]


def test_expenses_are_the_published_pounds_to_the_penny(payments):
    rows = [line.rows[0].row for line in imported(payments)]
    amounts = [minor(row) for row in rows]
    assert len(payments) == 28_145
    assert len(amounts) == len({line.rows[0].id for line in imported(payments)}) == 18_148
    assert sum(amounts) == 58_300_947_53
    assert sum(amount < 0 for amount in amounts) == 809
    assert Counter(row["kind"] for row in rows) == {"invoice": 18_148 - 809, "credit_note": 809}
    assert {row["amount_currency"] for row in rows} == {"GBP"}


def test_an_independent_reading_keeps_the_same_lines_on_the_same_accounts(payments, payments_file):
    table = csv.DictReader(data_path("expense_accounts.csv").read_text("utf-8").splitlines())
    patterns = [(r["account"], r["pattern_on_upper_cased_account_description"]) for r in table]
    kept: dict[int, tuple[str, str, Decimal]] = {}
    for number, row in enumerate(csv.DictReader(payments_file.lines), start=2):
        text = row["AccountDescription"].upper()
        account = next((a for a, p in patterns if re.search(p, text)), None)
        small = abs(Decimal(row["Amount"])) <= 25_000
        if "GRANT" not in text and "CAPITAL" not in text and account is not None and small:
            hotel = "City Hotel" if int(row["ID"]) % 2 == 0 else "Resort Hotel"
            kept[number] = (hotel, account, Decimal(row["Amount"]))
    hotels = {str(key): name for name, key in PLACE.properties.items()}
    codes = {str(key): code for code, key in PLACE.accounts.items()}
    found = {
        line.line: (
            hotels[str(line.rows[0].row["property_id"])],
            codes[str(line.rows[0].row["account_id"])],
            Decimal(minor(line.rows[0].row)) / 100,
        )
        for line in imported(payments)
    }
    assert found == kept


def test_what_is_left_out_says_why(payments):
    reasons = Counter(line.reason for line in payments if isinstance(line, BadLine))
    assert set(reasons) == {
        "the account description has GRANT",
        "the account description has CAPITAL",
        "no account rule matches the description",
        "the amount exceeds 25,000",
    }
    assert reasons.total() == 28_145 - 18_148
    assert all(line.expected for line in payments if isinstance(line, BadLine))


def test_a_vendor_is_one_however_it_is_spelled(payments, payments_file):
    vendors = {line.shared[0].id: line.shared[0].row for line in imported(payments)}
    names = [row["name"] for row in vendors.values()]
    assert len(names) == len(set(names))
    kept = {line.line for line in imported(payments)}
    spelled = {
        " ".join(row["Vendor"].split()).upper()
        for number, row in enumerate(csv.DictReader(payments_file.lines), start=2)
        if number in kept
    }
    assert set(names) == spelled
    one, two = kept_line(GOOD), kept_line(GOOD.replace("Some  Caterer ltd", " SOME CATERER LTD "))
    assert one.shared == two.shared
    assert one.shared[0].row["name"] == "SOME CATERER LTD"
    assert one.rows[0].row["vendor_id"] == str(one.shared[0].id)


def test_rows_are_spelled_and_stored_as_the_platform_would(payments):
    books = Books()
    importer = OWNER.__class__(OWNER.org_id, CREATED_BY, OWNER.grant, VERTICAL)
    for new in PLACE.records:
        books.ask(importer, "insert", new.collection, new.id, _sent(new.collection, new.row))
    for line in imported(payments):
        for new in (*line.shared, *line.rows):
            fields = VERTICAL.by_name[new.collection].fields
            assert list(new.row) == list(fields)
            assert {n: f.parser()(new.row[n]) for n, f in fields.items()} == new.row
    for line in imported(payments)[::41]:
        for new in (*line.shared, *line.rows):
            asked = _sent(new.collection, new.row)
            answer = books.ask(importer, "insert", new.collection, new.id, asked)
            assert answer is None or (new.collection, answer) == ("vendors", "row_exists")
            assert books.row(new.collection, new.id) == new.row


def _sent(collection: str, row: Row) -> dict[str, object]:
    fields = VERTICAL.by_name[collection].fields
    return {name: value for name, value in row.items() if not fields[name].server}


def test_an_id_follows_from_file_and_line(payments, payments_file):
    line = imported(payments)[5]
    assert line.rows[0].id == LineIds(payments_file.sha256).of(line.line)
    source = line.rows[0].row["source"]
    assert source == f"supplier-payments:{payments_file.sha256[:16]}:{line.line}"


@pytest.mark.parametrize(
    ("description", "account"),
    [
        ("Catering Charges", "food_beverage"),
        ("WATER COOLER HIRE", "food_beverage"),
        ("Water charges", "energy_water"),
        ("Temporary Agency Staff Costs", "labour"),
        ("MARKETING EXHIBITIONS & EVENTS", "sales_marketing"),
        ("Data processing", "it_telecom"),
        ("BRITISH SUBSCRIPTIONS", "admin_general"),
        ("Gas", "energy_water"),
        ("Something else", None),
    ],
)
def test_the_first_rule_that_matches_wins(description, account):
    assert rules().account_of(description) == account


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("1390.11", "1390.111", "is not an amount"),
        ("1390.11", "", "is not an amount"),
        ("2008-04-01", "01/04/2008", "is no date"),
        ("2008-04-01", "2008-02-30", "is no date"),
        ("2008-04-01", "20080401", "is no date"),
        ("4,,", "four,,", "'four' is no id"),
        ("D7", "D" * 61, "longer than 60 characters"),
        ("D7", '"D7', "the quotes do not close"),
        ("D7,", "", "has 8 cells, not 9"),
    ],
)
def test_a_bad_line_is_named_with_its_reason(old, new, reason):
    found = mapped(GOOD.replace(old, new, 1))
    assert isinstance(found, BadLine)
    assert not found.expected
    assert reason in found.reason


@pytest.mark.parametrize(
    ("amount", "kept"),
    [("25000.00", True), ("-25000", True), ("25000.01", False), ("-25000.01", False)],
)
def test_the_limit_of_25000_is_kept_to_the_penny(amount, kept):
    found = mapped(GOOD.replace("1390.11", amount))
    assert isinstance(found, ImportedLine) == kept


def test_a_payment_without_vendor_or_document_is_kept_without():
    found = kept_line(GOOD.replace("Some  Caterer ltd", " ").replace("D7", ""))
    assert found.shared == ()
    assert (found.rows[0].row["vendor_id"], found.rows[0].row["document"]) == (None, None)


def test_a_file_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="no column ID"):
        PaymentMapper("a,b\n", "00" * 32, PLACE, rules(), CREATED_BY)


def test_a_rule_for_an_account_that_the_chart_lacks_is_reported_not_guessed():
    strange = AccountRules(
        ["account,usali_schedule,pattern_on_upper_cased_account_description", "casino,3,CATER"]
    )
    found = PaymentMapper(HEADER, "00" * 32, PLACE, strange, CREATED_BY)(2, GOOD)
    assert isinstance(found, BadLine)
    assert "'casino'" in found.reason
