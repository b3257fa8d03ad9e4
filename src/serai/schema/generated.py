"""The form of a generated database object: what a vertical's declaration becomes.

Owns the contract between the generator (`serai.schema.collections`) and the machinery that runs its
statements (`serai.schema.vertical`). Never holds SQL of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

GeneratedKind = Literal["table", "column", "constraint", "index", "function"]


@dataclass(frozen=True, slots=True)
class GeneratedStatement:
    """One object of the database that follows from a declaration.

    The runner keeps the hash of `sql` under `name` and runs, in the order given, what is new or
    changed:

    - `table`, `column`: run once. A change or a disappearance is refused: it would lose data. So a
    table's statement
      holds only the columns that every collection has, and each field is a `column` of its own
      (`ALTER TABLE ... ADD COLUMN`).
    - `constraint`, `index`, `function`: run again when the text changes, so the text must replace
    what has the name:
      `ALTER TABLE t DROP CONSTRAINT IF EXISTS c, ADD CONSTRAINT c ...`, `DROP INDEX IF EXISTS i;
      CREATE INDEX i ...`, `CREATE OR REPLACE FUNCTION ...`.

    Attributes:
        name: unique among all statements of the vertical; permanent, it is the key of the record.
        kind: what it makes.
        sql: one or more statements, run in a transaction; everything in it is qualified with its
        schema.
        drop: for a constraint, index or function: how to remove it once it has left the
        declaration. Without it,
            the object stays and is reported.
    """

    name: str
    kind: GeneratedKind
    sql: str
    drop: str | None = None

    @property
    def sha256(self) -> bytes:
        """The hash of the definition."""
        return hashlib.sha256(self.sql.encode()).digest()
