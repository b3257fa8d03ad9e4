"""What the machine says of this process, and what it writes down once a second.

Owns the reading of /proc and the numbers that are looked up instead of counted. Promises that one
reading takes well under a millisecond, and that a number which the system does not tell is left
out. Never watches another process.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

from serai.telemetry import catalogue as m
from serai.telemetry.registry import Registry


def record_start(registry: Registry, version: str) -> None:
    """Note what does not change."""
    registry.cell(m.BUILD, version).set(1)
    registry.cell(m.PROCESSES).set(1)
    registry.cell(m.START_TIME).set(started_at())
    registry.cell(m.MAX_FDS).set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


class ProcessWatch:
    """Reads the process's own numbers into a registry; CPU time as what was added since."""

    def __init__(self, registry: Registry) -> None:
        self._cpu = registry.cell(m.CPU_SECONDS)
        self._resident = registry.cell(m.RESIDENT_BYTES)
        self._files = registry.cell(m.OPEN_FDS)
        self._cpu_before = 0.0

    def read(self) -> None:
        """Read them now."""
        times = os.times()
        cpu = times.user + times.system
        self._cpu.add(cpu - self._cpu_before)
        self._cpu_before = cpu
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        self._resident.set(pages * resource.getpagesize())
        self._files.set(sum(1 for _ in Path("/proc/self/fd").iterdir()))


def started_at() -> float:
    """Return when this process began, in seconds since 1970."""
    fields = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
