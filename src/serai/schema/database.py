"""One database: connect, lock, apply what is missing, write it down.

Owns the migrator's connection and the bookkeeping in the schema `serai_schema` of each database.
Promises that a file and its record are one transaction (or that the file is idempotent), that two
migrators never work on one database at once, and that a migration never queues behind a long query
for more than `lock_timeout_seconds`: everything that arrives after a waiting ALTER TABLE waits too,
so it gives up and tries again.

Two kinds may share a database (a laptop has one for both): records are by kind.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow

from serai.schema.errors import (
    ChangedFileError,
    LateFileError,
    LockedError,
    PreMissingError,
    StatementFailedError,
)
from serai.schema.files import FileSet, Kind, MigrationFile, Step, statements
from serai.shard.queries import load_queries

Conn = psycopg.AsyncConnection[TupleRow]

LOCK_KEY: Final = 0x5E_4A_1D_B0
"""Of the advisory lock that a migrator holds; advisory locks are per database."""
_LOCK_POLL_SECONDS: Final = 0.1
_RETRY_SECONDS_MAX: Final = 2.0

SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.schema", "bookkeeping.sql").items()
}


class BusyError(Exception):
    """The lock is taken: give up this attempt and try again."""


RETRIED: Final = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    BusyError,
)


@dataclass(frozen=True, slots=True)
class Options:
    """Bounds of a migration.

    Attributes:
        connect_seconds: to connect.
        wait_seconds: to wait for another migrator of the same database.
        lock_timeout_seconds: a statement waits for a lock this long, and everybody behind it as
        well.
        lock_attempts: how often a file is tried before it fails on a lock.
    """

    connect_seconds: int = 10
    wait_seconds: float = 600.0
    lock_timeout_seconds: float = 2.0
    lock_attempts: int = 30


@dataclass(frozen=True, slots=True)
class SchemaState:
    """What a database says of itself; 0 and 0 for one that was never migrated."""

    version: int
    compat: int


@asynccontextmanager
async def connected(url: str, options: Options) -> AsyncGenerator[Conn]:
    """Connect for administration: autocommit, no statement timeout.

    The server ends a statement within seconds of the migrator's death, so the next one need not
    wait for it.
    """
    conn = await psycopg.AsyncConnection.connect(
        url, autocommit=True, prepare_threshold=None, connect_timeout=options.connect_seconds
    )
    async with conn:
        await conn.execute(SQL["settings"])
        yield conn


async def locked(conn: Conn, wait_seconds: float, on_wait: Callable[[], None]) -> None:
    """Take the migrator's lock for the rest of the session.

    Raises:
        LockedError: another migrator held it all the time.
    """
    # Asked again and again, not waited for: a session that waits holds a snapshot, and CREATE INDEX
    # CONCURRENTLY of the migrator that holds the lock waits for every older snapshot. The two would
    # be a deadlock.
    started = time.monotonic()
    while not await value(conn, SQL["try_lock"], {"key": LOCK_KEY}):
        waited = time.monotonic() - started
        if waited >= wait_seconds:
            holder = await value(conn, SQL["lock_holder"], {"key": LOCK_KEY})
            raise LockedError(round(waited, 1), str(holder or "it has just ended"))
        on_wait()
        await asyncio.sleep(_LOCK_POLL_SECONDS)


async def value(conn: Conn, query: bytes, arguments: dict[str, object] | None = None) -> Any:
    """Return the first column of the first row, None if there is none."""
    row = await (await conn.execute(query, arguments)).fetchone()
    return None if row is None else row[0]


async def ensure_bookkeeping(conn: Conn) -> None:
    """Make the tables that the migrator keeps its records in."""
    if not await value(conn, SQL["exists"]):
        async with conn.transaction():
            await conn.execute(SQL["create"])


async def read_state(conn: Conn, kind: Kind) -> SchemaState:
    """Return the versions of a database."""
    if not await value(conn, SQL["exists"]):
        return SchemaState(0, 0)
    row = await (await conn.execute(SQL["state"], {"kind": kind})).fetchone()
    return SchemaState(0, 0) if row is None else SchemaState(row[0], row[1])


async def read_applied(conn: Conn, kind: Kind) -> dict[str, bytes]:
    """Return file name -> checksum of what was applied."""
    cursor = await conn.execute(SQL["applied"], {"kind": kind})
    return {file: bytes(sha256) for file, sha256 in await cursor.fetchall()}


def pending(
    fileset: FileSet, applied: dict[str, bytes], steps: frozenset[Step]
) -> list[MigrationFile]:
    """Return the files to apply now, in order. A pure function.

    Raises:
        ChangedFileError, LateFileError, PreMissingError: the database and the files do not fit.
    """
    latest: dict[Step, MigrationFile] = {}
    for file in fileset.files:
        if file.name in applied:
            if applied[file.name] != file.sha256:
                raise ChangedFileError(file.name)
            latest[file.step] = file
    missing = [file for file in fileset.files if file.name not in applied]
    for file in missing:
        newer = latest.get(file.step)
        if newer is not None and file.number < newer.number:
            raise LateFileError(file.name, newer.name)
        if file.step == "pre" and "pre" not in steps:
            raise PreMissingError(file.name)
    return [file for file in missing if file.step in steps]


async def apply_file(
    conn: Conn, kind: Kind, file: MigrationFile, options: Options, on_retry: Callable[[str], None]
) -> int:
    """Apply one file and record it. Return the milliseconds it took.

    Raises:
        StatementFailedError: PostgreSQL refused it.
    """
    started = time.monotonic()

    async def in_transaction() -> None:
        async with conn.transaction():
            await limit_lock_waits(conn, options)
            await conn.execute(file.sql.encode())
            await _record(conn, kind, file, started)

    async def statement_by_statement() -> None:
        # What such a file takes (SHARE UPDATE EXCLUSIVE) stops neither readers nor writers: it may
        # wait its turn.
        for statement in [*await _leftovers(conn, file), *statements(file.sql)]:
            await conn.execute(statement.encode())
        await _record(conn, kind, file, started)

    step = in_transaction if file.transaction else statement_by_statement
    await retried(file.name, step, options, on_retry)
    return round((time.monotonic() - started) * 1000)


async def limit_lock_waits(conn: Conn, options: Options) -> None:
    """Let the statements of this transaction wait for a lock for a short time only."""
    milliseconds = round(options.lock_timeout_seconds * 1000)
    await conn.execute(SQL["lock_timeout"], {"lock_timeout": f"{milliseconds}ms"})


async def retried(
    what: str,
    step: Callable[[], Awaitable[None]],
    options: Options,
    on_retry: Callable[[str], None],
) -> None:
    """Run `step` until it gets its locks.

    Raises:
        StatementFailedError: PostgreSQL refused it, or the locks were never free.
    """
    for attempt in range(options.lock_attempts):
        try:
            await step()
        except RETRIED as error:
            on_retry(type(error).__name__)
            # Full jitter: several migrators of one fleet must not come back together.
            most = min(_RETRY_SECONDS_MAX, 0.05 * 2**attempt)
            await asyncio.sleep(random.uniform(0, most))  # noqa: S311 - not a secret
        except psycopg.OperationalError:
            # The connection is gone or the server stops: nothing of the file is at fault.
            raise
        except psycopg.Error as error:
            raise refused(what, error) from error
        else:
            return
    raise StatementFailedError(
        what,
        f"its locks were not free in {options.lock_attempts} attempts",
        "End the long transactions (pg_stat_activity) and run this again.",
    )


def refused(what: str, error: psycopg.Error) -> StatementFailedError:
    """Return the error for a statement that PostgreSQL does not accept."""
    parts = [error.diag.message_primary or str(error)]
    parts += [text for text in (error.diag.message_detail, error.diag.context) if text]
    return StatementFailedError(what, " / ".join(parts), "Mend the cause and run this again.")


async def _record(conn: Conn, kind: Kind, file: MigrationFile, started: float) -> None:
    await conn.execute(
        SQL["record"],
        {
            "kind": kind,
            "file": file.name,
            "sha256": file.sha256,
            "duration_ms": round((time.monotonic() - started) * 1000),
            "version": file.number if file.step == "pre" else 0,
            "compat": file.compat,
        },
    )


async def _leftovers(conn: Conn, file: MigrationFile) -> list[str]:
    """Return statements that remove the invalid indexes which a killed run of this file left
    behind.

    CREATE INDEX CONCURRENTLY IF NOT EXISTS takes such an index for a good one.
    """
    cursor = await conn.execute(SQL["invalid_indexes"])
    return [
        f"DROP INDEX CONCURRENTLY IF EXISTS {qualified}"
        for qualified, name in await cursor.fetchall()
        if re.search(rf"\b{re.escape(name)}\b", file.sql)
    ]
