"""Books in memory: the platform's own decision on rows in a dictionary.

Owns what the tests of the rules need to play a hotel: people with roles, and a way to ask for a
change. Every ask goes through field validation, permission, merge and rule as a client's would
(`serai.model.validate`, `serai.log.decide`); only the database is missing, so constraints are not
enforced here. A refusal is returned, not raised, to keep tests readable.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

from serai.core.errors import SeraiError
from serai.core.ids import ALL_SCOPES
from serai.gate.caller import Caller, Grant
from serai.log.decide import NeedRows, decide
from serai.log.intent import RowIntent, WriteIntent
from serai.model.rules import Op, Row
from serai.model.validate import row_values
from serai.ports.store import RowKey, StoredRow
from serai_hospitality import VERTICAL

ORG: Final = 7
NAMES: Final = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
NOW: Final = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)


def named(name: str) -> UUID:
    """Return an id that a test can speak of by name."""
    return uuid5(NAMES, name)


A, B = named("property A"), named("property B")
ROOMS, BAR, RENT, LAUNDRY = (named(n) for n in ("rooms", "bar", "rent", "laundry"))
CREATED_BY: Final = named("importing user")


@dataclass(frozen=True, slots=True)
class Source:
    """A real file: the hash of its plain form, and its lines."""

    sha256: str
    lines: list[str]


def minor(row: Row, name: str = "amount_minor") -> int:
    """Return an amount of a row."""
    value = row[name]
    assert isinstance(value, int), f"{name} is an integer of minor units"
    return value


def person(name: str, *roles: str, at: UUID | None = A) -> Caller:
    """Return somebody with these roles at a property; `at` None: at every property."""
    grant = Grant.from_memberships(VERTICAL, 1, [(role, at) for role in roles])
    return Caller(ORG, named(name), grant, VERTICAL)


OWNER = person("olga", "owner", at=None)
ADMIN = person("adam", "admin", at=None)
ACCOUNTANT = person("anna", "accountant", at=None)
MANAGER = person("max", "manager")
DESK = person("dora", "front_desk")
AUDITOR = person("aldo", "auditor")


def house(name: str) -> Row:
    """Return a property as a client sends it."""
    return {
        "name": name,
        "kind": "hotel",
        "timezone": "Europe/Lisbon",
        "currency": "EUR",
        "active": True,
    }


def account(code: str, kind: str, schedule: int) -> Row:
    """Return an account as a client sends it."""
    return {
        "code": code,
        "name": code,
        "kind": kind,
        "usali_schedule": schedule,
        "active": True,
    }


def charge(amount: int, day: str, **others: str | int | None) -> Row:
    """Return a charge at property A as a client sends it; a negative one is an allowance."""
    return {
        "property_id": str(A),
        "account_id": str(ROOMS),
        "kind": "charge" if amount >= 0 else "allowance",
        "business_date": day,
        "amount_minor": amount,
        "amount_currency": "EUR",
        **others,
    }


def invoice(amount: int, day: str, **others: str | int | None) -> Row:
    """Return a draft invoice at property A as a client sends it."""
    return {
        "property_id": str(A),
        "account_id": str(RENT),
        "kind": "invoice" if amount >= 0 else "credit_note",
        "status": "draft",
        "business_date": day,
        "amount_minor": amount,
        "amount_currency": "EUR",
        **others,
    }


@dataclass
class Books:
    """The rows of one organisation. `version` counts the writes."""

    rows: dict[RowKey, StoredRow] = field(default_factory=dict[RowKey, StoredRow])
    version: int = 0
    now: datetime = NOW

    def __post_init__(self) -> None:
        for name, key in (("A", A), ("B", B)):
            assert self.ask(OWNER, "insert", "properties", key, house(name)) is None
        for key, code, kind, schedule in (
            (ROOMS, "rooms", "revenue", 1),
            (BAR, "bar", "revenue", 2),
            (RENT, "rent", "expense", 11),
            (LAUNDRY, "laundry", "expense", 12),
        ):
            row = account(code, kind, schedule)
            assert self.ask(OWNER, "insert", "accounts", key, row) is None

    def ask(
        self, who: Caller, op: Op, collection: str, key: UUID, fields: Mapping[str, object] = {}
    ) -> str | None:
        """Apply a change; return None, or the word for why not (the rule's, or the catalogue's)."""
        declared = VERTICAL.by_name[collection]
        try:
            wish = RowIntent(declared, op, key, row_values(declared, fields, op))
            intent = WriteIntent(ORG, who, (wish,), None, b"")
            self._apply(intent)
        except SeraiError as error:
            word = error.extra.get("rule")
            return word if isinstance(word, str) else error.code.text
        return None

    def _apply(self, intent: WriteIntent) -> None:
        known: dict[RowKey, StoredRow | None] = {}
        while True:
            try:
                write = decide(VERTICAL, intent, known, epoch=1, now=self.now)
                break
            except NeedRows as need:
                known |= {key: self.rows.get(key) for key in need.keys}
        if write.ops:
            self.version += 1
        for op in write.ops:
            key = (ORG, op.collection, op.id)
            if op.op == "delete":
                del self.rows[key]
            else:
                self.rows[key] = StoredRow(self.version, op.scope, op.doc, {}, self.version)

    def row(self, collection: str, key: UUID) -> Row:
        """Return a row that is there."""
        return json.loads(self.rows[ORG, VERTICAL.by_name[collection].number, key].doc)

    def all(self, collection: str) -> dict[UUID, Row]:
        """Return every row of a collection."""
        number = VERTICAL.by_name[collection].number
        return {k[2]: json.loads(r.doc) for k, r in self.rows.items() if k[1] == number}

    def close(self, day: str, at: UUID = A) -> str | None:
        """Close a day as the accountant."""
        row = {"property_id": str(at), "business_date": day}
        return self.ask(ACCOUNTANT, "insert", "day_closes", named(f"close {at} {day}"), row)

    def total(self, collection: str, day: str) -> int:
        """Return what counts on a day: all revenues; expenses from their approval on."""
        return sum(
            minor(row)
            for row in self.all(collection).values()
            if row["business_date"] == day and row.get("status") in (None, "approved", "paid")
        )


assert OWNER.roles(ALL_SCOPES) == {"owner"}, "a role without a property holds everywhere"
