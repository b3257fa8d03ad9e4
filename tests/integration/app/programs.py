"""The program `serai` as its users start it: a process of its own, its words, its status, what it
leaves.

Owns the processes that it starts. Promises that a wait ends with what is waited for or fails with
the program's own words, and that what is left is looked for in /proc, never asked of the program.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

SERAI = str(Path(sys.executable).with_name("serai"))
SECONDS = 120.0
"""A bound for everything that is waited for: the machine may be busy."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which is one JSON line and nothing else."""
        assert self.out.endswith("\n"), self
        assert self.out.count("\n") == 1, self
        return json.loads(self.out)


@dataclass
class Shell:
    """Where commands are typed: a home directory and SERAI_* variables."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        plain = {n: v for n, v in os.environ.items() if not n.startswith("SERAI_")}
        return {**plain, "HOME": str(self.home), **self.variables, **more}

    def run(self, *words: str, **more: str) -> Ended:
        """Run a command to its end; it never ends in a traceback."""
        done = subprocess.run(
            [SERAI, *words],
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, **more: str) -> Ended:
        """Run a command that works."""
        done = self.run(*words, **more)
        assert done.status == 0, done
        return done

    @contextmanager
    def started(self, *words: str, **more: str) -> Generator[Running]:
        """Start a command; one that still runs at the end of the block is killed."""
        process = subprocess.Popen(
            [SERAI, *words],
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            running = Running(process)
            try:
                yield running
            finally:
                if process.poll() is None:
                    process.kill()


@dataclass
class Running:
    """A command that runs."""

    process: subprocess.Popen[str]
    heard: list[str] = field(default_factory=list)

    def until(self, words: str) -> str:
        """Read what it tells people until a line has these words; return the line."""
        assert self.process.stderr is not None
        while line := self.process.stderr.readline():
            self.heard.append(line)
            if words in line:
                return line
        raise AssertionError("it ended: " + "".join(self.heard))

    def family(self) -> list[psutil.Process]:
        """Everything that it has started, and itself."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def postgres(self) -> dict[Path, psutil.Process]:
        """The PostgreSQL servers that it has started, by their folders.

        A backend that was just forked still has its parent's words, and the folder too: the parent
        comes first. One that has ended meanwhile has neither.
        """
        found: dict[Path, psutil.Process] = {}
        for process in self.family():
            with suppress(psutil.Error):
                if "-D" in process.cmdline():
                    found.setdefault(Path(process.cwd()), process)
        return found

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; return (status, standard output)."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=SECONDS)
        self.heard.append(err)
        return self.process.returncode, out


def wait_for_end(processes: list[psutil.Process]) -> None:
    """Wait until all have ended, by the kernel's word."""
    for process in processes:
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        try:
            ended, _, _ = select.select([descriptor], [], [], SECONDS)
            assert ended or not process.is_running(), f"still alive: {process}"
        finally:
            os.close(descriptor)


def wait_for_end_of_all(shell: Shell) -> None:
    """Wait until every process has ended that was started from the shell, whoever its parent is."""
    home = f"HOME={shell.home}".encode()
    wait_for_end([p for p in psutil.process_iter() if home in _environment(p.pid)])


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        # It has ended, or it is another user's, who was not started from here.
        return []
