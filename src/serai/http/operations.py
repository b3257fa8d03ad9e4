"""Operations: one table that is the routes, the document and the list of problems.

Owns what an operation is. Promises that a route which exists is in the document, since both are
made of the same entry, and that paths do not collide (`Routes` checks it). Never handles a request
itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from msgspec import Struct

from serai.core.errors import Code, SeraiError
from serai.http.asgi import Reply, Request
from serai.http.services import HttpServices

Handler = Callable[[Request, HttpServices, str], Awaitable[Reply]]
"""Takes the last segment of the path where the operation has one in it, else an empty text."""
Method = Literal["GET", "POST", "PATCH", "DELETE"]
Form = type[Struct] | str | None
"""A struct of the wire, or the name of a schema that the document makes from the declaration."""
Schema = dict[str, Any]

ALWAYS: Final = (Code.QUERY_INVALID, Code.HEADER_INVALID, Code.DEADLINE, Code.INTERNAL)
SIGNED_IN: Final = (
    Code.UNAUTHENTICATED,
    Code.ACCESS_EXPIRED,
    Code.FORBIDDEN,
    Code.OVERLOADED,
    Code.UNAVAILABLE,
)
BODY: Final = (
    Code.BODY_TOO_LARGE,
    Code.BODY_INVALID,
    Code.BODY_TOO_DEEP,
    Code.BODY_STALLED,
    Code.MEDIA_TYPE,
    Code.ENCODING,
    Code.OVERLOADED,
)
NO_BODY: Final = (Code.BODY_INVALID, Code.BODY_STALLED, Code.ENCODING)
"""Of an operation that takes none, to who sends one."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query or a header."""

    name: str
    doc: str
    schema: Schema
    where: Literal["query", "header"] = "query"
    required: bool = False
    example: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path.

    Attributes:
        id: `operationId`.
        path: with `{id}` as its last segment, or without.
        problems: codes it may answer beside those that every operation has.
        request: form of the body, None if it has none.
        answer: form of the answer, None for an empty one or another media type.
        answer_example: of the answer.
        statuses: further statuses without a body, with their meaning.
        signed_in: needs a credential.
        listed: stands in the document.
    """

    id: str
    method: Method
    path: str
    tag: str
    summary: str
    handler: Handler
    doc: str = ""
    status: int = 200
    request: Form = None
    answer: Form = None
    request_example: object = None
    answer_example: object = None
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[Code, ...] = ()
    statuses: Mapping[int, str] = field(default_factory=dict[int, str])
    answer_headers: tuple[str, ...] = ()
    signed_in: bool = True
    listed: bool = True

    @property
    def codes(self) -> tuple[Code, ...]:
        """Every code it may answer, by number."""
        found = {*ALWAYS, *self.problems}
        found.update(SIGNED_IN if self.signed_in else ())
        found.update(BODY if self.request is not None else ())
        return tuple(sorted(found, key=lambda code: code.kind.number))


class Routes:
    """The operations by path.

    Args:
        operations: all of them; ValueError for two of one method and path.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = tuple(operations)
        self._exact: dict[str, dict[str, Operation]] = {}
        self._under: dict[str, dict[str, Operation]] = {}
        for operation in self.operations:
            path = operation.path
            inside = path.endswith("/{id}")
            table = self._under if inside else self._exact
            methods = table.setdefault(path.removesuffix("/{id}"), {})
            if operation.method in methods:
                raise ValueError(f"two operations are {operation.method} {path}")
            methods[operation.method] = operation

    def find(self, method: str, path: str) -> tuple[Operation, str]:
        """Return the operation and the last segment of the path if that is a parameter.

        Paths are compared as they are: `//`, `/../` and a slash at the end are other paths.

        Raises:
            SeraiError: `not_found`, `method`.
        """
        methods, last = self._exact.get(path), ""
        if methods is None:
            parent, _, last = path.rpartition("/")
            methods = self._under.get(parent) if last else None
        if methods is None:
            raise SeraiError(Code.NOT_FOUND)
        operation = methods.get(method)
        if operation is None:
            raise SeraiError(Code.METHOD, extra={"allow": allowed(methods)})
        return operation, last


def allowed(methods: Iterable[str]) -> str:
    """Return the value of `Allow`: what is there, and what works everywhere."""
    names = {*methods, "OPTIONS"}
    return ", ".join(sorted(names | {"HEAD"} if "GET" in names else names))
