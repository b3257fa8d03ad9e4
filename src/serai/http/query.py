"""Query strings: the parameters of a list, read strictly.

Owns the way from the raw query to filters, order, limit and position. Promises that every name and
value was checked against the declaration before a store sees it, that a parameter stands once, and
that what is not understood is refused: a misspelt filter that is ignored shows rows nobody asked
for.

`+` is a space, as browsers write it; a literal plus is `%2B`. The cursor is not sealed: it holds a
value and an id that the client has just been given, is checked like a filter, and opens no row
that the filters and the caller's channels do not.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final, assert_never
from urllib.parse import unquote_to_bytes
from uuid import UUID

import msgspec

from serai.core.errors import Code, SeraiError
from serai.core.ids import parse_uuid
from serai.core.limits import (
    CURSOR_BYTES_MAX,
    FILTERS_MAX,
    INTEGER_MAX,
    LIST_ROWS_DEFAULT,
    LIST_ROWS_MAX,
    QUERY_BYTES_MAX,
    TEXT_CHARS_MAX,
)
from serai.model import Collection, Field, FieldKind
from serai.model.fields import FieldError, Value

OPERATORS: Final = ("lt", "le", "gt", "ge", "ne", "null")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")
_NAME: Final = re.compile(r"([a-z][a-z0-9_]*)(?:\[([a-z]+)\])?")
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,15})")
_DIGITS: Final = re.compile(r"[1-9][0-9]{0,17}")
_ORDERED: Final = frozenset(
    {FieldKind.TEXT, FieldKind.INTEGER, FieldKind.DATE, FieldKind.TIMESTAMP}
)


class _Mark(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What a cursor holds: the order it belongs to, and the last row of the page before."""

    order: str
    value: str | int | bool | None
    id: str


