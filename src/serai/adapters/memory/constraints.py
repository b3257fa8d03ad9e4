"""What a database would refuse: required fields, bounds, references, uniqueness.

Owns these four, over the rows as they would be after a write. Promises the codes and fields that
the PostgreSQL store gives. Never evaluates `Check.sql`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from serai.core.errors import Code
from serai.model import Collection, Field, FieldKind, Vertical
from serai.ports.store import Failed, RowOp, StoredRow

Rows = Mapping[tuple[int, UUID], StoredRow]


def violation(vertical: Vertical, rows: Rows, ops: Sequence[RowOp]) -> Failed | None:
    """Return the first violation among the rows that a write touches, None if there is none."""
    for op in ops:
        collection = vertical.by_number[op.collection]
        if op.op == "delete":
            failed = _still_referenced(vertical, rows, collection, op.id)
        else:
            doc = msgspec.json.decode(op.doc)
            failed = (
                _invalid_field(collection, doc)
                or _missing_reference(vertical, rows, collection, doc)
                or _not_unique(rows, collection, op.id, doc)
            )
        if failed is not None:
            return failed
    return None


def _invalid_field(collection: Collection, doc: Mapping[str, object]) -> Failed | None:
    for name, field in collection.fields.items():
        value = doc.get(name)
        if value is None and not field.optional:
            return Failed(Code.FIELDS_INVALID, f"{name}: must not be null", (name,))
        if value is not None and not _within(field, value):
            return Failed(Code.FIELDS_INVALID, f"{name}: out of its bounds", (name,))
    return None


def _within(field: Field, value: object) -> bool:
    if field.kind is FieldKind.CHOICE:
        return value in field.choices
    if field.kind is FieldKind.TEXT:
        measured = len(str(value))
    elif field.kind is FieldKind.INTEGER and isinstance(value, int):
        measured = value
    else:
        return True
    low, high = field.minimum, field.maximum
    return (low is None or measured >= low) and (high is None or measured <= high)


def _missing_reference(
    vertical: Vertical, rows: Rows, collection: Collection, doc: Mapping[str, object]
) -> Failed | None:
    for name, field in collection.fields.items():
        value = doc.get(name)
        if field.target is None or value is None:
            continue
        if (vertical.by_name[field.target].number, UUID(str(value))) not in rows:
            detail = f"There is no such row in {field.target}."
            return Failed(Code.REFERENCE_MISSING, detail, (name,))
    return None


def _not_unique(
    rows: Rows, collection: Collection, row_id: UUID, doc: Mapping[str, object]
) -> Failed | None:
    for names in collection.unique:
        wanted = [doc.get(name) for name in names]
        for (number, other_id), other in rows.items():
            if number != collection.number or other_id == row_id:
                continue
            values = msgspec.json.decode(other.doc)
            if [values.get(name) for name in names] == wanted:
                detail = f"Another row of {collection.name} has the same {', '.join(names)}."
                return Failed(Code.NOT_UNIQUE, detail, names)
    return None


def _still_referenced(
    vertical: Vertical, rows: Rows, target: Collection, row_id: UUID
) -> Failed | None:
    for (number, _), row in rows.items():
        collection = vertical.by_number[number]
        names = [n for n, f in collection.fields.items() if f.target == target.name]
        if not names:
            continue
        doc = msgspec.json.decode(row.doc)
        if str(row_id) in [doc.get(name) for name in names]:
            return Failed(Code.REFERENCED, f"Rows of {collection.name} refer to it.")
    return None
