"""Which code may run on which schema.

Owns the check that every process makes when it starts. Promises that code stops, and says what to
do, on a schema that lacks what it needs or that has moved on beyond it. Never changes a database.

A database has `version`, the number of its newest pre file, and `compat`, the oldest code that may
run on it. Code has the highest numbers of the files that it ships.
"""

from __future__ import annotations

from collections.abc import Sequence

from serai.schema.admission import check_powers
from serai.schema.database import Conn, Options, SchemaState, connected, read_state
from serai.schema.errors import SchemaTooNewError, SchemaTooOldError
from serai.schema.files import FileSet, Kind, shipped
from serai.schema.generated import GeneratedStatement
from serai.schema.vertical import check_vertical
from serai.shard.role import RequestRole


def verdict(state: SchemaState, fileset: FileSet) -> None:
    """Compare a database's state with this code. A pure function.

    Raises:
        SchemaTooNewError, SchemaTooOldError: do not start.
    """
    if state.compat > fileset.version:
        raise SchemaTooNewError(fileset.kind, floor=state.compat, code=fileset.version)
    if state.version < fileset.needs:
        raise SchemaTooOldError(
            fileset.kind, f"it has version {state.version} and {fileset.needs} is needed"
        )


async def check_schema(conn: Conn, kind: Kind, *, fileset: FileSet | None = None) -> SchemaState:
    """Refuse a database that this code must not run on.

    Raises:
        SchemaTooNewError, SchemaTooOldError: do not start.
    """
    state = await read_state(conn, kind)
    verdict(state, fileset or shipped(kind))
    return state


async def check_database(
    url: str,
    kind: Kind,
    *,
    statements: Sequence[GeneratedStatement] = (),
    role: RequestRole | None = None,
    options: Options | None = None,
) -> SchemaState:
    """Connect once and check a database, for a process that starts.

    Args:
        statements: of the vertical, for a shard.
        role: that requests will be served as, if they are: it must be one that policies bind.

    Raises:
        SchemaTooNewError, SchemaTooOldError, RoleTooStrongError: do not start.
        psycopg.OperationalError: it does not answer.
    """
    target = url if role is None else role.url(url)
    async with connected(target, options or Options()) as conn:
        if role is not None:
            await check_powers(conn)
        state = await check_schema(conn, kind)
        await check_vertical(conn, statements)
        return state
