"""Fields: kinds, bounds, who may set them, and how a JSON value becomes its one spelling.

Owns the meaning of a value on the wire. Promises that a value which passes `Field.parse` is
canonical: equal values have equal JSON, so merge compares by `==` and the database accepts the text
as it stands. There is no float kind: money is `<name>_minor` (integer minor units) beside
`<name>_currency`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date as calendar_date
from datetime import datetime
from enum import Enum
from typing import Final, assert_never

from serai.core.clock import timestamp_text
from serai.core.ids import check_uuid
from serai.core.limits import INTEGER_MAX, MONEY_MINOR_MAX, TEXT_CHARS_MAX
from serai.model.known import EXAMPLES, Known, words

Value = str | int | bool | None
"""What a field holds, as JSON."""


class FieldKind(Enum):
    """The kinds, by the name of the PostgreSQL type of the column."""

    TEXT = "text"
    INTEGER = "bigint"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamptz"
    CHOICE = "text "
    REFERENCE = "uuid"
    USER = "uuid "


class FieldError(ValueError):
    """Why a value is not one of this field. The message is for the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a collection.

    Attributes:
        kind: what it holds.
        doc: one line for the reference: what it means, in which unit.
        optional: null is a value.
        server: set by rules only; a client that sends it is refused.
        fixed: set at insert, never changed after.
        minimum, maximum: bounds of an integer; of a text, its length in characters.
        choices: the values of a choice, in their order.
        pattern: what a whole text must match.
        known: the list that a text must be a word of.
        target: the collection that a reference points to.
        money: the field is part of an amount; such a field is never last-write-wins.
    """

    kind: FieldKind
    doc: str
    optional: bool = False
    server: bool = False
    fixed: bool = False
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    known: Known | None = None
    target: str | None = None
    money: bool = False

    def parser(self) -> Callable[[object], Value]:
        """Return the function that takes a JSON value to its canonical spelling or raises
        FieldError.
        """
        inner = _parser(self)
        if not self.optional:
            return inner

        def parse_optional(value: object) -> Value:
            return None if value is None else inner(value)

        return parse_optional


def _parser(field: Field) -> Callable[[object], Value]:
    match field.kind:
        case FieldKind.TEXT:
            return _text_parser(field)
        case FieldKind.INTEGER:
            return _integer_parser(field)
        case FieldKind.BOOLEAN:
            return _parse_boolean
        case FieldKind.DATE:
            return _parse_date
        case FieldKind.TIMESTAMP:
            return _parse_timestamp
        case FieldKind.CHOICE:
            return _choice_parser(field)
        case FieldKind.REFERENCE | FieldKind.USER:
            return _parse_reference
        case _:
            assert_never(field.kind)


_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def _text_parser(field: Field) -> Callable[[object], Value]:
    longest = TEXT_CHARS_MAX if field.maximum is None else field.maximum
    shortest = field.minimum or 0
    pattern = re.compile(field.pattern) if field.pattern else None
    listed = field.known

    def parse(value: object) -> Value:
        if not isinstance(value, str):
            raise FieldError("must be a text")
        if not shortest <= len(value) <= longest:
            raise FieldError(f"must have {shortest} to {longest} characters")
        # Most texts are ASCII, and looking for one character is much cheaper than the pattern.
        if "\x00" in value or (not value.isascii() and _SURROGATE.search(value)):
            raise FieldError("must not hold the character NUL or half a surrogate pair")
        if pattern is not None and pattern.fullmatch(value) is None:
            raise FieldError(f"must match {pattern.pattern}")
        if listed is not None and value not in words(listed):
            raise FieldError(f"must be {listed.value}, such as {EXAMPLES[listed]}")
        return value

    return parse


def _integer_parser(field: Field) -> Callable[[object], Value]:
    low = -INTEGER_MAX if field.minimum is None else field.minimum
    high = INTEGER_MAX if field.maximum is None else field.maximum

    def parse(value: object) -> Value:
        if isinstance(value, bool) or not isinstance(value, int):
            raise FieldError("must be an integer, without a fraction or an exponent")
        if not low <= value <= high:
            raise FieldError(f"must be from {low} to {high}")
        return value

    return parse


def _parse_boolean(value: object) -> Value:
    if not isinstance(value, bool):
        raise FieldError("must be true or false")
    return value


def _parse_date(value: object) -> Value:
    message = "must be a date such as 2026-01-31"
    if not isinstance(value, str):
        raise FieldError(message)
    try:
        day = calendar_date.fromisoformat(value).isoformat()
    except ValueError:
        raise FieldError(message) from None
    if day != value:
        # ISO 8601 has more spellings (20260131, 2026-W05-6) than the document promises.
        raise FieldError(message)
    return day


def _parse_timestamp(value: object) -> Value:
    message = "must be a moment with its offset, such as 2026-01-31T12:00:00Z"
    if not isinstance(value, str) or len(value) > len("2026-01-31T12:00:00.000000+00:00"):
        raise FieldError(message)
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise FieldError(message)
        return timestamp_text(moment)
    except (ValueError, OverflowError):
        raise FieldError(message) from None


def _choice_parser(field: Field) -> Callable[[object], Value]:
    choices = frozenset(field.choices)

    def parse(value: object) -> Value:
        if not isinstance(value, str) or value not in choices:
            raise FieldError(f"must be one of {', '.join(field.choices)}")
        return value

    return parse


def _parse_reference(value: object) -> Value:
    if not isinstance(value, str):
        raise FieldError("must be an id")
    try:
        check_uuid(value)
    except ValueError as error:
        raise FieldError(str(error)) from None
    return value


def text(
    doc: str,
    *,
    minimum: int = 0,
    maximum: int = TEXT_CHARS_MAX,
    pattern: str | None = None,
    optional: bool = False,
    server: bool = False,
    fixed: bool = False,
) -> Field:
    """Declare a text of `minimum` to `maximum` characters."""
    return Field(
        kind=FieldKind.TEXT,
        doc=doc,
        minimum=minimum,
        maximum=maximum,
        pattern=pattern,
        optional=optional,
        server=server,
        fixed=fixed,
    )


def known(
    doc: str, kind: Known, *, optional: bool = False, fixed: bool = False, money: bool = False
) -> Field:
    """Declare a word of a list that a standard keeps."""
    shortest, longest, pattern = _FORMS[kind]
    return Field(
        kind=FieldKind.TEXT,
        doc=doc,
        minimum=shortest,
        maximum=longest,
        pattern=pattern,
        known=kind,
        optional=optional,
        fixed=fixed,
        money=money,
    )


_FORMS: Final = {
    Known.CURRENCY: (3, 3, "[A-Z]{3}"),
    Known.COUNTRY_2: (2, 2, "[A-Z]{2}"),
    Known.COUNTRY: (2, 3, "[A-Z]{2,3}"),
    Known.TIME_ZONE: (1, 60, r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+){0,2}"),
}
"""Fewest and most characters, and the pattern, for who has not got the list."""


def integer(
    doc: str,
    *,
    minimum: int | None = None,
    maximum: int | None = None,
    optional: bool = False,
    server: bool = False,
    fixed: bool = False,
) -> Field:
    """Declare an integer; without bounds it is one that JavaScript keeps exact."""
    return Field(
        kind=FieldKind.INTEGER,
        doc=doc,
        minimum=minimum,
        maximum=maximum,
        optional=optional,
        server=server,
        fixed=fixed,
    )


def boolean(
    doc: str, *, optional: bool = False, server: bool = False, fixed: bool = False
) -> Field:
    """Declare a yes or no."""
    return Field(kind=FieldKind.BOOLEAN, doc=doc, optional=optional, server=server, fixed=fixed)


def date(doc: str, *, optional: bool = False, server: bool = False, fixed: bool = False) -> Field:
    """Declare a calendar day, local to the property."""
    return Field(kind=FieldKind.DATE, doc=doc, optional=optional, server=server, fixed=fixed)


def timestamp(
    doc: str, *, optional: bool = False, server: bool = False, fixed: bool = False
) -> Field:
    """Declare a moment in UTC."""
    return Field(kind=FieldKind.TIMESTAMP, doc=doc, optional=optional, server=server, fixed=fixed)


def choice(
    doc: str, *choices: str, optional: bool = False, server: bool = False, fixed: bool = False
) -> Field:
    """Declare one of a closed list of words."""
    return Field(
        kind=FieldKind.CHOICE,
        doc=doc,
        choices=choices,
        optional=optional,
        server=server,
        fixed=fixed,
    )


def reference(
    target: str, doc: str, *, optional: bool = False, server: bool = False, fixed: bool = False
) -> Field:
    """Declare the id of a row of collection `target`; the database holds the reference."""
    return Field(
        kind=FieldKind.REFERENCE,
        doc=doc,
        target=target,
        optional=optional,
        server=server,
        fixed=fixed,
    )


def user(doc: str, *, optional: bool = False, server: bool = False, fixed: bool = False) -> Field:
    """Declare the id of a user of the directory. Users live elsewhere, so nothing checks that it
    exists.
    """
    return Field(kind=FieldKind.USER, doc=doc, optional=optional, server=server, fixed=fixed)


def money(
    name: str,
    doc: str,
    *,
    minimum: int = -MONEY_MINOR_MAX,
    maximum: int = MONEY_MINOR_MAX,
    optional: bool = False,
    fixed: bool = False,
) -> dict[str, Field]:
    """Declare an amount: `<name>_minor`, an integer of minor units, and `<name>_currency`, ISO
    4217.
    """
    return {
        f"{name}_minor": Field(
            kind=FieldKind.INTEGER,
            doc=f"{doc}, in minor units of `{name}_currency`",
            minimum=minimum,
            maximum=maximum,
            optional=optional,
            fixed=fixed,
            money=True,
        ),
        f"{name}_currency": known(
            f"Currency of `{name}_minor`, ISO 4217",
            Known.CURRENCY,
            optional=optional,
            fixed=fixed,
            money=True,
        ),
    }
