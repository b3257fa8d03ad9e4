"""Importers: how the lines of a foreign file become rows.

Owns the form between a vertical, which knows the file, and the platform, which writes the rows.
Promises that a line is
whole: all its rows are written under one version, or none. So the presence of a line's first row
says that the line was imported, and an import that was cut goes on by looking. Never writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol
from uuid import UUID

from serai.model.rules import Row


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row to insert: canonical values, as `Field.parser` would spell them."""

    collection: str
    id: UUID
    row: Row


@dataclass(frozen=True, slots=True)
class ImportedLine:
    """One line as rows.

    Attributes:
        line: its number; the header is line 1.
        rows: written together, in order of dependency. Ids follow from (file, line), so a
            repetition meets the same ids.
        shared: rows that other lines need too, such as a vendor; written if they are missing.
    """

    line: int
    rows: tuple[NewRow, ...]
    shared: tuple[NewRow, ...] = ()


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not imported, and why. `expected`: the importer leaves such lines out."""

    line: int
    reason: str
    expected: bool = False


@dataclass(frozen=True, slots=True)
class ImportContext:
    """What a file is imported into.

    Attributes:
        org_key: of the organisation.
        file_sha256: of the plain file, in hexadecimal.
        imported_by: the user in whose name rows are entered.
    """

    org_key: str
    file_sha256: str
    imported_by: UUID


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that a correct import reproduces: `sql` takes the organisation as $1."""

    name: str
    sql: str
    expected: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A file that ships with the vertical, and what it comes to."""

    path: Path
    figures: tuple[Figure, ...]


class Importer(Protocol):
    """Reads one kind of file."""

    @property
    def doc(self) -> str:
        """One line: what the file is."""
        ...

    @property
    def first_day(self) -> date:
        """The earliest date of such files: partitions are made from its month on."""
        ...

    @property
    def last_day(self) -> date:
        """The latest: partitions are made to its month. What is outside is imported as well."""
        ...

    @property
    def sample(self) -> Sample | None:
        """A file to try it with."""
        ...

    def setup(self, org_key: str) -> list[NewRow]:
        """Return the rows that the lines refer to, such as properties and accounts."""
        ...

    def lines(
        self, stream: Iterable[str], context: ImportContext
    ) -> Iterator[ImportedLine | BadLine]:
        """Yield every line of the file after its header, in order.

        Raises:
            ValueError: it is another kind of file.
        """
        ...
