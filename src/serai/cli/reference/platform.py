"""Pages about the platform: commands, settings, errors, limits.

Owns how these lists are shown. Promises to leave nothing out. Never knows a vertical.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from typing import Final, cast

import msgspec

from serai.app.settings import Settings, describe, variable
from serai.cli.reference.markdown import code, codes, table
from serai.core import limits
from serai.core.errors import Code, Retry

_RETRY: Final = {
    Retry.NEVER: "the same again gives the same answer",
    Retry.LATER: "sends the same again, after `Retry-After` or with backoff",
    Retry.REFRESH: "gets a new access token, then sends the same again",
    Retry.REFETCH: "drops the since-token, keeps its queue, syncs from the start",
}
_AREAS: Final = {
    1: "Requests and writes",
    2: "Who asks",
    3: "Sync",
    4: "Try again later",
    5: "The server's fault",
}


def commands_page() -> str:
    """Return every command with its parameters, as `--help` shows them."""
    from serai.cli import app

    text = app.generate_docs(output_format="markdown", usage_name="serai")
    _, _, rest = text.partition("\n")
    return f"# Commands\n{rest}"


def settings_page() -> str:
    """Return every setting: variable, form, default, meaning."""
    properties = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]
    rows = [
        (code(variable(name)), _form(properties[name]), _default(properties[name]), describe(name))
        for name in Settings.__struct_fields__
    ]
    return (
        "# Settings\n\n"
        "Settings are variables of the environment. A flag of a command overrides its variable. A "
        "variable that begins with `SERAI_` and is no setting is refused, so that a mistyped name "
        "is not ignored. `serai settings` shows the values that hold.\n\n"
        + table(("variable", "form", "default", "meaning"), rows)
    )


def errors_page() -> str:
    """Return the catalogue of errors, by number."""
    text = (
        "# Errors\n\n"
        "An error is a problem document (RFC 9457, `application/problem+json`) with `code`, "
        "`number`, `title`, `detail`, `remedy`, `retry` and `request_id`. A code that was "
        "published keeps its number and its meaning. A running server shows the same list at "
        "`/docs/errors`.\n\n"
    )
    parts = [text]
    for area, title in _AREAS.items():
        kinds = [(each, each.kind) for each in Code if each.kind.number // 1000 == area]
        rows = [
            (code(c.text), k.number, k.status, k.title, k.remedy, k.retry.value)
            for c, k in sorted(kinds, key=lambda pair: pair[1].number)
        ]
        parts.append(f"## {title}\n\n")
        parts.append(table(("code", "number", "status", "what", "what to do", "retry"), rows))
    parts.append("## Retry\n\nWhat a client does without asking a person.\n\n")
    parts.append(table(("retry", "the client"), [(code(r.value), t) for r, t in _RETRY.items()]))
    return "".join(parts)


def limits_page() -> str:
    """Return every bound, with what its declaration says of it."""
    rows = [(code(name), f"{value:,}", meaning) for name, value, meaning in bounds()]
    return (
        "# Limits\n\n"
        "Every bound of Serai, from `serai.core.limits`. The unit is in the name. A setting may "
        "lower a bound for a deployment, never raise it.\n\n"
        + table(("bound", "value", "meaning"), rows)
    )


def bounds() -> list[tuple[str, int | float, str]]:
    """Return (name, value, meaning) of each bound; the meaning may be empty."""
    body = ast.parse(inspect.getsource(limits)).body
    found: list[tuple[str, int | float, str]] = []
    for statement, after in zip(body, [*body[1:], None], strict=True):
        match statement, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(doc))
            ):
                found.append((name, getattr(limits, name), doc))
            case ast.AnnAssign(target=ast.Name(id=name)), _:
                found.append((name, getattr(limits, name), ""))
            case _:
                pass
    return [line for line in found if line[0] not in ("KIB", "MIB")]


def _form(declared: Mapping[str, object]) -> str:
    words = {"string": "text", "integer": "integer", "number": "number", "array": "list"}
    match declared:
        case {"enum": _}:
            return f"one of {codes(cast('list[object]', declared['enum']))}"
        case {"anyOf": _}:
            inner = [_form(f) for f in cast("list[dict[str, object]]", declared["anyOf"])]
            return " or ".join(form for form in inner if form != "null")
        case {"type": "boolean"}:
            return "`true` or `false`"
        case {"minimum": low, "maximum": high}:
            return f"{words[str(declared['type'])]}, {low} to {high}"
        case {"minimum": low}:
            return f"{words[str(declared['type'])]}, at least {low}"
        case _:
            return words.get(str(declared.get("type")), str(declared.get("type")))


def _default(declared: Mapping[str, object]) -> str:
    value = declared.get("default", "")
    if isinstance(value, bool):
        return code(str(value).lower())
    return "none" if value in ("", [], None) else code(value)
