"""Whether a shard's server has disk space left, asked without writing anything that stays.

Owns the question and its meaning to an operator. Promises that it changes nothing: a sort spills a
mebibyte into a temporary file, which any role may do and which is gone with the statement. Never
asks how much is left: PostgreSQL has no function that tells, and the disk may be another machine's.
Rejected: a temporary table, whose catalogue rows are written and stay dead.

It tells of the disk of the data directory. A server whose `pg_wal` has no space left does not
answer such a question: it ends itself (PANIC), and is a shard that does not answer.
"""

from __future__ import annotations

from typing import Final

from serai.shard.connection import Connection
from serai.shard.queries import load_queries

SPILL: Final = tuple(load_queries("serai.shard", "room.sql").values())
"""The statements, for one transaction, whatever the driver."""
FULL: Final = "the disk is full: writes get 503 and are kept by who sent them, reads go on"
REMEDY: Final = (
    "Free space on that disk or enlarge it, see the runbook `a-full-disk`; never delete in pg_wal."
    " Nothing is to be restarted."
)


async def write_a_little(connection: Connection) -> None:
    """Write to the server's disk, and leave nothing there.

    Raises:
        asyncpg.DiskFullError: there is no space; a pool's `connection()` makes it `disk_full`.
    """
    async with connection.transaction():
        for statement in SPILL:
            await connection.execute(statement)
