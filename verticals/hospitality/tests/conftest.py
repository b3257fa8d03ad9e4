"""What the vertical's tests share: how Hypothesis runs, and the real files, mapped once.

Owns the fixtures. The files are read whole here; the mappers under test see lines. Time limits of
single Hypothesis examples are off: on a busy machine they fail for reasons that no code has.
"""

from __future__ import annotations

import gzip
import hashlib

import pytest
from hypothesis import HealthCheck, settings

from house import CREATED_BY, Books, Source
from serai.model import BadLine, ImportedLine
from serai_hospitality.data import data_path
from serai_hospitality.importers import AccountRules, portfolio, read_bookings, read_payments

settings.register_profile(
    "serai", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("serai")


@pytest.fixture
def books() -> Books:
    """Empty books of an organisation with two properties, A and B, and one account of each kind."""
    return Books()


def _plain(name: str) -> Source:
    plain = gzip.decompress(data_path(name).read_bytes())
    lines = plain.decode("utf-8").splitlines(keepends=True)
    return Source(hashlib.sha256(plain).hexdigest(), lines)


@pytest.fixture(scope="session")
def bookings_file() -> Source:
    """The real bookings."""
    return _plain("hotel_bookings.csv.gz")


@pytest.fixture(scope="session")
def payments_file() -> Source:
    """The real payments."""
    return _plain("gla_expenditure.csv.gz")


@pytest.fixture(scope="session")
def bookings(bookings_file: Source) -> list[ImportedLine | BadLine]:
    """What the mapper makes of the real bookings."""
    place = portfolio("demo.hotels")
    return list(read_bookings(bookings_file.lines, bookings_file.sha256, place))


@pytest.fixture(scope="session")
def payments(payments_file: Source) -> list[ImportedLine | BadLine]:
    """What the mapper makes of the real payments."""
    rules = AccountRules(data_path("expense_accounts.csv").read_text("utf-8").splitlines())
    place = portfolio("demo.hotels")
    file = payments_file
    return list(read_payments(file.lines, file.sha256, place, rules, CREATED_BY))
