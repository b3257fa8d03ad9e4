"""A connection to PostgreSQL on the request path: its type, its settings, and what its errors mean.

Owns the only call of `asyncpg.connect` and the only place that knows that library's exceptions.
Promises that every connection plans once and for all parameters, speaks UTC, and cannot hold a lock
for longer than a request lives. Never pools.

asyncpg carries no types, so the part of it that Serai uses is written down here as a protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Literal, Protocol, cast

import asyncpg

from serai.core.errors import Code, SeraiError
from serai.core.limits import REQUEST_DEADLINE_SECONDS

CONNECT_SECONDS_MAX: Final = 5.0
DISK_FULL_RETRY_SECONDS: Final = 5
"""Room on a disk comes by a person's hand, not in a moment."""

SETTINGS: Final = {
    # A plan for all parameters: 78 -> 30 us for an empty delta over a million organisations.
    "plan_cache_mode": "force_generic_plan",
    # Such a plan is kept as long as the connection and may be made while a table is empty, when
    # reading it whole looks cheapest. Every statement here has an index.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "timezone": "UTC",
    "jit": "off",
    "idle_in_transaction_session_timeout": f"{REQUEST_DEADLINE_SECONDS}s",
}


PostgresError = asyncpg.PostgresError
"""An error that the server sent."""
ValueRefused = asyncpg.DataError
"""A value that no column of the type takes, by the server or before it was sent."""


class Record(Protocol):
    """One row. The values have the types of their columns, which only the statement knows."""

    def __getitem__(self, key: str | int, /) -> Any: ...
    def __len__(self) -> int: ...
    def keys(self) -> Iterable[str]: ...
    def values(self) -> Iterable[Any]: ...
    def items(self) -> Iterable[tuple[str, Any]]: ...


class Statement(Protocol):
    """A prepared statement."""

    async def fetch(self, *args: object) -> list[Record]: ...
    async def fetchrow(self, *args: object) -> Record | None: ...
    async def fetchval(self, *args: object, column: int = 0) -> Any: ...


class Connection(Protocol):
    """What Serai uses of `asyncpg.Connection`; arguments are `$1`, `$2` ...

    asyncpg's own timeouts are left out on purpose: a deadline is an `asyncio.timeout` of the
    caller.
    """

    async def execute(self, query: str, *args: object) -> str: ...
    async def executemany(self, command: str, args: Iterable[Sequence[object]]) -> None: ...
    async def fetch(self, query: str, *args: object) -> list[Record]: ...
    async def fetchrow(self, query: str, *args: object) -> Record | None: ...
    async def fetchval(self, query: str, *args: object, column: int = 0) -> Any: ...
    async def prepare(self, query: str) -> Statement: ...
    def transaction(
        self,
        *,
        isolation: Literal["read_committed", "repeatable_read", "serializable"] | None = None,
        readonly: bool = False,
        deferrable: bool = False,
    ) -> AbstractAsyncContextManager[object]: ...
    def is_closed(self) -> bool: ...
    def is_in_transaction(self) -> bool: ...
    def is_idle(self) -> bool: ...
    def takes_writes(self) -> bool: ...
    async def settle(self) -> None: ...
    async def heard(self, channel: str, ring: Callable[[], None]) -> asyncio.Event: ...
    def terminate(self) -> None: ...
    async def close(self, *, timeout: float | None = None) -> None: ...  # noqa: ASYNC109 - its name


class _Connection(asyncpg.Connection):
    """asyncpg's connection, and what a pool has to know of it."""

    __slots__ = ()

    def is_idle(self) -> bool:
        """Tell whether no transaction is open, neither on the server nor in the library's mind.

        A caller that is cancelled in the middle of BEGIN leaves the library in the belief that it
        began: the next `transaction()` on the connection would be a savepoint of nothing.
        """
        return self._top_xact is None and not self.is_in_transaction()

    def takes_writes(self) -> bool:
        """Tell whether the server said that it does, when it was connected to."""
        told = cast("object", self.get_settings())
        names = ("default_transaction_read_only", "in_hot_standby")
        return all(getattr(told, name, "off") != "on" for name in names)

    async def settle(self) -> None:
        """Wait until the last query is over, and end what it left open.

        The last query may be on its way to being cancelled. asyncpg sends nothing more before the
        server has taken the cancel request, so one round trip proves that the request cannot hit a
        later query.
        """
        self._top_xact = None
        # Not the empty statement, on whose answer asyncpg 0.32 fails.
        await self.execute("ROLLBACK" if self.is_in_transaction() else "SELECT 1")
        if self.is_in_transaction():
            await self.execute("ROLLBACK")

    async def heard(self, channel: str, ring: Callable[[], None]) -> asyncio.Event:
        """Call `ring` at each NOTIFY on the channel; return what is set when the connection is
        lost.
        """
        lost = asyncio.Event()

        def on_end(_: object) -> None:
            lost.set()

        def on_notify(*_: object) -> None:
            ring()

        self.add_termination_listener(on_end)
        await self.add_listener(channel, on_notify)
        return lost


