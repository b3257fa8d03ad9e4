"""The forms of sync: pull (`/v1/sync/changes`) and push (`/v1/sync/mutations`).

Owns the requests and answers that a device exchanges. A `change` is finished JSON text as the log
stores it; the server joins those texts and never decodes them, so `ChangesAnswer` is what a client
reads, and the server writes the same form with `msgspec.Raw`.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Raw, Struct

from serai.core.limits import (
    MUTATIONS_PER_PUSH_MAX,
    PAGE_ROWS_DEFAULT,
    PAGE_ROWS_MAX,
    SYNC_COLLECTIONS_MAX,
    SYNC_PROPERTIES_MAX,
    TOKEN_BYTES_MAX,
)

TokenText = Annotated[str, Meta(max_length=TOKEN_BYTES_MAX)]
Json = dict[str, str | int | bool | None]


class _Wire(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """A form of the wire: unknown members are refused, members at their default are left out."""


class WantedCollection(_Wire, frozen=True):
    """One collection of a pull: without `since_token` from the start; `property_ids` narrows it."""

    name: str
    since_token: TokenText | None = None
    property_ids: Annotated[list[UUID], Meta(max_length=SYNC_PROPERTIES_MAX)] | None = None


class ChangesRequest(_Wire, frozen=True):
    """A pull. One token may stand at several collections: they then share one position and one
    page.

    `batch_size` is the number of changes wanted; an answer may exceed it by the rest of one write.
    """

    collections: Annotated[
        list[WantedCollection], Meta(min_length=1, max_length=SYNC_COLLECTIONS_MAX)
    ]
    batch_size: Annotated[int, Meta(ge=1, le=PAGE_ROWS_MAX)] = PAGE_ROWS_DEFAULT


class Change(_Wire, frozen=True):
    """One row as of `version`. `data` is the whole row, None for a delete.

    `update` and `insert` mean the same to a device: this is the row now.
    """

    id: UUID
    action: Literal["insert", "update", "delete"]
    version: int
    data: Json | None = None


class CollectionChanges(Struct, frozen=True, rename="camel"):
    """The part of an answer for one collection.

    Attributes:
        changes: in order; apply all collections of the answer in one local transaction, with the
            token.
        next_token: for the next pull.
        has_more: another page waits now.
        purge: properties whose rows the device must drop before it applies `changes` (it may not
            see them any more). The all-one UUID stands for every property except those of `keep`;
            the all-zero UUID for rows of the organisation itself.
        keep: with the all-one UUID in `purge`: properties whose rows stay.
        filling: the collection is not whole on the device yet: a fill is on its way.
        must_refetch: the token cannot be continued: drop it, keep the queue, and pull from the
            start.
    """

    name: str
    changes: list[Change]
    next_token: str
    has_more: bool
    purge: list[UUID] = []
    keep: list[UUID] = []
    filling: bool = False
    must_refetch: bool = False


class ChangesAnswer(Struct, frozen=True, rename="camel"):
    """The answer to a pull. `epoch` and `version`: where the organisation stood."""

    collections: list[CollectionChanges]
    server_time: str
    epoch: int
    version: int


class Mutation(_Wire, frozen=True):
    """One offline write.

    Attributes:
        number: of this device: 1, 2, 3 ... without gaps.
        collection, id, op: the row.
        base: version of the server's row that the user saw, below their own waiting writes; 0 for
            an insert.
        fields: for an insert the whole row, for an update the changed fields; nothing for a delete.
        after: number of an earlier mutation of the same row in the same request, which this one was
            made on top of. If that one was applied, the base is the version it became, so that a
            device's own writes are not foreign to it. Fields that it merged were not seen: a
            mutation that touches one of them, or deletes the row, keeps `base`.

    A mutation is the same when device, number, collection, id, op and fields are: `base` and
    `after` may differ when it is sent again, because the device has learned more since.
    """

    number: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    collection: str
    id: UUID
    op: Literal["insert", "update", "delete"]
    base: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0
    fields: dict[str, Raw] = {}
    after: Annotated[int, Meta(ge=1, le=2**53 - 1)] | None = None


class MutationsRequest(_Wire, frozen=True):
    """An ordered batch of one device. `pull`, if given, is answered after the batch, in the same
    answer.

    `epoch` is that of every `base`; 0 if the device has never pulled. In another epoch the bases
    mean
    nothing: the server answers `must_refetch` and applies nothing of the batch.
    """

    device_id: UUID
    mutations: Annotated[list[Mutation], Meta(max_length=MUTATIONS_PER_PUSH_MAX)]
    pull: ChangesRequest | None = None
    epoch: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0


class MutationResult(_Wire, frozen=True):
    """What became of one mutation.

    Attributes:
        status: `applied` as asked; `merged`: others had changed `fields`, which the row keeps;
            `conflict`: nothing was written, `row` is the server's; `rejected`: nothing was written,
            `code` and `reason` say why.
        version: of the write; for `conflict`, of the server's row (0 if it is gone).
        row: the row as stored (applied, merged) or as it is (conflict); None if there is none.
        errors: (field, reason) pairs of a rejection.
        id: of the row, which differs from the mutation's where a rule wrote another row instead.
        replayed: it was applied before; this is the first answer, or all that is left of it.
    """

    number: int
    status: Literal["applied", "merged", "conflict", "rejected"]
    id: UUID
    version: int = 0
    row: Json | None = None
    fields: list[str] = []
    code: str | None = None
    reason: str | None = None
    errors: list[tuple[str, str]] = []
    replayed: bool = False


class MutationsAnswer(Struct, frozen=True, rename="camel"):
    """The answer to a push: a result for each mutation, in order; the pull's answer if one was
    asked for.
    """

    results: list[MutationResult]
    server_time: str
    next_number: int
    pull: ChangesAnswer | None = None


class RawCollectionChanges(Struct, frozen=True, rename="camel", omit_defaults=True):
    """`CollectionChanges` as the server writes it: `changes` is joined text."""

    name: str
    changes: Raw
    next_token: str
    has_more: bool
    purge: list[UUID] = []
    keep: list[UUID] = []
    filling: bool = False
    must_refetch: bool = False


class RawChangesAnswer(Struct, frozen=True, rename="camel"):
    """`ChangesAnswer` as the server writes it."""

    collections: list[RawCollectionChanges]
    server_time: str
    epoch: int
    version: int


class RawMutationsAnswer(Struct, frozen=True, rename="camel", omit_defaults=True):
    """`MutationsAnswer` as the server writes it: each result is a stored or a new JSON text."""

    results: list[Raw]
    server_time: str
    next_number: int
    pull: RawChangesAnswer | None = None
