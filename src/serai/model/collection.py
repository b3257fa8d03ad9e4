"""A collection: a synced table, declared once.

Owns the declaration of one kind of record: its fields, where it is visible, what the database
enforces, and what happens when two people changed it. Promises that field names, numbers and checks
are consistent (`__post_init__`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

from serai.core.limits import COLLECTION_NUMBER_MAX, INTEGER_MAX
from serai.model.fields import Field, FieldError, FieldKind, Value, reference
from serai.model.rules import Rule

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
RESERVED_FIELDS: Final = frozenset(
    # The platform's own, and the columns that PostgreSQL gives every table.
    {"id", "org_id", "version", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}
)

_KEY_KINDS: Final = frozenset({FieldKind.TEXT, FieldKind.INTEGER, FieldKind.CHOICE})


class Scope(Enum):
    """Where a row of the collection is visible: the scope half of its channel."""

    PROPERTY = "property"
    """In the property named by its field `property_id`, which the collection gets by itself and
    which never changes."""
    SELF = "self"
    """The row is the property: its scope is its own id."""
    ORGANISATION = "organisation"
    """In the whole organisation."""


class Policy(Enum):
    """What happens to a field that the server changed since the version the client had seen, and
    the client changes too.
    """

    MERGE = "merge"
    """Fields merge one by one; a field changed on both sides to different values is a conflict."""
    LAST_WRITE = "last_write"
    """As `MERGE`, but a field changed on both sides takes the later arrival. Never for money."""
    WHOLE_ROW = "whole_row"
    """Any change of the row since is a conflict."""


@dataclass(frozen=True, slots=True)
class Check:
    """A rule over the columns of one row that the database holds.

    Attributes:
        name: of the constraint, within the collection.
        sql: the condition over the field names; one that is a word of SQL stands in double quotes.
        message: what the caller is told.
    """

    name: str
    sql: str
    message: str


@dataclass(frozen=True, slots=True)
class Index:
    """An index for lists and reports: organisation first, then these fields.

    Attributes:
        sparse: rows whose last field is null are not in it: for a field that few rows have.
    """

    fields: tuple[str, ...]
    sparse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One synced table.

    Attributes:
        name: plural, as in URLs and tables.
        number: 1 to 62, permanent, like a tag of a wire format; never used again.
        doc: one line for the reference.
        scope: where its rows are visible.
        fields: name -> field, without `id`, `version` and (for PROPERTY) `property_id`.
        policy: for concurrent changes; `field_policies` overrides it for single fields.
        unique: sets of fields that are unique in the organisation. Not for a collection with
            `month_of`.
        natural_key: of a collection of the organisation: fields that name the same thing in every
            organisation. Where one has a row with the same values already, a transferred property
            refers to that one and not to a copy.
        checks: what the database holds beside types, bounds and references.
        indexes: for lists.
        month_of: the date field by whose month the table is partitioned.
        example: values of a row that people would recognise, for the document; fields that it
            leaves out get one of their kind.
        rule: the rules of the vertical, a pure function.
    """

    name: str
    number: int
    doc: str
    scope: Scope
    fields: Mapping[str, Field]
    policy: Policy = Policy.MERGE
    field_policies: Mapping[str, Policy] = field(default_factory=dict[str, Policy])
    unique: tuple[tuple[str, ...], ...] = ()
    natural_key: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    indexes: tuple[Index, ...] = ()
    month_of: str | None = None
    example: Mapping[str, Value] = field(default_factory=dict[str, Value])
    rule: Rule | None = None

    def __post_init__(self) -> None:
        """Complete the declaration and refuse one that contradicts itself (ValueError)."""
        fields = dict(self.fields)
        if self.scope is Scope.PROPERTY and "property_id" not in fields:
            fields = {
                "property_id": reference("properties", "The property it belongs to", fixed=True),
                **fields,
            }
        object.__setattr__(self, "fields", MappingProxyType(fields))
        for problem in _problems(self):
            raise ValueError(f"collection {self.name}: {problem}")

    def policy_of(self, name: str) -> Policy:
        """Return the conflict policy of one field."""
        return self.field_policies.get(name, self.policy)


def _problems(c: Collection) -> list[str]:
    found: list[str] = []
    if not _NAME.fullmatch(c.name):
        found.append("the name is lower case letters, digits and underscores")
    if not 1 <= c.number <= COLLECTION_NUMBER_MAX:
        found.append(f"the number is from 1 to {COLLECTION_NUMBER_MAX}")
    found += [f"field {n!r} is reserved" for n in c.fields if n in RESERVED_FIELDS]
    found += [f"field {n!r} is not a name" for n in c.fields if not _NAME.fullmatch(n)]
    named = (
        {n for u in c.unique for n in u}
        | {n for i in c.indexes for n in i.fields}
        | set(c.natural_key)
        | set(c.field_policies)
        | set(c.example)
    )
    found += [f"{n!r} is not a field" for n in sorted(named - set(c.fields))]
    found += [
        f"{n!r} is money: it never takes the last write"
        for n, f in c.fields.items()
        if f.money and c.policy_of(n) is Policy.LAST_WRITE
    ]
    found += [f"field {n!r}: {problem}" for n, f in c.fields.items() for problem in _faults(f)]
    found += [
        f"the example of {n!r} {problem}"
        for n, value in c.example.items()
        if n in c.fields and (problem := _not_canonical(c.fields[n], value))
    ]
    found += _faults_of_key(c)
    place = c.fields.get("property_id")
    if c.scope is Scope.PROPERTY and (place is None or not _names_a_property(place)):
        found.append("'property_id' is a required reference that the client sends, or left out")
    if c.month_of is not None:
        month = c.fields.get(c.month_of)
        if month is None or month.kind is not FieldKind.DATE or month.optional:
            found.append("month_of names a required date field")
        if c.unique:
            found.append("a table partitioned by month cannot hold a uniqueness over all months")
    return found


def _faults_of_key(c: Collection) -> list[str]:
    found = [
        f"{n!r} cannot be of a natural key: it is a required text, integer or choice"
        for n in c.natural_key
        if n in c.fields and (c.fields[n].optional or c.fields[n].kind not in _KEY_KINDS)
    ]
    if c.natural_key and c.scope is not Scope.ORGANISATION:
        found.append("only what the organisation shares has a natural key")
    return found


def _not_canonical(f: Field, value: Value) -> str:
    """Return what is wrong with a value, empty if it is one of the field as rows hold it."""
    try:
        parsed = f.parser()(value)
    except FieldError as error:
        return str(error)
    return "" if parsed == value else f"is {parsed!r} in a row"


def _names_a_property(place: Field) -> bool:
    return place.kind is FieldKind.REFERENCE and not place.optional and not place.server


def _faults(f: Field) -> list[str]:
    """Return what makes a field one that no value, or no reader of JSON, can hold."""
    found: list[str] = []
    if f.minimum is not None and f.maximum is not None and f.minimum > f.maximum:
        found.append(f"its minimum {f.minimum} is above its maximum {f.maximum}")
    if any(bound is not None and abs(bound) > INTEGER_MAX for bound in (f.minimum, f.maximum)):
        found.append("a bound lies beyond the integers that JavaScript keeps exact")
    if f.kind is FieldKind.CHOICE and (not f.choices or len(set(f.choices)) != len(f.choices)):
        found.append("a choice has one or more words, each once")
    return found
