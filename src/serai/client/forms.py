"""What the client reads off the wire and hands to the app.

Owns the decoding of answers. Rows stay JSON text on their way into SQLite (`msgspec.Raw`): nothing
in a page is decoded but what the device files it under. Members that this client does not know are
ignored, so a newer server can say more. Never holds behaviour beyond decoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

Value = str | int | bool | None
"""What a field holds, as JSON. There is no float: money is integer minor units."""
Op = Literal["insert", "update", "delete"]
NULL: Final = Raw(b"null")


class PageChange(Struct, gc=False):
    """One change of a page; `data` is the row's text, `null` for a delete."""

    id: str
    action: Op
    version: int
    data: Raw = NULL


class PagePart(Struct, rename="camel"):
    """One collection of a page, see `serai.wire.sync.CollectionChanges`."""

    name: str
    changes: list[PageChange]
    next_token: str
    has_more: bool
    purge: list[UUID] = []
    keep: list[UUID] = []
    filling: bool = False
    must_refetch: bool = False


class PulledPage(Struct, rename="camel"):
    """The answer to a pull."""

    collections: list[PagePart]
    server_time: str
    epoch: int
    version: int


class Result(Struct, rename="camel"):
    """What became of one mutation, see `serai.wire.sync.MutationResult`."""

    number: int
    status: Literal["applied", "merged", "conflict", "rejected"]
    id: str
    version: int = 0
    row: Raw = NULL
    fields: list[str] = []
    code: str | None = None
    reason: str | None = None
    errors: list[tuple[str, str]] = []
    replayed: bool = False


class PushedBatch(Struct, rename="camel"):
    """The answer to a push."""

    results: list[Result]
    server_time: str
    next_number: int
    pull: PulledPage | None = None


class _Filed(Struct):
    """The part of a row that the device files it under."""

    property_id: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row as the app sees it: the server's, with what this device has written on top.

    Attributes:
        version: of the server's row below; 0 while there is none.
        pending: writes of this device are in it that the server's row does not contain yet.
        filling: the collection is not whole on the device.
    """

    id: UUID
    version: int
    data: Mapping[str, Value]
    pending: bool
    filling: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A write that the server did not take, kept until a person deals with it.

    Attributes:
        id: of this entry, for `acknowledge`, `dismiss` and `retry`.
        outcome: `conflict` (others were first; `server_row` is theirs, None if it is gone or this
            user may not see it any more) or `rejected`.
        code: the word of the catalogue or of the vertical's rule.
        errors: (field, reason) pairs.
        acknowledged: a person has seen it.
    """

    id: int
    collection: str
    row_id: UUID
    op: Op
    fields: Mapping[str, Value]
    outcome: Literal["conflict", "rejected"]
    code: str
    reason: str
    errors: tuple[tuple[str, str], ...]
    server_row: Mapping[str, Value] | None
    server_version: int
    at: str
    acknowledged: bool


page_decoder: Final = msgspec.json.Decoder(PulledPage)
push_decoder: Final = msgspec.json.Decoder(PushedBatch)
row_decoder: Final = msgspec.json.Decoder(dict[str, Value])
members_decoder: Final = msgspec.json.Decoder(dict[str, Raw])
errors_decoder: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...])
_filed_decoder: Final = msgspec.json.Decoder(_Filed)


def scope_of(row_id: str, data: Raw | str) -> str:
    """Return the property that a row is filed under: its `property_id`, else its own id.

    The row of a property has its own id as scope. For a row of the whole organisation the value
    means nothing; such a row is dropped by collection, see `apply.purge`.
    """
    return _filed_decoder.decode(data).property_id or row_id
