"""The fleet migrator: the directory, then every shard in it, then who may serve from them.

Owns the order of a migration and its report. Promises that one shard's failure does not stop the
others, that a run which was killed at any point is finished by running it again, and that the
report says for each database what was done or what to do.

    report = await migrate_fleet(directory_url, phase="pre", statements=generate(vertical))

`pre` runs before a deploy, `post` after the last old process has ended; `all` is both, for a
database that no old code uses: a new one, a laptop's, a test's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, assert_never

import psycopg

from serai.schema.admission import admit, fleet_role
from serai.schema.compat import verdict
from serai.schema.database import (
    SQL,
    Conn,
    Options,
    apply_file,
    connected,
    ensure_bookkeeping,
    locked,
    pending,
    read_applied,
    read_state,
)
from serai.schema.database_url import failure_of, fault_of
from serai.schema.errors import SchemaError
from serai.schema.files import FileSet, Kind, Step, shipped
from serai.schema.generated import GeneratedStatement
from serai.schema.vertical import VerticalReport, apply_vertical
from serai.shard.role import RequestRole

Phase = Literal["pre", "post", "all"]
Outcome = Literal["migrated", "current", "newer", "failed"]
PARALLEL_DEFAULT: Final = 4


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of one database.

    Attributes:
        state: `waiting` for another migrator, `applying` a file, `retrying` after a busy lock,
        `finished`. done, total: files of this run.
    """

    database: str
    kind: Kind
    state: Literal["waiting", "applying", "retrying", "finished"]
    detail: str = ""
    done: int = 0
    total: int = 0


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class AppliedFile:
    """A file applied in this run."""

    file: str
    milliseconds: int


@dataclass(slots=True)
class DatabaseReport:
    """What a run did to one database; plain values, so that it is JSON as it stands.

    Attributes:
        outcome: `newer` if a newer release migrated it: nothing was done and nothing is wrong.
        version, compat: of the database after the run.
        error, remedy: for `failed`.
    """

    name: str
    kind: Kind
    outcome: Outcome = "current"
    version: int = 0
    compat: int = 0
    applied: list[AppliedFile] = field(default_factory=list[AppliedFile])
    generated: VerticalReport = field(default_factory=VerticalReport)
    retries: int = 0
    seconds: float = 0.0
    error: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class FleetReport:
    """What a run did. `ok`: no database failed."""

    ok: bool
    databases: list[DatabaseReport]


async def migrate_fleet(
    directory_url: str,
    *,
    phase: Phase = "all",
    statements: Sequence[GeneratedStatement] = (),
    parallel: int = PARALLEL_DEFAULT,
    options: Options | None = None,
    progress: OnProgress | None = None,
) -> FleetReport:
    """Migrate the directory, then its shards, `parallel` at a time.

    Args:
        phase: see the module.
        statements: of the vertical, applied to each shard in `pre` and `all`.
    """
    options = options or Options()
    directory = await migrate_database(
        directory_url, "directory", phase=phase, options=options, progress=progress
    )
    if directory.outcome == "failed":
        return FleetReport(ok=False, databases=[directory])
    turn = asyncio.Semaphore(parallel)
    role = await _admit(directory_url, directory, None, options)
    if role is None:
        return FleetReport(ok=False, databases=[directory])

    async def migrate_one(name: str, url: str) -> DatabaseReport:
        async with turn:
            report = await migrate_database(
                url, "shard", name, phase, statements, options=options, progress=progress
            )
            if report.error is None:
                await _admit(url, report, role, options)
            return report

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(migrate_one(name, url))
            for name, url in await _shards(directory_url, options)
        ]
    shards = [task.result() for task in tasks]
    return FleetReport(
        ok=all(report.outcome != "failed" for report in shards), databases=[directory, *shards]
    )


