"""Rules of revenues: a closed day never changes.

Owns late postings and corrections. A correction of a row in a closed day becomes an adjusting row
in the open day, with the difference. The ids of a row's adjustments are known beforehand (UUIDv5 of
the row and a number from 1), so a rule that reads by id sees all of them: the difference is taken
from what the row is worth now, not from what it was worth first, the same correction asked twice
posts once, and two people who correct at once are put in order by the read set. Rejected: ids from
the values asked for, which count a second correction from the first amount.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID, uuid5

from serai.model import Accept, Key, Refuse, Row, RowChange, RuleInput, Verdict
from serai.model.fields import Value
from serai.model.rules import Op
from serai_hospitality.rules.days import is_closed, open_day_of, placed, reviewed
from serai_hospitality.rules.shared import (
    accept,
    changed_fields,
    day_text,
    id_of,
    minor_units,
    moment,
    refers_elsewhere,
    whole,
)

ADJUSTMENTS_MAX: Final = 12
"""Adjusting rows of one row: six changes of account, twelve of amount. More is a sign that the
row should be entered anew."""
_CORRECTABLE: Final = frozenset(
    {"account_id", "kind", "amount_minor", "amount_currency", "business_date"}
)
_REVIEW: Final[frozenset[str]] = frozenset({"review"})
_SERVER: Final[Row] = {
    "original_business_date": None,
    "review": None,
    "reviewed_by": None,
    "corrects": None,
}

Purse = tuple[Value, Value]
"""(account, currency): amounts add up within one."""


def adjustment_id(revenue_id: UUID, number: int) -> UUID:
    """Return the id of a row's adjustment, numbered from 1."""
    return uuid5(revenue_id, f"adjustment {number}")


class RevenueRule:
    """See the module."""

    def reads(self, op: Op, row_id: UUID, before: Row | None, after: Row | None) -> Iterable[Key]:
        """Return the property, the account and stay to be checked, and the adjustments that may
        exist.
        """
        keys: list[Key] = [("properties", id_of(whole(after or before)["property_id"]))]
        if after is not None and (before is None or before["account_id"] != after["account_id"]):
            keys.append(("accounts", id_of(after["account_id"])))
        if op == "insert" and whole(after).get("stay_id") is not None:
            keys.append(("stays", id_of(whole(after)["stay_id"])))
        if op != "insert":
            keys += [("revenues", adjustment_id(row_id, n)) for n in range(1, ADJUSTMENTS_MAX + 1)]
        return keys

    def decide(self, asked: RuleInput) -> Verdict:
        """Post, change in the open day, or adjust for a closed one."""
        if asked.op == "insert":
            return _insert(asked, whole(asked.after))
        before = whole(asked.before)
        open_day = open_day_of(asked, id_of(before["property_id"]))
        if asked.op == "update" and changed_fields(before, whole(asked.after)) == _REVIEW:
            return _review(asked, before, whole(asked.after))
        if asked.op == "update" and not asked.actor.may(
            "revenues", "update", id_of(before["property_id"])
        ):
            return Refuse("review_only", "Your role may accept reviews and change nothing else.")
        if open_day is not None and is_closed(open_day, day_text(before["business_date"])):
            return _correct(asked, before, asked.after, open_day)
        if asked.op == "delete":
            if before["kind"] == "adjustment":
                return Refuse(
                    "adjustment_stays", "An adjustment is not deleted; set its amount to 0."
                )
            return accept(asked, "revenues", None)
        return _update(asked, before, whole(asked.after), open_day)


def _insert(asked: RuleInput, after: Row) -> Verdict:
    if after["kind"] == "adjustment":
        return Refuse(
            "adjustment_is_made",
            "Adjustments follow from corrections; enter a charge or an allowance.",
        )
    refusal = _account_refused(asked, after)
    if refusal is not None:
        return refusal
    if refers_elsewhere(asked, after, "stay_id", "stays"):
        return Refuse("other_property", "The stay belongs to another property.")
    open_day = open_day_of(asked, id_of(after["property_id"]))
    return accept(asked, "revenues", placed({**after, **_SERVER}, open_day))


def _update(asked: RuleInput, before: Row, after: Row, open_day: str | None) -> Verdict:
    changed = changed_fields(before, after)
    if before["kind"] == "adjustment" and changed & (_CORRECTABLE - {"amount_minor"}):
        return Refuse("adjustment_stays", "Of an adjustment only the amount and the note change.")
    if after["kind"] == "adjustment" and before["kind"] != "adjustment":
        return Refuse("adjustment_is_made", "Adjustments follow from corrections.")
    if "review" in changed:
        return Refuse("review_alone", "Accept a review without changing anything else.")
    if "account_id" in changed:
        refusal = _account_refused(asked, after)
        if refusal is not None:
            return refusal
    return accept(
        asked, "revenues", placed(after, open_day) if "business_date" in changed else after
    )


