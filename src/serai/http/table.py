"""The table of all operations.

Owns which operations exist, with what the document says of each. Promises that every collection of
the vertical has the same five, under names that do not meet the fixed ones. Never handles a
request.
"""

from __future__ import annotations

from typing import Any, Final

from serai.core.errors import Code
from serai.core.limits import (
    CURSOR_BYTES_MAX,
    FILTERS_MAX,
    IDEMPOTENCY_KEEP_HOURS,
    IDEMPOTENCY_KEY_CHARS_MAX,
    LIST_ROWS_DEFAULT,
    LIST_ROWS_MAX,
)
from serai.http import sync
from serai.http.identity_table import identity_operations
from serai.http.operations import NO_BODY, Operation, Parameter
from serai.http.query import operators
from serai.http.rest import Rows
from serai.http.schemas import (
    EXAMPLE_ID,
    class_name,
    field_example,
    filter_schema,
    insert_example,
    row_example,
    update_example,
)
from serai.model import Collection, Vertical
from serai.wire.rest import RefusalsAnswer
from serai.wire.sync import ChangesAnswer, ChangesRequest, MutationsAnswer, MutationsRequest

_EXAMPLE_VERSION: Final = 12
_TEXT: Final = {"type": "string"}
_KEY: Final = Parameter(
    name="Idempotency-Key",
    where="header",
    required=True,
    doc="A new random text with each new write; the same again for a repetition. Kept "
    f"{IDEMPOTENCY_KEEP_HOURS} hours.",
    schema={**_TEXT, "minLength": 1, "maxLength": IDEMPOTENCY_KEY_CHARS_MAX},
    example="0b6f2c1e-6d0f-4f8e-9f0e-6a1d1f6f2b3c",
)
_IF_MATCH: Final = Parameter(
    name="If-Match",
    where="header",
    doc="Entity tag of the row that was seen: the write is refused if the row has changed since.",
    schema=_TEXT,
    example=f'"{_EXAMPLE_VERSION}"',
)
_IF_NONE_MATCH: Final = Parameter(
    name="If-None-Match",
    where="header",
    doc="Entity tag that is held already: 304 if it still stands.",
    schema=_TEXT,
    example=f'"{_EXAMPLE_VERSION}"',
)
_MIN_VERSION: Final = Parameter(
    name="Serai-Min-Version",
    where="header",
    doc="`Serai-Version` of the caller's last write: the answer stands at this version or a later "
    "one, and a replica may give it. Without it the primary answers, or for a pull who has reached "
    "its tokens.",
    schema={**_TEXT, "pattern": r"^[1-9][0-9]{0,8}\.(0|[1-9][0-9]{0,15})$"},
    example=f"1.{_EXAMPLE_VERSION}",
)
_EXAMPLE_MOMENT: Final = "2026-03-14T09:30:00.000000Z"
_NOT_MODIFIED: Final = {304: "What the client holds still stands."}
_SHARD: Final = (Code.ORG_MOVED,)
_PULL: Final = (Code.NOT_FOUND, Code.TOKEN_INVALID, Code.CONTENDED, *_SHARD)
_WRITE: Final = (
    Code.FIELDS_INVALID,
    Code.FIELD_UNKNOWN,
    Code.FIELD_READ_ONLY,
    Code.NOT_FOUND,
    Code.KEY_REQUIRED,
    Code.KEY_REUSED,
    Code.REFERENCED,
    Code.REFERENCE_MISSING,
    Code.NOT_UNIQUE,
    Code.CONSTRAINT,
    Code.RULE,
    Code.WRITE_TOO_LARGE,
    Code.ROW_EXISTS,
    Code.ROW_GONE,
    Code.PROPERTY_TRANSFERRED,
    Code.CONTENDED,
    Code.ORG_FROZEN,
    Code.PROPERTY_HELD,
    *_SHARD,
)
_CHANGE: Final = (*_WRITE, Code.PRECONDITION, Code.CONFLICT)
_WRITE_HEADERS: Final = ("ETag", "Idempotency-Replayed", "Serai-Version")


