"""The vertical of a run: the smallest one in which every branch of the protocol can happen.

Owns seven collections: every scope, every conflict policy, a reference, a uniqueness, a restricted
collection, and a rule that reads another row, refuses, and writes a second row. Promises nothing to
a product: it is made for the oracle, which must be able to say by itself what is right. Never
imports a real vertical.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from serai.model import (
    Accept,
    Collection,
    Key,
    Policy,
    Refuse,
    Row,
    RowChange,
    RuleInput,
    Scope,
    Verdict,
    Vertical,
    integer,
    money,
    reference,
    text,
    user,
)
from serai.model.rules import Op

READ: Final = frozenset({"read"})
WRITE: Final = frozenset({"read", "create", "update", "delete"})


@dataclass(frozen=True)
class _StayRule:
    """A stay of a guest who is gone is refused. Paying it puts its price into the property's till,
    in the same write.
    """

    def reads(self, op: Op, row_id: UUID, before: Row | None, after: Row | None) -> Iterable[Key]:
        """Return the guest, and the till if the stay is being paid."""
        del op, row_id
        row = after or before
        assert row is not None, "there is a row before or after"
        keys: list[Key] = []
        if after is not None and isinstance(after["guest_id"], str):
            keys.append(("guests", UUID(after["guest_id"])))
        if _is_payment(before, after):
            keys.append(("tills", till_of(UUID(str(row["property_id"])))))
        return keys

    def decide(self, asked: RuleInput) -> Verdict:
        """See the class."""
        after = asked.after
        change = RowChange("stays", asked.op, asked.id, after)
        if after is None:
            return Accept(change)
        if any(row is None for (name, _), row in asked.rows.items() if name == "guests"):
            return Refuse("guest_gone", "The guest does not exist.")
        if not _is_payment(asked.before, after):
            return Accept(change)
        till_id = till_of(UUID(str(after["property_id"])))
        till = asked.rows["tills", till_id]
        if till is None:
            return Refuse("no_till", "The property takes no payments.")
        count, taken = till["payments"], till["taken_minor"]
        assert isinstance(count, int), "a till counts"
        assert isinstance(taken, int), "a till holds money"
        price = after["amount_minor"]
        taken += price if isinstance(price, int) else 0
        more = {"payments": count + 1, "taken_minor": taken}
        return Accept(change, (RowChange("tills", "update", till_id, {**till, **more}),))


def _is_payment(before: Row | None, after: Row | None) -> bool:
    return after is not None and after["paid"] == 1 and (before is None or before["paid"] != 1)


def till_of(property_id: UUID) -> UUID:
    """Return the id of a property's till."""
    return UUID(int=property_id.int + 1)


def _collections() -> tuple[Collection, ...]:
    return (
        Collection(
            name="properties",
            number=1,
            doc="A place.",
            scope=Scope.SELF,
            fields={"name": text("Its name")},
        ),
        Collection(
            name="memberships",
            number=2,
            doc="Who may do what where.",
            scope=Scope.ORGANISATION,
            fields={
                "user_id": user("Who"),
                "role": text("What"),
                "property_id": reference("properties", "Where; null: everywhere", optional=True),
            },
        ),
        Collection(
            name="guests",
            number=3,
            doc="A person who stays, known to all properties.",
            scope=Scope.ORGANISATION,
            fields={"name": text("Name"), "note": text("Note", optional=True)},
            policy=Policy.LAST_WRITE,
        ),
        Collection(
            name="tills",
            number=4,
            doc="Counts payments and adds them up; only the rule of stays writes it.",
            scope=Scope.PROPERTY,
            fields={"payments": integer("How many"), **money("taken", "Together")},
        ),
        Collection(
            name="stays",
            number=5,
            doc="A stay.",
            scope=Scope.PROPERTY,
            fields={
                "guest_id": reference("guests", "Who", optional=True),
                "room": text("Room", optional=True),
                "note": text("Note", optional=True),
                "paid": integer("1 if it is paid", minimum=0, maximum=1),
                **money("amount", "Price", optional=True),
            },
            field_policies={"note": Policy.LAST_WRITE},
            rule=_StayRule(),
        ),
        Collection(
            name="keys",
            number=6,
            doc="A key of a room: one key for each number.",
            scope=Scope.PROPERTY,
            fields={"number": integer("Number"), "holder": text("Who has it", optional=True)},
            policy=Policy.WHOLE_ROW,
            unique=(("property_id", "number"),),
        ),
        Collection(
            name="pay",
            number=7,
            doc="What somebody earns: only for managers.",
            scope=Scope.PROPERTY,
            fields={"person": text("Who"), **money("monthly", "How much")},
        ),
    )


_ROLES: Final = {
    "owner": dict.fromkeys(
        ("properties", "memberships", "guests", "tills", "stays", "keys", "pay"), WRITE
    ),
    "manager": {
        "properties": WRITE,
        "guests": WRITE,
        "tills": READ,
        "stays": WRITE,
        "keys": WRITE,
        "pay": WRITE,
    },
    "desk": {"properties": READ, "guests": WRITE, "tills": READ, "stays": WRITE, "keys": WRITE},
    "cleaner": {"properties": READ, "keys": READ, "stays": READ},
}

HOTEL: Final = Vertical(
    name="simulated",
    title="Simulated",
    collections=_collections(),
    permissions={
        (role, name): actions for role, table in _ROLES.items() for name, actions in table.items()
    },
    owner_role="owner",
)
COLLECTIONS: Final = tuple(each.name for each in HOTEL.collections)