def _review(asked: RuleInput, before: Row, after: Row) -> Verdict:
    row = reviewed(asked, "revenues", id_of(before["property_id"]), before, after)
    return row if isinstance(row, Refuse) else accept(asked, "revenues", row)


def _account_refused(asked: RuleInput, row: Row) -> Refuse | None:
    account = asked.rows["accounts", id_of(row["account_id"])]
    if account is not None and account["kind"] != "revenue":
        return Refuse("account_kind", "Revenues are booked to accounts of kind revenue.")
    if account is not None and not account["active"]:
        return Refuse("account_inactive", "The account is not in use any more.")
    return None


def _correct(asked: RuleInput, before: Row, after: Row | None, open_day: str) -> Verdict:
    """Answer a correction of a row in a closed day with what it makes of the open day."""
    if before["kind"] == "adjustment":
        return Refuse(
            "day_closed", "The day of this adjustment is closed: correct the row that it corrects."
        )
    changed = frozenset[str]() if after is None else changed_fields(before, after)
    if after is not None and (changed - _CORRECTABLE or changed <= {"kind"}):
        return Refuse(
            "day_closed",
            "The day is closed: only amount, currency, account and day can be corrected.",
        )
    if after is not None:
        refusal = _correction_refused(asked, after, changed)
        if refusal is not None:
            return refusal
    postings = _postings(_worth(asked, before), before, after, changed, open_day)
    free = [
        key
        for n in range(1, ADJUSTMENTS_MAX + 1)
        if asked.rows["revenues", key := adjustment_id(asked.id, n)] is None
    ]
    if len(postings) > len(free):
        return Refuse(
            "too_many_corrections", "The row was corrected too often: delete it and enter it anew."
        )
    rows = zip(free, postings, strict=False)
    base = {
        **before,
        **_SERVER,
        "kind": "adjustment",
        "occurred_at": moment(asked.now),
        "corrects": str(asked.id),
    }
    base["review"] = "pending"
    return Accept(
        None,
        tuple(RowChange("revenues", "insert", key, {**base, **posting}) for key, posting in rows),
    )


def _correction_refused(asked: RuleInput, after: Row, changed: frozenset[str]) -> Refuse | None:
    amount, kind = minor_units(after["amount_minor"]), after["kind"]
    if kind == "adjustment":
        return Refuse("adjustment_is_made", "Adjustments follow from corrections.")
    if (kind == "charge" and amount < 0) or (kind == "allowance" and amount > 0):
        return Refuse("sign", "A charge is not negative, an allowance is not positive.")
    return _account_refused(asked, after) if "account_id" in changed else None


def _worth(asked: RuleInput, before: Row) -> dict[Purse, int]:
    """Return what the row and its adjustments come to, by account and currency."""
    found = [
        asked.rows["revenues", adjustment_id(asked.id, n)] for n in range(1, ADJUSTMENTS_MAX + 1)
    ]
    worth: dict[Purse, int] = {}
    for row in [before, *found]:
        if row is not None:
            purse = (row["account_id"], row["amount_currency"])
            worth[purse] = worth.get(purse, 0) + minor_units(row["amount_minor"])
    return worth


def _postings(
    worth: dict[Purse, int], before: Row, after: Row | None, changed: frozenset[str], open_day: str
) -> list[Row]:
    """Return the differing fields of the adjustments that take what the row is worth to what was
    asked.
    """
    wanted = _wanted(worth, before, after, changed)
    original = day_text(before["business_date"])
    if after is None or "business_date" not in changed:
        steps = [
            (p, wanted.get(p, 0) - worth.get(p, 0), original)
            for p in dict.fromkeys([*worth, *wanted])
        ]
    else:
        steps = [(p, -amount, original) for p, amount in worth.items()]
        steps += [(p, amount, day_text(after["business_date"])) for p, amount in wanted.items()]
    out: list[Row] = []
    for (account, currency), amount, day in steps:
        if amount:
            posting: Row = {
                "account_id": account,
                "amount_currency": currency,
                "amount_minor": amount,
            }
            late = is_closed(open_day, day)
            posting["business_date"] = open_day if late else day
            posting["original_business_date"] = day if late else original
            out.append(posting)
    return out


def _wanted(
    worth: dict[Purse, int], before: Row, after: Row | None, changed: frozenset[str]
) -> dict[Purse, int]:
    """Return what the row is to be worth. A field that was not asked to change keeps what
    corrections made of it.
    """
    if after is None:
        return {}
    held = [purse for purse, amount in worth.items() if amount]
    account, currency = held[0] if held else (before["account_id"], before["amount_currency"])
    account = after["account_id"] if "account_id" in changed else account
    if changed & {"amount_minor", "amount_currency"}:
        amount, currency = minor_units(after["amount_minor"]), after["amount_currency"]
    else:
        amount = sum(worth.values())
    return {(account, currency): amount}
