"""Rules of closes: days close one after the other, for good.

Owns the step of `properties.open_business_date`. The close and the property change in one write, so
that a revenue that was decided on the day before finds its read set moved and is decided again.
Reopening is not offered: figures of a closed day have been reported; what comes late posts to the
open day, where everyone sees that it came late.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final
from uuid import UUID

from serai.model import Accept, Key, Refuse, Row, RowChange, RuleInput, Verdict
from serai.model.rules import Op
from serai_hospitality.rules.days import open_day_of
from serai_hospitality.rules.shared import day_text, id_of, moment, whole

FURTHEST_AHEAD: Final = timedelta(hours=14)
"""UTC+14 is the first zone to begin a day: a day that has not begun there has begun nowhere."""


class CloseRule:
    """See the module."""

    def reads(self, op: Op, row_id: UUID, before: Row | None, after: Row | None) -> Iterable[Key]:
        """Return the property."""
        del op, row_id
        return (("properties", id_of(whole(after or before)["property_id"])),)

    def decide(self, asked: RuleInput) -> Verdict:
        """Close the open day and open the next one."""
        if asked.op != "insert":
            return Refuse("close_is_final", "A close is never changed or taken back.")
        after = whole(asked.after)
        property_id = id_of(after["property_id"])
        found = asked.rows["properties", property_id]
        if found is None:
            return Refuse("no_property", "There is no such property.")
        day, open_day = day_text(after["business_date"]), open_day_of(asked, property_id)
        if open_day is not None and day != open_day:
            return Refuse("not_the_open_day", f"Days close in order; the open day is {open_day}.")
        closing = date.fromisoformat(day)
        if closing > (asked.now + FURTHEST_AHEAD).date():
            return Refuse("not_begun", "A day that has not begun cannot be closed.")
        following = (closing + timedelta(days=1)).isoformat()
        row = {**after, "closed_by": str(asked.actor.user_id), "closed_at": moment(asked.now)}
        return Accept(
            RowChange("day_closes", "insert", asked.id, row),
            (
                RowChange(
                    "properties", "update", property_id, {**found, "open_business_date": following}
                ),
            ),
        )
