"""The OpenAPI 3.1 document.

Owns how the table of operations becomes the document in `protocol/openapi.json` and at
`/openapi.json`. Promises that it says what the code does: paths from the routes, bodies from the
declaration and the wire structs, problems from the catalogue. Always the same bytes for the same
code. Never written by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from serai.core.errors import Code
from serai.http.operations import Form, Operation, Parameter
from serai.http.problems import MEDIA_TYPE, problem_type
from serai.http.schemas import EXAMPLE_ID, collection_schemas
from serai.model import Vertical
from serai.wire.rest import ProblemDocument

_REFERENCE: Final = "#/components/schemas/"
_HEADERS: Final = {
    "ETag": "Validator of what is in the answer",
    "Location": "Address of the new row",
    "Serai-Version": "Epoch and version of the write, for `Serai-Min-Version` of reads after it",
    "Idempotency-Replayed": "`true` when this is the stored answer to an earlier request",
}
_DESCRIPTION: Final = """One numbered log per organisation, and readers of it.

Every error is a problem document (RFC 9457) of the catalogue at `/docs/errors`. Every answer
carries `X-Request-Id`. Answers are compressed with zstd or gzip for who accepts them; the entity
tag of a compressed answer ends in `-zstd` or `-gzip` and is understood with that ending too. A body
is JSON in UTF-8 of at most 32 MiB and 32 levels, as it is, gzip or zstd; a member that stands twice
is refused. In a query `+` is a space. Where there is GET there is HEAD."""


def openapi_document(
    vertical: Vertical, operations: Sequence[Operation], version: str
) -> dict[str, Any]:
    """Return the document for the operations."""
    listed = [operation for operation in operations if operation.listed]
    paths: dict[str, dict[str, Any]] = {}
    for operation in listed:
        entry = paths.setdefault(operation.path, _shared(operation))
        entry[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Serai: {vertical.title}",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": _tags(vertical, listed),
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token, or an API key",
                }
            },
            "schemas": _schemas(vertical, listed),
        },
    }


def openapi_text(document: dict[str, Any]) -> bytes:
    """Return the document as it stands in the repository."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _shared(operation: Operation) -> dict[str, Any]:
    """Return what the operations of one path have in common: the parameter in the path."""
    if not operation.path.endswith("/{id}"):
        return {}
    schema = {"type": "string", "format": "uuid"}
    one = {"name": "id", "in": "path", "required": True, "schema": schema, "example": EXAMPLE_ID}
    return {"parameters": [one]}


def _operation(operation: Operation) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.doc:
        entry["description"] = operation.doc
    if not operation.signed_in:
        entry["security"] = []
    if operation.parameters:
        entry["parameters"] = [_parameter(p) for p in operation.parameters]
    if operation.request is not None:
        content = _content(operation.request, operation.request_example)
        entry["requestBody"] = {"required": True, "content": {"application/json": content}}
    entry["responses"] = _responses(operation)
    return entry


def _parameter(parameter: Parameter) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.doc,
        "schema": parameter.schema,
    }
    if parameter.required:
        entry["required"] = True
    if parameter.example is not None:
        entry["example"] = parameter.example
    return entry


def _content(form: Form, example: object) -> dict[str, Any]:
    assert form is not None, "only a body has content"
    name = form if isinstance(form, str) else form.__name__
    content: dict[str, Any] = {"schema": {"$ref": _REFERENCE + name}}
    if example is not None:
        content["example"] = example
    return content


def _responses(operation: Operation) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(operation.status).phrase}
    if operation.answer is not None:
        content = _content(operation.answer, operation.answer_example)
        success["content"] = {"application/json": content}
    if operation.answer_headers:
        success["headers"] = {
            name: {"description": _HEADERS[name], "schema": {"type": "string"}}
            for name in operation.answer_headers
        }
    responses: dict[str, Any] = {str(operation.status): success}
    for status, meaning in operation.statuses.items():
        responses[str(status)] = {"description": meaning}
    # Said by the server before Serai sees a request, so they have no body.
    responses |= {"414": {"description": "The address is too long"}}
    responses |= {"431": {"description": "The head is larger than 64 KiB or has over 100 headers"}}
    by_status: dict[int, list[Code]] = {}
    for code in operation.codes:
        by_status.setdefault(code.kind.status, []).append(code)
    for status in sorted(by_status):
        responses[str(status)] = _problems(by_status[status])
    return responses


def _problems(codes: Sequence[Code]) -> dict[str, Any]:
    return {
        "description": "; ".join(f"`{code.text}`: {code.kind.title}" for code in codes),
        "x-serai-codes": [code.text for code in codes],
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": f"{_REFERENCE}{ProblemDocument.__name__}"},
                "examples": {code.text: {"value": problem_example(code)} for code in codes},
            }
        },
    }


def problem_example(code: Code) -> dict[str, Any]:
    """Return the problem document of a code as an example."""
    kind = code.kind
    return {
        "type": problem_type(code),
        "title": kind.title,
        "status": kind.status,
        "detail": kind.remedy,
        "code": code.text,
        "number": kind.number,
        "remedy": kind.remedy,
        "retry": kind.retry.value,
        "request_id": EXAMPLE_ID,
    }


def _tags(vertical: Vertical, operations: Sequence[Operation]) -> list[dict[str, str]]:
    known = {
        "sync": "What changed, and offline writes",
        "identity": "Sign in, stay signed in, keys for machines",
        "system": "The state of the server",
    }
    known.update({c.name: c.doc for c in vertical.collections})
    used = dict.fromkeys(operation.tag for operation in operations)
    return [{"name": name, "description": known[name]} for name in used]


def _schemas(vertical: Vertical, operations: Sequence[Operation]) -> dict[str, Any]:
    structs: dict[type[Struct], None] = {ProblemDocument: None}
    for operation in operations:
        for form in (operation.request, operation.answer):
            if form is not None and not isinstance(form, str):
                structs[form] = None
    _, components = msgspec.json.schema_components(
        tuple(structs), ref_template=_REFERENCE + "{name}"
    )
    for collection in vertical.collections:
        for name, schema in collection_schemas(collection).items():
            if name in components:
                raise ValueError(f"two schemas have the name {name}")
            components[name] = schema
    return dict(sorted(components.items()))
