"""What an export holds, read from one snapshot of the organisation's home.

Owns the parts and the order of their lines. Promises one snapshot for all of them, and that the
audit record which is exported is whole: its chain is computed again. Never keeps more than a page.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from serai.core.clock import timestamp_text
from serai.core.errors import Code, SeraiError
from serai.log.audit import chained
from serai.model import Vertical
from serai.ports.store import AuditEntry
from serai.readers.export.lines import entry_line, refusal_line, row_line
from serai.shard.queries import load_queries

PAGE_ROWS: Final = 500
FORMS: Final = {
    "rows/*.jsonl": "a row a line, as the REST API shows it: id, version, data",
    "refusals.jsonl": "mutations of devices that were not applied, and why",
    "audit.jsonl": "the audit record: who did what, when, with the values before and after",
    "people.jsonl": "who the user ids stand for; never a password or a token",
}
"""The files of an export, for people."""
_SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.readers.export", "export.sql").items()
}
SETTINGS: Final = (
    "-c timezone=UTC -c default_transaction_read_only=on -c enable_seqscan=off -c jit=off"
)
Conn = psycopg.Connection[TupleRow]
_BEFORE_FIRST: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Part:
    """One file: its path in the export, and its lines without their ends."""

    path: str
    lines: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An organisation at one moment.

    Attributes:
        record: number and hash of the last entry of the audit record, dropped: of the last one that
            retention has dropped, whose hash the chain begins with.
        total: rows and entries, for a bar of progress.
        parts: the files; to be read in this order, once.
    """

    org_id: int
    epoch: int
    version: int
    record: tuple[int, bytes]
    dropped: tuple[int, bytes]
    total: int
    parts: Iterator[Part]


@contextlib.contextmanager
def snapshot_of(url: str, org_id: int, vertical: Vertical) -> Generator[Snapshot]:
    """Hold a snapshot of an organisation's home.

    Raises:
        SeraiError: `not_found` if it is not there, `conflict` if its record is broken.
        psycopg.OperationalError: the shard does not answer.
    """
    with _connect(url) as conn, conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = _ask(conn, "standing", org=org_id)
        if not found or found[0][2] == "moved":
            raise SeraiError(Code.NOT_FOUND, "The organisation is not where it should live.")
        epoch, version, _, number, sha, dropped, dropped_sha = found[0]
        rows = _ask(conn, "count_rows", org=org_id)[0][0]
        record, anchor = (number, bytes(sha)), (dropped, bytes(dropped_sha))
        parts = _parts(conn, org_id, vertical, record, anchor)
        yield Snapshot(org_id, epoch, version, record, anchor, rows + number - dropped, parts)


def _connect(url: str) -> Conn:
    return psycopg.connect(
        url,
        autocommit=True,
        application_name="serai export",
        options=SETTINGS,
        connect_timeout=10,
    )


def _ask(conn: Conn, name: str, /, **given: object) -> list[tuple[Any, ...]]:
    return conn.execute(_SQL[name], given).fetchall()


def _parts(
    conn: Conn,
    org_id: int,
    vertical: Vertical,
    record: tuple[int, bytes],
    anchor: tuple[int, bytes],
) -> Iterator[Part]:
    for collection in vertical.collections:
        yield Part(f"rows/{collection.name}.jsonl", _rows(conn, org_id, collection.number))
    yield Part("refusals.jsonl", _refusals(conn, org_id, vertical))
    yield Part("audit.jsonl", _entries(conn, org_id, record, anchor))


def _rows(conn: Conn, org_id: int, collection: int) -> Iterator[bytes]:
    given = {"org": org_id, "collection": collection, "limit": PAGE_ROWS}
    after = _BEFORE_FIRST
    while page := _ask(conn, "rows", **given, after=after):
        after = page[-1][0]
        for row in page:
            yield row_line(*row)


def _refusals(conn: Conn, org_id: int, vertical: Vertical) -> Iterator[bytes]:
    names = {number: collection.name for number, collection in vertical.by_number.items()}
    after = 0
    while page := _ask(conn, "refusals", org=org_id, limit=PAGE_ROWS, after=after):
        after = page[-1][0]
        for row in page:
            yield refusal_line(row, names.get(row[7], str(row[7])))


def _entries(
    conn: Conn,
    org_id: int,
    record: tuple[int, bytes],
    anchor: tuple[int, bytes],
) -> Iterator[bytes]:
    number, sha = anchor
    while page := _ask(conn, "entries", org=org_id, limit=PAGE_ROWS, after=number):
        for row in page:
            entry = _entry_of(row)
            if entry.number != number + 1 or chained(sha, entry) != entry.hash:
                raise _broken(number + 1)
            number, sha = entry.number, entry.hash
            yield entry_line(entry)
    if (number, sha) != record:
        raise _broken(number + 1)


def _broken(number: int) -> SeraiError:
    detail = (
        f"The audit record is broken at entry {number}. Nothing was exported. "
        "Run `serai org audit verify`."
    )
    return SeraiError(Code.CONFLICT, detail)


def _entry_of(row: tuple[Any, ...]) -> AuditEntry:
    org_id, number, at, version, user, device, via, op, collection, row_id, scope, content, sha = (
        row
    )
    return AuditEntry(
        org_id,
        number,
        timestamp_text(at),
        version,
        user,
        device,
        via,
        op,
        collection,
        row_id,
        scope,
        content,
        bytes(sha),
    )
