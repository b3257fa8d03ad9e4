"""What the user chooses about the embedded PostgreSQL, and the server parameters that follow.

Owns the settings and their defaults, made for a laptop that also runs a browser. Promises that
nothing here can turn off what makes a commit last, or open the server to the network: such names
are refused when the settings are made. Never reads the environment or a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

Value = str | int | float | bool

SUPERUSER: Final = "serai"

LAPTOP: Final[Mapping[str, Value]] = MappingProxyType(
    {
        "shared_buffers": "256MB",
        "effective_cache_size": "1GB",
        "work_mem": "16MB",
        "maintenance_work_mem": "128MB",
        "max_wal_size": "2GB",
        "min_wal_size": "128MB",
        "wal_level": "replica",
        # What is kept for a replica that is away. Beyond it, the replica is made anew: a laptop's
        # disk is not filled for one that never comes back.
        "max_slot_wal_keep_size": "1GB",
        # A new segment is not written twice; what a commit waits for is the same.
        "wal_init_zero": "off",
        # The wheel is built without lz4 and zstd.
        "wal_compression": "pglz",
        "checkpoint_timeout": "10min",
        "random_page_cost": 1.1,
        # Compiling a plan costs more than any statement of Serai gains by it.
        "jit": "off",
        "huge_pages": "off",
        "log_line_prefix": "%m [%p] %q%u@%d ",
    }
)
"""Defaults that the caller may change."""

FIXED: Final[Mapping[str, Value]] = MappingProxyType(
    {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "listen_addresses": "127.0.0.1",
        "unix_socket_permissions": "0700",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_destination": "stderr",
        "logging_collector": "off",
        "cluster_name": "serai",
        "shared_memory_type": "mmap",
        # Segments as files of the data directory: a killed server leaves none in /dev/shm, and the
        # 64 MB that a container has there by default bound nothing.
        "dynamic_shared_memory_type": "mmap",
    }
)
"""What the promises of this package stand on; the caller may not change it."""

FOLLOWING: Final[Mapping[str, Value]] = MappingProxyType(
    {
        "hot_standby": "on",
        # The primary keeps row versions that a statement here still reads...
        "hot_standby_feedback": "on",
        # ...and replay waits no longer than that for a statement: the reader asks the primary then.
        "max_standby_streaming_delay": "100ms",
        "wal_receiver_status_interval": "1s",
        "wal_receiver_timeout": "5s",
        "wal_retrieve_retry_interval": "200ms",
    }
)
"""Defaults of a replica, beside those of a laptop; the caller may change them."""

PASSFILE: Final = "serai-primary.pass"
"""In a replica's data directory: the password for its primary, for libpq alone. A password on the
command line would be seen by every user."""

OWN_FIELD: Final = frozenset({"port", "max_connections", "primary_conninfo", "primary_slot_name"})
PLACES: Final = frozenset(
    {
        "config_file",
        "data_directory",
        "external_pid_file",
        "hba_file",
        "ident_file",
        "unix_socket_directories",
    }
)
PORT_MAX: Final = 65_535
STANDBY: Final = re.compile(r"[a-z0-9_]{1,63}")
NAME: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")


@dataclass(frozen=True, slots=True)
class Follows:
    """The embedded primary that a server is a replica of. Raises ValueError for a name that
    PostgreSQL does not take.
    """

    url: str = field(repr=False)
    """Of the primary, over TCP, its superuser's password included."""
    name: str
    """Of the replication slot, and of the replica in `synchronous_standby_names`."""

    def __post_init__(self) -> None:
        if STANDBY.fullmatch(self.name) is None:
            raise ValueError(f"{self.name!r} is no name of a replica: a-z, 0-9 and _, 1 to 63")

    @property
    def password(self) -> str:
        """The password of the primary, which is that of its copy too."""
        return str(conninfo_to_dict(self.url)["password"])

    def address(self) -> tuple[str, str]:
        """Host and port of the primary."""
        parts = conninfo_to_dict(self.url)
        return str(parts["host"]), str(parts["port"])

    def parameters(self) -> dict[str, Value]:
        """The server parameters of a replica. The primary's port may differ at each start."""
        host, port = self.address()
        return {
            **FOLLOWING,
            "primary_slot_name": self.name,
            "primary_conninfo": make_conninfo(
                host=host,
                port=port,
                user=SUPERUSER,
                # Beside the data, which is the server's working directory.
                passfile=PASSFILE,
                application_name=self.name,
                connect_timeout=5,
            ),
        }

    def files(self) -> dict[str, str]:
        """What is put into the copy of the data before it starts: name -> content."""
        return {PASSFILE: f"*:*:*:*:{self.password}\n", "standby.signal": ""}


@dataclass(frozen=True, slots=True)
class EmbeddedPostgresSettings:
    """Where the data is and how the server behaves. Raises ValueError for what cannot be meant."""

    data_dir: Path | None = None
    """The folder for the data, made if it is missing; None for one that is removed when the server
    ends."""
    port: int | None = None
    """The port on 127.0.0.1; None for a free one at every start."""
    max_connections: int = 100
    settings: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """Server parameters beside or instead of the defaults."""
    start_seconds_max: float = 30.0
    """From the call to the first login, recovery after a crash included."""
    stop_seconds_max: float = 20.0
    """For a clean shutdown; then the server ends without one and recovers at its next start."""
    run_as: str | None = None
    """Only as root: the user the server runs as. None for the owner of the data, else `serai`, else
    `nobody`."""
    cache_dir: Path | None = None
    """Only as root: where the program is copied when that user cannot reach it. None for
    /var/cache/serai."""
    follows: Follows | None = None
    """The primary that the data is copied from and that the server follows; see `replica`."""

    def __post_init__(self) -> None:
        if self.port is not None and not 1 <= self.port <= PORT_MAX:
            raise ValueError(f"port is {self.port}, not between 1 and {PORT_MAX}")
        if self.max_connections < 1:
            raise ValueError(f"max_connections is {self.max_connections}, not at least 1")
        if self.start_seconds_max <= 0 or self.stop_seconds_max <= 0:
            raise ValueError("start_seconds_max and stop_seconds_max must be above 0")
        for name in self.settings:
            _check_name(name)

    def parameters(self, port: int, socket_dir: Path) -> dict[str, str]:
        """Every server parameter of one start, by name."""
        chosen: dict[str, Value] = {
            **LAPTOP,
            **({} if self.follows is None else self.follows.parameters()),
            **self.settings,
            **FIXED,
            "max_connections": self.max_connections,
            "port": port,
            "unix_socket_directories": str(socket_dir),
        }
        return {name: _text(value) for name, value in chosen.items()}


def _check_name(name: str) -> None:
    if NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not the name of a server parameter; names are in lower case")
    if name in OWN_FIELD:
        raise ValueError(f"{name} has its own field in the settings")
    if name in FIXED or name in PLACES:
        raise ValueError(f"{name} is decided by Serai and cannot be set")


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
