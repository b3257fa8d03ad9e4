"""The page of the API's operations.

Owns how the table of operations is shown. Promises that every operation of the OpenAPI document is
on it. Never repeats the forms of bodies: `/docs` and `/openapi.json` of a running server have them.
"""

from __future__ import annotations

from collections.abc import Iterable

from serai.cli.reference.markdown import code, codes, table
from serai.http.app import listed_operations
from serai.http.operations import Operation
from serai.http.table import collection_operations
from serai.model import Vertical

_HEAD = ("operation", "method and path", "what it does")


def operations_page(vertical: Vertical) -> str:
    """Return every operation, the platform's first."""
    names = {collection.name for collection in vertical.collections}
    found = listed_operations(vertical)
    tags = list(dict.fromkeys(o.tag for o in found if o.tag not in names))
    text = (
        "# Operations\n\n"
        "A running server shows all of them with the forms of bodies and examples at `/docs`, and "
        "as an OpenAPI 3.1 document at `/openapi.json`. Paths are compared as they are: a slash at "
        "the end is another path. What an error means: [errors](errors.md).\n\n"
    )
    parts = [text]
    for tag in tags:
        parts += [f"## {tag.capitalize()}\n\n", *_section([o for o in found if o.tag == tag])]
    parts.append(_rows_section(vertical))
    return "".join(parts)


def _section(operations: list[Operation]) -> Iterable[str]:
    yield table(_HEAD, map(_line, operations))
    for operation in operations:
        yield _details(operation, operation.id)


def _line(operation: Operation) -> tuple[str, str, str]:
    return (code(operation.id), code(f"{operation.method} {operation.path}"), operation.summary)


def _details(operation: Operation, title: str) -> str:
    text = f"### {title}\n\n"
    if operation.doc:
        text += f"{operation.doc}\n\n"
    facts = [
        ("credential", "an access token or an API key" if operation.signed_in else "none"),
        (
            "answers",
            f"{operation.status}" + "".join(f", {s}: {m}" for s, m in operation.statuses.items()),
        ),
        ("parameters", codes(p.name for p in operation.parameters) or "none"),
        ("errors", codes(c.text for c in operation.codes)),
    ]
    return text + table(("", ""), facts)


def _rows_section(vertical: Vertical) -> str:
    """Return the five operations that each collection has: the details once, the names of all."""
    first = vertical.collections[0]
    text = (
        "## Rows of a collection\n\n"
        f"Each collection of the vertical has the same five operations. For {code(first.name)}:\n\n"
    )
    parts = [text]
    for operation in collection_operations(first):
        filters = [p for p in operation.parameters if p.where == "query"]
        shown = _details(operation, f"{operation.method} {operation.path}")
        if filters:
            shown = shown.replace(
                codes(p.name for p in operation.parameters),
                "`order`, `limit`, `cursor`, and for each field `field` (equal to), "
                "`field[lt]`, `field[le]`, `field[gt]`, `field[ge]`, `field[ne]`, `field[null]` "
                "where its kind has them",
            )
        parts.append(shown)
    parts.append("## All collections\n\n")
    for collection in vertical.collections:
        parts.append(f"### {collection.name}\n\n{collection.doc}.\n\n")
        parts.append(table(_HEAD, map(_line, collection_operations(collection))))
    return "".join(parts)