_mark_decoder: Final = msgspec.json.Decoder(_Mark)


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A list that was asked for: filters as (field, operator, value), `order` None for the id."""

    filters: tuple[tuple[str, str, Value], ...] = ()
    order: str | None = None
    descending: bool = False
    limit: int = LIST_ROWS_DEFAULT
    after: tuple[Value, UUID] | None = None

    @property
    def order_text(self) -> str:
        """The order as it stands in a query."""
        return ("-" if self.descending else "") + (self.order or "id")


def parameters(query: bytes) -> dict[str, str]:
    """Return the parameters of a query string.

    Raises:
        SeraiError: `query_invalid` for a repeated or empty name, a bad escape, or text that is not
            UTF-8.
    """
    if not query:
        return {}
    if len(query) > QUERY_BYTES_MAX or not query.isascii():
        raise SeraiError(Code.QUERY_INVALID, "A query is ASCII, of 32 KiB at most.")
    found: dict[str, str] = {}
    for part in query.decode("ascii").split("&"):
        name, _, value = part.partition("=")
        name, value = _decoded(name), _decoded(value)
        if not name:
            raise SeraiError(Code.QUERY_INVALID, "A parameter has no name.")
        if name in found:
            raise _wrong(name, "stands in the query twice")
        found[name] = value
    return found


def list_request(collection: Collection, query: bytes) -> ListRequest:
    """Return the list that `query` asks of `collection`.

    Raises:
        SeraiError: `query_invalid`.
    """
    given = parameters(query)
    order = given.pop("order", "id")
    descending = order.startswith("-")
    order_field = order.removeprefix("-")
    if order_field != "id" and order_field not in collection.fields:
        raise _wrong("order", f"{collection.name} has no field of this name")
    limit = whole_number(given, "limit", LIST_ROWS_DEFAULT, LIST_ROWS_MAX)
    after = _position(collection, order, given.pop("cursor", None))
    if len(given) > FILTERS_MAX:
        raise SeraiError(Code.QUERY_INVALID, f"A list has at most {FILTERS_MAX} filters.")
    return ListRequest(
        filters=tuple(_filter(collection, name, text) for name, text in given.items()),
        order=None if order_field == "id" else order_field,
        descending=descending,
        limit=limit,
        after=after,
    )


def cursor_text(request: ListRequest, value: Value, row_id: UUID) -> str:
    """Return the cursor for the page after the row with this id and this value of the order
    field.
    """
    mark = msgspec.json.encode(_Mark(request.order_text, value, str(row_id)))
    return base64.urlsafe_b64encode(mark).decode().rstrip("=")


def whole_number(given: dict[str, str], name: str, default: int, maximum: int) -> int:
    """Take a parameter from 1 to `maximum` out of `given`.

    Raises:
        SeraiError: `query_invalid`.
    """
    text = given.pop(name, None)
    if text is None:
        return default
    if _DIGITS.fullmatch(text) is None or int(text) > maximum:
        raise _wrong(name, f"is a whole number from 1 to {maximum}")
    return int(text)


def nothing_else(given: dict[str, str]) -> None:
    """Refuse the parameters that are left.

    Raises:
        SeraiError: `query_invalid`.
    """
    for name in given:
        raise _wrong(name, "is no parameter of this operation")


def operators(field: Field) -> tuple[str, ...]:
    """Return what a filter on this field may ask beside equality."""
    names = OPERATORS if field.kind in _ORDERED else ("ne", "null")
    return names if field.optional else tuple(n for n in names if n != "null")


def _decoded(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise SeraiError(Code.QUERY_INVALID, "A percent sign is followed by two hex digits.")
    try:
        plain = unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise SeraiError(Code.QUERY_INVALID, "A query is UTF-8 in percent-encoding.") from None
    if _CONTROL.search(plain):
        raise SeraiError(Code.QUERY_INVALID, "A query holds no control characters.")
    return plain


def _filter(collection: Collection, name: str, text: str) -> tuple[str, str, Value]:
    found = _NAME.fullmatch(name)
    field = None if found is None else collection.fields.get(found[1])
    if found is None or field is None:
        raise _wrong(name, f"is neither a field of {collection.name} nor a known parameter")
    operator = found[2] or "eq"
    if found[2] is not None and operator not in operators(field):
        allowed = ", ".join(operators(field))
        raise _wrong(name, f"takes one of {allowed}, or nothing for equality")
    if operator == "null":
        return found[1], operator, _truth(name, text)
    return found[1], operator, _value(name, field, text)


def _value(name: str, field: Field, text: str) -> Value:
    """Return a filter's value, canonical as in a row."""
    match field.kind:
        case FieldKind.TEXT:
            # Not by the field's own bounds: "above M" is no value of a field that holds codes.
            if len(text) > TEXT_CHARS_MAX:
                raise _wrong(name, f"has at most {TEXT_CHARS_MAX} characters")
            return text
        case FieldKind.INTEGER:
            if _INTEGER.fullmatch(text) is None or abs(int(text)) > INTEGER_MAX:
                raise _wrong(name, "is an integer")
            return int(text)
        case FieldKind.BOOLEAN:
            return _truth(name, text)
        case (
            FieldKind.DATE
            | FieldKind.TIMESTAMP
            | FieldKind.CHOICE
            | FieldKind.REFERENCE
            | FieldKind.USER
        ):
            try:
                return field.parser()(text)
            except FieldError as error:
                raise _wrong(name, str(error)) from None
        case _:
            assert_never(field.kind)


def _truth(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise _wrong(name, "is true or false")
    return text == "true"


def _position(collection: Collection, order: str, text: str | None) -> tuple[Value, UUID] | None:
    """Return the position in a cursor, checked like everything else that comes from outside."""
    if text is None:
        return None
    try:
        if len(text) > CURSOR_BYTES_MAX:
            raise ValueError("too long")
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        mark = _mark_decoder.decode(raw)
        row_id = parse_uuid(mark.id)
        if mark.order != order:
            raise ValueError("another order")
        name = order.removeprefix("-")
        if name == "id":
            return None, row_id
        field = collection.fields[name]
        value = None if mark.value is None and field.server else field.parser()(mark.value)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise _wrong(
            "cursor", "is what `nextCursor` of this list was, for the same order"
        ) from None
    return value, row_id


def _wrong(name: str, reason: str) -> SeraiError:
    shown = name[:60]
    return SeraiError(Code.QUERY_INVALID, f"{shown!r} {reason}.", errors=((shown, reason),))
