"""One supervisor: started with a plan, listened to, told to end, waited for.

Owns the plan of a start and this process's ends of the two pipes. Promises that nothing of a start
stays in this process once it has ended: no descriptor, no child that nobody waited for. Never waits
for the supervisor by signal or thread, which every event loop does differently: the supervisor
alone holds the other end of its output, so the end of that pipe is the end of the supervisor.

Rejected: `asyncio.create_subprocess_exec`, whose transport kills the child when the loop closes, so
that a second Ctrl-C ends the supervisor and with it the order of the shutdown; and
`connect_read_pipe`, after whose cancellation uvloop and the file both close the descriptor.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

from serai.embedded.postgres import account as accounts
from serai.embedded.postgres import binaries, runtime
from serai.embedded.postgres import supervisor as supervisors
from serai.embedded.postgres.account import Account
from serai.embedded.postgres.errors import StartFailed, StopFailed
from serai.embedded.postgres.home import Home
from serai.embedded.postgres.runtime import Runtime
from serai.embedded.postgres.settings import SUPERUSER, EmbeddedPostgresSettings, Follows

SUPERVISOR_SECONDS: Final = supervisors.IMMEDIATE_SECONDS + supervisors.KILL_SECONDS + 5.0
"""What the supervisor may take beyond the bound of a clean shutdown."""
POLL_SECONDS: Final = 0.05
HEARD_BYTES_MAX: Final = 65_536
SERVER_PATH_BYTES_MAX: Final = 900
"""PostgreSQL cuts a path at 1,024 bytes, names below it included."""
HERE: Final = "/proc/self/cwd"
ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""Nothing of the caller's: PGDATA, PGPORT, LC_ALL and their like change what a server does."""


class Event(TypedDict):
    """What the supervisor says at a stage."""

    stage: str
    detail: int | str | None


@dataclass(frozen=True, slots=True)
class Start:
    """What a start has gathered before it has a process."""

    settings: EmbeddedPostgresSettings
    home: Home
    runtime: Runtime
    account: Account
    port: int
    password: str
    lock: int
    log: int


class Launched:
    """One supervisor. The log's descriptor belongs to it from `launch` on."""

    def __init__(self, start: Start) -> None:
        self.start: Final = start
        self.pid = 0
        self.log_start: Final = os.fstat(start.log).st_size
        self.events: Final[asyncio.Queue[Event | None]] = asyncio.Queue()
        self.ended: Final = asyncio.Event()
        self._rest = b""
        self._process: subprocess.Popen[bytes] | None = None
        self._output = -1
        self._leash: int | None = None

    @property
    def ordered(self) -> bool:
        """Whether the order to stop has been given."""
        return self._leash is None

    def launch(self) -> None:
        """Start the supervisor and send it the plan. Raises StartFailed, and then nothing runs."""
        line = json.dumps(_plan(self.start)).encode() + b"\n"
        if len(line) > supervisors.PLAN_BYTES_MAX:
            raise StartFailed(
                f"the settings take {len(line)} bytes", hint="Put fewer or shorter ones."
            )
        try:
            self._leash = self._spawn_on_pipes()
        except OSError as error:
            raise StartFailed(
                f"its supervisor could not be started ({error})",
                hint="Raise the limits on processes and open files, or end something else.",
            ) from error
        # Fits the buffer of the pipe, so it cannot block; the supervisor need not live.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._leash, line)
        asyncio.get_running_loop().add_reader(self._output, self._hear)

    def _spawn_on_pipes(self) -> int:
        """Return the leash: closing it, or a byte, is the order to stop."""
        with contextlib.ExitStack() as ends:
            orders, leash = os.pipe()
            ends.callback(os.close, orders)
            undo = ends.enter_context(contextlib.ExitStack())
            undo.callback(os.close, leash)
            self._output, output = os.pipe()
            ends.callback(os.close, output)
            undo.callback(os.close, self._output)
            self._process = self._spawn(orders, output)
            undo.pop_all()
        return leash

    def _spawn(self, orders: int, output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            (sys.executable, "-I", "-S", supervisors.__file__),
            stdin=orders,
            stdout=output,
            stderr=self.start.log,
            cwd="/",
            pass_fds=(self.start.runtime.lock, self.start.lock),
            start_new_session=True,
        )

    def _hear(self) -> None:
        """Called by the event loop when the supervisor has said something or has ended."""
        heard = os.read(self._output, HEARD_BYTES_MAX)
        *lines, self._rest = (self._rest + heard).split(b"\n")
        for line in lines:
            self.events.put_nowait(json.loads(line))
        if not heard:
            asyncio.get_running_loop().remove_reader(self._output)
            os.close(self._output)
            self.events.put_nowait(None)
            self.ended.set()

    # --- ending ---

    async def end(self) -> None:
        """Give the order to stop, once, and wait until nothing runs and no short-lived folder is
        left. Can be called again after it was cancelled. Raises StopFailed.
        """
        seconds = self.start.settings.stop_seconds_max + SUPERVISOR_SECONDS
        deadline = time.monotonic() + seconds
        assert self._process is not None, "it was launched"
        self._order()
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError as error:
            self._process.kill()
            await self.ended.wait()
            raise StopFailed(
                f"the supervisor {self._process.pid} of PostgreSQL did not end and was killed"
            ) from error
        finally:
            if self.ended.is_set():
                self._process.wait()
        # The supervisor removes the folder, unless it was killed: then the server, told by the
        # kernel, is ending by itself and holds the lock of the folder until it has.
        while not runtime.remove_if_abandoned(self.start.runtime.path):
            if time.monotonic() > deadline:
                raise StopFailed(
                    "the supervisor of PostgreSQL was killed and the server has not ended since: "
                    f"end process {self.pid} by hand (kill -QUIT)"
                )
            await asyncio.sleep(POLL_SECONDS)

    def _order(self) -> None:
        if self._leash is None:
            return
        # The byte too: a child that this process forked may hold a copy of the leash.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._leash, b"\n")
        os.close(self._leash)
        os.close(self.start.log)
        self._leash = None


