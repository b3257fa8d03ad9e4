"""Organisations for a load: how many properties each has, and its rows as text for COPY.

Owns the shape of a seeded organisation: the sizes follow those of real operators, one property more
each, so that five million organisations have more than ten million properties; each property has
two revenues, each organisation one account and one owner. Promises that the same number gives the
same rows, that the typed columns and the JSON say the same, and that rows come in order of
collection and id. Never touches a database.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import accumulate
from typing import Final

import msgspec

from serai.core.ids import ORG_SCOPE
from serai.model import Row, Vertical

LEDGER_ROWS: Final = 2
"""Revenues of each property."""
_EXTRA: Final = 1
_STRIDE: Final = 2_654_435_761
"""Odd and large (Knuth's multiplicative hash): neighbours get unlike sizes."""
_ORG, _HEX = "@O", "@H"
_ACCOUNT: Final = f"{_HEX}-0003-8000-8000-000000000001"
_OWNER: Final = f"{_HEX}-000d-8000-8000-000000000001"
_USER: Final = f"{_HEX}-00ff-8000-8000-000000000001"
_ROW_COLUMNS: Final = (
    "org_id", "collection", "id", "scope", "version", "created_version", "doc"
)  # fmt: skip


class Portfolio:
    """How many properties an organisation has.

    Args:
        package: the vertical's, which brings the counts of real operators.
    """

    def __init__(self, package: str) -> None:
        text = files(package).joinpath("data", "portfolio_sizes.csv").read_text("utf-8")
        lines = list(csv.DictReader(text.splitlines()))
        # A range of sizes counts as its middle.
        self._sizes = [
            (int(line["properties_from"]) + int(line["properties_to"])) // 2 for line in lines
        ]
        self._upto = list(accumulate(int(line["operators"]) for line in lines))

    def properties_of(self, org_id: int) -> int:
        """Return the number of properties, at least two."""
        operator = org_id * _STRIDE % self._upto[-1]
        return self._sizes[bisect_right(self._upto, operator)] + _EXTRA


class Block:
    """The text of all rows of one organisation, for each table that is copied into.

    Args:
        tables: table -> lines in which `@O` and `@H` stand for the organisation.
    """

    def __init__(self, tables: Mapping[str, str]) -> None:
        # Cut where the numbers go, once: joining is four times as fast as replacing.
        self._cut = {
            table: [part.split(_HEX) for part in text.split(_ORG)] for table, text in tables.items()
        }

    def of(self, org_id: int, table: str) -> str:
        """Return the lines of an organisation, in the text form of COPY."""
        join = f"{org_id:08x}".join
        return str(org_id).join([join(part) for part in self._cut[table]])


@dataclass(slots=True)
class Blocks:
    """Blocks by number of properties. `day`: of the revenues, ISO 8601."""

    vertical: Vertical
    day: str
    _made: dict[int, Block] = field(default_factory=dict[int, Block])

    def columns(self) -> dict[str, Sequence[str]]:
        """Return the columns of each table, in the order of the lines."""
        named = {"serai.org": ("org_id", "version", "floor", "grants_version")}
        typed = {
            f"{self.vertical.name}.{name}": ("org_id", "id", *self.vertical.by_name[name].fields)
            for name in ("properties", "accounts", "revenues", "memberships")
        }
        return {**named, "serai.row": _ROW_COLUMNS, **typed}

    def block(self, properties: int) -> Block:
        """Return the block of an organisation of that size."""
        found = self._made.get(properties)
        if found is None:
            found = self._made[properties] = self._make(properties)
        return found

    def _make(self, properties: int) -> Block:
        lines: dict[str, list[str]] = {table: [] for table in self.columns()}
        version = 0
        for name, row_id, scope, row in self._rows(properties):
            version += 1
            collection = self.vertical.by_name[name]
            whole: Row = {column: row.get(column) for column in collection.fields}
            doc = msgspec.json.encode(whole).decode()
            values = [_ORG, collection.number, row_id, scope, version, version, doc]
            lines["serai.row"].append(_line(values))
            lines[f"{self.vertical.name}.{name}"].append(_line([_ORG, row_id, *whole.values()]))
        # Filled by a snapshot, as an organisation is whose log was pruned to its head.
        lines["serai.org"].append(_line([_ORG, version, version, version]))
        return Block({table: "".join(each) for table, each in lines.items()})

    def _rows(self, properties: int) -> list[tuple[str, str, str, Row]]:
        """Return (collection, id, scope, row) in order of collection and id."""
        houses = [f"{_HEX}-0001-8000-8000-{n:012x}" for n in range(1, properties + 1)]
        everywhere = str(ORG_SCOPE)
        found: list[tuple[str, str, str, Row]] = [
            ("properties", house, house, _PROPERTY | {"name": f"House {n} of {_ORG}"})
            for n, house in enumerate(houses, 1)
        ]
        found.append(("accounts", _ACCOUNT, everywhere, _CHARGED))
        for n in range(properties * LEDGER_ROWS):
            house = houses[n // LEDGER_ROWS]
            revenue: Row = {
                "property_id": house,
                "account_id": _ACCOUNT,
                "business_date": self.day,
                "amount_minor": 4_200 + n,
            }
            row_id = f"{_HEX}-0007-8000-8000-{n + 1:012x}"
            found.append(("revenues", row_id, house, _REVENUE | revenue))
        found.append(("memberships", _OWNER, everywhere, {"user_id": _USER, "role": "owner"}))
        return found


_PROPERTY: Final[Row] = {
    "kind": "hotel",
    "timezone": "Europe/Lisbon",
    "currency": "EUR",
    "country": "PT",
    "address": "Rua do Sol 12, 1100-001 Lisboa",
    "active": True,
}
_CHARGED: Final[Row] = {
    "code": "rooms_transient",
    "name": "Rooms, transient",
    "kind": "revenue",
    "usali_schedule": 1,
    "active": True,
}
_REVENUE: Final[Row] = {"kind": "charge", "amount_currency": "EUR", "note": "Room and breakfast"}


def _line(values: Sequence[object]) -> str:
    return "\t".join(map(_text, values)) + "\n"


def _text(value: object) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value).replace("\\", "\\\\")
