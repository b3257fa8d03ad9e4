"""Writes that are meant for a property which the organisation has handed over.

Owns how they are told from other writes that find nothing: by the row, which left with the
property, or by the property that they name. Promises that such a write is refused by that name,
whatever else there would be to say, and that a write which succeeds is not looked at. Never changes
anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.log.intent import RowIntent, WriteIntent
from serai.log.waiting import Waiting
from serai.model import Scope
from serai.ports.store import MutationKey, PlannedWrite
from serai.shard.pools import PinnedPool
from serai.shard.queries import load_queries

_SQL: Final = load_queries("serai.log", "departures.sql")
Departed = Callable[[int, int, UUID, list[UUID]], Awaitable[bool]]
"""(organisation, collection, row, properties named) -> whether it left with its property."""
_LOOKED_INTO: Final = frozenset(
    {Code.NOT_FOUND, Code.FORBIDDEN, Code.RULE, Code.REFERENCE_MISSING, Code.ROW_GONE}
)
"""What a write meets where its property has gone."""


async def nothing_left(org_id: int, collection: int, row_id: UUID, named: list[UUID]) -> bool:  # noqa: ARG001 - the form
    """Say that nothing ever left: for stores that know no transfers."""
    return False


def departed_of(pool: PinnedPool) -> Departed:
    """Return who asks a shard."""

    async def departed(org_id: int, collection: int, row_id: UUID, named: list[UUID]) -> bool:
        async with pool.connection() as connection:
            found = await connection.fetchrow(_SQL["departed"], org_id, collection, row_id, named)
        return found is not None

    return departed


async def instead(departed: Departed, intent: WriteIntent, error: SeraiError) -> SeraiError:
    """Return what to say of a refused write: that its property has gone, if it has."""
    if error.code in _LOOKED_INTO and await _left(departed, intent):
        return SeraiError(Code.PROPERTY_TRANSFERRED)
    return error


async def judged(
    departed: Departed, waiting: Waiting, plan: PlannedWrite, again: Callable[[], PlannedWrite]
) -> PlannedWrite:
    """Return what becomes of a write that changes nothing: if it is a mutation for a property that
    has gone, `again` decides it as one that is refused.
    """
    silent = type(plan.once) is MutationKey and waiting.refused_by is None
    if not silent or not await _left(departed, waiting.intent):
        return plan
    waiting.refused_by = SeraiError(Code.PROPERTY_TRANSFERRED)
    return again()


async def _left(departed: Departed, intent: WriteIntent) -> bool:
    for wish in intent.rows:
        if await departed(intent.org_id, wish.collection.number, wish.id, _named(wish)):
            return True
    return False


def _named(wish: RowIntent) -> list[UUID]:
    """Return the ids that may be the property's: whatever the wish refers to."""
    found = [wish.id] if wish.collection.scope is Scope.SELF else []
    for name, field in wish.collection.fields.items():
        value = wish.fields.get(name)
        if field.target is not None and isinstance(value, str):
            found.append(UUID(value))
    return found
