"""Lists over rows in memory, by the same rules as the SQL ones.

Owns filters, order and keyset pages over dictionaries: nulls last going up, first going down; ties
by id. Promises the errors of `serai.log.listing` for what a collection does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from serai.core.errors import Code, SeraiError
from serai.model import Collection, FieldKind
from serai.ports.store import ListQuery, StoredRow

_OPERATORS: Final = ("eq", "ne", "lt", "le", "gt", "ge", "null")
Found = tuple[UUID, StoredRow, dict[str, Any]]


def listed(
    collection: Collection, rows: Mapping[tuple[int, UUID], StoredRow], query: ListQuery
) -> list[tuple[UUID, StoredRow]]:
    """Return the page of rows that the query asks for."""
    for name in [*(f[0] for f in query.filters), *([query.order] if query.order else [])]:
        if name not in collection.fields:
            raise SeraiError(Code.QUERY_INVALID, f"{collection.name} has no field {name!r}.")
    for _, operator, _ in query.filters:
        if operator not in _OPERATORS:
            raise SeraiError(Code.QUERY_INVALID, f"There is no operator {operator!r}.")
    found: list[Found] = [
        (row_id, row, msgspec.json.decode(row.doc))
        for (number, row_id), row in rows.items()
        if number == collection.number and (query.scopes is None or row.scope in query.scopes)
    ]
    found = [each for each in found if all(_holds(collection, each[2], f) for f in query.filters)]
    found.sort(key=lambda each: _place(query, each[0], each[2]), reverse=query.descending)
    if query.after is not None:
        value, row_id = query.after
        last = _place(query, row_id, {query.order or "": value})
        found = [
            each
            for each in found
            if (_place(query, each[0], each[2]) < last) is query.descending
            and _place(query, each[0], each[2]) != last
        ]
    return [(row_id, row) for row_id, row, _ in found[: query.limit]]


def _place(query: ListQuery, row_id: UUID, doc: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what sorts a row. A null stands above every value."""
    if query.order is None:
        return (row_id,)
    value = doc[query.order]
    return (value is None, value if value is not None else 0, row_id)


def _holds(
    collection: Collection, doc: Mapping[str, Any], condition: tuple[str, str, object]
) -> bool:
    name, operator, wanted = condition
    value = doc[name]
    if operator == "null":
        return (value is None) is bool(wanted)
    if collection.fields[name].kind is FieldKind.INTEGER:
        wanted = int(str(wanted))
    if operator == "ne":
        return value != wanted
    if value is None:
        return False
    match operator:
        case "eq":
            return bool(value == wanted)
        case "lt":
            return bool(value < wanted)
        case "le":
            return bool(value <= wanted)
        case "gt":
            return bool(value > wanted)
        case _:
            return bool(value >= wanted)
