"""The organisation that the real data belongs to: two hotels and a chart of accounts.

Owns the rows that must exist before bookings and payments can be imported, with ids that follow
from the organisation's key: a second import finds the first one's properties, accounts and vendors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid5

from serai.model import NewRow, Row
from serai_hospitality.chart import CHART
from serai_hospitality.importers.records import IMPORT_NAMESPACE

CITY: Final = "City Hotel"
RESORT: Final = "Resort Hotel"


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Where imported rows go.

    Attributes:
        properties: name -> id.
        accounts: code -> id.
        records: the rows of both, in order of dependency.
    """

    namespace: UUID
    properties: Mapping[str, UUID]
    accounts: Mapping[str, UUID]
    records: tuple[NewRow, ...]

    def vendor_id(self, name: str) -> UUID:
        """Return the id of the vendor with this (normalised) name."""
        return uuid5(self.namespace, f"vendor:{name}")


def portfolio(org_key: str) -> Portfolio:
    """Return the portfolio of the organisation known as `org_key`, such as `demo.hotels`."""
    namespace = uuid5(IMPORT_NAMESPACE, f"organisation:{org_key}")
    properties = {name: uuid5(namespace, f"property:{name}") for name in (CITY, RESORT)}
    accounts = {line.code: uuid5(namespace, f"account:{line.code}") for line in CHART}
    records = [NewRow("properties", key, _property(name)) for name, key in properties.items()]
    for line in CHART:
        row: Row = {
            "code": line.code,
            "name": line.name,
            "kind": line.kind,
            "usali_schedule": line.schedule,
            "active": True,
        }
        records.append(NewRow("accounts", accounts[line.code], row))
    return Portfolio(namespace, properties, accounts, tuple(records))


def _property(name: str) -> Row:
    return {
        "name": name,
        "kind": "hotel",
        "timezone": "Europe/Lisbon",
        "currency": "EUR",
        "country": "PT",
        "address": None,
        "active": True,
        "open_business_date": None,
    }
