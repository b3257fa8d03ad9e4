"""Properties, their rooms, guests and stays.

Owns what a front desk records. A guest belongs to one property, so that a role at another one does
not see the person. A stay may have no night and no rate: both occur in real books (a day use, a
complimentary room).
"""

from __future__ import annotations

from typing import Final

from serai.model import (
    Check,
    Collection,
    Index,
    Known,
    Policy,
    Scope,
    boolean,
    choice,
    date,
    integer,
    known,
    money,
    reference,
    text,
)
from serai_hospitality.rules.properties import PropertyRule
from serai_hospitality.rules.stays import StayRule

NIGHTS_MAX: Final = 730
EMAIL: Final = r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+"
PARTY_MAX: Final = 99
"""Adults, children or babies of one stay; the real data has one stay of 55 adults."""

PROPERTIES: Final = Collection(
    name="properties",
    number=1,
    doc="A hotel, hostel or rental with books of its own",
    scope=Scope.SELF,
    fields={
        "name": text("Name of the house", minimum=1, maximum=120),
        "kind": choice("What it is", "hotel", "hostel", "rental"),
        "timezone": known("IANA name of the zone in which its days begin", Known.TIME_ZONE),
        "currency": known("Currency of its books, ISO 4217", Known.CURRENCY, fixed=True),
        "country": known("Country, ISO 3166-1 alpha-2", Known.COUNTRY_2, optional=True),
        "address": text("Postal address", maximum=300, optional=True),
        "active": boolean("Takes guests at present"),
        "open_business_date": date(
            "First day not closed; every day before it is closed. Null until the first close",
            optional=True,
            server=True,
        ),
    },
    example={
        "name": "Hotel Miramar",
        "address": "Rua do Sol 12, 1100-001 Lisboa",
    },
    rule=PropertyRule(),
)

ROOM_INVENTORY: Final = Collection(
    name="room_inventory",
    number=2,
    doc="How many rooms of a type a property has, from a day on",
    scope=Scope.PROPERTY,
    fields={
        "room_type": text("Code of the type", minimum=1, maximum=20),
        "description": text("What it is", maximum=120, optional=True),
        "rooms": integer("Rooms of the type", minimum=0, maximum=10_000),
        "beds": integer("Beds in one room", minimum=0, maximum=100, optional=True),
        "from_date": date("First day the count holds"),
        "to_date": date("Last day the count holds; null: until further notice", optional=True),
    },
    unique=(("property_id", "room_type", "from_date"),),
    checks=(
        Check(
            "period",
            "to_date IS NULL OR to_date >= from_date",
            "The last day is not before the first.",
        ),
    ),
    example={
        "room_type": "DBL",
        "description": "Double room with balcony",
        "rooms": 24,
        "from_date": "2026-01-01",
        "to_date": None,
    },
)

GUESTS: Final = Collection(
    name="guests",
    number=5,
    doc="A person who stays or books; known to one property",
    scope=Scope.PROPERTY,
    fields={
        "name": text("Name as the person gives it", maximum=160, optional=True),
        "email": text("E-mail address", maximum=254, pattern=EMAIL, optional=True),
        "phone": text("Telephone number", maximum=40, pattern=r"[0-9+()./ \-]+", optional=True),
        "country": known(
            "Country of residence, ISO 3166-1 alpha-3; alpha-2 where the source has it",
            Known.COUNTRY,
            optional=True,
        ),
        "language": text("BCP 47 tag of the language to use", maximum=35, optional=True),
        "note": text("For the desk", maximum=1_000, optional=True),
    },
    field_policies={"note": Policy.LAST_WRITE},
    example={
        "name": "Ana Silva",
        "email": "ana@example.com",
        "phone": "+351 210 000 000",
        "language": "pt-PT",
        "note": "Arrives late",
    },
)

STAYS: Final = Collection(
    name="stays",
    number=6,
    doc="A reservation and what became of it",
    scope=Scope.PROPERTY,
    fields={
        "guest_id": reference("guests", "Who stays"),
        "status": choice(
            "Where it stands", "reserved", "checked_in", "checked_out", "cancelled", "no_show"
        ),
        "arrival": date("Local day of arrival"),
        "departure": date("Local day of departure"),
        "nights": integer(
            "Days from arrival to departure", minimum=0, maximum=NIGHTS_MAX, server=True
        ),
        "adults": integer("Adults", minimum=0, maximum=PARTY_MAX),
        "children": integer(
            "Children; null: not known", minimum=0, maximum=PARTY_MAX, optional=True
        ),
        "babies": integer("Babies", minimum=0, maximum=PARTY_MAX),
        "room_type": text("Code of the room type given", maximum=20, optional=True),
        "room": text("Number of the room given", maximum=20, optional=True),
        "channel": choice(
            "By which channel it was booked", "direct", "corporate", "travel_agent", "gds", "other"
        ),
        **money("rate", "Price of one night; negative only where the source says so"),
        "booked_on": date("Local day of the booking", optional=True),
        "note": text("For the desk", maximum=1_000, optional=True),
    },
    field_policies={"note": Policy.LAST_WRITE},
    checks=(
        Check("period", "departure >= arrival", "The departure is not before the arrival."),
        Check("nights", "departure - arrival = nights", "The nights are those of the period."),
    ),
    indexes=(
        Index(("property_id", "arrival")),
        Index(("property_id", "status")),
        Index(("guest_id",)),
    ),
    example={
        "arrival": "2026-03-14",
        "departure": "2026-03-17",
        "nights": 3,
        "adults": 2,
        "children": 1,
        "babies": 0,
        "room_type": "DBL",
        "room": "204",
        "booked_on": "2026-01-20",
        "note": "A quiet room",
    },
    rule=StayRule(),
)
