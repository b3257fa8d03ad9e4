"""The copy itself: tables of one snapshot, as binary COPY, from one shard into the other.

Owns the pipe between two connections, and how a large organisation is spread over several of them.
Promises that all tables are of one snapshot, and that what the target holds afterwards is either
part of the copy or goes with the next sweep. Never reads a row.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

from psycopg.abc import Buffer

from serai.readers.move.ends import Source, Target
from serai.readers.move.link import Conn, Mark, Table, Unmovable

LARGE_VERSIONS: Final = 20_000
"""Versions or entries of the record from which on an organisation is copied by several
connections."""
_BLOCK_BYTES: Final = 32 * 1024
_APART: Final = frozenset({"serai.log", "serai.audit"})
"""Tables that a second connection copies: about half of the bytes, and no other table refers to
them."""


def copy(
    source: Source,
    target: Target,
    orgs: Sequence[int],
    term: int,
    *,
    more: Callable[[], tuple[Conn, Conn]],
    on_table: Callable[[str], None],
) -> Mark:
    """Copy every table; return up to where.

    Args:
        more: opens a further connection to each end.
        on_table: is told each table before it is copied.

    Raises:
        LostTurn: somebody has taken the organisations over.
        Unmovable: the two shards do not have the same tables.
    """
    tables = _same_tables(source, target)
    with source.snapshot(orgs) as (mark, exported), target.conn.transaction():
        target.hold(orgs, term)
        if max([*mark.versions.values(), *mark.numbers.values()]) < LARGE_VERSIONS:
            for table in tables:
                _pipe(source.conn, target.conn, table, orgs, on_table)
            return mark
        apart = [table for table in tables if table.name in _APART]
        with ThreadPoolExecutor(1) as other:
            beside = other.submit(_beside, target, orgs, term, (apart, exported, more, on_table))
            for table in tables:
                if table.name not in _APART:
                    _pipe(source.conn, target.conn, table, orgs, on_table)
            beside.result()
    return mark


def _beside(
    target: Target,
    orgs: Sequence[int],
    term: int,
    work: tuple[list[Table], str, Callable[[], tuple[Conn, Conn]], Callable[[str], None]],
) -> None:
    """Copy some tables by two further connections, of the same snapshot."""
    tables, exported, more, on_table = work
    with ExitStack() as stack:
        reader, writer = more()
        stack.callback(reader.close)
        stack.callback(writer.close)
        stack.enter_context(reader.transaction())
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # SQL here: the name of a snapshot is no parameter
        reader.execute(f"SET TRANSACTION SNAPSHOT '{exported}'".encode())
        stack.enter_context(writer.transaction())
        target.hold(orgs, term, writer)
        for table in tables:
            _pipe(reader, writer, table, orgs, on_table)


def _pipe(
    reader: Conn, writer: Conn, table: Table, orgs: Sequence[int], on_table: Callable[[str], None]
) -> None:
    on_table(table.name)
    columns = ", ".join(table.columns)
    chosen = ",".join(str(int(org)) for org in orgs)
    # SQL here: COPY takes no parameters; names come from the catalogue, numbers are numbers
    rows_of = f"SELECT {columns} FROM {table.name} WHERE org_id = ANY ('{{{chosen}}}')"  # noqa: S608 - names of the catalogue
    out = f"COPY ({rows_of}) TO STDOUT (FORMAT binary)"
    into = f"COPY {table.name} ({columns}) FROM STDIN (FORMAT binary)"
    with reader.cursor().copy(out.encode()) as rows, writer.cursor().copy(into.encode()) as taken:
        for block in _blocks(rows):
            taken.write(block)


def _blocks(rows: Iterable[Buffer]) -> Generator[bytes]:
    """Put rows together: each write by itself costs as much as copying ten rows."""
    held = bytearray()
    for row in rows:
        held += row
        if len(held) >= _BLOCK_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _same_tables(source: Source, target: Target) -> list[Table]:
    """Return the tables of both, in the order of the target.

    Raises:
        Unmovable: they differ.
    """
    there, here = source.texts.tables, target.texts.tables
    differ = {table.name for table in set(there) ^ set(here)}
    if differ:
        raise Unmovable(
            f"The two shards differ in {', '.join(sorted(differ))}. Run `serai migrate` first."
        )
    return list(here)
