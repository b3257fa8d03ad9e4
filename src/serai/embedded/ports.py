"""A port for a server of this machine.

Promises one on which nobody listens at this moment, and that the kernel gives to no connection that
goes out: those have ports of their own, from 32768 (Linux) or 49152 (BSD, macOS) upwards. Never
holds it: two who ask at once may be told the same, one time in ten thousand.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from typing import Final

_FIRST: Final = 15_000
_END: Final = 32_768
_ATTEMPTS: Final = 1000


def free_port() -> int:
    """Return a port of 127.0.0.1 that can be listened on. Raises OSError if there is none."""
    for _ in range(_ATTEMPTS):
        port = _FIRST + secrets.randbelow(_END - _FIRST)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"of {_ATTEMPTS} ports from {_FIRST} to {_END - 1} none is free on 127.0.0.1")
