"""What a run showed, and the folder in which it ran.

Owns the form of a verdict. Promises that a report has the command that repeats the run, and that a
folder is removed with its run. Never judges.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Result:
    """What a run showed.

    Attributes:
        broken: promises that did not hold; none, if all is well.
        digest: of the whole trace.
        tail: the last lines of the trace; all of them, if the run was asked to keep them.
    """

    seed: int
    broken: tuple[str, ...]
    counts: Counter[str]
    digest: str
    tail: str

    def report(self) -> str:
        """Return what an engineer needs to go on."""
        return "\n".join(
            (
                f"seed {self.seed}: {'; '.join(self.broken) or 'all promises held'}",
                f"again: python -m serai.testing.simulation --start {self.seed}",
                self.tail,
            )
        )


@contextmanager
def scratch() -> Generator[Path]:
    """Make a folder for the devices' files, and remove it."""
    # In memory where the system has that: what a disk keeps is not simulated.
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of its own in it
    folder = Path(tempfile.mkdtemp(prefix="serai-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
