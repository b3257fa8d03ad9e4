"""Lists of one collection: filters, order and keyset pages as one SQL statement.

Owns how a `ListQuery` becomes SQL on the typed table. Promises that every value is a parameter and
every name comes from the declaration. Never trusts a name of a caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Final
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.core.token import Position
from serai.model import Collection, Field, FieldKind, Vertical
from serai.ports.store import ListQuery
from serai.schema.collections import named

FOR_ORG: Final = "SELECT set_config('serai.org', $1::bigint::text, true)::bigint"
"""For which organisation a statement reads; see `postgres.sql`."""
_OPERATORS: Final = {
    "eq": "=",
    "ne": "IS DISTINCT FROM",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
}


def list_statement(
    vertical: Vertical, query: ListQuery, since: Position | None = None
) -> tuple[str, list[object]]:
    """Return (SQL, arguments) for a page of live rows in the query's order.

    Args:
        since: for a replica: what it must have reached. If it has not, there is no record; if
            it has and there are no rows, there is one record without an id.

    Raises:
        SeraiError: `query_invalid` for a field, operator or value that the collection does not
        have.
    """
    collection = vertical.by_number[query.collection]
    arguments: list[object] = [query.org_id, query.collection]
    where = ["t.org_id = me.org_id"]

    def parameter(value: object) -> str:
        arguments.append(value)
        return f"${len(arguments)}"

    if query.scopes is not None:
        where.append(f"x.scope = ANY ({parameter(list(query.scopes))}::uuid[])")
    for name, operator, value in query.filters:
        field = _field(collection, name)
        if operator == "null":
            where.append(f"t.{named(name)} IS {'' if value else 'NOT '}NULL")
        elif operator in _OPERATORS:
            value_of = parameter(sql_value(field, value))
            where.append(f"t.{named(name)} {_OPERATORS[operator]} {value_of}")
        else:
            raise SeraiError(Code.QUERY_INVALID, f"There is no operator {operator!r}.")
    direction = "DESC" if query.descending else "ASC"
    beyond = "<" if query.descending else ">"
    if query.order is None:
        order = f"t.id {direction}"
        if query.after is not None:
            where.append(f"t.id {beyond} {parameter(query.after[1])}")
    else:
        field = _field(collection, query.order)
        name = f"t.{named(query.order)}"
        order = (
            f"{name} {direction} NULLS {'FIRST' if query.descending else 'LAST'}, t.id {direction}"
        )
        if query.after is not None:
            where.append(
                _beyond(field, name, beyond, query.after, parameter, descending=query.descending)
            )
    limit = parameter(query.limit)
    me, join, end = f"me AS MATERIALIZED ({FOR_ORG} AS org_id)", "CROSS JOIN", ""
    if since is not None:
        me, join, end = _reached(parameter(since.epoch), parameter(since.version))
    # SQL here: the columns, filters and order are those of one request
    sql = f"""
        WITH {me}
        SELECT p.*
        FROM me {join} LATERAL (
            SELECT t.id, x.version, x.scope, x.doc, x.field_versions, x.created_version
            FROM {vertical.name}.{collection.name} t
            JOIN serai.row x ON x.org_id = t.org_id AND x.collection = $2 AND x.id = t.id
            WHERE {" AND ".join(where)}
            ORDER BY {order}
            LIMIT {limit}
        ) p {end}
    """  # noqa: S608 - names come from the checked declaration, values are parameters
    return sql, arguments


def _reached(epoch: str, version: str) -> tuple[str, str, str]:
    """Return the organisation if it has reached the position, how rows are joined to it, and the
    end of the join.
    """
    # SQL here: a part of the statement above
    me = f"""asked AS MATERIALIZED ({FOR_ORG} AS org_id),
        me AS MATERIALIZED (
            SELECT o.org_id FROM asked CROSS JOIN LATERAL (
                SELECT h.org_id FROM serai.org h
                WHERE h.org_id = asked.org_id AND h.epoch = {epoch} AND h.version >= {version}
                  AND h.state = 'active'
                OFFSET 0
            ) o
        )"""  # noqa: S608 - both are names of parameters
    return me, "LEFT JOIN", "ON true"


def _beyond(
    field: Field,
    name: str,
    beyond: str,
    after: tuple[object, UUID],
    parameter: object,
    *,
    descending: bool,
) -> str:
    """Return the condition for rows after the last one of the page before; nulls are last going up,
    first going down.
    """
    assert callable(parameter)
    value, row_id = after
    if value is None:
        tie = f"({name} IS NULL AND t.id {beyond} {parameter(row_id)})"
        return f"({tie} OR {name} IS NOT NULL)" if descending else tie
    mark = parameter(sql_value(field, value))
    tie = f"({name} = {mark} AND t.id {beyond} {parameter(row_id)})"
    nulls = "" if descending else f" OR {name} IS NULL"
    return f"({name} {beyond} {mark} OR {tie}{nulls})"


def _field(collection: Collection, name: str) -> Field:
    field = collection.fields.get(name)
    if field is None:
        raise SeraiError(Code.QUERY_INVALID, f"{collection.name} has no field {name!r}.")
    return field


def sql_value(field: Field, value: object) -> object:
    """Return the value as the driver wants it for the field's column.

    Raises:
        SeraiError: `query_invalid` if it is not one of the field.
    """
    try:
        return _READERS[field.kind](value)
    except (ValueError, KeyError) as error:
        raise SeraiError(
            Code.QUERY_INVALID, f"{value!r} is not a value of this field: {error}."
        ) from None


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("a text is needed")
    return value


def _integer(value: object) -> int:
    number = int(value) if isinstance(value, int | str) else None
    if number is None or not -(2**63) <= number < 2**63:
        raise ValueError("an integer is needed")
    return number


def _boolean(value: object) -> bool:
    return value if isinstance(value, bool) else {"true": True, "false": False}[str(value)]


_READERS: Final[Mapping[FieldKind, Callable[[object], object]]] = {
    FieldKind.TEXT: _text,
    FieldKind.CHOICE: _text,
    FieldKind.INTEGER: _integer,
    FieldKind.BOOLEAN: _boolean,
    FieldKind.DATE: lambda value: date.fromisoformat(str(value)),
    FieldKind.TIMESTAMP: lambda value: datetime.fromisoformat(str(value)),
    FieldKind.REFERENCE: lambda value: UUID(str(value)),
    FieldKind.USER: lambda value: UUID(str(value)),
}
assert _READERS.keys() == set(FieldKind), "every kind of field can be compared"
