"""Whether a database's disk takes writes, as a finding.

Owns the finding. Promises that a full disk is told as such and never as a server that is not
reachable, for reads of it go on. Never leaves anything on the disk.
"""

from __future__ import annotations

import psycopg

from serai.app.doctor.finding import Finding, failed, ok
from serai.schema.database import Conn
from serai.shard.room import FULL, REMEDY, SPILL


async def disk(conn: Conn, place: str) -> Finding:
    """Ask a database whether it can write to its disk.

    Raises:
        psycopg.Error: it does not answer that.
    """
    try:
        async with conn.transaction():
            for statement in SPILL:
                await conn.execute(statement.encode())
    except psycopg.errors.DiskFull:
        return failed(place, "disk", FULL, REMEDY)
    return ok(place, "disk", "takes what is written")
