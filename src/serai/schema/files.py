"""The numbered files: their names, headers, order and checksums.

Owns the form `NNNN_name.pre.sql` and `NNNN_name.post.sql` in one folder for each kind of database.
Promises that a set of files which loads is consistent. Never connects to anything.

A pre file runs before the deploy and suits the code that is still running. A post file runs after
the last old process has ended, so old code must not start again: it raises the floor (`compat`) to
its own number unless its header says `-- compat: N`. A pre file must not need a post file of a
release that was skipped.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from typing import Final, Literal

from serai.schema.errors import MigrationFilesError

Kind = Literal["directory", "shard"]
Step = Literal["pre", "post"]
KINDS: Final[tuple[Kind, ...]] = ("directory", "shard")

_FILE_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.(pre|post)\.sql")
_HEADER: Final = re.compile(r"--\s*(no-transaction|compat:\s*(\d+))\s*")
_SQL_PARTS: Final = re.compile(
    r"""
      --[^\n]*                                  # comment to the end of the line
    | /\*.*?\*/                                 # comment
    | (?<!\w)[eE]'(?:[^'\\]|''|\\.)*'                  # text with escapes
    | '(?:[^']|'')*'                            # text
    | "(?:[^"]|"")*"                            # name
    | \$(?P<tag>[A-Za-z_]\w*|)\$.*?\$(?P=tag)\$ # text between dollars
    | ;
    | [^;'"$/e\-]+ | .                          # all else
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class MigrationFile:
    """One file.

    Attributes:
        transaction: it runs in one transaction together with its record. Without, each statement is
        its own
            transaction and the whole file must be idempotent.
        compat: schema version that code must have once this file is applied; 0 if it breaks nobody.
    """

    name: str
    number: int
    step: Step
    sql: str
    transaction: bool
    compat: int

    @property
    def sha256(self) -> bytes:
        """The checksum that is kept with the record."""
        return hashlib.sha256(self.sql.encode()).digest()


@dataclass(frozen=True, slots=True)
class FileSet:
    """The files of one kind of database, in the order of their numbers, pre before post.

    Attributes:
        version: the schema version of this code: the highest number.
        needs: the schema version below which this code does not run: the highest number of a pre
        file.
    """

    kind: Kind
    files: tuple[MigrationFile, ...]

    @property
    def version(self) -> int:
        return max((file.number for file in self.files), default=0)

    @property
    def needs(self) -> int:
        return max((file.number for file in self.files if file.step == "pre"), default=0)


@cache
def shipped(kind: Kind) -> FileSet:
    """Return the files of this release."""
    return load(kind, files("serai.schema").joinpath(kind))


def load(kind: Kind, folder: Traversable) -> FileSet:
    """Return the files of a folder.

    Raises:
        MigrationFilesError: a name, a header or a number is wrong.
    """
    found = [
        _parse(entry.name, entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    ]
    # "pre" sorts after "post", and runs before it.
    found.sort(key=lambda file: (file.number, file.step == "post", file.name))
    for before, after in pairwise(found):
        if (before.number, before.step) == (after.number, after.step):
            raise MigrationFilesError(
                f"{before.name} and {after.name} have one number", "Renumber one of them."
            )
    return FileSet(kind, tuple(found))


def _parse(name: str, sql: str) -> MigrationFile:
    match = _FILE_NAME.fullmatch(name)
    if match is None or int(match[1]) == 0:
        raise MigrationFilesError(
            f"{name} is not a name of a migration",
            "Name it NNNN_name.pre.sql or NNNN_name.post.sql, from 0001.",
        )
    number = int(match[1])
    step: Step = "pre" if match[2] == "pre" else "post"
    transaction, compat = True, number if step == "post" else 0
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        header = _HEADER.fullmatch(line)
        if header is None:
            continue
        if header[2] is None:
            transaction = False
        elif step == "pre" or int(header[2]) > number:
            raise MigrationFilesError(
                f"{name}: its header names a floor that it cannot set",
                "Only a post file raises `compat`, and at most to its own number.",
            )
        else:
            compat = int(header[2])
    return MigrationFile(name, number, step, sql, transaction, compat)


def statements(sql: str) -> Iterator[str]:
    """Yield the statements of a file, for those that run one by one.

    PostgreSQL runs several statements sent at once in one transaction, so somebody has to find the
    semicolons that are not inside a text, a name, a comment or a function's body.
    """
    current: list[str] = []
    for part in _SQL_PARTS.finditer(sql):
        if part[0] == ";":
            if text := "".join(current).strip():
                yield text
            current.clear()
        else:
            current.append(" " if part[0].startswith(("--", "/*")) else part[0])
    if text := "".join(current).strip():
        yield text
