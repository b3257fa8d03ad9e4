"""From a declaration to JSON Schema and examples.

Owns the schemas of a collection's rows and changes (JSON Schema 2020-12, as OpenAPI 3.1 uses it)
and the example values in the document. Promises that an example validates against the schema
beside it, and passes `row_values` too. Examples are the same in every build: the document in the
repository is compared with what the code generates. Never reads data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, assert_never

from serai.core.limits import INTEGER_MAX, MONEY_MINOR_MAX, TEXT_CHARS_MAX
from serai.model import Collection, Field, FieldKind, Scope
from serai.model.fields import FieldError, Value
from serai.model.known import EXAMPLES

Schema = dict[str, Any]
EXAMPLE_ID: Final = "0198c0de-0000-7000-8000-000000000001"
EXAMPLE_OTHER_ID: Final = "0198c0de-0000-7000-8000-000000000002"
EXAMPLE_MOMENT: Final = "2026-03-14T09:30:00.000000Z"
_EXAMPLE_DAY: Final = "2026-03-14"
_EXAMPLE_MINOR: Final = 12_500
_EXAMPLE_TEXT: Final = "Garden wing, second floor"
_EXAMPLE_CURRENCY: Final = "EUR"
_ATOM: Final = re.compile(
    r"(?P<one>\\.|\[(?P<set>(?:\\.|[^\]\\])+)\]|[^\\\[\](){}|?*+^$])(?P<times>\{\d+(?:,\d*)?\}|[?*+])?"
)
_CLASSES: Final = {"d": "1", "w": "a", "s": " "}


def class_name(collection: str) -> str:
    """Return the name of a collection's schema: `day_closes` is `DayCloses`."""
    return "".join(part.capitalize() for part in collection.split("_"))


def collection_schemas(collection: Collection) -> dict[str, Schema]:
    """Return the schemas of a collection: the row, what an insert sends, what an update sends."""
    name, fields = class_name(collection.name), collection.fields
    sent = {n: f for n, f in fields.items() if not f.server}
    scoped = {"property_id"} if collection.scope is Scope.PROPERTY else set[str]()
    changed = {n: f for n, f in sent.items() if not f.fixed and n not in scoped}
    identity = {
        "type": "string",
        "format": "uuid",
        "description": "Made by the client, or left out",
    }
    return {
        name: {
            "type": "object",
            "description": collection.doc,
            "properties": {n: field_schema(f) for n, f in fields.items()},
            "required": list(fields),
            "additionalProperties": False,
        },
        f"{name}Insert": {
            "type": "object",
            "description": f"A new row. {collection.doc}",
            "properties": {"id": identity, **{n: field_schema(f) for n, f in sent.items()}},
            "required": [n for n, f in sent.items() if not f.optional],
            "additionalProperties": False,
        },
        f"{name}Update": {
            "type": "object",
            "description": f"The fields to change. {collection.doc}",
            "properties": {n: field_schema(f) for n, f in changed.items()},
            "additionalProperties": False,
        },
        f"{name}Row": _row_schema(name),
        f"{name}Page": {
            "type": "object",
            "description": "A page of a list; `nextCursor` is null at the end",
            "properties": {
                "rows": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}Row"}},
                "nextCursor": {"type": ["string", "null"]},
            },
            "required": ["rows", "nextCursor"],
        },
    }


def field_schema(field: Field) -> Schema:
    """Return the schema of one field."""
    schema = _kind_schema(field)
    schema["description"] = field.doc
    if field.server:
        schema["readOnly"] = True
    if field.target is not None:
        schema["x-serai-collection"] = field.target
    if field.fixed:
        schema["x-serai-fixed"] = True
    if field.optional:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return schema


def filter_schema(field: Field) -> Schema:
    """Return the schema of a value that a list is filtered by: of the field's kind, not in its
    bounds, since "above M" is no value of a field that holds codes.
    """
    match field.kind:
        case FieldKind.TEXT:
            return {"type": "string", "maxLength": TEXT_CHARS_MAX}
        case FieldKind.INTEGER:
            return {"type": "integer", "minimum": -INTEGER_MAX, "maximum": INTEGER_MAX}
        case _:
            return _kind_schema(field)


def row_example(collection: Collection) -> dict[str, Value]:
    """Return a row as it is read."""
    return {name: field_example(collection, name) for name in collection.fields}


def insert_example(collection: Collection) -> dict[str, Value]:
    """Return what an insert may send."""
    sent = [name for name, field in collection.fields.items() if not field.server]
    return {"id": EXAMPLE_ID, **{name: field_example(collection, name) for name in sent}}


def update_example(collection: Collection) -> dict[str, Value]:
    """Return what an update may send: one field, the first that may change."""
    for name, field in collection.fields.items():
        if not (field.server or field.fixed or name == "property_id"):
            return {name: field_example(collection, name)}
    return {}


