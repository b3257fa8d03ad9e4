"""The short-lived folder of one start: its socket and, where the user chose no data directory, its
data.

Owns folders named serai-pg-* in /tmp. Their paths are short because the path of a socket may have
107 bytes (103 on macOS). Promises that the folder of a start that has ended is removed: by the
supervisor, or, should that have been killed too, by a later start. Every process of a start holds a
lock on its folder from before it has that name, so a folder that can be locked belongs to nobody.
Never removes what another user made.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serai.embedded.postgres.account import Account

PREFIX: Final = "serai-pg-"
ROOT: Final = Path("/tmp")  # noqa: S108 - mkdtemp makes the name, and TMPDIR can be too long for a socket
UNLOCKED: Final = "serai-new-"
"""What it is called in the instant before it has its lock."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The folder and the descriptor that holds its lock."""

    path: Path
    lock: int

    @property
    def sockets(self) -> Path:
        """Where the server makes its socket; only its user and root can enter."""
        return self.path / "s"

    @property
    def ephemeral_home(self) -> Path:
        """Where the data goes if the user chose no folder."""
        return self.path / "home"


def make(account: Account) -> Runtime:
    """A new folder, locked. Raises OSError, and then nothing is left."""
    path = Path(tempfile.mkdtemp(prefix=UNLOCKED, dir=_root()))
    try:
        return _furnished(path, account)
    except BaseException:
        shutil.rmtree(path)
        raise


def _furnished(path: Path, account: Account) -> Runtime:
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Others may pass, for the user of the server has to, but not list.
        path.chmod(0o711)
        sockets = path / "s"
        sockets.mkdir(mode=0o700)
        if account.dropped:
            os.chown(sockets, account.uid, account.gid)
        return Runtime(path.rename(path.with_name(path.name.replace(UNLOCKED, PREFIX, 1))), lock)
    except BaseException:
        os.close(lock)
        raise


def sweep() -> None:
    """Remove the folders of starts whose every process was killed."""
    for path in _root().glob(f"{PREFIX}*"):
        remove_if_abandoned(path)


def remove_if_abandoned(path: Path) -> bool:
    """Remove the folder unless a process of its start is alive or it is another user's. Returns
    whether it is gone.
    """
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    except (NotADirectoryError, PermissionError):
        return False
    try:
        if os.fstat(folder).st_uid != os.geteuid():
            return False
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Two starts may sweep at once, and the other one was faster.
        if path.exists():
            shutil.rmtree(path)
    except BlockingIOError:
        return False
    finally:
        os.close(folder)
    return True


def _root() -> Path:
    return ROOT if os.access(ROOT, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
