"""Fenced blocks of the documentation: which there are, and which of them are run.

Owns how a page is read. A block of `sh` is typed into a terminal; the `text` block that follows it
is what it prints. A block of another language with a `title` is a file. A comment above a block may
say `<!-- stays -->` (the command goes on running while the page goes on), `<!-- fails -->` (it ends
with another status than 0) or `<!-- shown by: tests/x.py::test_y -->` (it is not run here, and that
test shows that it works). Never runs anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from textwrap import dedent

from guards.tree import ROOT

_FENCE = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*?) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>\w*)(?: +title=\"(?P<title>[^\"\n]+)\")?[^\n]*\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_SHOWN_BY = re.compile(r"shown by: (?P<path>[\w./-]+)(?:::(?P<test>\w+))?")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `line`: of its first fence; `output`: of the `text` block after it."""

    line: int
    language: str
    title: str
    note: str
    text: str
    output: str | None

    @property
    def shown_by(self) -> tuple[str, str] | None:
        """(file, test) that show what is not run; the test may be empty."""
        found = _SHOWN_BY.fullmatch(self.note)
        return None if found is None else (found["path"], found["test"] or "")


def pages() -> list[Path]:
    """Return the pages that people wrote: README and `docs/`, without the decisions."""
    written = sorted((ROOT / "docs").rglob("*.md"))
    return [ROOT / "README.md", *(p for p in written if p.parent.name != "decisions")]


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page, in order; outputs are with their commands."""
    found: list[Block] = []
    matches = list(_FENCE.finditer(page))
    for match, after in zip_longest(matches, matches[1:]):
        assert match is not None, "the second list is the shorter one"
        printed = (
            match["language"] == "sh"
            and after is not None
            and (after["language"], after["title"]) == ("text", None)
        )
        start = match.start("indent")
        found.append(
            Block(
                line=page.count("\n", 0, start) + 1,
                language=match["language"],
                title=match["title"] or "",
                note=match["note"] or "",
                text=dedent(match["text"]),
                output=dedent(after["text"]) if printed and after is not None else None,
            )
        )
    return found
