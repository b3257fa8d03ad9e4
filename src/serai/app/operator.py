"""Who changes placement, for its audit table.

Owns the name of the person behind a command. Promises one for every process, also where the machine
knows no name for its user. Never decides what the person may do: whoever has the directory's URL
may do everything.
"""

from __future__ import annotations

import getpass
import os
import socket


def operator() -> str:
    """Return user@host of this process; the user who called sudo, where one did."""
    user = os.environ.get("SUDO_USER")
    if not user:
        try:
            user = getpass.getuser()
        except (OSError, KeyError):
            user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
