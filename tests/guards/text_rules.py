"""The rules for SQL and for text of any kind.

Owns two promises: a statement on an organisation's table names the organisation (invariant I5), and
no file of the project holds an address that exists on one machine only. Heuristics on text, on
purpose: a rule that is wrong once a year costs one comment, a statement without its tenant costs a
customer.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from guards.tree import Finding

_NOISE = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | '(?:[^']|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$""",
    re.DOTALL | re.VERBOSE,
)
_TABLE = re.compile(
    r"""\b(?:
        (?:insert\s+into|merge\s+into|update|truncate|copy|lock\s+table)\s+(?:only\s+)?(?!of\b|set\b|skip\b|nowait\b)
        (?P<target>(?>[a-z_{][\w.{}]*))
      | (?:(?<!distinct\s)from|join|using)\s+(?:only\s+|lateral\s+)*(?!select\b|values\b)
        (?P<source>(?>[a-z_{][\w.{}]*))(?!\s*\()   # followed by a bracket it is a function
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_CTE = re.compile(
    r"\b([a-z_]\w*)\s*(?:\([^()]*\)\s*)?as\s+(?:not\s+)?(?:materialized\s+)?\(", re.IGNORECASE
)
_SHARED = re.compile(r"^(serai_directory\.|pg_|information_schema\.|excluded$)", re.IGNORECASE)
_EXEMPT = re.compile(r"--\s*no org_id:\s*\S.{7,}")
_SQL_IN_PYTHON = re.compile(
    r"\s*(SELECT\b.*\bFROM\b|INSERT\s+INTO\b|UPDATE\s+\S+\s+SET\b|DELETE\s+FROM\b|WITH\s+\w+\s+AS\b)",
    re.DOTALL,
)


def statements(text: str) -> list[tuple[int, str, str]]:
    """Split a .sql file: (line, statement, the same without comments and literals)."""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found[0])

    bare = _NOISE.sub(blank, text)
    found: list[tuple[int, str, str]] = []
    start = 0
    for end in [m.start() for m in re.finditer(";", bare)] + [len(bare)]:
        if bare[start:end].strip():
            first = start + len(bare[start:end]) - len(bare[start:end].lstrip())
            found.append((text.count("\n", 0, first) + 1, text[start:end], bare[start:end]))
        start = end + 1
    return found


def tenantless_statements(path: Path) -> list[Finding]:
    """Statements that touch a table of organisations and do not name the organisation.

    Shared tables are those of the directory and of PostgreSQL itself. A statement that must see all
    organisations of a shard says so: `-- no org_id: reason`.
    """
    message = (
        "a statement on an organisation's table carries org_id; if it must see every organisation, "
        "write `-- no org_id: reason` in it"
    )
    findings: list[Finding] = []
    for line, full, bare in statements(path.read_text(encoding="utf-8")):
        own = {name.lower() for name in _CTE.findall(bare)}
        named = {(m["target"] or m["source"]).lower() for m in _TABLE.finditer(bare)} - own
        tables = sorted(t for t in named if not _SHARED.match(t))
        if tables and not re.search(r"\borg_ids?\b", bare) and not _EXEMPT.search(full):
            findings.append(Finding(path, line, f"{', '.join(tables)}: {message}"))
    return findings


def sql_in_python(path: Path) -> list[Finding]:
    """A statement in a string, where the guard above cannot see it and a reader does not look."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    message = "move the statement to a .sql file beside this module, or write `# SQL here: reason`"
    findings: list[Finding] = []
    for line, value in _strings(ast.parse(text, filename=str(path))):
        near = lines[max(0, line - 2) : line]
        if _SQL_IN_PYTHON.match(value) and not any("# SQL here:" in comment for comment in near):
            findings.append(Finding(path, line, message))
    return findings


def _strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Each string with its line; what an f-string puts in is shown as `{}`."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(value)):
                yield node.lineno, value
            case ast.JoinedStr(values=parts) if len(parts) > 1:
                # The parts are constants too; only the first can look like a whole statement.
                texts = [str(p.value) if isinstance(p, ast.Constant) else "{}" for p in parts]
                if not _SQL_IN_PYTHON.match(texts[0]):
                    yield node.lineno, "".join(texts)
            case _:
                pass


# Put together from halves, so that this file does not break its own rule.
_HOSTS = tuple(
    f"{name}.{top}"
    for name, top in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("crates", "io"),
        ("proxy.golang", "org"),
        ("rubygems", "org"),
    )
)
_LOCAL = re.compile(rf"(?<![\w.-])/{'work'}/|\.\./{'shared'}\b|/tmp/{'spike'}\b")
_EMOJI = re.compile("[\U0001f000-\U0001faff\ufe0f]")


def unwelcome_text(path: Path) -> list[Finding]:
    """Addresses of package registries, paths of one machine, pictures in prose."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []  # an image
    findings: list[Finding] = []
    for number, line in enumerate(text.splitlines(), start=1):
        for host in _HOSTS:
            if host in line.lower():
                message = (
                    f"{host}: leave out where packages come from; every place has its own mirror"
                )
                findings.append(Finding(path, number, message))
        if _LOCAL.search(line):
            message = (
                "a path of one machine: name it relative to this repository, or take a setting"
            )
            findings.append(Finding(path, number, message))
        if _EMOJI.search(line):
            findings.append(Finding(path, number, "an emoji: say it in words"))
    return findings
