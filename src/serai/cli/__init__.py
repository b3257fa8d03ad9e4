"""The command line: `serai dev | serve | live | watch | migrate | shard | org | user | report |
outlet | keys | import | doctor | demo | bench | settings | reference`.

Owns how people start Serai and what they read. Promises that every command has `--json` where it
reports something, says what to do when it fails, and ends with a status that tells. Never holds
logic: commands call `serai.app`.
"""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import App, Parameter

from serai import __version__

app = App(
    name="serai",
    help="Serai: the backend that hospitality software runs on.",
    version=__version__,
    version_flags=["--version"],
)
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON instead of text.")]

app.command(
    "serai.cli.dev:dev",
    name="dev",
    help="Everything on one laptop: PostgreSQL, the schema, the API.",
)
app.command(
    "serai.cli.serve:serve", name="serve", help="Serve the API over a directory that exists."
)
app.command("serai.cli.live:live", name="live", help="Push changes to open sockets as they commit.")
app.command(
    "serai.cli.watch:watch", name="watch", help="Print an organisation's changes as they commit."
)
app.command(
    "serai.cli.fleet:migrate",
    name="migrate",
    help="Bring every database up to this release's schema.",
)
app.command(
    "serai.cli.shard:app", name="shard", help="Shards: list, add, open, close, move, drain, check."
)
app.command(
    "serai.cli.org:app", name="org", help="Organisations: create, list, where, move, verify, audit."
)
app.command(
    "serai.cli.org:user_app",
    name="user",
    help="People: create, add to an organisation, password, sign out.",
)
app.command(
    "serai.cli.report:report", name="report", help="Count and sum a collection over all shards."
)
app.command(
    "serai.cli.outlet:app",
    name="outlet",
    help="Copy changes to NATS or Kafka; status, rewind, off.",
)
app.command("serai.cli.keys:app", name="keys", help="Keys that sign access tokens: list, rotate.")
app.command("serai.cli.importing:app", name="import", help="Import a file into an organisation.")
app.command(
    "serai.cli.doctor:app",
    name="doctor",
    help="Explain an installation, a device, a token, a device's file.",
)
app.command("serai.cli.demo:demo", name="demo", help="Real data, two phones, and what to try next.")
app.command(
    "serai.cli.bench:app", name="bench", help="Measure the published figures on this machine."
)
app.command("serai.cli.fleet:settings", name="settings", help="Show every setting.")
app.command(
    "serai.cli.reference:reference",
    name="reference",
    help="Write the reference of this release and its vertical as Markdown.",
)


def main() -> None:
    """Run the command named on the command line."""
    from serai.cli.run import guarded

    sys.exit(guarded(app))
