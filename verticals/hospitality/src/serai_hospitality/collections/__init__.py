"""The records of a hospitality business, one declaration a collection.

Owns names, permanent numbers, fields, bounds, checks and conflict policies. Numbers are like tags
of a wire format: they are never changed and never used again. Amounts are integer minor units
beside an ISO 4217 currency; a `business_date` is the local day in the books of the property, an
`_at` is a moment in UTC. What a role may do is in `permissions`, what a change must satisfy beside
types and checks is in `rules`.
"""

from serai_hospitality.collections.books import (
    ACCOUNTS,
    DAY_CLOSES,
    EXPENSES,
    REVENUES,
    VENDORS,
)
from serai_hospitality.collections.houses import GUESTS, PROPERTIES, ROOM_INVENTORY, STAYS
from serai_hospitality.collections.people import MEMBERSHIPS, SHIFTS, STAFF, STAFF_PAY

COLLECTIONS = (
    PROPERTIES,
    ROOM_INVENTORY,
    ACCOUNTS,
    VENDORS,
    GUESTS,
    STAYS,
    REVENUES,
    EXPENSES,
    STAFF,
    STAFF_PAY,
    SHIFTS,
    DAY_CLOSES,
    MEMBERSHIPS,
)
"""In order of dependency: a reference points to an earlier one."""

__all__ = [
    "ACCOUNTS",
    "COLLECTIONS",
    "DAY_CLOSES",
    "EXPENSES",
    "GUESTS",
    "MEMBERSHIPS",
    "PROPERTIES",
    "REVENUES",
    "ROOM_INVENTORY",
    "SHIFTS",
    "STAFF",
    "STAFF_PAY",
    "STAYS",
    "VENDORS",
]