async def hear(
    connection: Connection, channel: str, ring: Callable[[], None], silence_seconds: float
) -> None:
    """Call `ring` now, for what was told before, and at each NOTIFY on the channel, until the
    connection is lost or does not answer when it is asked, each `silence_seconds`.
    """
    try:
        async with asyncio.timeout(silence_seconds):
            lost = await connection.heard(channel, ring)
        ring()
        while not lost.is_set():
            try:
                async with asyncio.timeout(silence_seconds):
                    await lost.wait()
            except TimeoutError:
                async with asyncio.timeout(silence_seconds):
                    await connection.execute("SELECT 1")
    except (*_PERHAPS_LOST, asyncpg.PostgresError):
        return


async def connect(
    url: str,
    *,
    application_name: str = "serai",
    statement_seconds: int = REQUEST_DEADLINE_SECONDS,
) -> Connection:
    """Return a new connection with Serai's settings.

    Args:
        statement_seconds: after which a statement is given up, waits for locks included.

    Raises:
        SeraiError: `unavailable` if there is none to be had.
    """
    # The call is typed here because asyncpg's own signature is not.
    call = cast("Callable[..., Coroutine[Any, Any, Connection]]", asyncpg.connect)
    try:
        return await call(
            url,
            timeout=CONNECT_SECONDS_MAX,
            connection_class=_Connection,
            server_settings={
                **SETTINGS,
                "application_name": application_name,
                "statement_timeout": f"{statement_seconds}s",
            },
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise unavailable() from error


async def connect_primary(url: str, *, application_name: str = "serai") -> Connection:
    """Return a new connection to a server that takes writes; see `connect`.

    One that was fenced off for a promotion answers reads, and what it answers is old: a process
    that has not heard of the promotion would tell a device less than the device has.

    Raises:
        SeraiError: `unavailable`, also if the server takes no writes.
    """
    connection = await connect(url, application_name=application_name)
    if not connection.takes_writes():
        connection.terminate()
        raise unavailable()
    return connection


def unavailable() -> SeraiError:
    """Return the error for a database that does not answer. Its cause is for the log, not for the
    caller.
    """
    return SeraiError(Code.UNAVAILABLE, retry_after_seconds=1)


def translated(error: BaseException, connection: Connection) -> SeraiError | None:
    """Return what a lost connection, a statement timeout or a server that has run out of something
    means to the caller, None for other errors.
    """
    if isinstance(error, asyncpg.QueryCanceledError):
        return SeraiError(Code.DEADLINE, retry_after_seconds=1)
    if isinstance(error, _LOST) or (connection.is_closed() and isinstance(error, _PERHAPS_LOST)):
        return unavailable()
    if isinstance(error, asyncpg.DiskFullError):
        return SeraiError(Code.DISK_FULL, retry_after_seconds=DISK_FULL_RETRY_SECONDS)
    if isinstance(error, asyncpg.InsufficientResourcesError):
        # Memory, connections or a limit of its configuration: another request may fit at once.
        return SeraiError(
            Code.OVERLOADED, "The database has run out of memory or slots.", retry_after_seconds=1
        )
    return None


def sqlstate(error: PostgresError) -> str:
    """Return the five characters that say what the server refused (manual, appendix A)."""
    return str(getattr(error, "sqlstate", None) or "")


async def settled(connection: Connection, seconds: float) -> bool:
    """Make the connection fit for another caller; tell whether that came to pass in time."""
    try:
        async with asyncio.timeout(seconds):
            await connection.settle()
    except (*_PERHAPS_LOST, asyncpg.PostgresError):
        return False
    return not connection.is_closed() and connection.is_idle()


async def close_gently(connection: Connection) -> None:
    """Say good-bye to the server, for a second at most."""
    try:
        await connection.close(timeout=1.0)
    except (*_PERHAPS_LOST, asyncpg.PostgresError):
        connection.terminate()


_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    # The primary became a replica while we were connected: others may write, through a new
    # connection.
    asyncpg.ReadOnlySQLTransactionError,
)
# TimeoutError is an OSError.
_PERHAPS_LOST: Final = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
