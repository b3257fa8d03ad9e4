"""Guards on the documentation: complete, linked, and no command that nobody tried.

The reference is made from code at each build, so these look at what is made, not at files.
"""

from __future__ import annotations

import re

import pytest

from guards.fences import blocks, pages
from guards.tree import ROOT
from serai.app.runtime import load_vertical
from serai.app.settings import Settings, variable
from serai.cli import app
from serai.cli.reference import pages as reference_pages
from serai.core.errors import Code
from serai.http.app import listed_operations
from serai.telemetry.catalogue import CATALOGUE

VERTICAL = load_vertical(Settings().vertical)
REFERENCE = reference_pages(VERTICAL)
NAV = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
_FLAG_WITHOUT_MEANING = re.compile(r"^\* `[^`]+`:\s*(?:\*\[|\*\*\[|$)", re.MULTILINE)


def test_every_setting_is_in_the_reference() -> None:
    names = [variable(name) for name in Settings.__struct_fields__]
    assert [name for name in names if f"| `{name}` |" not in REFERENCE["settings.md"]] == []


def test_every_error_is_in_the_reference() -> None:
    missing = [
        c.text for c in Code if f"| `{c.text}` | {c.kind.number} |" not in REFERENCE["errors.md"]
    ]
    assert missing == []


def test_every_operation_is_in_the_reference() -> None:
    missing = [
        operation.id
        for operation in listed_operations(VERTICAL)
        if f"| `{operation.id}` | `{operation.method} {operation.path}` |"
        not in REFERENCE["operations.md"]
    ]
    assert missing == []


def test_every_command_is_in_the_reference_and_every_flag_says_what_it_is() -> None:
    commands = [name for name in app if not name.startswith("-")]
    page = REFERENCE["commands.md"]
    assert [name for name in commands if f"## serai {name}\n" not in page] == []
    assert _FLAG_WITHOUT_MEANING.findall(page) == []


def test_every_collection_and_role_is_in_the_reference() -> None:
    assert [c for c in VERTICAL.by_name if f"## {c}\n" not in REFERENCE["collections.md"]] == []
    assert [r for r in VERTICAL.roles if f"## {r}\n" not in REFERENCE["roles.md"]] == []


def test_every_metric_is_in_the_reference() -> None:
    assert [m.name for m in CATALOGUE if f"| `{m.name}` |" not in REFERENCE["metrics.md"]] == []


def test_every_page_of_the_reference_and_of_docs_is_in_the_navigation() -> None:
    folder = ROOT / "docs"
    written = [p.relative_to(folder).as_posix() for p in pages() if p.is_relative_to(folder)]
    wanted = [*written, *(f"reference/{name}" for name in REFERENCE)]
    assert [name for name in wanted if name not in NAV] == []


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.name)
def test_every_block_names_its_language_and_what_is_not_run_names_a_test(page) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        where = f"{page.name}:{block.line}"
        assert block.language, f"{where}: name the language; commands are `sh`"
        assert block.language not in ("console", "bash", "shell"), f"{where}: commands are `sh`"
        if block.note.startswith("shown by"):
            assert block.shown_by is not None, f"{where}: {block.note}"
            path, test = block.shown_by
            assert (ROOT / path).is_file(), f"{where}: there is no {path}"
            text = (ROOT / path).read_text(encoding="utf-8")
            assert f"def {test}" in text or not test, f"{where}: {path} has no {test}"


@pytest.mark.parametrize(
    "name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/index.md"]
)
def test_every_link_between_files_leads_somewhere(name: str) -> None:
    path = ROOT / name
    made = ("reference/", "project/", "decisions/index.md")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [
        link
        for link in links
        if not (path.parent / link).exists()
        and not (name == "docs/index.md" and link.startswith(made))
    ] == []
