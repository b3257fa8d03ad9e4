"""A device's file, read by somebody else than its client: to explain why a device is behind.

Owns the reading of a file that may be anyone's, damaged, or in use. Promises that the file is never
changed, locked or recovered: it is read into memory, with the log of SQLite beside it, and only
that copy is opened, so nothing of it is left on a disk (`serai.client.snapshot`). Says what waits,
what was refused and why the last attempt failed; shows no value of a field, none but those in the
words of a refusal, and never the token unless it is asked for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from serai.client import trouble
from serai.client.file import FORMAT, STATEMENTS, FileDamaged, FileOfOtherFormat
from serai.client.forms import errors_decoder, members_decoder
from serai.client.snapshot import image_of
from serai.client.states import Fill
from serai.client.trouble import Trouble

QUEUE_SHOWN_MAX: Final = 50
_TABLES: Final = 5
_STEPS_MAX: Final = 100_000_000
"""Of SQLite's machine in one statement: a file of a gigabyte takes less, a hostile one ends."""


class Waiting(Struct, frozen=True):
    """A write that the server has not answered.

    Attributes:
        fields: names, without their values.
        at: when it was made; `age_seconds` is from then to the look.
        sent: it was sent at least once.
    """

    number: int
    collection: str
    op: str
    row_id: str
    fields: list[str]
    at: str
    age_seconds: int
    sent: bool


class Listed(Struct, frozen=True):
    """A write that the server did not take, on the device's list."""

    collection: str
    op: str
    row_id: str
    fields: list[str]
    outcome: str
    code: str
    reason: str
    errors: list[tuple[str, str]]
    at: str
    acknowledged: bool


class Part(Struct, frozen=True):
    """A collection on the device. `fill`: `empty`, `filling`, `whole`, or `stale`: to be fetched
    anew.
    """

    name: str
    fill: str
    rows: int


class FileReport(Struct, frozen=True):
    """What a file says.

    Attributes:
        account: whose file it is: `organisation/user`, or what the app's transport calls it.
        state: `new`: it has never synced; `in step`: as of `last_sync`; `filling`; or what the last
            failed attempt left the client in: `waiting`, `open`, `halted`.
        version: of the organisation, as of the last page, with its `epoch`.
        last_sync: when everything was last sent and pulled, None if never.
        next_number: of the next write.
        waiting: how many writes wait; `queue` holds the first ones.
        held_back: none of them may be sent before the rows are fetched anew.
        refusals: what the server did not take, oldest first.
        trouble: why the last attempt failed, None if it did not.
    """

    path: str
    account: str | None
    device: UUID
    state: str
    epoch: int
    version: int
    last_sync: str | None
    next_number: int
    waiting: int
    held_back: bool
    queue: list[Waiting]
    refusals: list[Listed]
    collections: list[Part]
    trouble: Trouble | None


class Look(Struct, frozen=True):
    """A file's report, and the token that it holds, None for a new one."""

    report: FileReport
    token: str | None


def look_at(path: Path, now: datetime) -> Look:
    """Return what a client's file says.

    Raises:
        FileOfOtherFormat: it is no file of a client, or another version's.
        FileDamaged: it cannot be read.
        FileInUse: a client writes to it all the time.
        FileTooLarge: it has more than `snapshot.BYTES_MAX` bytes with its log.
        OSError: it is not there, or may not be read.
    """
    image = image_of(path)
    try:
        with _opened(path, image) as connection:
            return _look(connection, path, now)
    except sqlite3.Error as error:
        raise FileDamaged(f"{path} is damaged: {error}") from error
    except (ValueError, TypeError, msgspec.DecodeError) as error:
        raise FileDamaged(f"{path} holds what no client writes: {error}") from error


@contextmanager
def _opened(path: Path, image: bytearray) -> Generator[sqlite3.Connection]:
    """Open a copy in memory, whoever made what is in it. `image` is empty afterwards."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.deserialize(image)
        image.clear()  # SQLite has its own
        connection.execute("pragma temp_store = memory")
        # Called once; what it returns ends the statement.
        connection.set_progress_handler(lambda: 1, _STEPS_MAX)
        connection.execute("pragma trusted_schema = off")
        if connection.execute(STATEMENTS["look_tables"]).fetchone()[0] != _TABLES:
            raise FileOfOtherFormat(f"{path} holds something else than a client's rows")
        verdict = connection.execute("pragma quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise FileDamaged(f"the file is damaged: {verdict}")
        yield connection


def _look(connection: sqlite3.Connection, path: Path, now: datetime) -> Look:
    def rows(name: str, *values: object) -> list[Any]:
        return connection.execute(STATEMENTS[name], values).fetchall()

    def meta(key: str) -> str | None:
        found = rows("meta_get", key)
        return str(found[0][0]) if found else None

    if meta("format") != FORMAT:
        raise FileOfOtherFormat(f"{path} has format {meta('format')}, not {FORMAT}")
    held = rows("look_collections")
    parts = [Part(str(name), Fill(fill).value, int(count)) for name, fill, _, count in held]
    tokens = [str(token) for _, _, token, _ in held if token is not None]
    sent_through = int(meta("sent_through") or 0)
    queue = [_waiting(cells, sent_through, now) for cells in rows("look_queue", QUEUE_SHOWN_MAX)]
    epoch = int(meta("epoch") or 0)
    stale = any(part.fill == Fill.STALE.value for part in parts)
    foreign = bool(rows("queue_of_other_epoch", epoch)[0][0])
    failed = trouble.read(meta(trouble.META_KEY))
    report = FileReport(
        path=str(path),
        account=meta("account"),
        device=UUID(meta("device") or ""),
        state=_state(parts, meta("last_sync"), failed),
        epoch=epoch,
        version=int(meta("version") or 0),
        last_sync=meta("last_sync"),
        next_number=max(int(meta("next_number") or 0), 1),
        waiting=int(rows("queue_count")[0][0]),
        held_back=bool(queue) and (stale or foreign),
        queue=queue,
        refusals=[_listed(cells) for cells in rows("refusals")],
        collections=parts,
        trouble=failed,
    )
    return Look(report, tokens[0] if tokens else None)


def _state(parts: list[Part], last_sync: str | None, failed: Trouble | None) -> str:
    if failed is not None:
        return failed.state
    if any(part.fill != Fill.WHOLE.value for part in parts):
        return "new" if last_sync is None else "filling"
    return "in step"


def _waiting(cells: tuple[Any, ...], sent_through: int, now: datetime) -> Waiting:
    number, collection, op, row_id, fields, at = cells
    age = (now - datetime.fromisoformat(at)).total_seconds()
    names = list(members_decoder.decode(fields))
    return Waiting(
        number, collection, op, row_id, names, at, max(round(age), 0), number <= sent_through
    )


def _listed(cells: tuple[Any, ...]) -> Listed:
    return Listed(
        collection=cells[1],
        op=cells[3],
        row_id=cells[2],
        fields=list(members_decoder.decode(cells[4])),
        outcome=cells[5],
        code=cells[6],
        reason=cells[7],
        errors=list(errors_decoder.decode(cells[8])),
        at=cells[11],
        acknowledged=bool(cells[12]),
    )
