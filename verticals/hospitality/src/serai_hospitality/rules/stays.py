"""Rules of stays: which status follows which, and nights that are those of the period.

Owns `stays.nights` and the state machine of `stays.status`. An insert may have any status: a stay
can be recorded when it is over, and an import brings years of them. A step back (undo a check-out,
revive a cancellation) takes the action `reopen`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final
from uuid import UUID

from serai.model import Key, Refuse, Row, RuleInput, Verdict
from serai.model.rules import Op
from serai_hospitality.rules.shared import accept, day_text, id_of, refers_elsewhere, whole

FORWARD: Final = frozenset(
    {
        ("reserved", "checked_in"),
        ("reserved", "cancelled"),
        ("reserved", "no_show"),
        ("checked_in", "checked_out"),
    }
)
BACK: Final = frozenset(
    {
        ("checked_in", "reserved"),
        ("checked_out", "checked_in"),
        ("cancelled", "reserved"),
        ("no_show", "reserved"),
        ("no_show", "checked_in"),
    }
)


class StayRule:
    """See the module."""

    def reads(self, op: Op, row_id: UUID, before: Row | None, after: Row | None) -> Iterable[Key]:
        """Return the guest, when the stay gets one."""
        del op, row_id
        if after is None or (before is not None and before["guest_id"] == after["guest_id"]):
            return ()
        return (("guests", id_of(after["guest_id"])),)

    def decide(self, asked: RuleInput) -> Verdict:
        """Check the step and the guest; set the nights."""
        if asked.op == "delete":
            return accept(asked, "stays", None)
        after = whole(asked.after)
        if asked.before is not None:
            refusal = _step(asked, asked.before, after)
            if refusal is not None:
                return refusal
        if (
            asked.before is None or asked.before["guest_id"] != after["guest_id"]
        ) and refers_elsewhere(asked, after, "guest_id", "guests"):
            return Refuse("other_property", "The guest belongs to another property.")
        nights = _days(after["departure"]) - _days(after["arrival"])
        if nights < 0:
            return Refuse("period", "The departure is not before the arrival.")
        return accept(asked, "stays", {**after, "nights": nights})


def _days(value: object) -> int:
    assert isinstance(value, str), "arrival and departure are required dates"
    return date.fromisoformat(value).toordinal()


def _step(asked: RuleInput, before: Row, after: Row) -> Refuse | None:
    step = (day_text(before["status"]), day_text(after["status"]))
    if step[0] == step[1] or step in FORWARD:
        return None
    if step not in BACK:
        return Refuse("status_step", f"A stay does not go from {step[0]} to {step[1]}.")
    if not asked.actor.may("stays", "reopen", id_of(before["property_id"])):
        return Refuse(
            "reopen_role", f"Your role may not take a stay back from {step[0]} to {step[1]}."
        )
    return None
