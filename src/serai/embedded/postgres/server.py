"""Starting, waiting for and stopping one embedded PostgreSQL.

Owns the order of things: user, folder, lock, program, supervisor, first login; and the same
backwards. Promises that a start ends within its bound with a server that takes logins or with an
error that says why, and that whatever a failed or cancelled start made is gone. Never signals the
server itself: the supervisor does, also when this process cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from serai.embedded.ports import free_port
from serai.embedded.postgres import account as accounts
from serai.embedded.postgres import binaries, runtime
from serai.embedded.postgres import home as homes
from serai.embedded.postgres.errors import AlreadyRunning, StartFailed, StopFailed
from serai.embedded.postgres.home import Home
from serai.embedded.postgres.launch import Launched, Start
from serai.embedded.postgres.runtime import Runtime
from serai.embedded.postgres.settings import SUPERUSER, EmbeddedPostgresSettings

PORT_ATTEMPTS: Final = 5
HOLDER_SECONDS: Final = 10.0
"""How long a start waits for the server of a process that has died to let go of the folder."""
WRITING_SECONDS: Final = 1.0
"""How long a holder may take from having the lock to having written down who it is."""
POLL_SECONDS: Final = (0.01, 0.25)

Stage = Callable[[str], None]


class EmbeddedPostgres:
    """One server. An asynchronous context manager; or `start` and `stop`. It can be started again
    after a stop. Calls from several tasks take turns.

    `on_stage` is called with `locked`, `initdb` (only for a new folder), `starting` and `ready`.
    """

    def __init__(
        self, settings: EmbeddedPostgresSettings | None = None, *, on_stage: Stage | None = None
    ) -> None:
        self.settings: Final = EmbeddedPostgresSettings() if settings is None else settings
        self._on_stage: Final = on_stage
        self._run: Launched | None = None
        self._turn: Final = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    # --- what a caller asks of a running server ---

    @property
    def pid(self) -> int:
        """The first process of the server."""
        return self._running().pid

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self._running().start.port

    @property
    def data_dir(self) -> Path:
        """The folder that holds the server (see `home`)."""
        return self._running().start.home.path

    @property
    def log_path(self) -> Path:
        """What the server writes."""
        return self._running().start.home.log

    def url(self, database: str = "postgres") -> str:
        """Where to connect over TCP, password included: keep it out of logs."""
        start = self._running().start
        return (
            f"postgresql://{SUPERUSER}:{quote(start.password, safe='')}@127.0.0.1:{start.port}"
            f"/{quote(database, safe='')}"
        )

    def socket_url(self, database: str = "postgres") -> str:
        """Where to connect over the socket, password included: a little faster, for this user and
        root only.
        """
        start = self._running().start
        return (
            f"postgresql://{SUPERUSER}:{quote(start.password, safe='')}@"
            f"/{quote(database, safe='')}"
            f"?host={quote(str(start.runtime.sockets), safe='')}&port={start.port}"
        )

    async def create_database(self, name: str) -> None:
        """Create the database unless it is there."""
        connection = await psycopg.AsyncConnection.connect(self.socket_url(), autocommit=True)
        async with connection:
            found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if await found.fetchone() is not None:
                return
            # Both errors are the same race with another caller: before and after its commit.
            with contextlib.suppress(
                psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation
            ):
                await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    async def wait(self) -> None:
        """Until the server has ended, by `stop` or by itself."""
        await self._running().ended.wait()

    # --- starting ---

    async def start(self) -> None:
        """Start and wait until it takes logins. Raises EmbeddedPostgresError (see `errors`)."""
        async with self._turn:
            if self._run is not None:
                raise RuntimeError("this server has been started; stop it first")
            deadline = time.monotonic() + self.settings.start_seconds_max
            attempts = PORT_ATTEMPTS if self.settings.port is None else 1
            for attempt in range(1, attempts + 1):
                port = free_port() if self.settings.port is None else self.settings.port
                try:
                    self._run = await self._start_on(port, deadline)
                except StartFailed as error:
                    # Another program may take a free port before the server does.
                    if attempt == attempts or "could not bind" not in error.log_tail:
                        raise
                else:
                    return

    async def _start_on(self, port: int, deadline: float) -> Launched:
        """One attempt. Everything it made is undone if it fails."""
        run = await self._launch(port, deadline)
        try:
            await self._until_ready(run, deadline)
        except BaseException:
            await run.end()
            raise
        return run

    async def _launch(self, port: int, deadline: float) -> Launched:
        """Up to a supervisor that has the plan, the locks and the folders."""
        chosen = self.settings.data_dir
        existing = None if chosen is None else Home(chosen.expanduser().absolute())
        account = accounts.choose(
            self.settings.run_as, None if existing is None else existing.owner()
        )
        runtime.sweep()
        with contextlib.ExitStack() as undo:
            folder = _folder(account)
            undo.callback(runtime.remove_if_abandoned, folder.path)
            undo.callback(_let_go, folder.lock)
            home = Home(folder.ephemeral_home) if existing is None else existing
            home.prepare()
            lock = await _lock(home, deadline)
            undo.callback(_let_go, lock)
            self._tell("locked")
            home.check(account, binaries.version())
            log = home.open_log()
            undo.callback(os.close, log)
            follows = self.settings.follows
            password = home.password(None if follows is None else follows.password)
            run = Launched(Start(self.settings, home, folder, account, port, password, lock, log))
            run.launch()
            undo.pop_all()
        # The supervisor and the server hold the locks from here on.
        os.close(lock)
        os.close(folder.lock)
        return run

    async def _until_ready(self, run: Launched, deadline: float) -> None:
        """Follow the supervisor until the server takes a login. Raises StartFailed."""
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await self._follow(run)
                await self._log_in(run)
        except TimeoutError as error:
            raise _failed(
                run,
                f"it was not ready within {self.settings.start_seconds_max:g} s",
                "Recovery after a crash can take longer: raise `start_seconds_max`, start again.",
            ) from error
        self._tell("ready")

    async def _follow(self, run: Launched) -> None:
        while (event := await run.events.get()) is not None:
            stage, detail = event["stage"], event["detail"]
            if stage == "ready":
                assert isinstance(detail, int), "the supervisor sends the process with it"
                run.pid = detail
                return
            if stage in {"failed", "exited"}:
                raise _failed(run, str(detail))
            self._tell(stage)
        raise _failed(run, "its supervisor ended")

    async def _log_in(self, run: Launched) -> None:
        """Make sure the password opens the server: the file and the data may come from different
        backups.
        """
        try:
            connection = await psycopg.AsyncConnection.connect(
                host=str(run.start.runtime.sockets),
                port=run.start.port,
                user=SUPERUSER,
                password=run.start.password,
                dbname="postgres",
            )
        except psycopg.OperationalError as error:
            raise _failed(
                run,
                "it takes no login with the password of the folder",
                "Put back the file `password` that belongs to this data.",
            ) from error
        await connection.close()

    # --- stopping ---

    async def stop(self) -> None:
        """Fast shutdown, within `stop_seconds_max` and some seconds. Does nothing if it is not
        running. Cancelled, it leaves the rest to the supervisor; another call waits again.
        """
        async with self._turn:
            if self._run is None:
                return
            try:
                await self._run.end()
            except StopFailed:
                self._run = None
                raise
            self._run = None

    # --- small things ---

    def _running(self) -> Launched:
        if self._run is None or self._run.ordered:
            raise RuntimeError("the server is not running; call start first")
        return self._run

    def _tell(self, stage: str) -> None:
        if self._on_stage is not None:
            self._on_stage(stage)


def _folder(account: accounts.Account) -> Runtime:
    try:
        return runtime.make(account)
    except OSError as error:
        raise StartFailed(
            f"the folder of its socket could not be made ({error})",
            hint="Make room in /tmp, or run as an ordinary user: root needs CAP_CHOWN for it.",
        ) from error


def _let_go(lock: int) -> None:
    """Unlock, which closing does not while a child that this process forked has a copy. Only for a
    lock that no supervisor has got: it would lose it too.
    """
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def _failed(run: Launched, reason: str, hint: str | None = None) -> StartFailed:
    return StartFailed(reason, homes.log_tail(run.start.log, run.log_start), hint)


async def _lock(home: Home, deadline: float) -> int:
    """The lock of the folder. Waits only for a server whose caller has died, which is on its way
    out.
    """
    began = time.monotonic()
    last = min(deadline, began + HOLDER_SECONDS)
    pause, longest = POLL_SECONDS
    while (lock := home.try_lock()) is None:
        holder = home.holder()
        now = time.monotonic()
        writing = holder is None and now < began + WRITING_SECONDS
        dying = holder is not None and not homes.is_alive(holder)
        if not (writing or dying) or now > last:
            raise _already_running(home, holder)
        await asyncio.sleep(pause)
        pause = min(2 * pause, longest)
    return lock


def _already_running(home: Home, holder: homes.Holder | None) -> AlreadyRunning:
    if holder is None:
        return AlreadyRunning(home.path, None, None)
    host = None if holder["host"] == socket.gethostname() else holder["host"]
    return AlreadyRunning(home.path, holder["pid"], datetime.fromisoformat(holder["since"]), host)