async def migrate_database(
    url: str,
    files: Kind | FileSet,
    name: str | None = None,
    phase: Phase = "all",
    statements: Sequence[GeneratedStatement] = (),
    *,
    options: Options | None = None,
    progress: OnProgress | None = None,
) -> DatabaseReport:
    """Migrate one database. What is refused is in the report, not raised.

    Args:
        files: the kind of database, or the files themselves.
        name: in the report; the default is the kind.
        statements: of the vertical, for a shard.
    """
    fileset = files if isinstance(files, FileSet) else shipped(files)
    run = _Run(
        report=DatabaseReport(name or fileset.kind, fileset.kind),
        fileset=fileset,
        phase=phase,
        statements=statements,
        options=options or Options(),
        progress=progress or (lambda _: None),
    )
    started = time.monotonic()
    fault = fault_of(url)
    try:
        if fault is not None:
            # The text is not shown, nor what a library says of it: it may hold a password.
            raise SchemaError(f"Its URL is {fault}", "Write it anew: serai shard url NAME URL")
        async with connected(url, run.options) as conn:
            await run.migrate(conn)
    except SchemaError as error:
        run.fail(error.problem, error.remedy)
    except (psycopg.Error, OSError) as error:
        why = failure_of(error) if isinstance(error, psycopg.Error) else str(error)
        run.fail(why, "See that the database answers and run this again.")
    run.report.seconds = round(time.monotonic() - started, 3)
    run.tell("finished", run.report.outcome)
    return run.report


async def _admit(
    url: str, report: DatabaseReport, role: RequestRole | None, options: Options
) -> RequestRole | None:
    """Let the role of requests (None: the one that this directory names) into the database; return
    it, None if the report says why not.
    """
    try:
        async with connected(url, options) as conn:
            role = role or await fleet_role(conn)
            await admit(conn, url, report.kind, role, options)
    except SchemaError as error:
        report.outcome, report.error, report.remedy = "failed", error.problem, error.remedy
        return None
    return role


async def _shards(directory_url: str, options: Options) -> list[tuple[str, str]]:
    async with connected(directory_url, options) as conn:
        return [(n, u) for n, u in await (await conn.execute(SQL["shards"])).fetchall()]


@dataclass(slots=True)
class _Run:
    """One database in one run."""

    report: DatabaseReport
    fileset: FileSet
    phase: Phase
    statements: Sequence[GeneratedStatement]
    options: Options
    progress: OnProgress
    total: int = 0

    async def migrate(self, conn: Conn) -> None:
        kind = self.report.kind
        await locked(conn, self.options.wait_seconds, lambda: self.tell("waiting"))
        await ensure_bookkeeping(conn)
        before = await read_state(conn, kind)
        if before.version > self.fileset.version:
            verdict(before, self.fileset)
            self.report.outcome = "newer"
        else:
            await self.apply(conn)
        after = await read_state(conn, kind)
        self.report.version, self.report.compat = after.version, after.compat

    async def apply(self, conn: Conn) -> None:
        kind, steps = self.report.kind, _steps(self.phase)
        todo = pending(self.fileset, await read_applied(conn, kind), steps)
        self.total = len(todo)
        for file in todo:
            self.tell("applying", file.name)
            took = await apply_file(conn, kind, file, self.options, self.on_retry)
            self.report.applied.append(AppliedFile(file.name, took))
        if self.statements and "pre" in steps:
            self.tell("applying", "the vertical's objects")
            self.report.generated = await apply_vertical(
                conn, self.statements, options=self.options, on_retry=self.on_retry
            )
        if todo or self.report.generated.applied or self.report.generated.dropped:
            self.report.outcome = "migrated"

    def on_retry(self, reason: str) -> None:
        self.report.retries += 1
        self.tell("retrying", reason)

    def fail(self, problem: str, remedy: str) -> None:
        self.report.outcome = "failed"
        self.report.error, self.report.remedy = problem, remedy

    def tell(
        self, state: Literal["waiting", "applying", "retrying", "finished"], detail: str = ""
    ) -> None:
        report = self.report
        self.progress(
            Progress(report.name, report.kind, state, detail, len(report.applied), self.total)
        )


def _steps(phase: Phase) -> frozenset[Step]:
    match phase:
        case "pre":
            return frozenset({"pre"})
        case "post":
            return frozenset({"post"})
        case "all":
            return frozenset({"pre", "post"})
        case _:
            assert_never(phase)
