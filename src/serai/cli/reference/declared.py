"""Pages about the vertical: its collections and its roles.

Owns how a declaration is shown. Promises that every field and every permission is there. Never
knows which vertical it shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from serai.cli.reference.markdown import code, codes, table
from serai.model import Collection, Field, FieldKind, Policy, Scope, Vertical

_SCOPES: Final = {
    Scope.PROPERTY: "the property in `property_id`",
    Scope.SELF: "the property that the row itself is",
    Scope.ORGANISATION: "the organisation",
}
_POLICIES: Final = {
    Policy.MERGE: "fields merge; one field set to two values is a conflict",
    Policy.LAST_WRITE: "the later arrival wins",
    Policy.WHOLE_ROW: "any change of the row since is a conflict",
}


def collections_page(vertical: Vertical) -> str:
    """Return every collection with its fields and constraints."""
    text = (
        f"# Collections of {vertical.title}\n\n"
        "Besides the fields below, each row has `id` (a UUID) and `version` (of the write that "
        "changed it last).\n\n"
    )
    parts = [text]
    for collection in vertical.collections:
        parts += _collection(collection)
    return "".join(parts)


def roles_page(vertical: Vertical) -> str:
    """Return the table of roles: who may do what."""
    roles = list(dict.fromkeys(role for role, _ in vertical.permissions))
    text = (
        f"# Roles of {vertical.title}\n\n"
        f"A role is a row of `{vertical.grants.collection}`: a user, a role, and a property or "
        "none for all of them. What is not here is not allowed. Who makes an organisation is "
        f"`{vertical.owner_role}`.\n\n"
    )
    parts = [text]
    for role in roles:
        rows = [
            (code(c.name), codes(_in_order(vertical, role, c.name)) or "nothing")
            for c in vertical.collections
        ]
        parts += [f"## {role}\n\n", table(("collection", "may"), rows)]
    return "".join(parts)


def _in_order(vertical: Vertical, role: str, collection: str) -> list[str]:
    order = ("read", "create", "update", "delete")
    actions = vertical.permissions.get((role, collection), frozenset())
    return [a for a in order if a in actions] + sorted(actions - set(order))


def _collection(collection: Collection) -> Iterator[str]:
    yield f"## {collection.name}\n\n{collection.doc}.\n\n"
    facts = [
        ("number", f"{collection.number}, permanent"),
        ("visible in", _SCOPES[collection.scope]),
        ("two people change a row", _POLICIES[collection.policy]),
    ]
    facts += [
        (f"but {code(name)}", _POLICIES[policy])
        for name, policy in collection.field_policies.items()
    ]
    facts += [("unique", codes(fields)) for fields in collection.unique]
    facts += [(f"held by the database: {code(c.name)}", c.message) for c in collection.checks]
    if collection.month_of is not None:
        facts.append(("partitioned", f"by the month of {code(collection.month_of)}"))
    yield table(("", ""), facts)
    rows = [(code(name), _kind(f), _marks(f), f.doc) for name, f in collection.fields.items()]
    yield table(("field", "form", "", "meaning"), rows)


def _kind(field: Field) -> str:
    match field.kind:
        case FieldKind.TEXT:
            return f"text, {field.minimum or 0} to {field.maximum} characters" + (
                f", `{field.pattern}`" if field.pattern else ""
            )
        case FieldKind.INTEGER:
            if field.minimum is None and field.maximum is None:
                return "integer"
            return f"integer, {_bound(field.minimum)} to {_bound(field.maximum)}"
        case FieldKind.CHOICE:
            return f"one of {codes(field.choices)}"
        case FieldKind.REFERENCE:
            return f"id of {code(field.target)}"
        case FieldKind.USER:
            return "id of a user"
        case FieldKind.TIMESTAMP:
            return "moment, UTC"
        case FieldKind.BOOLEAN | FieldKind.DATE:
            return field.kind.value


def _bound(value: int | None) -> str:
    return "any" if value is None else f"{value:,}"


def _marks(field: Field) -> str:
    marks = {
        "or null": field.optional,
        "set by the server": field.server,
        "never changes": field.fixed,
    }
    return ", ".join(text for text, holds in marks.items() if holds)
