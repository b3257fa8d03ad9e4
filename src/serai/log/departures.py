"""Writes that are meant for a property which the organisation has handed over.

Owns how they are told from other writes that find nothing: by the row, which left with the
property, or by the property that they name. Promises that such a write is refused by that name,
whatever else there would be to say; that while the property goes, row by row and after the roles at
it, none is judged at all: it waits for the end; that a write which succeeds is not looked at, and
that those of a batch are looked into by two statements. Never changes anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
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
Asked = tuple[int, int, UUID, list[UUID]]
"""(organisation, collection, row, properties named)."""
Departed = Callable[[Sequence[Asked]], Awaitable[Mapping[int, Code]]]
"""-> place -> `property_transferred` of those that left with their property, `property_held` of
those whose property is being handed over."""
_LOOKED_INTO: Final = frozenset(
    {Code.NOT_FOUND, Code.FORBIDDEN, Code.RULE, Code.REFERENCE_MISSING, Code.ROW_GONE}
)
"""What a write meets where its property has gone."""


async def nothing_left(asked: Sequence[Asked]) -> Mapping[int, Code]:  # noqa: ARG001 - the form
    """Say that nothing ever left: for stores that know no transfers."""
    return {}


def departed_of(pool: PinnedPool) -> Departed:
    """Return who asks a shard: one statement, however many are asked for."""

    async def departed(asked: Sequence[Asked]) -> Mapping[int, Code]:
        # Those of one row stand one after the other: what a row names is one field or two.
        flat = [
            (place, org_id, collection, row_id, scope)
            for place, (org_id, collection, row_id, named) in enumerate(asked)
            for scope in (named or [None])
        ]
        columns = [list(column) for column in zip(*flat, strict=True)]
        async with pool.connection() as connection:
            found = await connection.fetch(_SQL["departed"], *columns)
        return {
            r["place"]: Code.PROPERTY_TRANSFERRED if r["gone"] else Code.PROPERTY_HELD
            for r in found
        }

    return departed


async def instead(departed: Departed, intent: WriteIntent, error: SeraiError) -> SeraiError:
    """Return what to say of a refused write: that its property has gone, or goes, if so."""
    (found,) = await each_instead(departed, [(intent, error)])
    return found


async def each_instead(
    departed: Departed, refused: Sequence[tuple[WriteIntent, SeraiError]]
) -> list[SeraiError]:
    """Return what to say of refused writes, see `instead`; all are asked for at once."""
    doubtful = [n for n, (_, error) in enumerate(refused) if error.code in _LOOKED_INTO]
    left = await _left(departed, [refused[n][0] for n in doubtful])
    gone = {n: code for n, code in zip(doubtful, left, strict=True) if code is not None}
    return [_told(gone[n]) if n in gone else error for n, (_, error) in enumerate(refused)]


async def late(departed: Departed, planned: dict[int, tuple[Waiting, PlannedWrite]]) -> list[int]:
    """Return which mutations that would change nothing are meant for a property that has gone.
    They are to be decided again, as refused. Those whose property goes are taken out and fail: they
    are judged when it has.
    """
    silent = [
        n
        for n, (waiting, plan) in planned.items()
        if not plan.ops and type(plan.once) is MutationKey and waiting.refused_by is None
    ]
    left = await _left(departed, [planned[n][0].intent for n in silent])
    found = {n: code for n, code in zip(silent, left, strict=True) if code is not None}
    again: list[int] = []
    for n, code in found.items():
        if code is Code.PROPERTY_HELD:
            planned.pop(n)[0].fail(_told(code))
        else:
            planned[n][0].refused_by = _told(code)
            again.append(n)
    return again


def _told(left: Code) -> SeraiError:
    return SeraiError(left, retry_after_seconds=1 if left is Code.PROPERTY_HELD else None)


async def _left(departed: Departed, intents: Sequence[WriteIntent]) -> list[Code | None]:
    """Return of each write whether one of its rows left, or a property that it names."""
    asked: list[Asked] = []
    of: list[int] = []
    for number, intent in enumerate(intents):
        for wish in intent.rows:
            asked.append((intent.org_id, wish.collection.number, wish.id, _named(wish)))
            of.append(number)
    if not asked:
        return [None] * len(intents)
    gone = {of[place]: code for place, code in (await departed(asked)).items()}
    return [gone.get(number) for number in range(len(intents))]


def _named(wish: RowIntent) -> list[UUID]:
    """Return the ids that may be the property's: whatever the wish refers to."""
    found = [wish.id] if wish.collection.scope is Scope.SELF else []
    for name, field in wish.collection.fields.items():
        value = wish.fields.get(name)
        if field.target is not None and isinstance(value, str):
            found.append(UUID(value))
    return found
