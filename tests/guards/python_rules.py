"""The rules for Python files that ruff and basedpyright do not have.

Owns the hard house numbers (length of a function and of a file), module docstrings, reasons on
suppressions, and what a test may not do. Each rule takes one file and returns findings; it never
fixes anything.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from guards.tree import Finding

FUNCTION_LINES_SOFT, FUNCTION_LINES_HARD = 40, 70
FILE_LINES_SOFT, FILE_LINES_HARD = 300, 500
DOCSTRING_CHARS_MIN = 120
"""Three short lines: what the module owns, what it promises, what it never does."""

_SUPPRESSION = re.compile(r"#\s*(noqa|pyright:\s*ignore|ruff:\s*noqa)(?P<rest>.*)", re.IGNORECASE)
_NAMED_WITH_REASON = re.compile(
    r"^(:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*|\[[A-Za-z, ]+\])\s+[-(]\s*\S.{7,}"
)
_BROAD = {"Exception", "BaseException"}
_SKIPS = {"skip", "skipif", "xfail", "importorskip", "skipTest"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _parse(path: Path) -> tuple[str, ast.Module]:
    text = path.read_text(encoding="utf-8")
    return text, ast.parse(text, filename=str(path))


def _comments(text: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {t.start[0]: t.string for t in tokens if t.type == tokenize.COMMENT}


def function_lengths(path: Path) -> Iterator[tuple[Function, int]]:
    """Each function with its lines, the docstring not counted: explaining is free."""
    for node in ast.walk(_parse(path)[1]):
        if isinstance(node, Function):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            first = node.body[0]
            if ast.get_docstring(node, clean=False) is not None and first.end_lineno is not None:
                length -= first.end_lineno - first.lineno + 1
            yield node, length


def long_functions(path: Path) -> list[Finding]:
    """Functions over the hard limit."""
    return [
        Finding(
            path,
            node.lineno,
            f"{node.name} has {length} lines, the limit is {FUNCTION_LINES_HARD}: "
            "give a part of it a name of its own",
        )
        for node, length in function_lengths(path)
        if length > FUNCTION_LINES_HARD
    ]


def long_file(path: Path) -> list[Finding]:
    """A file over the hard limit, in any language."""
    count = len(path.read_text(encoding="utf-8").splitlines())
    if count <= FILE_LINES_HARD:
        return []
    advice = "split it where its docstring says 'and'"
    return [Finding(path, 1, f"{count} lines, the limit is {FILE_LINES_HARD}: {advice}")]


def thin_docstring(path: Path) -> list[Finding]:
    """A module that does not say what it owns, promises and never does."""
    text, tree = _parse(path)
    doc = ast.get_docstring(tree) or ""
    if not text.strip() or len(doc) >= DOCSTRING_CHARS_MIN:
        return []
    advice = (
        "say what the module owns, what it promises and what it never does (three lines or more)"
    )
    return [Finding(path, 1, f"module docstring of {len(doc)} characters: {advice}")]


def unexplained_suppressions(path: Path) -> list[Finding]:
    """A suppressed check without the rule's name and a reason; `type: ignore` in any form."""
    findings: list[Finding] = []
    for line, comment in _comments(path.read_text(encoding="utf-8")).items():
        if re.search(r"#\s*type:\s*ignore", comment):
            message = (
                "`type: ignore`: mend the types, or wrap the untyped library in a typed module"
            )
            findings.append(Finding(path, line, message))
        found = _SUPPRESSION.search(comment)
        if found and not _NAMED_WITH_REASON.match(found["rest"]):
            message = "write `# noqa: RULE - reason` or `# pyright: ignore[rule] - reason`"
            findings.append(Finding(path, line, message))
    return findings


def silent_excepts(path: Path) -> list[Finding]:
    """An exception that is dropped without a comment that says why that is right."""
    text, tree = _parse(path)
    comments = _comments(text)
    findings: list[Finding] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and _only_passes(node.body):
            first, last = node.lineno, node.end_lineno or node.lineno
        elif isinstance(node, ast.Call) and _suppresses_all(node):
            first, last = node.lineno - 1, node.lineno
        else:
            continue
        if not any(line in comments for line in range(first, last + 1)):
            message = "the error vanishes: handle it, let it rise, or say in a comment why it may"
            findings.append(Finding(path, node.lineno, message))
    return findings


def _only_passes(body: list[ast.stmt]) -> bool:
    return all(
        isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        for s in body
    )


def _suppresses_all(call: ast.Call) -> bool:
    return _name(call.func) == "suppress" and any(_name(a) in _BROAD for a in call.args)


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def skipped_tests(path: Path) -> list[Finding]:
    """A test that is not run, on any machine, for any reason."""
    message = "a skipped test is no test: mend it, or remove it with the feature"
    return [
        Finding(path, node.lineno, message)
        for node in ast.walk(_parse(path)[1])
        if isinstance(node, ast.Attribute)
        and node.attr in _SKIPS
        and _name(node.value) in {"pytest", "mark", "unittest", "self"}
    ]


def sleeping_tests(path: Path) -> list[Finding]:
    """A test that waits a fixed time: too short on a busy machine, too long on every other."""
    message = "wait for the event itself, with a deadline; sleep(0) may yield"
    return [
        Finding(path, node.lineno, message)
        for node in ast.walk(_parse(path)[1])
        if isinstance(node, ast.Call)
        and _name(node.func) == "sleep"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and node.args[0].value != 0
    ]
