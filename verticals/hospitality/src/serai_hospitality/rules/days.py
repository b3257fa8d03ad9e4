"""Closed days: which they are, and where a late row goes.

Owns one comparison and its consequence. `properties.open_business_date` is the first day that is
not closed; null means that no day is closed yet. A row that is meant for a closed day counts in the
open day, says for which day it was meant, and waits for review. A day is never opened again: its
figures have left the house (tax returns, owners' reports), so what comes late is visible as late.
"""

from __future__ import annotations

from uuid import UUID

from serai.model import Refuse, Row, RuleInput
from serai_hospitality.rules.shared import day_text


def open_day_of(asked: RuleInput, property_id: UUID) -> str | None:
    """Return the first open day of a property, None while no day is closed."""
    found = asked.rows["properties", property_id]
    return (
        None
        if found is None or found["open_business_date"] is None
        else day_text(found["open_business_date"])
    )


def is_closed(open_day: str | None, day: str) -> bool:
    """Tell whether `day` is closed."""
    return open_day is not None and day < open_day


def placed(row: Row, open_day: str | None) -> Row:
    """Return the row in the day where it counts: its own if that is open, else the open one, for
    review.
    """
    day = day_text(row["business_date"])
    if open_day is None or not is_closed(open_day, day):
        return row
    return {
        **row,
        "business_date": open_day,
        "original_business_date": day,
        "review": "pending",
        "reviewed_by": None,
    }


def reviewed(
    asked: RuleInput, collection: str, property_id: UUID, before: Row, after: Row
) -> Row | Refuse:
    """Return the row after an accountant accepted it, or why not. A review goes from pending to
    accepted, and only there.
    """
    if not asked.actor.may(collection, "review", property_id):
        return Refuse("review_role", "Your role may not accept reviews here.")
    if (before["review"], after["review"]) != ("pending", "accepted"):
        return Refuse("review_step", "A review goes from pending to accepted.")
    return {**after, "reviewed_by": str(asked.actor.user_id)}
