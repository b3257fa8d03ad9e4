"""Rules of properties: the close alone moves the open day, and a property with books stays.

Owns `properties.open_business_date` together with `rules.closes`.
"""

from __future__ import annotations

from serai.model import Refuse, RuleInput, Verdict
from serai_hospitality.rules.shared import ReadsNothing, accept, whole


class PropertyRule(ReadsNothing):
    """Insert without a closed day; delete only while no day was closed."""

    def decide(self, asked: RuleInput) -> Verdict:
        """Keep the open day out of everybody's hands."""
        if asked.op == "insert":
            return accept(asked, "properties", {**whole(asked.after), "open_business_date": None})
        before = whole(asked.before)
        if asked.op == "delete":
            if before["open_business_date"] is not None:
                return Refuse(
                    "has_books", "A property with closed days is kept; set it inactive instead."
                )
            return accept(asked, "properties", None)
        row = {**whole(asked.after), "open_business_date": before["open_business_date"]}
        return accept(asked, "properties", row)