def field_example(collection: Collection, name: str) -> Value:
    """Return a value of the field: the declared one, else one of its kind.

    Raises:
        ValueError: none is known for a required field's pattern.
    """
    if name in collection.example:
        return collection.example[name]
    field = collection.fields[name]
    parse = field.parser()
    for candidate in _candidates(field):
        try:
            return parse(candidate)
        except FieldError:
            continue
    if field.optional:
        return None
    raise ValueError(f"no example is known for the field {name!r}")


def _candidates(field: Field) -> Iterable[Value]:
    """Return values of the kind, likely ones first."""
    match field.kind:
        case FieldKind.TEXT:
            return _texts(field) if field.known is None else [EXAMPLES[field.known]]
        case FieldKind.INTEGER:
            usual = (_EXAMPLE_MINOR if field.money else 2, 1, 0, field.minimum, field.maximum)
            return [n for n in usual if n is not None]
        case FieldKind.BOOLEAN:
            return [True]
        case FieldKind.DATE:
            return [_EXAMPLE_DAY]
        case FieldKind.TIMESTAMP:
            return [EXAMPLE_MOMENT]
        case FieldKind.CHOICE:
            return field.choices[:1]
        case FieldKind.REFERENCE | FieldKind.USER:
            return [EXAMPLE_OTHER_ID]
        case _:
            assert_never(field.kind)


def sample(pattern: str) -> str:
    """Return a short text of a simple regular expression: classes, groups, alternatives, counts."""
    found, _ = _sample(pattern, 0)
    return found


def _row_schema(name: str) -> Schema:
    reference = {"$ref": f"#/components/schemas/{name}"}
    return {
        "type": "object",
        "description": "A row as stored; `version` is its entity tag; `data` null after a delete",
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "version": {"type": "integer", "minimum": 0, "maximum": INTEGER_MAX},
            "data": {"oneOf": [reference, {"type": "null"}]},
        },
        "required": ["id", "version", "data"],
    }


def _kind_schema(field: Field) -> Schema:
    match field.kind:
        case FieldKind.TEXT:
            schema: Schema = {"type": "string", "maxLength": field.maximum or TEXT_CHARS_MAX}
            if field.minimum:
                schema["minLength"] = field.minimum
            if field.pattern:
                schema["pattern"] = f"^(?:{field.pattern})$"
            return schema
        case FieldKind.INTEGER:
            bound = MONEY_MINOR_MAX if field.money else INTEGER_MAX
            low = -bound if field.minimum is None else field.minimum
            high = bound if field.maximum is None else field.maximum
            return {"type": "integer", "minimum": low, "maximum": high}
        case FieldKind.BOOLEAN:
            return {"type": "boolean"}
        case FieldKind.DATE:
            return {"type": "string", "format": "date"}
        case FieldKind.TIMESTAMP:
            return {"type": "string", "format": "date-time"}
        case FieldKind.CHOICE:
            return {"type": "string", "enum": list(field.choices)}
        case FieldKind.REFERENCE | FieldKind.USER:
            return {"type": "string", "format": "uuid"}
        case _:
            assert_never(field.kind)


def _texts(field: Field) -> list[Value]:
    shortest, longest = field.minimum or 0, field.maximum or TEXT_CHARS_MAX
    plain = (_EXAMPLE_TEXT * (shortest // len(_EXAMPLE_TEXT) + 1))[: max(longest, 0)]
    if field.pattern is None:
        return [plain]
    return [_EXAMPLE_CURRENCY, sample(field.pattern), plain]


def _sample(pattern: str, at: int) -> tuple[str, int]:
    """Return a text of the first alternative from `at` to the end of the group, and where it
    ends.
    """
    out: list[str] = []
    taken = True
    while at < len(pattern) and pattern[at] != ")":
        if pattern[at] == "|":
            taken = False
            at += 1
        elif pattern[at] in "^$":
            at += 1
        elif pattern[at] == "(":
            start = at + 3 if pattern.startswith("(?:", at) else at + 1
            inner, at = _sample(pattern, start)
            at += 1
            times = re.compile(r"\{\d+(?:,\d*)?\}|[?*+]").match(pattern, at)
            at = at if times is None else times.end()
            out += [inner] * _count(times[0] if times else None) if taken else []
        else:
            atom = _ATOM.match(pattern, at)
            if atom is None:
                return "".join(out), len(pattern)
            at = atom.end()
            out += [_character(atom)] * _count(atom["times"]) if taken else []
    return "".join(out), at


def _count(times: str | None) -> int:
    if times is None or times in "?*+":
        return 0 if times in ("?", "*") else 1
    return int(times[1:-1].split(",")[0])


def _character(atom: re.Match[str]) -> str:
    text = atom["set"] or atom["one"]
    if text.startswith("\\"):
        return _CLASSES.get(text[1], text[1])
    return "a" if text == "." else text[0]
