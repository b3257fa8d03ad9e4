"""What several rules need: typed access to rows, comparison, the spelling of a moment.

Owns small pure helpers and the rules that are the same for several collections. Never decides about
money.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

from serai.core.ids import ALL_SCOPES
from serai.model import Accept, Key, Refuse, Row, RowChange, RuleInput, Verdict, timestamp
from serai.model.fields import Value
from serai.model.rules import Op

ACTION_OF: Final[dict[Op, str]] = {"insert": "create", "update": "update", "delete": "delete"}
_parse_moment: Final = timestamp("The canonical spelling of a moment").parser()


def moment(now: datetime) -> Value:
    """Return `now` as a row spells it."""
    return _parse_moment(now.isoformat())


@lru_cache(maxsize=8_192)
def _parsed(text: str) -> UUID:
    # The same properties, accounts and stays come back in thousands of rows.
    return UUID(text)


def id_of(value: Value) -> UUID:
    """Return the id that a required reference holds."""
    assert isinstance(value, str), "a required reference is a text"
    return _parsed(value)


def day_text(value: Value) -> str:
    """Return the text of a required date; texts of dates order as the dates do."""
    assert isinstance(value, str), "a required date is a text"
    return value


def minor_units(value: Value) -> int:
    """Return the integer of a required amount."""
    assert isinstance(value, int), "a required amount is an integer"
    return value


def whole(row: Row | None) -> Row:
    """Return a row that the operation guarantees: `before` of an update or a delete, `after` of
    an insert or an update.
    """
    assert row is not None, "the operation has this row"
    return row


def changed_fields(before: Row, after: Row) -> frozenset[str]:
    """Return the names of the fields that differ; an absent field counts as null."""
    return frozenset(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))


def accept(asked: RuleInput, collection: str, row: Row | None) -> Accept:
    """Return the acceptance of the change as `row`."""
    return Accept(RowChange(collection, asked.op, asked.id, row))


def refers_elsewhere(asked: RuleInput, row: Row, field: str, target: str) -> bool:
    """Tell whether a reference within a property leads to a row of another one. A missing row is
    the database's to refuse.
    """
    value = row.get(field)
    if value is None:
        return False
    found = asked.rows[target, id_of(value)]
    return found is not None and found.get("property_id") != row.get("property_id")


class ReadsNothing:
    """The first half of a rule for which the row and the actor's roles are all it takes."""

    def reads(self, op: Op, row_id: UUID, before: Row | None, after: Row | None) -> Iterable[Key]:
        """Return no further rows."""
        del op, row_id, before, after
        return ()


@dataclass(frozen=True, slots=True)
class EverywhereRule(ReadsNothing):
    """For what all properties share: who changes it has the right at every property, not at one
    of them only.
    """

    collection: str

    def decide(self, asked: RuleInput) -> Verdict:
        """Refuse an actor whose right ends at a property."""
        if not asked.actor.may(self.collection, ACTION_OF[asked.op], ALL_SCOPES):
            return Refuse(
                "not_everywhere", "This concerns every property; your role is for some of them."
            )
        return accept(asked, self.collection, asked.after)
