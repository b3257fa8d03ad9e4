"""Import of foreign files: resumable, and the same file twice changes nothing.

Owns the reading of a file, the workers and the report. A line is one write, its rows have ids that
follow from the file's hash and the line's number, so what is there already is found by looking, not
by a journal. Promises that a bad line is reported with its number and reason and stops nothing.
Never reads a file into memory whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from io import BufferedRandom
from pathlib import Path
from typing import Final

from serai.app.collector import rare_collections
from serai.app.import_file import Lines, NotImportable, measure, private_copy, text_of
from serai.app.organisations import insert_missing
from serai.app.partitions import ensure_months, ensure_partitions
from serai.app.runtime import Runtime, Shard
from serai.app.system_actor import SystemActor
from serai.core.errors import Code, SeraiError
from serai.core.limits import BULK_ROWS_MAX, WRITE_ROWS_MAX
from serai.log.coalesce import Coalescer
from serai.log.intent import RowIntent, WriteIntent
from serai.log.postgres import PostgresStore
from serai.model import BadLine, ImportContext, ImportedLine, Importer, NewRow, Vertical
from serai.ports.store import RowKey
from serai.shard.connection import connect
from serai.shard.pools import PinnedPool

WORKERS: Final = 8
_CHUNK_ROWS: Final = BULK_ROWS_MAX // 2
_CHUNKS_BEFORE_PLANS: Final = 3 * WORKERS
"""A queue full of them waits, so every worker has written some by then."""
_BAD_LINES_KEPT_MAX: Final = 1_000
_WAIT_SECONDS: Final = 60.0
_STATEMENT_SECONDS: Final = 600


@dataclass(slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        lines: of the file, the header apart.
        imported: lines written now; rows: their rows.
        present: lines that an earlier run had written.
        left_out: lines that the importer leaves out on purpose.
        bad: number of lines that could not be imported; bad_lines: a thousand of them at most, by
            number.
    """

    file: str
    sha256: str
    lines: int = 0
    imported: int = 0
    rows: int = 0
    present: int = 0
    left_out: int = 0
    bad: int = 0
    bad_lines: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    @property
    def done(self) -> int:
        """Lines that are accounted for."""
        return self.imported + self.present + self.left_out + self.bad

    def refuse(self, line: int, reason: str) -> None:
        """Note a bad line."""
        self.bad += 1
        if len(self.bad_lines) < _BAD_LINES_KEPT_MAX:
            self.bad_lines.append((line, reason))


async def import_file(
    runtime: Runtime,
    org_key: str,
    importer: Importer,
    path: Path,
    *,
    progress: Callable[[ImportReport], None] = lambda _: None,
) -> ImportReport:
    """Import a plain or gzip file into an organisation.

    Raises:
        OSError: the file cannot be read.
        NotImportable: it is another kind of file, its compressed data is damaged, somebody writes
            to it, or the temporary folder has no room for a copy of it.
        SeraiError: the shard does not take writes; run it again, it goes on where it was.
    """
    with await asyncio.to_thread(private_copy, path) as copy:
        digest, lines = await asyncio.to_thread(measure, copy)
        report = ImportReport(str(path), digest.hex(), lines=max(lines - 1, 0))
        try:
            await _import_copy(runtime, org_key, importer, copy, report, progress)
        except SeraiError as error:
            detail = _WHAT_TO_DO.get(error.code)
            if detail is None:
                raise
            raise SeraiError(error.code, detail.format(org=org_key)) from error
    report.bad_lines.sort()
    return report


async def _import_copy(
    runtime: Runtime,
    org_key: str,
    importer: Importer,
    copy: BufferedRandom,
    report: ImportReport,
    progress: Callable[[ImportReport], None],
) -> None:
    context = ImportContext(org_key, report.sha256, SystemActor(runtime.vertical).user_id)
    org_id = await runtime.directory.org_by_key(org_key)
    if org_id is None:
        raise SeraiError(Code.NOT_FOUND, f"There is no organisation {org_key!r}.")
    home = await runtime.shard_for(org_id)
    await ensure_partitions(home.pool, runtime.vertical, runtime.clock.now())
    await ensure_months(home.pool, runtime.vertical, importer.first_day, importer.last_day)
    setup = ((new.collection, new.id, new.row) for new in importer.setup(org_key))
    await insert_missing(runtime, home, org_id, setup)
    # Connections with patience: the workers wait for each other at the organisation's lock.
    opener = partial(connect, home.ref.url, statement_seconds=_STATEMENT_SECONDS)
    async with PinnedPool(
        home.ref.url, size_min=WORKERS, size_max=WORKERS, wait_seconds=_WAIT_SECONDS, opener=opener
    ) as pool:
        store = PostgresStore(pool, runtime.vertical, runtime.clock)
        work = _Import(runtime, replace(home, pool=pool, store=store), org_id, report)
        try:
            with rare_collections():
                await work.run(_chunks(copy, importer, context, report), progress)
        except BaseExceptionGroup as group:
            # Not `except*`: some versions of Python put what is raised there into a new group.
            raise group.exceptions[0] from None


