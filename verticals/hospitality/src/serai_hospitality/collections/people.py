"""Staff, their pay and shifts, and who has which role.

Owns what concerns the people who work in a house. Pay is a collection of its own because visibility
is decided by collection, never by field: who may see a colleague's name does not thereby see the
wage. A membership is given and taken, never changed, so that each grant has one history.
"""

from __future__ import annotations

from typing import Final

from serai.model import (
    Check,
    Collection,
    Index,
    Policy,
    Scope,
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
from serai_hospitality.permissions import ROLES
from serai_hospitality.rules.people import MembershipRule, PayRule, ShiftRule

BREAK_MINUTES_MAX: Final = 720

STAFF: Final = Collection(
    name="staff",
    number=9,
    doc="A person who works at a property",
    scope=Scope.PROPERTY,
    fields={
        "name": text("Name", minimum=1, maximum=160),
        "job": text("What the person does", maximum=80, optional=True),
        "department": choice(
            "Where the person works",
            "rooms",
            "food_beverage",
            "other_operated",
            "administration",
            "it_telecom",
            "sales_marketing",
            "property_operation",
        ),
        "user_id": user("The person's account, if any", optional=True),
        "hired_on": date("First day", optional=True),
        "left_on": date("Last day", optional=True),
        "active": boolean("Works here at present"),
    },
    checks=(
        Check(
            "period",
            "left_on IS NULL OR hired_on IS NULL OR left_on >= hired_on",
            "The last day is not before the first.",
        ),
    ),
    example={
        "name": "Rui Costa",
        "job": "Night porter",
        "user_id": None,
        "hired_on": "2024-05-02",
        "left_on": None,
    },
)

STAFF_PAY: Final = Collection(
    name="staff_pay",
    number=10,
    doc="What a person is paid from a day on; restricted",
    scope=Scope.PROPERTY,
    fields={
        "staff_id": reference("staff", "Who is paid", fixed=True),
        "from_date": date("First day it holds"),
        "basis": choice("What the pay is for", "hour", "day", "month"),
        **money("pay", "Gross pay for one `basis`", minimum=0),
        "note": text("For the books", maximum=500, optional=True),
    },
    policy=Policy.WHOLE_ROW,
    unique=(("staff_id", "from_date"),),
    example={
        "from_date": "2026-01-01",
        "pay_minor": 1_250,
        "note": "Collective agreement of 2026",
    },
    rule=PayRule(),
)

SHIFTS: Final = Collection(
    name="shifts",
    number=11,
    doc="Time worked or planned",
    scope=Scope.PROPERTY,
    fields={
        "staff_id": reference("staff", "Who works", fixed=True),
        "business_date": date("Local day it counts in"),
        "starts_at": timestamp("Begin"),
        "ends_at": timestamp("End; null while it runs", optional=True),
        "break_minutes": integer("Unpaid break, in minutes", minimum=0, maximum=BREAK_MINUTES_MAX),
        "note": text("For the plan", maximum=500, optional=True),
    },
    field_policies={"note": Policy.LAST_WRITE},
    checks=(
        Check(
            "length",
            "ends_at IS NULL OR (ends_at > starts_at "
            "AND ends_at - starts_at <= interval '24 hours')",
            "A shift ends after its begin, within 24 hours.",
        ),
        Check(
            "break",
            "ends_at IS NULL OR break_minutes * interval '1 minute' <= ends_at - starts_at",
            "The break is not longer than the shift.",
        ),
    ),
    indexes=(Index(("property_id", "business_date")), Index(("staff_id", "starts_at"))),
    example={
        "starts_at": "2026-03-14T07:00:00.000000Z",
        "ends_at": "2026-03-14T15:00:00.000000Z",
        "break_minutes": 30,
        "note": "Front desk",
    },
    rule=ShiftRule(),
)

MEMBERSHIPS: Final = Collection(
    name="memberships",
    number=13,
    doc="A role of a user, at one property or at all",
    scope=Scope.ORGANISATION,
    fields={
        "user_id": user("Who has the role", fixed=True),
        "role": choice("The role", *ROLES, fixed=True),
        "property_id": reference(
            "properties", "Where; null: at every property", optional=True, fixed=True
        ),
    },
    policy=Policy.WHOLE_ROW,
    unique=(("user_id", "role", "property_id"),),
    indexes=(Index(("user_id",)),),
    example={
        "role": "front_desk",
    },
    rule=MembershipRule(),
)
