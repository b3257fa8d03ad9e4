"""The books: accounts, vendors, revenues, expenses, closes.

Owns what an accountant expects of an amount: a sign that follows from its kind, a currency, the day
it counts in, the day it was meant for if that day was closed, and the row that it corrects.
Revenues and expenses change as whole rows: an amount and its currency or account never come from
two people. `corrects` points into a partitioned table, which cannot be referenced; the rules that
write it have read its target.
"""

from __future__ import annotations

from typing import Final

from serai.model import (
    Check,
    Collection,
    Field,
    FieldKind,
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
from serai_hospitality.collections.houses import EMAIL
from serai_hospitality.rules.closes import CloseRule
from serai_hospitality.rules.expenses import ExpenseRule
from serai_hospitality.rules.revenues import RevenueRule
from serai_hospitality.rules.shared import EverywhereRule

SCHEDULE_MAX: Final = 14
"""Schedules of the Uniform System of Accounts for the Lodging Industry, 12th edition: 1 Rooms to
14 Payroll."""


def _amount_fields() -> dict[str, Field]:
    """Return what revenues and expenses have in common, after their references."""
    return {
        "business_date": date("Local day in whose books it counts"),
        **money("amount", "The amount"),
    }


def _late_fields() -> dict[str, Field]:
    """Return what tells the story of a late or corrected row."""
    return {
        "occurred_at": timestamp("Moment it happened, if known", optional=True),
        "original_business_date": date(
            "The day it was meant for, which was closed", optional=True, server=True
        ),
        "review": choice(
            "`pending`: an accountant looks at it; `accepted`: has done; null: nothing to look at",
            "pending",
            "accepted",
            optional=True,
        ),
        "reviewed_by": user("Who accepted it", optional=True, server=True),
        "corrects": Field(
            kind=FieldKind.REFERENCE,
            doc="Row of this collection that it corrects",
            optional=True,
            server=True,
        ),
    }


ACCOUNTS: Final = Collection(
    name="accounts",
    number=3,
    doc="An account of the organisation's chart",
    scope=Scope.ORGANISATION,
    fields={
        "code": text("Short code", minimum=1, maximum=40, pattern="[a-z0-9_]+"),
        "name": text("Name", minimum=1, maximum=120),
        "kind": choice("What is booked to it", "revenue", "expense"),
        "usali_schedule": integer("Schedule of USALI 12", minimum=1, maximum=SCHEDULE_MAX),
        "active": boolean("May be booked to"),
    },
    unique=(("code",),),
    natural_key=("code", "kind"),
    example={
        "code": "rooms_transient",
        "name": "Rooms, transient",
        "usali_schedule": 1,
    },
    rule=EverywhereRule("accounts"),
)

VENDORS: Final = Collection(
    name="vendors",
    number=4,
    doc="A supplier",
    scope=Scope.ORGANISATION,
    fields={
        "name": text("Name", minimum=1, maximum=160),
        "code": text("Number in the books", maximum=40, optional=True),
        "tax_number": text("Tax number", maximum=40, optional=True),
        "email": text("E-mail address", maximum=254, pattern=EMAIL, optional=True),
        "active": boolean("May be bought from"),
    },
    indexes=(Index(("name",)),),
    example={
        "name": "Lavandaria Central",
        "code": "V-0042",
        "tax_number": "PT 500 000 000",
        "email": "office@example.com",
    },
)

REVENUES: Final = Collection(
    name="revenues",
    number=7,
    doc="An amount earned: one night, one charge, one correction",
    scope=Scope.PROPERTY,
    fields={
        "stay_id": reference("stays", "The stay it belongs to", optional=True, fixed=True),
        "account_id": reference("accounts", "Account of kind revenue"),
        "kind": choice(
            "`charge`: 0 or more; "
            "`allowance`: rebate, 0 or less; `adjustment`: corrects a closed row",
            "charge",
            "allowance",
            "adjustment",
        ),
        **_amount_fields(),
        "note": text("For the books", maximum=500, optional=True),
        **_late_fields(),
    },
    policy=Policy.WHOLE_ROW,
    checks=(
        Check(
            "sign",
            "(kind <> 'charge' OR amount_minor >= 0) "
            "AND (kind <> 'allowance' OR amount_minor <= 0)",
            "A charge is not negative, an allowance is not positive.",
        ),
        Check(
            "corrects",
            "(kind = 'adjustment') = (corrects IS NOT NULL)",
            "An adjustment, and nothing else, names the row that it corrects.",
        ),
    ),
    indexes=(
        Index(("property_id", "business_date")),
        Index(("stay_id",)),
        Index(("property_id", "review"), sparse=True),
    ),
    month_of="business_date",
    example={
        "note": "Room and breakfast",
        "original_business_date": None,
        "review": None,
        "reviewed_by": None,
        "corrects": None,
    },
    rule=RevenueRule(),
)

EXPENSES: Final = Collection(
    name="expenses",
    number=8,
    doc="A supplier's document on its way from draft to paid",
    scope=Scope.PROPERTY,
    fields={
        "vendor_id": reference("vendors", "Who supplied", optional=True),
        "account_id": reference("accounts", "Account of kind expense"),
        "kind": choice(
            "`invoice`: 0 or more; `credit_note`: 0 or less; `reversal`: takes back a closed row",
            "invoice",
            "credit_note",
            "reversal",
        ),
        "status": choice(
            "Where it stands", "draft", "submitted", "approved", "rejected", "paid", "void"
        ),
        **_amount_fields(),
        "document": text("Number on the supplier's document", maximum=60, optional=True),
        "description": text("What was bought", maximum=300, optional=True),
        "decision_note": text(
            "Why it was approved, rejected or made void", maximum=500, optional=True
        ),
        "source": text(
            "File and line it was imported from; null for what people entered",
            maximum=100,
            optional=True,
            fixed=True,
        ),
        "created_by": user("Who entered it", optional=True, server=True),
        "submitted_by": user("Who submitted it", optional=True, server=True),
        "submitted_at": timestamp("When", optional=True, server=True),
        "decided_by": user("Who approved or rejected it", optional=True, server=True),
        "decided_at": timestamp("When", optional=True, server=True),
        "paid_by": user("Who recorded the payment", optional=True, server=True),
        "paid_at": timestamp("When", optional=True, server=True),
        "voided_by": user("Who made it void", optional=True, server=True),
        "voided_at": timestamp("When", optional=True, server=True),
        **_late_fields(),
    },
    policy=Policy.WHOLE_ROW,
    checks=(
        Check(
            "sign",
            "(kind <> 'invoice' OR amount_minor >= 0) "
            "AND (kind <> 'credit_note' OR amount_minor <= 0)",
            "An invoice is not negative, a credit note is not positive.",
        ),
        Check(
            "corrects",
            "(kind = 'reversal') = (corrects IS NOT NULL)",
            "A reversal, and nothing else, names the row that it takes back.",
        ),
        Check(
            "four_eyes",
            "status NOT IN ('approved', 'paid') OR source IS NOT NULL OR (submitted_by IS NOT NULL "
            "AND decided_by IS NOT NULL AND decided_by <> submitted_by "
            "AND decided_by IS DISTINCT FROM created_by)",
            "Who approves is neither who entered nor who submitted.",
        ),
    ),
    indexes=(
        Index(("property_id", "business_date")),
        Index(("property_id", "status")),
        Index(("vendor_id",)),
        Index(("property_id", "review"), sparse=True),
    ),
    month_of="business_date",
    example={
        "document": "FT 2026/17",
        "description": "Laundry, first half of March",
        "decision_note": None,
        "source": None,
        "submitted_by": None,
        "submitted_at": None,
        "decided_by": None,
        "decided_at": None,
        "paid_by": None,
        "paid_at": None,
        "voided_by": None,
        "voided_at": None,
        "original_business_date": None,
        "review": None,
        "reviewed_by": None,
        "corrects": None,
    },
    rule=ExpenseRule(),
)

DAY_CLOSES: Final = Collection(
    name="day_closes",
    number=12,
    doc="A day of a property that was closed; never changed, never taken back",
    scope=Scope.PROPERTY,
    fields={
        "business_date": date("The day closed", fixed=True),
        "note": text("For the books", maximum=500, optional=True, fixed=True),
        "closed_by": user("Who closed it", optional=True, server=True),
        "closed_at": timestamp("When", optional=True, server=True),
    },
    policy=Policy.WHOLE_ROW,
    unique=(("property_id", "business_date"),),
    example={
        "note": "Cash counted",
    },
    rule=CloseRule(),
)
