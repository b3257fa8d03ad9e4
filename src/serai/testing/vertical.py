"""A small declared vertical: one collection of each kind that the platform treats differently.

Owns a declaration with every kind of field, scope, policy and constraint, and collection numbers
at both ends of their range. Promises no rules: what is written is what is stored. Never means
anything: it is no hotel, and tests of hospitality do not use it.
"""

from __future__ import annotations

from typing import Final

from serai.core.limits import COLLECTION_NUMBER_MAX
from serai.model import (
    Check,
    Collection,
    Index,
    Policy,
    Scope,
    Vertical,
    boolean,
    choice,
    date,
    integer,
    money,
    reference,
    text,
    timestamp,
    user,
)

PROPERTIES: Final = 1
MEMBERSHIPS: Final = 2
GUESTS: Final = 3
STAYS: Final = 4
PAYMENTS: Final = 5
WAGES: Final = COLLECTION_NUMBER_MAX
"""The highest number: bit 62 of a mask."""

_PEOPLE: Final = (
    Collection(
        name="properties",
        number=PROPERTIES,
        doc="Places; each is its own scope",
        scope=Scope.SELF,
        fields={"name": text("Name", minimum=1, maximum=100)},
    ),
    Collection(
        name="memberships",
        number=MEMBERSHIPS,
        doc="Who has which role where",
        scope=Scope.ORGANISATION,
        fields={
            "user_id": user("Who"),
            "role": choice("Role", "owner", "clerk"),
            "property_id": reference("properties", "Where; null is everywhere", optional=True),
        },
        unique=(("user_id", "role", "property_id"),),
    ),
    Collection(
        name="guests",
        number=GUESTS,
        doc="People of the whole organisation; fields merge",
        scope=Scope.ORGANISATION,
        fields={
            "name": text("Name", minimum=1, maximum=200),
            "card": text("Number of a card", optional=True),
            "note": text("Note", optional=True),
        },
        field_policies={"note": Policy.LAST_WRITE},
        unique=(("name", "card"),),
    ),
)

_BOOKS: Final = (
    Collection(
        name="stays",
        number=STAYS,
        doc="Rows of a property; fields merge; every kind of field",
        scope=Scope.PROPERTY,
        fields={
            "guest_id": reference("guests", "Who stays"),
            "room": text("Room", optional=True),
            "status": choice("Status", "booked", "arrived", "left", optional=True),
            "arrives_on": date("First night", optional=True),
            "arrived_at": timestamp("When they came", optional=True),
            "nights": integer("Nights", optional=True),
            "breakfast": boolean("With breakfast", optional=True),
            "keeper_id": user("Who looks after them", optional=True),
        },
        unique=(("property_id", "room", "arrives_on", "guest_id"),),
        checks=(
            Check("room_when_arrived", "status <> 'arrived' OR room IS NOT NULL", "A room, please"),
        ),
        indexes=(Index(("arrives_on",)),),
    ),
    Collection(
        name="payments",
        number=PAYMENTS,
        doc="Money, by month: a change of the row since is a conflict, never the last write",
        scope=Scope.PROPERTY,
        policy=Policy.WHOLE_ROW,
        fields={
            "business_date": date("Day it counts for"),
            "stay_id": reference("stays", "For which stay", optional=True),
            "memo": text("Memo", optional=True),
            **money("amount", "Amount"),
        },
        checks=(Check("not_nothing", "amount_minor <> 0", "An amount is not zero"),),
        indexes=(Index(("business_date",)),),
        month_of="business_date",
    ),
    Collection(
        name="wages",
        number=WAGES,
        doc="Restricted: owners only",
        scope=Scope.PROPERTY,
        policy=Policy.WHOLE_ROW,
        fields={"person": text("Who", minimum=1), **money("wage", "Wage", minimum=1)},
    ),
)

_ALL: Final = frozenset({"read", "create", "update", "delete"})

VERTICAL: Final = Vertical(
    name="trial",
    title="A small vertical for tests",
    collections=(*_PEOPLE, *_BOOKS),
    permissions={
        **{("owner", c.name): _ALL for c in (*_PEOPLE, *_BOOKS)},
        **{("clerk", c.name): _ALL for c in _BOOKS if c.number != WAGES},
        ("clerk", "properties"): frozenset({"read"}),
        ("clerk", "guests"): _ALL,
    },
    owner_role="owner",
)
