"""Rules of shifts, pay and memberships.

Owns who may write whose shift and who may give which role. A rule reads rows by id and cannot
count: that an organisation keeps an owner follows from the rule that only an owner takes an owner's
role away, and never the own one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from serai.core.ids import ALL_SCOPES
from serai.model import Key, Refuse, Row, RuleInput, Verdict
from serai.model.rules import Op
from serai_hospitality.rules.shared import (
    ReadsNothing,
    accept,
    day_text,
    id_of,
    refers_elsewhere,
    whole,
)

SHIFT_LONGEST: Final = timedelta(hours=24)

GIVES: Final[dict[str, frozenset[str]]] = {
    "owner": frozenset(
        {"owner", "admin", "accountant", "manager", "front_desk", "staff", "auditor"}
    ),
    "admin": frozenset({"accountant", "manager", "front_desk", "staff", "auditor"}),
}
"""Role -> the roles it may give and take where it holds."""


class PayRule:
    """Pay is for a person of the same property."""

    def reads(self, op: Op, row_id: UUID, before: Row | None, after: Row | None) -> Iterable[Key]:
        """Return the person, for an insert: neither the person nor the property changes after."""
        del row_id, before
        return (("staff", id_of(whole(after)["staff_id"])),) if op == "insert" else ()

    def decide(self, asked: RuleInput) -> Verdict:
        """Refuse a person of another property."""
        if asked.op == "insert" and refers_elsewhere(
            asked, whole(asked.after), "staff_id", "staff"
        ):
            return Refuse("other_property", "The person works at another property.")
        return accept(asked, "staff_pay", asked.after)


class ShiftRule:
    """A shift ends after its begin; who may not `assign` writes the own ones only."""

    def reads(self, op: Op, row_id: UUID, before: Row | None, after: Row | None) -> Iterable[Key]:
        """Return the person."""
        del op, row_id
        return (("staff", id_of(whole(after or before)["staff_id"])),)

    def decide(self, asked: RuleInput) -> Verdict:
        """Check whose shift it is and how long."""
        row = whole(asked.after or asked.before)
        person = asked.rows["staff", id_of(row["staff_id"])]
        if not asked.actor.may("shifts", "assign", id_of(row["property_id"])):
            own = person is not None and person["user_id"] == str(asked.actor.user_id)
            if not own:
                return Refuse("not_your_shift", "Your role may write your own shifts only.")
        if asked.op == "insert" and refers_elsewhere(asked, row, "staff_id", "staff"):
            return Refuse("other_property", "The person works at another property.")
        if asked.op != "delete" and row.get("ends_at") is not None:
            length = _time(row["ends_at"]) - _time(row["starts_at"])
            if not timedelta(0) < length <= SHIFT_LONGEST:
                return Refuse("shift_length", "A shift ends after its begin, within 24 hours.")
        return accept(asked, "shifts", asked.after)


class MembershipRule(ReadsNothing):
    """Nobody gives or takes a role above the own, where the own does not hold, or of oneself."""

    def decide(self, asked: RuleInput) -> Verdict:
        """Check the role against those of the actor at the same place."""
        if asked.op == "update":
            return Refuse("membership_is_fixed", "A membership is given or taken, never changed.")
        row = whole(asked.after or asked.before)
        property_id = row.get("property_id")
        # Who gives a role at every property holds one at every property, not at one house.
        scope = ALL_SCOPES if property_id is None else id_of(property_id)
        role = day_text(row["role"])
        if not any(role in GIVES.get(own, ()) for own in asked.actor.roles(scope)):
            return Refuse("role_above", f"Your role may not give or take the role {role} there.")
        if row["user_id"] == str(asked.actor.user_id):
            return Refuse(
                "own_role", "Nobody gives or takes a role of one's own; another owner does."
            )
        return accept(asked, "memberships", asked.after)


def _time(value: object) -> datetime:
    assert isinstance(value, str), "begin and end are moments"
    return datetime.fromisoformat(value)
