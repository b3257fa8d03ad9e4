"""Which user the server runs as, and what that user can reach.

PostgreSQL refuses to run as root. Owns the choice of another user where Serai itself runs as root,
as it does in most containers, and the question whether that user can get to a file. Promises to
change nothing: the supervisor changes the user of a process, `home` the owner of a folder.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serai.embedded.postgres.errors import StartFailed

CANDIDATES: Final = ("serai", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """The user of the server. `dropped` is true where it is not the user of this process."""

    uid: int
    gid: int
    name: str
    dropped: bool


def choose(run_as: str | None, owner: int | None) -> Account:
    """The user to run as; `owner` is the owner of data that is there already. Raises StartFailed if
    none exists.
    """
    if os.geteuid() != 0:
        # Not from the user database: containers run under numbers that have no name.
        return Account(os.geteuid(), os.getegid(), f"user {os.geteuid()}", dropped=False)
    if run_as is not None:
        return _named(run_as)
    if owner is not None and owner != 0:
        return _owner(owner)
    names = {entry.pw_name for entry in pwd.getpwall()}
    for name in CANDIDATES:
        if name in names:
            return _named(name)
    raise StartFailed(
        "PostgreSQL does not run as root and there is no user `serai` or `nobody`",
        hint="Make a user and name it in `run_as`, or run Serai as an ordinary user.",
    )


def reaches(account: Account, path: Path) -> bool:
    """Whether the user can pass every folder on the way to `path` and read what is there.

    Looks at modes only. An access list that forbids more is rare, and the server's log then says
    which file it was.
    """
    place = path.resolve()
    return passes(account, place.parent) and _permits(account, place.stat(), execute_only=False)


def passes(account: Account, folder: Path) -> bool:
    """Whether the user can go into the folder by its path. Looks at modes only, as `reaches`
    does.
    """
    place = folder.resolve()
    return all(
        _permits(account, each.stat(), execute_only=True) for each in (place, *place.parents)
    )


def _permits(account: Account, found: os.stat_result, *, execute_only: bool) -> bool:
    needed = stat.S_IXOTH if execute_only else stat.S_IXOTH | stat.S_IROTH
    if found.st_uid == account.uid:
        needed <<= 6
    elif found.st_gid == account.gid:
        needed <<= 3
    return found.st_mode & needed == needed


def _named(name: str) -> Account:
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise StartFailed(
            f"there is no user {name}", hint="Make the user, or name another one in `run_as`."
        ) from error
    if entry.pw_uid == 0:
        raise StartFailed(f"{name} is root", hint="Name an ordinary user in `run_as`.")
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name, dropped=True)


def _owner(uid: int) -> Account:
    try:
        return _named(pwd.getpwuid(uid).pw_name)
    except KeyError:
        # A container made anew may not know the name; only initdb needs one, and the data is there
        # already.
        return Account(uid, uid, f"user {uid}", dropped=True)