def operations(vertical: Vertical) -> list[Operation]:
    """Return every operation but those of the system pages."""
    found = [*_sync_operations(vertical), *identity_operations()]
    for collection in vertical.collections:
        found += collection_operations(collection)
    return found


def collection_operations(collection: Collection) -> list[Operation]:
    """Return the five operations of a collection."""
    rows = Rows(collection)
    row = {"id": EXAMPLE_ID, "version": _EXAMPLE_VERSION, "data": row_example(collection)}
    return [*_reading(collection, rows, row), *_writing(collection, rows, row)]


def _reading(collection: Collection, rows: Rows, row: dict[str, Any]) -> list[Operation]:
    name, path, tag = class_name(collection.name), f"/v1/{collection.name}", collection.name
    return [
        Operation(
            id=f"list{name}",
            method="GET",
            path=path,
            tag=tag,
            summary=f"List {collection.name}",
            handler=rows.list,
            doc="Rows that the caller may see, in the order asked for; ties go by id. At most"
            f" {FILTERS_MAX} filters.",
            answer=f"{name}Page",
            answer_example={"rows": [row], "nextCursor": None},
            parameters=_list_parameters(collection),
            problems=_SHARD,
        ),
        Operation(
            id=f"get{name}",
            method="GET",
            path=f"{path}/{{id}}",
            tag=tag,
            summary=f"Get one of {collection.name}",
            handler=rows.get,
            answer=f"{name}Row",
            answer_example=row,
            parameters=(_IF_NONE_MATCH, _MIN_VERSION),
            problems=(Code.NOT_FOUND, *_SHARD),
            statuses=_NOT_MODIFIED,
            answer_headers=("ETag",),
        ),
    ]


def _writing(collection: Collection, rows: Rows, row: dict[str, Any]) -> list[Operation]:
    name, path, tag = class_name(collection.name), f"/v1/{collection.name}", collection.name
    return [
        Operation(
            id=f"create{name}",
            method="POST",
            path=path,
            tag=tag,
            summary=f"Create one of {collection.name}",
            handler=rows.create,
            status=201,
            request=f"{name}Insert",
            request_example=insert_example(collection),
            answer=f"{name}Row",
            answer_example=row,
            parameters=(_KEY,),
            problems=_WRITE,
            answer_headers=("Location", *_WRITE_HEADERS),
        ),
        Operation(
            id=f"update{name}",
            method="PATCH",
            path=f"{path}/{{id}}",
            tag=tag,
            summary=f"Change fields of one of {collection.name}",
            handler=rows.update,
            request=f"{name}Update",
            request_example=update_example(collection),
            answer=f"{name}Row",
            answer_example=row,
            parameters=(_KEY, _IF_MATCH),
            problems=_CHANGE,
            answer_headers=_WRITE_HEADERS,
        ),
        Operation(
            id=f"delete{name}",
            method="DELETE",
            path=f"{path}/{{id}}",
            tag=tag,
            summary=f"Delete one of {collection.name}",
            handler=rows.delete,
            doc="A deleted row does not come back under its id.",
            answer=f"{name}Row",
            answer_example={**row, "data": None},
            parameters=(_KEY, _IF_MATCH),
            problems=(*_CHANGE, *NO_BODY),
            answer_headers=("Idempotency-Replayed", "Serai-Version"),
        ),
    ]


