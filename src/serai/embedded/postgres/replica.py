"""A streaming replica of an embedded primary: copied, started, waited for, promoted.

Owns the replication slot of its name on the primary, and what a replica is beside a server of its
own. Promises that a start returns when the replica streams, or fails and says why; that a replica
which was away catches up, as far back as its slot keeps the primary's log; and that a promoted one
stays a primary at every later start. Never changes what the primary's commits wait for:
`set_synchronous` does, and only the caller knows when.

    async with EmbeddedReplica(Follows(primary.url(), "replica_1"), settings) as replica:
        await set_synchronous(primary.url(), ["replica_1"])

Rejected: `pg_basebackup -R`, which writes the primary's port and password into a file of the
server, while an embedded primary has another port at every start.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, LiteralString

import psycopg
from psycopg import sql

from serai.embedded.postgres.errors import StartFailed
from serai.embedded.postgres.server import EmbeddedPostgres
from serai.embedded.postgres.settings import STANDBY, EmbeddedPostgresSettings, Follows

POLL_SECONDS: Final = 0.05
CATCH_UP_SECONDS: Final = 30.0
PROMOTE_SECONDS_MAX: Final = 60
_STREAMING: Final = (
    "SELECT NOT pg_is_in_recovery() OR EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = %s)"
)
_SYNCHRONOUS: Final = (
    "SELECT count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) >= %s FROM pg_stat_replication"
)


class EmbeddedReplica(EmbeddedPostgres):
    """A server that follows another one. Everything that `EmbeddedPostgres` has, and `promote`.

    `on_stage` is called with `pg_basebackup` in place of `initdb`.
    """

    def __init__(
        self,
        follows: Follows,
        settings: EmbeddedPostgresSettings | None = None,
        *,
        on_stage: Callable[[str], None] | None = None,
    ) -> None:
        chosen = EmbeddedPostgresSettings() if settings is None else settings
        super().__init__(replace(chosen, follows=follows), on_stage=on_stage)
        self._follows: Final = follows

    async def start(self) -> None:
        """Copy the primary unless that was done, start, and wait until it streams. Raises
        EmbeddedPostgresError, and then nothing runs.
        """
        deadline = time.monotonic() + self.settings.start_seconds_max
        await self._ensure_slot()
        await super().start()
        try:
            await self._until_streaming(deadline)
        except BaseException:
            await self.stop()
            raise

    async def is_replica(self) -> bool:
        """Whether it follows still: it has not been promoted."""
        async with await _session(self.socket_url()) as session:
            found = await session.execute("SELECT pg_is_in_recovery()")
            row = await found.fetchone()
        return row is not None and bool(row[0])

    async def promote(self) -> None:
        """Make it a primary; returns when it takes writes. The caller has made sure that the old
        one takes none. Raises psycopg.Error. Does nothing if it is one.
        """
        if not await self.is_replica():
            return
        async with await _session(self.socket_url()) as session:
            await session.execute("SELECT pg_promote(true, %s)", [PROMOTE_SECONDS_MAX])

    async def caught_up(self, seconds: float = CATCH_UP_SECONDS) -> None:
        """Wait until everything that the primary has committed by now is seen here. Raises
        TimeoutError.
        """
        async with await _session(self._follows.url) as primary:
            found = await primary.execute("SELECT pg_current_wal_flush_lsn()::text")
            row = await found.fetchone()
        assert row is not None, "the statement has one row"
        async with asyncio.timeout(seconds), await _session(self.socket_url()) as session:
            await _until(session, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", row[0])

    async def _ensure_slot(self) -> None:
        """Make the slot on the primary unless it is there, so that the log which the copy needs is
        kept from before the copy on.
        """
        try:
            session = await _session(self._follows.url)
        except psycopg.OperationalError:
            # A promoted replica starts without its old primary; one that follows says it below.
            return
        async with session:
            # Both are the same race with another caller.
            with contextlib.suppress(psycopg.errors.DuplicateObject):
                await session.execute(
                    "SELECT pg_create_physical_replication_slot(%(name)s, true) WHERE NOT EXISTS "
                    "(SELECT FROM pg_replication_slots WHERE slot_name = %(name)s)",
                    {"name": self._follows.name},
                )

    async def _until_streaming(self, deadline: float) -> None:
        async with await _session(self.socket_url()) as session:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await _until(session, _STREAMING, "streaming")
            except TimeoutError as error:
                raise StartFailed(
                    "it does not stream from its primary",
                    self.log_path.read_text(encoding="utf-8", errors="replace")[-2_000:],
                    "Start the primary first. If the log says that a segment has been removed "
                    f"or that the system differs, delete {self.data_dir}: it is copied anew.",
                ) from error


async def set_synchronous(
    primary_url: str,
    names: Sequence[str],
    *,
    count: int = 1,
    seconds: float = CATCH_UP_SECONDS,
) -> None:
    """Let commits on the primary wait until `count` of these replicas have them on disk; none: for
    nobody. Returns when that holds; kept over restarts. Raises ValueError for a name that is none,
    TimeoutError if too few of them stream, psycopg.Error.
    """
    if not all(STANDBY.fullmatch(name) for name in names) or not 1 <= count <= max(len(names), 1):
        raise ValueError("name at least `count` replicas, each of a-z, 0-9 and _")
    text = f"ANY {count} ({', '.join(names)})" if names else ""
    async with await _session(primary_url) as session:
        await session.execute(
            sql.SQL("ALTER SYSTEM SET synchronous_standby_names = {}").format(sql.Literal(text))
        )
        await session.execute("SELECT pg_reload_conf()")
        async with asyncio.timeout(seconds):
            await _until(session, _SYNCHRONOUS, count if names else 0)


async def _until(session: psycopg.AsyncConnection, query: LiteralString, value: object) -> None:
    """Ask until the answer is true."""
    while True:
        row = await (await session.execute(query, [value])).fetchone()
        if row is not None and row[0]:
            return
        await asyncio.sleep(POLL_SECONDS)


async def _session(url: str) -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect(url, autocommit=True)
