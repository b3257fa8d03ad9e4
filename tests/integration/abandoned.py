"""Folders of embedded servers that nobody has any more.

Owns the look at them from outside. Promises that what other tests make and remove meanwhile is not
taken for a left-over: an abandoned folder stays one, so it is looked at twice.
"""

from __future__ import annotations

import fcntl
import os

from serai.embedded.postgres.runtime import PREFIX, ROOT


def abandoned() -> set[str]:
    """Names of folders whose lock nobody holds."""
    return _unlocked() & _unlocked()


def _unlocked() -> set[str]:
    return {path.name for path in ROOT.glob(f"{PREFIX}*") if _can_be_locked(str(path))}


def _can_be_locked(path: str) -> bool:
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        # It has gone, or it is not a folder of a start of this user.
        return False
    try:
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(folder)
    return True
