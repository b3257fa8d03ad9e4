"""Processor time, from /proc.

Owns the reading of how long processes have run, user and system together. Promises that processes
which ended meanwhile are counted where their parent waited for them, and that a reading covers a
process and everything below it. Never counts a wait.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    seconds: float


def _read(pid: int) -> _Process | None:
    """Return what the kernel knows of a process, None if it has ended."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold anything; what follows it is numbers: state, parent, ...
    fields = text.rpartition(")")[2].split()
    # Own time, and that of children that were waited for (proc(5), fields 14 to 17).
    return _Process(pid, int(fields[1]), sum(map(int, fields[11:15])) / _TICKS)


def family(root: int) -> list[int]:
    """Return the process and everything below it."""
    parents: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal() and (found := _read(int(entry.name))) is not None:
            parents.setdefault(found.parent, []).append(found.pid)
    members = [root]
    for pid in members:
        members.extend(parents.get(pid, ()))
    return members


def cpu_seconds(root: int) -> float:
    """Return the processor time that the process and everything below it have used so far."""
    found = (_read(pid) for pid in family(root))
    return sum(process.seconds for process in found if process is not None)


def name_of(pid: int) -> str:
    """Return the name of a process, empty if it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return (_PROC / str(pid) / "comm").read_text("utf-8", "replace").strip()
    return ""


def resident_bytes(pid: int) -> int:
    """Return the memory of a process that is in use, 0 if it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return int((_PROC / str(pid) / "statm").read_text("ascii").split()[1]) * _PAGE_BYTES
    return 0


@dataclass(slots=True)
class Spent:
    """Time from the start of a block to its end: on the clock, of Python, of PostgreSQL."""

    seconds: float = 0.0
    python_seconds: float = 0.0
    postgres_seconds: float = 0.0

    def python_us(self, rows: int) -> float:
        """Return the microseconds of Python for a row."""
        return round(self.python_seconds / max(rows, 1) * 1e6, 1)

    def postgres_us(self, rows: int) -> float:
        """Return the microseconds of PostgreSQL for a row."""
        return round(self.postgres_seconds / max(rows, 1) * 1e6, 1)


class Meter:
    """Measures a block: `with Meter(postgres, python) as spent: ...`, then read `spent`.

    Args:
        postgres: the first process of PostgreSQL; its backends, checkpointer and WAL writer are
            below it.
        python: the processes of the server; none for this process alone.
    """

    def __init__(self, postgres: int, *python: int) -> None:
        self._postgres = postgres
        self._python: Sequence[int] = python
        self._spent = Spent()
        self._before = (0.0, 0.0, 0.0)

    def __enter__(self) -> Spent:
        self._before = self._now()
        return self._spent

    def __exit__(self, *exc: object) -> None:
        before, after = self._before, self._now()
        self._spent.seconds = after[0] - before[0]
        self._spent.python_seconds = after[1] - before[1]
        self._spent.postgres_seconds = after[2] - before[2]

    def _now(self) -> tuple[float, float, float]:
        own = sum(map(cpu_seconds, self._python)) if self._python else time.process_time()
        return time.perf_counter(), own, cpu_seconds(self._postgres)
