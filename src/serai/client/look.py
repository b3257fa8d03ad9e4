"""A device's file, read by somebody else than its client: to explain why a device is behind.

Owns the reading of a file that may be anyone's, damaged, or in use. Promises that the file is never
changed, locked or recovered: it is copied first, with the log of SQLite beside it, and only the
copy is opened. Says what waits, what was refused and why the last attempt failed; shows no value of
a field, none but those in the words of a refusal, and never the token unless it is asked for.
"""

from __future__ import annotations

import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import msgspec
from msgspec import Struct

from serai.client import trouble
from serai.client.file import FORMAT, STATEMENTS, FileDamaged, FileInUse, FileOfOtherFormat
from serai.client.forms import errors_decoder, members_decoder
from serai.client.states import Fill
from serai.client.trouble import Trouble

QUEUE_SHOWN_MAX: Final = 50
_TABLES: Final = 5
_MAGIC: Final = b"SQLite format 3\0"
_LOG_HEAD_BYTES: Final = 32
"""Of SQLite's log: its salts change when it begins anew."""
_COPIES_MAX: Final = 5
_STEPS_MAX: Final = 100_000_000
"""Of SQLite's machine in one statement: a file of a gigabyte takes less, a hostile one ends."""
_Marks = tuple[tuple[int, int, int] | None, ...]


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
        OSError: it is not there, or may not be read.
    """
    with tempfile.TemporaryDirectory(prefix="serai-look-") as folder:
        copy = _copied(path, Path(folder))
        try:
            with _opened(copy) as connection:
                return _look(connection, path, now)
        except sqlite3.Error as error:
            raise FileDamaged(f"{path} is damaged: {error}") from error
        except (ValueError, TypeError, msgspec.DecodeError) as error:
            raise FileDamaged(f"{path} holds what no client writes: {error}") from error


def _copied(path: Path, folder: Path) -> Path:
    """Copy the file and its log as of one moment."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise FileOfOtherFormat(f"{path} is not a file")
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise FileOfOtherFormat(f"{path} is not a file of this client")
    log = path.with_name(path.name + "-wal")
    copy = folder / "copy.db"
    for _ in range(_COPIES_MAX):
        before = _marks(path, log)
        shutil.copyfile(path, copy)
        copied_log = copy.with_name(copy.name + "-wal")
        copied_log.unlink(missing_ok=True)
        if before[1] is not None:
            shutil.copyfile(log, copied_log)
        if _marks(path, log) == before:
            return copy
    raise FileInUse(f"{path} is being written: close the app, then look again")


def _marks(path: Path, log: Path) -> _Marks:
    """Return what differs after a write to one of the two."""
    found: list[tuple[int, int, int] | None] = []
    for each in (path, log):
        try:
            state = each.stat()
            with each.open("rb") as file:
                head = int.from_bytes(file.read(_LOG_HEAD_BYTES))
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((state.st_mtime_ns, state.st_size, head))
    return tuple(found)


@contextmanager
def _opened(copy: Path) -> Generator[sqlite3.Connection]:
    """Open the copy, whoever made what is in it."""
    uri = f"file:{quote(str(copy))}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        # Called once; what it returns ends the statement.
        connection.set_progress_handler(lambda: 1, _STEPS_MAX)
        connection.execute("pragma trusted_schema = off")
        verdict = connection.execute("pragma quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise FileDamaged(f"the file is damaged: {verdict}")
        yield connection


def _look(connection: sqlite3.Connection, path: Path, now: datetime) -> Look:
    def rows(name: str, *values: object) -> list[Any]:
        return connection.execute(STATEMENTS[name], values).fetchall()

    if rows("look_tables")[0][0] != _TABLES:
        raise FileOfOtherFormat(f"{path} holds something else than a client's rows")

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
