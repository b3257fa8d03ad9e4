"""A small disk that fills: a tmpfs of its own.

Owns the mount. Promises that it is gone afterwards, also when the test fails or its process is
killed: a process on a leash unmounts it. Never fills another disk.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_KEEPER = 'trap "" INT TERM; read -r _; umount -l "$1"'
_PIECE = 1 << 16


@dataclass(frozen=True)
class Disk:
    """A folder of so many bytes."""

    path: Path

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self) -> None:
        """Leave not one byte; what others give back later is theirs."""
        with self._ballast.open("ab", buffering=0) as ballast:
            for piece in (_PIECE, 1):
                with contextlib.suppress(OSError):
                    while ballast.write(bytes(piece)):
                        pass
            assert self.left() == 0

    def left(self) -> int:
        """Return the bytes that are free."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def clear(self) -> None:
        """Make room again."""
        self._ballast.unlink()


@contextmanager
def small_disk(path: Path, mebibytes: int) -> Generator[Disk]:
    """Mount one at a path. A folder that is there keeps its owner, its mode and what is in it
    then.
    """
    path.mkdir(exist_ok=True)
    was = path.stat()
    options = f"size={mebibytes}m,mode={was.st_mode & 0o777:o},uid={was.st_uid},gid={was.st_gid}"
    with tempfile.TemporaryDirectory() as aside:
        subprocess.run(["cp", "-a", f"{path}/.", aside], check=True)
        name = f"serai-test-{os.getpid()}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, name, path], check=True)
        # Its input is the leash: closed here, or by the kernel when this process ends.
        keeper = ["sh", "-c", _KEEPER, "keeper", path]
        with subprocess.Popen(keeper, stdin=subprocess.PIPE, start_new_session=True):
            subprocess.run(["cp", "-a", f"{aside}/.", path], check=True)
            yield Disk(path)
