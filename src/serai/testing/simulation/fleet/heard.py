"""What a transfer changes past the write path, as the record hears of it.

Owns the reading: the log says which versions were written, the rows what they say. Promises that it
is told in the step that commits it. Never judges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from serai.adapters.memory.store import Organisation
from serai.model.rules import Op
from serai.ports.store import Outcome, PlannedWrite, RowOp
from serai.testing.simulation.fleet.server import FleetServer
from serai.testing.simulation.fleet.standbys import Database
from serai.testing.simulation.history import History


class Heard:
    """Tells the record what a transfer changed in a database."""

    def __init__(
        self, server: FleetServer, books: Mapping[int, History], database: Database
    ) -> None:
        """Keep the parts. `books`: the record of each organisation."""
        self._server, self._books, self._database = server, books, database

    def took(self, writes: Sequence[PlannedWrite], outcomes: Sequence[Outcome]) -> None:
        """Hear of writes through the write path."""
        self._server.took(self._database, writes, outcomes)

    def arrived(self, org_id: int, scope: UUID, before: int) -> None:
        """Hear that a property has arrived, after a version."""
        org = self._database.store.organisations[org_id]
        self._books[org_id].arrive(scope, written_since(org, before))
        self._server.databases.arrived(org_id, scope)


def written_since(org: Organisation, version: int) -> dict[int, list[RowOp]]:
    """Return what was written past the write path: version -> changes, by log and rows."""
    found: dict[int, list[RowOp]] = {}
    for entry in org.log:
        if entry.version > version:
            row = org.rows.get((entry.collection, entry.id))
            op: Op = "delete"
            if row is not None:
                op = "insert" if row.created_version == entry.version else "update"
            doc = "" if row is None else row.doc
            made = RowOp(op, entry.collection, entry.id, entry.scope, doc)
            found.setdefault(entry.version, []).append(made)
    return found
