"""The pages at `/docs`: the document and the errors, for people.

Owns HTML that is made from the OpenAPI document and the catalogue, once, at the start. Promises
that it needs no script and loads nothing but its own style sheet. Rejected: the well-known
viewers. Their wheels either bring a web framework along or are years old, they are megabytes of
script, and they want a policy that lets scripts and styles run inline. Never shows anything of an
organisation.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from typing import Any, Final

from serai.core.errors import Code

STYLE: Final = """:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; } h3 { font-size: 1rem; }
code, pre { font: 0.875rem/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid #8886; border-radius: 4px; }
details { border: 1px solid #8886; border-radius: 4px; margin: 0.5rem 0; padding: 0 0.75rem; }
details[open] { padding-bottom: 0.75rem; }
summary { cursor: pointer; padding: 0.5rem 0; }
summary b { display: inline-block; min-width: 4.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.5rem; border-top: 1px solid #8886;
} nav a { margin-right: 0.75rem; white-space: nowrap; }
:target { outline: 2px solid #c60; outline-offset: 0.25rem; }
"""
_METHODS: Final = ("get", "post", "patch", "delete")
_REFERENCE: Final = "#/components/schemas/"


def operations_page(document: dict[str, Any]) -> str:
    """Return the page of the operations, by tag."""
    by_tag: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    for path, entry in document["paths"].items():
        for method in _METHODS:
            if method in entry:
                operation = entry[method]
                shared = entry.get("parameters", [])
                text = _operation(document, path, method, operation, shared)
                by_tag[operation["tags"][0]].append(text)
    parts = [f"<p>{_prose(paragraph)}</p>" for paragraph in _paragraphs(document)]
    parts.append('<p><a href="/openapi.json">OpenAPI document</a>')
    parts.append('<a href="/docs/errors">All errors</a></p><nav>')
    parts += [f'<a href="#{tag}">{_text(tag)}</a>' for tag in by_tag]
    parts.append("</nav>")
    for tag in document["tags"]:
        name = tag["name"]
        parts.append(f'<h2 id="{name}">{_text(name)}</h2><p>{_prose(tag["description"])}</p>')
        parts += by_tag[name]
    return _page(document["info"]["title"], parts)


def errors_page() -> str:
    """Return the page of the catalogue, a section for each code."""
    rows = [
        f'<tr id="{code.text}"><td>{code.kind.number}</td><td>{code.kind.status}</td>'
        f"<td><code>{code.text}</code><br>{_prose(code.kind.title)}</td>"
        f"<td>{_prose(code.kind.remedy)}</td><td>{code.kind.retry.value}</td></tr>"
        for code in Code
    ]
    head = "<tr><th>Number</th><th>Status</th><th>Code</th><th>What to do</th><th>Retry</th></tr>"
    return _page(
        "Errors",
        [
            "<p>Every error is a problem (RFC 9457); its <code>type</code> leads here.</p>",
            f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>",
            '<p><a href="/docs">Operations</a></p>',
        ],
    )


def _page(title: str, parts: list[str]) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{_text(title)}</title><link rel="stylesheet" href="/docs/style.css"></head>'
        f"<body><h1>{_text(title)}</h1>{''.join(parts)}</body></html>\n"
    )


def _paragraphs(document: dict[str, Any]) -> list[str]:
    return document["info"]["description"].split("\n\n")


def _operation(
    document: dict[str, Any],
    path: str,
    method: str,
    operation: dict[str, Any],
    shared: list[dict[str, Any]],
) -> str:
    title = f"<b>{method.upper()}</b><code>{_text(path)}</code> {_text(operation['summary'])}"
    parts = [f'<details id="{operation["operationId"]}"><summary>{title}</summary>']
    if "description" in operation:
        parts.append(f"<p>{_prose(operation['description'])}</p>")
    parts.append(f"<pre>{_text(_command(path, method, operation))}</pre>")
    parameters = [*shared, *operation.get("parameters", [])]
    if parameters:
        parts.append(_parameters(parameters))
    if "requestBody" in operation:
        parts.append("<h3>Body</h3>")
        parts.append(_content(document, operation["requestBody"]["content"]))
    parts.append("<h3>Answers</h3>")
    parts += [
        _answer(document, status, answer) for status, answer in operation["responses"].items()
    ]
    return "".join(parts) + "</details>"


def _command(path: str, method: str, operation: dict[str, Any]) -> str:
    """Return the operation as a command for a shell."""
    lines = [f"curl -X {method.upper()} $SERAI{path.replace('{id}', '$ID')}"]
    if operation.get("security") != []:
        lines.append("-H 'Authorization: Bearer '$TOKEN")
    lines += [
        f"-H '{parameter['name']}: {parameter['example']}'"
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "header" and parameter.get("required")
    ]
    if "requestBody" in operation:
        example = operation["requestBody"]["content"]["application/json"]["example"]
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d '{json.dumps(example)}'")
    return " \\\n  ".join(lines)


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = [
        f"<tr><td><code>{_text(p['name'])}</code></td><td>{p['in']}</td>"
        f"<td><code>{_text(_kind(p['schema']))}</code></td>"
        f"<td>{'required. ' if p.get('required') else ''}"
        f"{_prose(p.get('description', ''))}</td></tr>"
        for p in parameters
    ]
    return f"<h3>Parameters</h3><table><tbody>{''.join(rows)}</tbody></table>"


def _content(document: dict[str, Any], content: dict[str, Any]) -> str:
    body = content["application/json"]
    schema = _resolved(document, body["schema"])
    parts = [f"<p>{_prose(schema.get('description', ''))}</p><table><tbody>"]
    required = schema.get("required", [])
    for name, member in schema.get("properties", {}).items():
        note = "required. " if name in required else ""
        parts.append(
            f"<tr><td><code>{_text(name)}</code></td>"
            f"<td><code>{_text(_kind(member))}</code></td>"
            f"<td>{note}{_prose(member.get('description', ''))}</td></tr>"
        )
    parts.append("</tbody></table>")
    if "example" in body:
        parts.append(f"<pre>{_text(json.dumps(body['example'], indent=2))}</pre>")
    return "".join(parts)


def _answer(document: dict[str, Any], status: str, answer: dict[str, Any]) -> str:
    codes = answer.get("x-serai-codes")
    if codes:
        links = ", ".join(f'<a href="/docs/errors#{c}"><code>{c}</code></a>' for c in codes)
        return f"<p><b>{status}</b> {links}</p>"
    text = f"<p><b>{status}</b> {_prose(answer['description'])}</p>"
    return text + (_content(document, answer["content"]) if "content" in answer else "")


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").removeprefix(_REFERENCE)
    return document["components"]["schemas"][name] if name else schema


def _kind(schema: dict[str, Any]) -> str:
    """Return a schema in a few words."""
    return " ".join(_words(schema))


def _words(schema: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        yield schema["$ref"].removeprefix(_REFERENCE)
    for alternative in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield _kind(alternative)
    kind = schema.get("type")
    if kind is not None:
        yield kind if isinstance(kind, str) else "/".join(map(str, kind))
    if kind == "array":
        yield f"of {_kind(schema.get('items', {}))}"
    if "format" in schema:
        yield schema["format"]
    if "enum" in schema:
        yield "|".join(str(value) for value in schema["enum"])
    if "minimum" in schema or "maximum" in schema:
        yield f"{schema.get('minimum', '')}..{schema.get('maximum', '')}"
    if "maxLength" in schema:
        yield f"{schema.get('minLength', 0)}..{schema['maxLength']} characters"


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _prose(text: str) -> str:
    """Return prose with `code` marked."""
    pieces = _text(text).split("`")
    marked = [f"<code>{p}</code>" if n % 2 else p for n, p in enumerate(pieces)]
    return "".join(marked)
