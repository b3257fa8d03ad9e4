"""The reference: pages made from the code that they are about.

Owns which pages there are. Promises that what a page lists is read from where the program reads it
(settings, errors, limits, commands, operations, metrics, the vertical), so that no page can say
something else; the site makes them at each build and they are never checked in. Never holds prose
that a person should write: that is in `docs/`.

Rejected: pages that are checked in beside a test that compares them. Each change of a setting would
have to carry its page along, and changes that are made side by side would meet there.
"""

from __future__ import annotations

from pathlib import Path

from serai.app.runtime import load_vertical
from serai.app.settings import load_settings
from serai.cli.reference.declared import collections_page, roles_page
from serai.cli.reference.operations import operations_page
from serai.cli.reference.platform import commands_page, errors_page, limits_page, settings_page
from serai.cli.run import console
from serai.model import Vertical
from serai.telemetry.reference import metrics_page


def pages(vertical: Vertical) -> dict[str, str]:
    """Return the name of each page's file and its text, in Markdown."""
    return {
        "commands.md": commands_page(),
        "settings.md": settings_page(),
        "errors.md": errors_page(),
        "limits.md": limits_page(),
        "operations.md": operations_page(vertical),
        "collections.md": collections_page(vertical),
        "roles.md": roles_page(vertical),
        "metrics.md": metrics_page(),
    }


def reference(folder: Path) -> int:
    """Write the reference as Markdown, for the vertical that SERAI_VERTICAL names.

    Parameters
    ----------
    folder
        Where to write; made if it is not there. Pages of the same names are replaced.
    """
    vertical = load_vertical(load_settings().vertical)
    folder.mkdir(parents=True, exist_ok=True)
    made = pages(vertical)
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    console.print(f"{len(made)} pages in {folder}")
    return 0
