"""The data that ships is the data that was described, with its licences.

Owns the sums, the licence lines, and what the small tables say.
"""

from __future__ import annotations

import csv
import hashlib
from decimal import Decimal

import pytest

from serai_hospitality import VERTICAL
from serai_hospitality.chart import CHART, SCHEDULES
from serai_hospitality.data import FILES, data_path
from serai_hospitality.importers import portfolio

HERE = data_path(FILES[0]).parent


def table(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(data_path(name).read_text("utf-8").splitlines()))


def test_the_files_are_those_that_were_published():
    lines = [line.split("  ") for line in (HERE / "SHA256SUMS").read_text().splitlines()]
    sums = {name: digest for digest, name in lines}
    assert set(sums) == set(FILES)
    found = {n: hashlib.sha256(data_path(n).read_bytes()).hexdigest() for n in FILES}
    assert found == sums
    assert sums["hotel_bookings.csv.gz"].startswith("8ebfc1930d17dc06")


def test_no_file_ships_without_its_licence():
    text = (HERE / "README.md").read_text("utf-8")
    for name in FILES:
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{name}`")]
        assert line.rstrip(" |").rpartition("|")[2].strip()
    one_line = " ".join(text.split())
    attribution = "Contains data from Antonio, Almeida & Nunes (2019), CC BY 4.0; changes:"
    assert attribution in one_line
    assert "Open Data Commons Public Domain Dedication and License 1.0" in one_line
    assert "European Central Bank" in one_line
    assert "a city government's, not a hotel's" in one_line


def test_a_file_that_does_not_ship_is_not_looked_for():
    with pytest.raises(KeyError):
        data_path("../permissions.py")


def test_the_sizes_of_operators_are_the_published_ones():
    rows = table("portfolio_sizes.csv")
    assert sum(int(row["operators"]) for row in rows) == 37_457
    assert max(int(row["properties_to"]) for row in rows) == 327


def test_every_payment_day_of_the_bookings_years_has_a_rate_before_it():
    rows = table("ecb_gbp_2015_2017.csv")
    days = [row["date"] for row in rows]
    assert days == sorted(set(days))
    assert days[0] <= "2015-07-01"
    assert all(Decimal("0.6") < Decimal(row["gbp_per_eur"]) < Decimal(1) for row in rows)


def test_the_account_rules_agree_with_the_chart():
    chart = {line.code: line for line in CHART}
    for row in table("expense_accounts.csv"):
        line = chart[row["account"]]
        assert (line.kind, line.schedule) == ("expense", int(row["usali_schedule"]))


def test_the_chart_knows_only_schedules_of_usali_12():
    assert sorted(SCHEDULES) == list(range(1, 15))
    assert {line.schedule for line in CHART} <= SCHEDULES.keys()
    assert len({line.code for line in CHART}) == len(CHART)
    assert {line.kind for line in CHART} == {"revenue", "expense"}


def test_a_portfolio_has_two_hotels_and_the_chart_under_ids_that_never_change():
    one, two = portfolio("demo.hotels"), portfolio("demo.hotels")
    assert one == two
    assert portfolio("other").properties != one.properties
    assert list(one.properties) == ["City Hotel", "Resort Hotel"]
    houses = [new.row for new in one.records if new.collection == "properties"]
    assert {(h["currency"], h["timezone"]) for h in houses} == {("EUR", "Europe/Lisbon")}
    for new in one.records:
        fields = VERTICAL.by_name[new.collection].fields
        assert list(new.row) == list(fields)
        assert {n: f.parser()(new.row[n]) for n, f in fields.items()} == new.row


@pytest.mark.parametrize("kind", ["hotel-bookings", "supplier-payments"])
def test_each_kind_of_file_ships_a_sample_and_what_it_comes_to(kind):
    importer = VERTICAL.importers[kind]
    assert importer.sample is not None
    assert importer.sample.path.is_file()
    assert all("org_id = $1" in figure.sql for figure in importer.sample.figures)
    assert importer.setup("demo.hotels") == list(portfolio("demo.hotels").records)
