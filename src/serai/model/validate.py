"""The fields that a client sends, taken to the canonical row that the write path expects.

Owns the check of a change against its collection: names, who may set them, values by
`Field.parser`. Promises that a dict it returns holds canonical values only (for an insert every
declared field, in declared order), and that a refusal names every field at fault, not the first
one. Never reads a row and never decides about permissions: rules and merge come later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from serai.core.errors import Code, SeraiError
from serai.model.collection import Collection, Scope
from serai.model.fields import FieldError, Value
from serai.model.rules import Op

_Parser = Callable[[object], Value]
_COMPILED_MAX: Final = 1_024
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A collection made ready.

    Attributes:
        collection: kept, so that its identity is not given to another one meanwhile.
        empty: every declared field as null, in order.
        insert: parsers of the fields that a client sends with an insert.
        update: parsers of those that it may change afterwards.
        required: names that an insert must have.
        optional: names that may be null, which is what they are when nothing is sent.
    """

    collection: Collection
    empty: dict[str, Value]
    insert: dict[str, _Parser]
    update: dict[str, _Parser]
    required: frozenset[str]
    optional: frozenset[str]


# By identity: a collection holds mappings, so it has no hash. One process declares a few dozen.
_compiled: dict[int, _Compiled] = {}


def row_values(collection: Collection, fields: Mapping[str, object], op: Op) -> dict[str, Value]:
    """Return `fields` as canonical values.

    For an insert: the whole row, null where nothing was sent; server-owned fields are null too,
    and the rule fills them. For an update: the fields sent. For a delete: nothing, and nothing
    may be sent.

    Raises:
        SeraiError: `field_unknown`, else `field_read_only`, else `fields_invalid`; `errors` lists
            every fault of any kind.
    """
    compiled = _compile(collection)
    match op:
        case "insert":
            parsers = compiled.insert
            row = compiled.empty.copy()
            optional, value_of = compiled.optional, fields.get
            try:
                for name, parse in parsers.items():
                    value = value_of(name)
                    if value is not None or name not in optional:
                        row[name] = parse(value)
            except FieldError:
                raise _refusal(compiled, fields, op) from None
            if not fields.keys() <= parsers.keys():
                raise _refusal(compiled, fields, op)
            return row
        case "update":
            parsers = compiled.update
            try:
                return {name: parsers[name](value) for name, value in fields.items()}
            except (KeyError, FieldError):
                raise _refusal(compiled, fields, op) from None
        case "delete":
            if fields:
                raise SeraiError(
                    Code.FIELD_UNKNOWN,
                    errors=tuple((n, "a delete has no fields") for n in sorted(fields)),
                )
            return {}
        case _:
            assert_never(op)


def _compile(collection: Collection) -> _Compiled:
    found = _compiled.get(id(collection))
    if found is not None:
        return found
    sent = {n: f for n, f in collection.fields.items() if not f.server}
    scoped = {"property_id"} if collection.scope is Scope.PROPERTY else set[str]()
    made = _Compiled(
        collection=collection,
        empty=dict.fromkeys(collection.fields),
        insert={n: f.parser() for n, f in sent.items()},
        update={n: f.parser() for n, f in sent.items() if not f.fixed and n not in scoped},
        required=frozenset(n for n, f in sent.items() if not f.optional),
        optional=frozenset(n for n, f in sent.items() if f.optional),
    )
    if len(_compiled) >= _COMPILED_MAX:
        _compiled.clear()
    _compiled[id(collection)] = made
    return made


def _refusal(compiled: _Compiled, fields: Mapping[str, object], op: Op) -> SeraiError:
    """Go through all of it again, slowly, and return what is wrong with every field."""
    declared = compiled.collection.fields
    parsers = compiled.insert if op == "insert" else compiled.update
    code = Code.FIELDS_INVALID
    errors: list[tuple[str, str]] = []
    for name in fields:
        if name not in declared:
            code = Code.FIELD_UNKNOWN
            errors.append((name, f"is no field of {compiled.collection.name}"))
        elif name not in parsers:
            code = code if code is Code.FIELD_UNKNOWN else Code.FIELD_READ_ONLY
            server = declared[name].server
            errors.append(
                (name, "is set by the server" if server else "never changes after the insert")
            )
    for name, parse in parsers.items():
        value = fields.get(name, _ABSENT)
        if value is not _ABSENT:
            try:
                parse(value)
            except FieldError as error:
                errors.append((name, str(error)))
        elif op == "insert" and name in compiled.required:
            errors.append((name, "is required"))
    return SeraiError(code, errors=tuple(errors))