def _plan(start: Start) -> supervisors.Plan:
    settings, home, account = start.settings, start.home, start.account
    programs = binaries.reachable(account, settings.cache_dir, start.runtime.path)
    parameters = settings.parameters(start.port, start.runtime.sockets)
    options = [option for name, value in parameters.items() for option in ("-c", f"{name}={value}")]
    new = not home.data.exists()
    directory = _directory(home, account, new=new)
    sync = settings.data_dir is not None
    follows = settings.follows
    place = directory or str(home.partial)
    make = (
        _initdb(programs, place, sync=sync)
        if follows is None
        else _basebackup(programs, place, follows, sync=sync)
    )
    return supervisors.Plan(
        parent=os.getpid(),
        uid=account.uid if account.dropped else None,
        gid=account.gid if account.dropped else None,
        data=str(home.data),
        partial=str(home.partial),
        make=make if new else None,
        make_env={} if follows is None else {"PGPASSWORD": follows.password},
        files={} if follows is None else follows.files(),
        server=[str(programs / "postgres"), "-D", directory or str(home.data), *options],
        password=start.password if follows is None else None,
        env=ENVIRONMENT,
        locks=[start.runtime.lock, start.lock],
        remove=[str(start.runtime.path)],
        stop_seconds=settings.stop_seconds_max,
    )


def _initdb(programs: Path, directory: str, *, sync: bool) -> list[str]:
    """How a new data directory is made: text sorts by code point on every system, every login has a
    password.
    """
    return [
        str(programs / "initdb"),
        f"--pgdata={directory}",
        f"--username={SUPERUSER}",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--auth-local=scram-sha-256",
        "--auth-host=scram-sha-256",
        *([] if sync else ["--no-sync"]),
    ]


def _basebackup(programs: Path, directory: str, follows: Follows, *, sync: bool) -> list[str]:
    """How the data directory of a replica is made: a copy of its primary's, with the log that was
    written meanwhile.
    """
    host, port = follows.address()
    return [
        str(programs / "pg_basebackup"),
        f"--pgdata={directory}",
        f"--host={host}",
        f"--port={port}",
        f"--username={SUPERUSER}",
        "--no-password",
        "--wal-method=stream",
        f"--slot={follows.name}",
        "--checkpoint=fast",
        *([] if sync else ["--no-sync"]),
    ]


def _directory(home: Home, account: Account, *, new: bool) -> str | None:
    """The working directory as the data directory, where the server cannot go by the path; None
    where it can.

    A folder below /root is closed to the server's user, and PostgreSQL changes into its data
    directory by path. But the supervisor has put it there before the user changed, and the kernel's
    link to a process's own working directory passes no folder on the way. The same helps a path
    longer than PostgreSQL takes.
    """
    if sys.platform != "linux":
        return None
    short = len(os.fsencode(home.data)) <= SERVER_PATH_BYTES_MAX
    place = home.path if new else home.data
    return None if short and (not account.dropped or accounts.passes(account, place)) else HERE
