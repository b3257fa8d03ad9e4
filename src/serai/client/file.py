"""The device's file: one SQLite database that holds rows, tokens, the queue and the refusals.

Owns the connection, the transactions and the statements. Promises: what a transaction wrote is on
disk when it ends (WAL, `synchronous=FULL`), all of it or none, also when the disk is full in the
middle of it; a file is used by one client at a time, and only its owner may read it; a file of
another format is refused. Calls are synchronous and made from the event loop: the longest, a page
of 2,000 rows, takes about 15 ms (docs/decisions/0004). Never knows the network.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final, NoReturn

from serai.client.states import Fill

FORMAT: Final = "1"
Key = tuple[int, str]
"""(collection number in this file, row id)."""
Cell = str | int | None


class FileInUse(Exception):
    """Another client has the file open."""


class FileOfOtherFormat(Exception):
    """The file was made by another version of the client, or is no client's file."""


class FileOfOtherUser(Exception):
    """The file holds the rows and the queue of another account: open a file of its own for this
    one.
    """


class NotWritten(Exception):
    """The disk is full or failing. Nothing of the transaction was kept, all before it was; the same
    may work later.
    """


class FileDamaged(Exception):
    """The file cannot be read any more. It is left as it is, so that it can be looked at."""


FileError = NotWritten | FileDamaged
_NOT_WRITTEN: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
    }
)
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def _tell(error: sqlite3.Error) -> NoReturn:
    """Say what a failure of SQLite means to the app. A mistake in a statement stays what it is."""
    # Not a context manager: that costs every statement more than some statements themselves.
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if primary in _NOT_WRITTEN:
        raise NotWritten(f"nothing was written: {error}") from error
    if primary in _DAMAGED:
        raise FileDamaged(f"the file is damaged: {error}") from error
    raise error


class _Cursor(sqlite3.Cursor):
    """A cursor whose failures are told like those of the statement."""

    def fetchone(self) -> Any:
        """Return the next row, None after the last."""
        try:
            return super().fetchone()
        except sqlite3.Error as error:
            _tell(error)

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        try:
            return super().fetchall()
        except sqlite3.Error as error:
            _tell(error)


@dataclass(frozen=True, slots=True)
class Held:
    """A collection on the device."""

    number: int
    name: str
    token: str | None
    fill: Fill


def _read_statements() -> dict[str, str]:
    text = resources.files("serai.client").joinpath("queries.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


STATEMENTS: Final = _read_statements()


class DeviceFile:
    """An open file.

    Args:
        path: of the file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        """Open the file; raises FileInUse, FileOfOtherFormat, FileDamaged or NotWritten."""
        # What every request asks for is read once. The file is this client's alone, so only a
        # statement of its own, or the end of one, makes it untrue.
        self._meta: dict[str, str | None] = {}
        self._collections: dict[int, Held] = {}
        _make_private(path)
        self._connection = sqlite3.connect(path, timeout=0.0, isolation_level=None)
        try:
            self._prepare()
        except BaseException as error:
            self._connection.close()
            code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_BUSY:
                raise FileInUse(f"{path} is open in another client") from error
            if code == sqlite3.SQLITE_NOTADB:
                raise FileOfOtherFormat(f"{path} is not a file of this client") from error
            raise

    def _prepare(self) -> None:
        execute = self._execute
        # Exclusive before the first access: no shared-memory file, and a second opener fails
        # instead of pushing the same queue.
        execute("pragma locking_mode = exclusive")
        execute("pragma journal_mode = wal")
        execute("pragma synchronous = full")
        # What was taken from the user leaves the bytes of the file too.
        execute("pragma secure_delete = on")
        with self.transaction():
            tables = execute("select count(*) from sqlite_schema").fetchone()[0]
            if tables == 0:
                for statement in _schema_statements():
                    execute(statement)
                self.set_meta("format", FORMAT)
            elif not execute("select 1 from sqlite_schema where name = 'meta'").fetchone():
                raise FileOfOtherFormat("the file holds something else")
            elif self.meta("format") != FORMAT:
                raise FileOfOtherFormat(f"the file has format {self.meta('format')}, not {FORMAT}")

    def close(self) -> None:
        """Close the file. Does nothing for durability: what is written is written."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Run the block in one transaction: at its end all of it is durable, or nothing is.

        Raises:
            NotWritten: nothing is, the disk is full or fails.
            FileDamaged: nothing is.
        """
        self._execute("begin immediate")
        try:
            yield
            self._execute("commit")
        except BaseException:
            # A full disk may have ended the transaction already, and a commit that failed has not.
            self._meta.clear()
            self._collections.clear()
            if self._connection.in_transaction:
                self._execute("rollback")
            raise

    def run(self, name: str, *values: Cell) -> sqlite3.Cursor:
        """Run the named statement."""
        return self._execute(STATEMENTS[name], values)

    def run_many(self, name: str, rows: Iterable[tuple[Cell, ...]]) -> None:
        """Run the named statement for each row."""
        try:
            self._connection.executemany(STATEMENTS[name], rows)
        except sqlite3.Error as error:
            _tell(error)

    def select(self, sql: str, values: Iterable[Cell]) -> sqlite3.Cursor:
        """Run a query of the app, inside a statement that this package wrote."""
        return self._execute(sql, tuple(values))

    def _execute(self, sql: str, values: tuple[Cell, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._connection.cursor(_Cursor).execute(sql, values)
        except sqlite3.Error as error:
            _tell(error)

    def meta(self, key: str) -> str | None:
        """Return a single value, None if it was never set."""
        if key not in self._meta:
            found = self.run("meta_get", key).fetchone()
            self._meta[key] = None if found is None else found[0]
        return self._meta[key]

    def set_meta(self, key: str, value: str) -> None:
        """Set a single value. Most are set to what they are."""
        if self._meta.get(key) != value:
            self.run("meta_set", key, value)
            self._meta[key] = value

    def meta_number(self, key: str) -> int:
        """Return a single number, 0 if it was never set."""
        return int(self.meta(key) or 0)

    def collections(self) -> list[Held]:
        """Return the collections, in the order in which they were added."""
        return [*self._by_number().values()]

    def fill_of(self, number: int) -> Fill:
        """Return how much of a collection is here."""
        return self._by_number()[number].fill

    def _by_number(self) -> dict[int, Held]:
        if not self._collections:
            found = self.run("collections").fetchall()
            self._collections = {
                number: Held(number, name, token, Fill(fill)) for number, name, token, fill in found
            }
        return self._collections

    def add_collection(self, name: str, token: str | None) -> None:
        """Add an empty collection."""
        self.run("collection_add", name, token, Fill.EMPTY.value)
        self._collections.clear()

    def set_collection(self, number: int, token: str | None, fill: Fill) -> None:
        """Note how much of a collection is here."""
        self.run("collection_set", token, fill.value, number)
        self._collections.clear()

    def drop_collection(self, number: int) -> None:
        """Drop a collection."""
        self.run("collection_drop", number)
        self._collections.clear()


def _make_private(path: Path) -> None:
    """Make a new file that other people of the machine cannot read; SQLite gives its companions
    the same mode.
    """
    if path.exists():
        # Never opened beside SQLite: closing any handle of a file drops the process's locks on it.
        return
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise NotWritten(f"the file cannot be opened: {error}") from error


def _schema_statements() -> list[str]:
    text = resources.files("serai.client").joinpath("schema.sql").read_text("utf-8")
    bare = re.sub(r"--[^\n]*", "", text)
    return [part for part in bare.split(";") if part.strip()]
