"""Rules of a vertical: pure functions of the rows they read and the change asked for.

Owns the shape of a rule. A rule runs before the transaction on rows read with their versions; the
write is applied only if each of those rows still has its version, else the rule runs again on fresh
rows. So a rule does no input or output, keeps no state, and may run any number of times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from msgspec import Struct

from serai.model.fields import Value

Row = dict[str, Value]
"""The fields of a row as canonical JSON values; `id` is beside it, never in it."""
Key = tuple[str, UUID]
"""(collection, id)."""
Op = Literal["insert", "update", "delete"]


class Actor(Protocol):
    """Who asks."""

    @property
    def user_id(self) -> UUID:
        """The user or machine."""
        ...

    def may(self, collection: str, action: str, scope: UUID) -> bool:
        """Tell whether a role of the actor at this scope allows the action."""
        ...

    def roles(self, scope: UUID) -> frozenset[str]:
        """Return the names of the actor's roles at this scope, those for all properties
        included.
        """
        ...


class RowChange(Struct, frozen=True):
    """A change of one row: `row` is the whole row after it, None for a delete."""

    collection: str
    op: Op
    id: UUID
    row: Row | None


class RuleInput(Struct, frozen=True):
    """What a rule sees.

    Attributes:
        actor: who asks.
        op: insert, update or delete.
        id: of the row.
        before: the stored row, None for an insert.
        after: the row as asked for, validated and merged, None for a delete.
        rows: what `Rule.reads` asked for; None for a row that does not exist.
        now: the server's time, UTC.
    """

    actor: Actor
    op: Op
    id: UUID
    before: Row | None
    after: Row | None
    rows: Mapping[Key, Row | None]
    now: datetime


class Accept(Struct, frozen=True):
    """The change is allowed, as `change` (which may differ from what was asked), together with
    `also`.

    All of it is one write: one version, visible together. With `change` None only `also` is
    written.
    """

    change: RowChange | None
    also: tuple[RowChange, ...] = ()


class Refuse(Struct, frozen=True, gc=False):
    """The change is not allowed. `code` is the vertical's own word, `reason` a sentence for a
    person.
    """

    code: str
    reason: str


Verdict = Accept | Refuse


class Rule(Protocol):
    """The rules of one collection."""

    def reads(self, op: Op, row_id: UUID, before: Row | None, after: Row | None) -> Iterable[Key]:
        """Return the further rows that `decide` needs."""
        ...

    def decide(self, asked: RuleInput) -> Verdict:
        """Allow the change, alter it, or refuse it."""
        ...
