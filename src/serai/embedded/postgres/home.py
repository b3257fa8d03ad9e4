"""The folder that holds a server: its data, its password, its log, and the lock that one server at
a time has.

    data/                  the data directory of PostgreSQL
    data.partial/          the same while it is made; removed by the next start if that never ended
    password               of the superuser, mode 0600
    server.log             what the server writes, and server.log.1 before it
    serai-postgres.lock    locked while any process of a server is alive; says who asked for it

Owns that layout. Promises that only one server at a time has the folder, also when two start at the
same instant: the lock is the kernel's (flock), and every process of the server holds it. Never
touches a folder that is neither empty nor made here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import socket
import sys
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypedDict

from serai.embedded.postgres.account import Account
from serai.embedded.postgres.errors import AlreadyRunning, DataDirectoryUnusable, WrongVersion

LOCK: Final = "serai-postgres.lock"
LOG_BYTES_MAX: Final = 10_000_000
LOG_TAIL_BYTES: Final = 4_000
PATH_BYTES_MAX: Final = 3_500
"""Linux takes 4,096; the rest is for the names below."""
IGNORED: Final = frozenset({"lost+found"})
"""What a new file system has at its root."""
PASSWORD: Final = re.compile(r"[!-~]{1,1000}")
UNUSABLE_IN_PATH: Final = "\r\n\0"
"""PostgreSQL writes the path into a file of lines; the kernel ends it at a zero byte."""


class Holder(TypedDict):
    """Who asked for the server that has the folder. `birth` tells a process from a later one of the
    same number.
    """

    pid: int
    birth: str | None
    since: str
    host: str


@dataclass(frozen=True, slots=True)
class Home:
    """The folder by its path; nothing is read or made before it is asked for."""

    path: Path

    @property
    def data(self) -> Path:
        """The data directory of PostgreSQL."""
        return self.path / "data"

    @property
    def partial(self) -> Path:
        """Where it is made."""
        return self.path / "data.partial"

    @property
    def log(self) -> Path:
        """What the server writes."""
        return self.path / "server.log"

    def owner(self) -> int | None:
        """The user whose data is here already, or None."""
        try:
            return self.data.stat().st_uid
        except (OSError, ValueError):
            # Whatever is wrong with the folder or its path, `prepare` says it.
            return None

    def prepare(self) -> None:
        """Make the folder, or make sure that it is one of ours. Raises DataDirectoryUnusable."""
        if len(os.fsencode(self.path)) > PATH_BYTES_MAX:
            raise self._refused(
                f"its path is longer than {PATH_BYTES_MAX} bytes", "Choose a shorter one."
            )
        if any(character in UNUSABLE_IN_PATH for character in str(self.path)):
            raise self._refused("its path has a line break or a zero byte", "Choose another one.")
        with self._explained():
            made = not self.path.exists()
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if made and os.geteuid() == 0:
                # The user of the server passes through here to `data`.
                self.path.chmod(0o711)
            entries = {entry.name for entry in self.path.iterdir()} - IGNORED
        if entries and LOCK not in entries:
            what = (
                "is a data directory that PostgreSQL made"
                if "PG_VERSION" in entries
                else "has other files"
            )
            raise self._refused(
                f"it {what} and was not made by Serai", "Choose an empty or a new folder."
            )

    def try_lock(self) -> int | None:
        """A descriptor that holds the lock, or None if another server has it."""
        with self._explained():
            lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            with self._explained():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._sign(lock)
        except BlockingIOError:
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _sign(self, lock: int) -> None:
        holder = Holder(
            pid=os.getpid(),
            birth=_birth(os.getpid()),
            since=datetime.now(UTC).isoformat(timespec="milliseconds"),
            host=socket.gethostname(),
        )
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps(holder).encode(), 0)

    def holder(self) -> Holder | None:
        """Who has the lock, or None in the instant before the holder has written it down."""
        text = (self.path / LOCK).read_text(encoding="utf-8")
        if not text.endswith("}"):
            return None
        holder: Holder = json.loads(text)
        return holder

    def check(self, account: Account, version: str) -> None:
        """Make sure the data can be served. Called with the lock. Raises what stands in the way."""
        with self._explained():
            # A link to a disk that is not mounted is there too, and must not become new data.
            if not os.path.lexists(self.data):
                return
            file = self.data / "PG_VERSION"
            whole = self.data.is_dir() and file.is_file()
            # Whatever stands in there is compared and shown, so it may be any bytes.
            found = file.read_text(encoding="latin-1").strip() if whole else ""
        if not whole:
            raise self._refused(
                "`data` is not the data of PostgreSQL", "Restore it, or choose an empty folder."
            )
        expected = version.partition(".")[0]
        if found != expected:
            raise WrongVersion(self.path, found, expected)
        owner = self.data.stat().st_uid
        if owner != account.uid:
            raise self._refused(
                f"the data belongs to user {owner} and the server would run as {account.name}",
                "Start as before, or give the data to that user: "
                f"chown -R {account.uid} '{self.data}'.",
            )
        with self._explained():
            self._remove_stale_pid_file()

    def password(self, given: str | None = None) -> str:
        """The password of the superuser, made at the first call: `given` for a copy of another
        server. It is on disk before any data is.
        """
        file = self.path / "password"
        with self._explained():
            if file.exists():
                password = file.read_text(encoding="ascii", errors="replace").strip()
                if PASSWORD.fullmatch(password) is None:
                    raise self._refused(
                        "the file `password` is damaged", "Put it back, or choose an empty folder."
                    )
                return password
            if self.data.exists():
                raise self._refused(
                    "the file `password` is missing", "Put it back, or choose an empty folder."
                )
            return self._new_password(file, given or secrets.token_urlsafe(32))

    def _new_password(self, file: Path, password: str) -> str:
        partial = self.path / "password.partial"
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(password + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        partial.rename(file)
        return password

    def open_log(self) -> int:
        """A descriptor at the end of the log. A log that has grown large is set aside first."""
        with self._explained():
            if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
                self.log.rename(self.log.with_name("server.log.1"))
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            return os.open(self.log, flags, 0o600)

    @contextlib.contextmanager
    def _explained(self) -> Generator[None]:
        """Turn what the file system refuses into DataDirectoryUnusable. A lock that is taken is no
        refusal.
        """
        try:
            yield
        except BlockingIOError:
            raise
        except (FileExistsError, NotADirectoryError) as error:
            raise self._refused(
                f"there is a file where a folder must be ({error.filename})", "Choose a folder."
            ) from error
        except OSError as error:
            where = "" if error.filename is None else f" ({error.filename})"
            remedy = (
                "Make room, or choose another one."
                if error.errno in {errno.ENOSPC, errno.EDQUOT}
                else f"Give user {os.geteuid()} the right, or choose another one."
            )
            raise self._refused(f"{error.strerror or error}{where}", remedy) from error

    def _refused(self, reason: str, remedy: str) -> DataDirectoryUnusable:
        return DataDirectoryUnusable(self.path, reason, remedy)

    def _remove_stale_pid_file(self) -> None:
        """Remove the pid file of a server that was killed.

        PostgreSQL would take any process of the same user and number for that server, and in a
        container, which counts from 1 again, there is always one. The lock says that no server of
        ours is alive; a server that someone started by hand has the data directory as its working
        directory.
        """
        file = self.data / "postmaster.pid"
        if sys.platform != "linux" or not file.exists():
            return
        # The second line is the path of the folder, which may be any bytes.
        lines = file.read_text(encoding="latin-1").splitlines()
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else None
        if pid is not None and _works_in(pid, self.data):
            since = datetime.fromtimestamp(file.stat().st_ctime, UTC)
            raise AlreadyRunning(self.path, pid, since)
        file.unlink()


def is_alive(holder: Holder) -> bool:
    """Whether the process that asked for the server lives, as far as this host can see."""
    if holder["host"] != socket.gethostname():
        return True
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Another user's process, which is alive all the same.
        return _birth(holder["pid"]) == holder["birth"]
    return _birth(holder["pid"]) == holder["birth"]


def log_tail(log: int, start: int) -> str:
    """The last lines written since `start`, also when the file has been removed meanwhile."""
    end = os.fstat(log).st_size
    first = max(start, end - LOG_TAIL_BYTES)
    return os.pread(log, end - first, first).decode(errors="replace").strip()


def _birth(pid: int) -> str | None:
    """When the process began, in ticks since boot; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # A zombie has ended: only its number is still taken.
    return None if fields[0] == b"Z" else fields[19].decode()


def _works_in(pid: int, folder: Path) -> bool:
    """Whether the process has this working directory. Another user's is none of ours: the data is
    this user's.
    """
    try:
        return Path(f"/proc/{pid}/cwd").samefile(folder)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
