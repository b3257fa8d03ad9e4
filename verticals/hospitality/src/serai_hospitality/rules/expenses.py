"""Rules of expenses: four eyes, limits, and a closed day that never changes.

Owns the state machine of `expenses.status` and everything the server writes about it. What a row
says is changed while it is a draft, never after. It counts in the books from `approved` on: so an
expense of a closed day that is approved late moves to the open day, and one that is made void after
its day was closed, or after money went out, stays as it is and gets a reversal, an equal amount of
the other sign in the open day. Payment is not an amount: it may be recorded after the close.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID, uuid5

from serai.model import Accept, Key, Refuse, Row, RowChange, RuleInput, Verdict
from serai.model.rules import Op
from serai_hospitality.rules.days import is_closed, open_day_of, placed, reviewed
from serai_hospitality.rules.shared import (
    accept,
    changed_fields,
    day_text,
    id_of,
    minor_units,
    moment,
    whole,
)

STEPS: Final[dict[tuple[str, str], str]] = {
    ("draft", "submitted"): "submit",
    ("draft", "void"): "submit",
    ("submitted", "draft"): "submit",
    ("submitted", "approved"): "approve",
    ("submitted", "rejected"): "approve",
    ("submitted", "void"): "void",
    ("rejected", "draft"): "submit",
    ("rejected", "void"): "submit",
    ("approved", "paid"): "pay",
    ("approved", "void"): "void",
    ("paid", "void"): "void",
}
"""(from, to) -> the action it takes."""

APPROVAL_LIMITS: Final[dict[str, int | None]] = {
    "owner": None,
    "admin": 1_000_000,
    "accountant": 500_000,
    "manager": 200_000,
}
"""Role -> largest amount it approves, either way, in minor units of the property's currency;
None: any amount, any currency."""

_WORKFLOW: Final = frozenset({"status", "decision_note", "review"})
_REVIEW: Final[frozenset[str]] = frozenset({"review"})
_SERVER: Final[Row] = dict.fromkeys(
    (
        *("submitted_by", "submitted_at", "decided_by", "decided_at"),
        *("paid_by", "paid_at", "voided_by", "voided_at"),
        *("original_business_date", "review", "reviewed_by", "corrects"),
    )
)


def reversal_id(expense_id: UUID) -> UUID:
    """Return the id of the one reversal that an expense may get."""
    return uuid5(expense_id, "reversal")


class ExpenseRule:
    """See the module."""

    def reads(self, op: Op, row_id: UUID, before: Row | None, after: Row | None) -> Iterable[Key]:
        """Return the property, the account to be checked, the reversal, and the row that this
        one takes back.
        """
        keys: list[Key] = [("properties", id_of(whole(after or before)["property_id"]))]
        if after is not None and (before is None or before["account_id"] != after["account_id"]):
            keys.append(("accounts", id_of(after["account_id"])))
        if op == "update":
            keys.append(("expenses", reversal_id(row_id)))
            if before is not None and before["corrects"] is not None:
                keys.append(("expenses", id_of(before["corrects"])))
        return keys

    def decide(self, asked: RuleInput) -> Verdict:
        """Enter, edit, move along, or refuse."""
        if asked.op == "insert":
            return _insert(asked, whole(asked.after))
        before = whole(asked.before)
        if asked.op == "delete":
            if before["status"] not in ("draft", "rejected"):
                return Refuse(
                    "submitted",
                    "Only drafts and rejected expenses are deleted; make it void instead.",
                )
            return accept(asked, "expenses", None)
        after = whole(asked.after)
        property_id = id_of(before["property_id"])
        changed = changed_fields(before, after)
        if changed == _REVIEW:
            row = reviewed(asked, "expenses", property_id, before, after)
            return row if isinstance(row, Refuse) else accept(asked, "expenses", row)
        refusal = _edit_refused(asked, before, after, changed)
        if refusal is not None:
            return refusal
        after = (
            placed(after, open_day_of(asked, property_id)) if "business_date" in changed else after
        )
        if "status" not in changed:
            return accept(asked, "expenses", after)
        return _step(asked, before, after)


def _insert(asked: RuleInput, after: Row) -> Verdict:
    property_id, status = id_of(after["property_id"]), after["status"]
    if after["kind"] == "reversal":
        return Refuse("reversal_is_made", "Reversals follow from voids; enter a credit note.")
    if after.get("source") is not None and not asked.actor.may("expenses", "import", property_id):
        return Refuse("import_role", "Your role may not import expenses here.")
    if status not in ("draft", "submitted") and not (
        status == "paid" and after.get("source") is not None
    ):
        return Refuse(
            "status_step", "An expense begins as draft or submitted; an imported one may be paid."
        )
    if status == "submitted" and not asked.actor.may("expenses", "submit", property_id):
        return Refuse("status_role", "Your role may not submit expenses here.")
    refusal = _account_refused(asked, after)
    if refusal is not None:
        return refusal
    row = {**after, **_SERVER, "created_by": str(asked.actor.user_id)}
    if status == "submitted":
        row |= _signed(asked, "submitted")
    return accept(asked, "expenses", placed(row, open_day_of(asked, property_id)))


def _edit_refused(
    asked: RuleInput, before: Row, after: Row, changed: frozenset[str]
) -> Refuse | None:
    """Tell why fields other than the status may not change as asked."""
    if "review" in changed:
        return Refuse("review_alone", "Accept a review without changing anything else.")
    may_update = asked.actor.may("expenses", "update", id_of(before["property_id"]))
    if changed <= {"decision_note"} and not may_update:
        return Refuse("status_only", "A note on the decision is written with the decision.")
    if not changed - _WORKFLOW:
        return None
    if not may_update:
        return Refuse("status_only", "Your role may change the status and nothing else.")
    if before["status"] != "draft":
        return Refuse(
            "not_a_draft", "Only a draft is changed: reject it, or make it void and enter it anew."
        )
    if after["kind"] == "reversal":
        return Refuse("reversal_is_made", "Reversals follow from voids; enter a credit note.")
    return _account_refused(asked, after) if "account_id" in changed else None


def _account_refused(asked: RuleInput, row: Row) -> Refuse | None:
    account = asked.rows["accounts", id_of(row["account_id"])]
    if account is not None and account["kind"] != "expense":
        return Refuse("account_kind", "Expenses are booked to accounts of kind expense.")
    if account is not None and not account["active"]:
        return Refuse("account_inactive", "The account is not in use any more.")
    return None


def _step(asked: RuleInput, before: Row, after: Row) -> Verdict:
    """Take the expense one step along, if the step exists and the actor may take it."""
    property_id = id_of(before["property_id"])
    source, target = day_text(before["status"]), day_text(after["status"])
    action = STEPS.get((source, target))
    if action is None:
        return Refuse("status_step", f"An expense does not go from {source} to {target}.")
    if not asked.actor.may("expenses", action, property_id):
        return Refuse("status_role", f"Your role may not {action} expenses here.")
    match target:
        case "approved" | "rejected":
            return _decide(asked, before, after)
        case "paid":
            return _pay(asked, before, after)
        case "void":
            return _void(asked, before, after)
        case "submitted":
            return accept(asked, "expenses", {**after, **_signed(asked, "submitted")})
        case _:
            # Back to draft: who submits next signs anew; the old decision was on the old draft.
            clean: Row = dict.fromkeys(("submitted_by", "submitted_at", "decided_by", "decided_at"))
            return accept(asked, "expenses", {**after, **clean})


def _decide(asked: RuleInput, before: Row, after: Row) -> Verdict:
    if str(asked.actor.user_id) in (before["created_by"], before["submitted_by"]):
        return Refuse("four_eyes", "Who entered or submitted an expense does not decide on it.")
    row = {**after, **_signed(asked, "decided")}
    if after["status"] == "rejected":
        return accept(asked, "expenses", row)
    property_id = id_of(before["property_id"])
    if not _within_limit(asked, property_id, before):
        return Refuse(
            "limit", "The amount is above your limit, or in a currency for which you have none."
        )
    return accept(asked, "expenses", placed(row, open_day_of(asked, property_id)))


def _within_limit(asked: RuleInput, property_id: UUID, row: Row) -> bool:
    limits = [
        APPROVAL_LIMITS[role] for role in asked.actor.roles(property_id) if role in APPROVAL_LIMITS
    ]
    if None in limits:
        return True
    house = asked.rows["properties", property_id]
    if house is None or house["currency"] != row["amount_currency"]:
        return False
    return any(
        limit is not None and abs(minor_units(row["amount_minor"])) <= limit for limit in limits
    )


def _pay(asked: RuleInput, before: Row, after: Row) -> Verdict:
    if asked.rows["expenses", reversal_id(asked.id)] is not None:
        return Refuse("reversed", "The expense was taken back: there is nothing to pay.")
    if before["corrects"] is not None:
        original = asked.rows["expenses", id_of(before["corrects"])]
        if original is None or original["status"] != "paid":
            return Refuse(
                "reversed",
                "What this reversal takes back was never paid: there is nothing to refund.",
            )
    return accept(asked, "expenses", {**after, **_signed(asked, "paid")})


def _void(asked: RuleInput, before: Row, after: Row) -> Verdict:
    if before["kind"] == "reversal":
        return Refuse("reversal_stays", "A reversal is not made void; enter the expense anew.")
    open_day = open_day_of(asked, id_of(before["property_id"]))
    closed = is_closed(open_day, day_text(before["business_date"]))
    counts = before["status"] == "paid" or (before["status"] == "approved" and closed)
    if not counts:
        return accept(asked, "expenses", {**after, **_signed(asked, "voided")})
    if asked.rows["expenses", reversal_id(asked.id)] is not None:
        return Refuse("reversed", "The expense was taken back before.")
    row: Row = {
        **before,
        **_signed(asked, "voided"),
        "kind": "reversal",
        "status": "approved",
        "amount_minor": -minor_units(before["amount_minor"]),
        "decision_note": after["decision_note"],
        "occurred_at": moment(asked.now),
        "paid_by": None,
        "paid_at": None,
        "original_business_date": None,
        "review": "pending",
        "reviewed_by": None,
        "corrects": str(asked.id),
    }
    return Accept(
        None, (RowChange("expenses", "insert", reversal_id(asked.id), placed(row, open_day)),)
    )


def _signed(asked: RuleInput, what: str) -> Row:
    """Return who and when, for the step `what`."""
    return {f"{what}_by": str(asked.actor.user_id), f"{what}_at": moment(asked.now)}