@dataclass(slots=True)
class _Import:
    """One import: workers that take chunks of lines from a queue."""

    runtime: Runtime
    home: Shard
    org_id: int
    report: ImportReport
    # One chunk ahead for each worker: while the shard writes some, the next are being mapped.
    queue: asyncio.Queue[list[ImportedLine] | None] = field(
        default_factory=lambda: asyncio.Queue[list[ImportedLine] | None](WORKERS)
    )

    async def run(
        self, chunks: Iterable[list[ImportedLine]], progress: Callable[[ImportReport], None]
    ) -> None:
        """Write every chunk; the first failure of a worker ends all, as an exception group."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())
            for number, chunk in enumerate(chunks):
                await self.queue.put(chunk)
                progress(self.report)
                if number == _CHUNKS_BEFORE_PLANS:
                    await _refresh_plans(self.home, self.runtime.vertical)
            for _ in range(WORKERS):
                await self.queue.put(None)
        progress(self.report)

    async def _work(self) -> None:
        # A coalescer of its own: workers meet at the organisation's row lock, so the shard always
        # has the next transaction waiting.
        vertical, clock = self.runtime.vertical, self.runtime.clock
        coalescer = Coalescer(
            self.home.store, vertical, clock=clock, lanes=1, writes_max=BULK_ROWS_MAX
        )
        while (chunk := await self.queue.get()) is not None:
            keys = [self._key(line.rows[0]) for line in chunk]
            found = await self.home.store.read(keys)
            missing = [line for line, row in zip(chunk, found, strict=True) if row is None]
            self.report.present += len(chunk) - len(missing)
            await self._write_shared(missing)
            answers = [coalescer.enqueue(self._intent(line)) for line in missing]
            done = await asyncio.gather(*answers, return_exceptions=True)
            for line, answer in zip(missing, done, strict=True):
                _account(self.report, line, answer)

    async def _write_shared(self, lines: Sequence[ImportedLine]) -> None:
        """Write the rows that several lines need, those that are missing."""
        shared = {new.id: new for line in lines for new in line.shared}
        found = await self.home.store.read([self._key(new) for new in shared.values()])
        rows = [
            (new.collection, new.id, new.row)
            for new, row in zip(shared.values(), found, strict=True)
            if row is None
        ]
        await insert_missing(self.runtime, self.home, self.org_id, rows)

    def _key(self, new: NewRow) -> RowKey:
        return (self.org_id, self.runtime.vertical.by_name[new.collection].number, new.id)

    def _intent(self, line: ImportedLine) -> WriteIntent:
        by_name = self.runtime.vertical.by_name
        rows = tuple(RowIntent(by_name[n.collection], "insert", n.id, n.row) for n in line.rows)
        actor = SystemActor(self.runtime.vertical)
        return WriteIntent(self.org_id, actor, rows, None, b"", via="import")


async def _refresh_plans(shard: Shard, vertical: Vertical) -> None:
    """Count the tables anew, which makes every connection plan its statements anew.

    A connection plans the check of a foreign key once, and while a table is empty one index looks
    as good as another: a wrong choice cost 0.2 ms instead of 3 us a row.
    """
    whole = [f"{vertical.name}.{c.name}" for c in vertical.collections if c.month_of is None]
    async with shard.pool.connection() as connection:
        # SQL here: names come from the checked declaration, and ANALYZE takes no parameters
        await connection.execute(f"ANALYZE {', '.join([*whole, 'serai.row', 'serai.tombstone'])}")


def _account(report: ImportReport, line: ImportedLine, answer: object) -> None:
    if isinstance(answer, SeraiError) and answer.code is Code.ROW_EXISTS:
        # Ids follow from file and line: another import of the same file was faster.
        report.present += 1
    elif isinstance(answer, SeraiError) and answer.code in _OF_THE_LINE:
        fields = ", ".join(f"{name}: {reason}" for name, reason in answer.errors)
        report.refuse(line.line, f"{answer.code.text}: {fields or answer.detail or answer}")
    elif isinstance(answer, BaseException):
        raise answer
    else:
        report.imported += 1
        report.rows += len(line.rows)


_MOVED: Final = (
    "The organisation went to another shard during the import. Type the same import again: it goes"
    " on where it stopped, at the new home, and imports nothing twice."
)
_TRANSFERRED: Final = (
    "The property that this import fills was transferred. `serai org transfers {org}` says when,"
    " why and to which organisation. Nothing was imported into {org}: have what is missing entered"
    " there. An import there makes a property of its own."
)
_WHAT_TO_DO: Final = {
    Code.ORG_MOVED: _MOVED,
    Code.ORG_FROZEN: _MOVED,
    Code.PROPERTY_TRANSFERRED: _TRANSFERRED,
}
_OF_THE_LINE: Final = frozenset(code for code in Code if code.kind.status in (409, 413, 422))


def _chunks(
    copy: BufferedRandom, importer: Importer, context: ImportContext, report: ImportReport
) -> Iterator[list[ImportedLine]]:
    """Yield lines in chunks of about a transaction's rows; lines that are bad go to the report."""
    chunk: list[ImportedLine] = []
    rows = 0
    with text_of(copy) as stream:
        text = Lines(stream)
        for line in _refusing(importer.lines(text, context)):
            reason = _reason_against(line, text.damaged)
            if isinstance(line, BadLine) and line.expected:
                report.left_out += 1
            elif reason:
                report.refuse(line.line, reason)
            elif isinstance(line, BadLine):
                report.refuse(line.line, line.reason)
            else:
                chunk.append(line)
                rows += len(line.rows)
            if rows >= _CHUNK_ROWS:
                yield chunk
                chunk, rows = [], 0
    if chunk:
        yield chunk


def _refusing(lines: Iterable[ImportedLine | BadLine]) -> Iterator[ImportedLine | BadLine]:
    """Pass lines on; an importer refuses a file of another kind with a ValueError."""
    try:
        yield from lines
    except ValueError as error:
        raise NotImportable(str(error)) from error


def _reason_against(line: ImportedLine | BadLine, damaged: set[int]) -> str:
    if line.line in damaged:
        return "is not UTF-8"
    if isinstance(line, ImportedLine) and len(line.rows) > WRITE_ROWS_MAX:
        return f"has {len(line.rows)} rows, at most {WRITE_ROWS_MAX} fit into one write"
    return ""