def _list_parameters(collection: Collection) -> tuple[Parameter, ...]:
    orders = [f"{sign}{name}" for name in ("id", *collection.fields) for sign in ("", "-")]
    whole: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": LIST_ROWS_MAX}
    found = [
        Parameter("order", "Field to sort by; `-` turns it round.", {**_TEXT, "enum": orders}),
        Parameter("limit", "Rows of a page.", {**whole, "default": LIST_ROWS_DEFAULT}),
        Parameter(
            "cursor",
            "`nextCursor` of the page before, with the same `order`.",
            {**_TEXT, "maxLength": CURSOR_BYTES_MAX},
        ),
        _MIN_VERSION,
    ]
    for name, field in collection.fields.items():
        schema = filter_schema(field)
        example = field_example(collection, name)
        found.append(Parameter(name, f"Equal to: {field.doc}", schema, example=example))
        for word in operators(field):
            truth = word == "null"
            found.append(
                Parameter(
                    f"{name}[{word}]",
                    f"`{name}` is or is not null" if truth else f"`{name}` {_WORDS[word]} this",
                    {"type": "boolean"} if truth else schema,
                    example=True if truth else example,
                )
            )
    return tuple(found)


_WORDS: Final = {
    "lt": "is less than",
    "le": "is at most",
    "gt": "is more than",
    "ge": "is at least",
    "ne": "is not",
}


def _sync_operations(vertical: Vertical) -> list[Operation]:
    first = vertical.collections[0]
    return [_pull(first), _push(first), _refusals()]


def _pull(first: Collection) -> Operation:
    change = {
        "id": EXAMPLE_ID,
        "action": "insert",
        "version": _EXAMPLE_VERSION,
        "data": row_example(first),
    }
    pulled = {
        "collections": [
            {"name": first.name, "changes": [change], "nextToken": "AQB...", "hasMore": False}
        ],
        "serverTime": _EXAMPLE_MOMENT,
        "epoch": 1,
        "version": _EXAMPLE_VERSION,
    }
    return Operation(
        id="pullChanges",
        method="POST",
        path="/v1/sync/changes",
        tag="sync",
        summary="What changed since the token",
        handler=sync.changes,
        doc="Without a token from the start. Apply all collections of an answer at once, with the"
        " token, and ask again while `hasMore`. With `If-None-Match` and nothing new: 304.",
        request=ChangesRequest,
        request_example={"collections": [{"name": first.name}], "batchSize": 100},
        answer=ChangesAnswer,
        answer_example=pulled,
        parameters=(_IF_NONE_MATCH, _MIN_VERSION),
        problems=_PULL,
        statuses=_NOT_MODIFIED,
        answer_headers=("ETag",),
    )


def _push(first: Collection) -> Operation:
    mutation = {
        "number": 1,
        "collection": first.name,
        "id": EXAMPLE_ID,
        "op": "update",
        "base": _EXAMPLE_VERSION,
        "fields": update_example(first),
    }
    applied = {
        "number": 1,
        "status": "applied",
        "id": EXAMPLE_ID,
        "version": _EXAMPLE_VERSION + 1,
        "row": row_example(first),
    }
    return Operation(
        id="pushMutations",
        method="POST",
        path="/v1/sync/mutations",
        tag="sync",
        summary="Send a device's offline writes",
        handler=sync.mutations,
        doc="In the order of their numbers; a result for each. One that is not applied never fails"
        " the batch. Sent again, a mutation gets its first answer, marked `replayed`.",
        request=MutationsRequest,
        request_example={"deviceId": EXAMPLE_ID, "mutations": [mutation]},
        answer=MutationsAnswer,
        answer_example={"results": [applied], "serverTime": _EXAMPLE_MOMENT, "nextNumber": 2},
        problems=(
            *_PULL,
            Code.MUTATION_GAP,
            Code.DEVICE_UNKNOWN,
            Code.ORG_FROZEN,
            Code.PROPERTY_HELD,
        ),
    )


def _refusals() -> Operation:
    return Operation(
        id="listRefusals",
        method="GET",
        path="/v1/sync/refusals",
        tag="sync",
        summary="Offline writes that were not applied",
        handler=sync.refusals,
        answer=RefusalsAnswer,
        parameters=(
            Parameter("after", "`nextAfter` of the page before.", {"type": "integer"}),
            Parameter("limit", "Entries read for a page.", {"type": "integer", "minimum": 1}),
            Parameter(
                "all",
                "Also those of others, in channels that the caller reads.",
                {"type": "boolean", "default": False},
            ),
        ),
        problems=_SHARD,
    )
