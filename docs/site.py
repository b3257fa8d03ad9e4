"""What the site has beside the pages in this folder: pages from code, and files of the project.

Owns a hook of MkDocs. Promises that the reference, the list of decisions, the protocol and the
pages at the root of the project are in the site as they are now, and that none of it is a file that
somebody has to keep in step. Never changes a page that a person wrote.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from serai.app.runtime import load_vertical
from serai.app.settings import Settings
from serai.cli.reference import pages

ROOT = Path(__file__).resolve().parents[1]
COPIES = {
    "reference/protocol.md": "protocol/SPEC.md",
    "reference/outlet.md": "protocol/OUTLET.md",
    "project/architecture.md": "ARCHITECTURE.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/security.md": "SECURITY.md",
    "project/changelog.md": "CHANGELOG.md",
    "project/figures.md": "bench/README.md",
}
"""Page of the site -> file of the project."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made here; called by MkDocs when it has listed `docs/`."""
    for name, text in made().items():
        files.append(File.generated(config, name, content=text))
    return files


def made() -> dict[str, str]:
    """Return each page that is made at a build, by its path in the site."""
    vertical = load_vertical(Settings().vertical)
    found = {f"reference/{name}": text for name, text in pages(vertical).items()}
    found["decisions/index.md"] = decisions_page()
    for name, source in COPIES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        # A file one folder below the root reaches docs/ by `../docs/`, its page by `../`.
        found[name] = text.replace("](../docs/", "](../")
    return found


def decisions_page() -> str:
    """Return the list of decision records."""
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    lines = [f"- [{_title(record)}]({record.name})" for record in records]
    return (
        "# Decisions\n\n"
        "One page each: what was found, what was chosen, what was rejected and why. A record is "
        "superseded, never edited.\n\n" + "\n".join(lines) + "\n"
    )


def _title(record: Path) -> str:
    first = record.read_text(encoding="utf-8").partition("\n")[0]
    return re.sub(r"^(\d+)\. ", r"\1: ", first.removeprefix("# "))
