"""The wall clock of a machine, which can be set while its processes run.

Owns a file that says by how much the clock is off, and how a process is started so that it goes by
it: with the library of libfaketime loaded before all others. Promises that everything which asks
the C library for the time of day gets the shifted one, within a second or two of a change:
PostgreSQL, Python and the HTTP server alike, and what they start; and that clocks which only go
forward go on, so no wait is longer or shorter for it. Never changes the clock of the machine.

Rejected: time namespaces of Linux, which have no wall clock; a clock that the test passes in, for
PostgreSQL has its own.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from serai.embedded.postgres import launch

DAY: Final = 86_400


class WallClock:
    """One machine's. Right until it is set. Use `a_clock`."""

    def __init__(self, folder: Path) -> None:
        found = find_spec("libfaketime")
        assert found is not None
        assert found.origin is not None
        vendor = Path(found.origin).parent / "vendor" / "libfaketime" / "src"
        self._library = Path(shutil.copy(vendor / "libfaketime.so.1", folder / "clock.so"))
        self._library.chmod(0o755)
        self._file = folder / "clock"
        self.ahead_seconds = 0
        self.set(days=0)

    def set(self, *, days: int) -> None:
        """Let it be so many days ahead."""
        self.ahead_seconds = days * DAY
        next_one = self._file.with_suffix(".next")
        next_one.write_text(f"{self.ahead_seconds:+d}\n", encoding="ascii")
        next_one.rename(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that goes by it."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    @contextmanager
    def of_postgres(self) -> Generator[None]:
        """Let the servers that are started during the block go by it."""
        plain = dict(launch.ENVIRONMENT)
        launch.ENVIRONMENT.update(self.environment)
        try:
            yield
        finally:
            launch.ENVIRONMENT.clear()
            launch.ENVIRONMENT.update(plain)


@contextmanager
def a_clock() -> Generator[WallClock]:
    """Make one. Its folder is open to everybody, for PostgreSQL runs as another user."""
    with tempfile.TemporaryDirectory(prefix="serai-clock-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield WallClock(folder)
    _forget_the_dead()


def _forget_the_dead() -> None:
    """Remove what the library keeps in memory for a process, of those that were killed."""
    for each in Path("/dev/shm").glob("*faketime_s*"):  # noqa: S108 - where the kernel has it
        pid = each.name.rpartition("_")[2]
        if not Path("/proc", pid).exists():
            each.unlink(missing_ok=True)
