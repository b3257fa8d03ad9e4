"""Tables of Markdown.

Owns the spelling of a table. Promises that a text which holds a bar or a line break stays in its
cell. Never decides what is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; ends with an empty line."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines) + "\n"


def code(text: object) -> str:
    """Return the text as code; nothing for an empty one."""
    return f"`{text}`" if f"{text}" else ""


def codes(texts: Iterable[object]) -> str:
    """Return the texts as code, with commas."""
    return ", ".join(code(text) for text in texts)


def _cell(text: object) -> str:
    return " ".join(f"{text}".split()).replace("|", "\\|")
