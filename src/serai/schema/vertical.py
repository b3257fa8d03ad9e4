"""The generated part of a shard: what follows from a vertical's declaration.

Owns the decision which generated objects run. Promises that additions are applied, that nothing
which holds data is dropped or redefined, and that all of it is one transaction. Never generates a
statement (`serai.schema.collections` does).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from serai.schema.database import (
    LOCK_KEY,
    SQL,
    BusyError,
    Conn,
    Options,
    ensure_bookkeeping,
    limit_lock_waits,
    refused,
    retried,
    value,
)
from serai.schema.errors import DestructiveChangeError, SchemaTooOldError, StatementFailedError
from serai.schema.generated import GeneratedStatement


@dataclass(frozen=True, slots=True)
class Recorded:
    """A generated object as it was applied."""

    kind: str
    sha256: bytes
    drop_sql: str | None


@dataclass(frozen=True, slots=True)
class VerticalPlan:
    """What to do. `kept`: objects that left the declaration without saying how to drop them."""

    run: tuple[GeneratedStatement, ...]
    drop: Mapping[str, str]
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerticalReport:
    """What was done, by name."""

    applied: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def plan_vertical(
    recorded: Mapping[str, Recorded], statements: Sequence[GeneratedStatement]
) -> VerticalPlan:
    """Compare the declaration with what was applied. A pure function.

    Raises:
        DestructiveChangeError: a table or column has gone or has another definition.
        ValueError: two statements have one name.
    """
    wanted = {statement.name: statement for statement in statements}
    if len(wanted) != len(statements):
        raise ValueError("two generated statements have one name")
    problems = [
        f"{name} is a {old.kind} with data and is not declared any more"
        for name, old in recorded.items()
        if name not in wanted and _holds_data(old.kind)
    ]
    run: list[GeneratedStatement] = []
    for statement in statements:
        old = recorded.get(statement.name)
        if old is None:
            run.append(statement)
        elif old.sha256 != statement.sha256 or old.kind != statement.kind:
            if _holds_data(old.kind) or _holds_data(statement.kind):
                problems.append(f"{statement.name} is a {old.kind} with another definition")
            run.append(statement)
    if problems:
        raise DestructiveChangeError(problems)
    gone = {name: old for name, old in recorded.items() if name not in wanted}
    return VerticalPlan(
        run=tuple(run),
        drop={name: old.drop_sql for name, old in gone.items() if old.drop_sql is not None},
        kept=tuple(name for name, old in gone.items() if old.drop_sql is None),
    )


def _holds_data(kind: str) -> bool:
    return kind in ("table", "column")


async def apply_vertical(
    conn: Conn,
    statements: Sequence[GeneratedStatement],
    *,
    options: Options | None = None,
    on_retry: Callable[[str], None] | None = None,
) -> VerticalReport:
    """Bring the generated part of a shard to this declaration.

    Args:
        conn: of psycopg, in autocommit.
        statements: all of the vertical, in an order in which they can run.

    Raises:
        DestructiveChangeError: nothing was done.
        StatementFailedError: PostgreSQL refused an object; nothing was done.
    """
    options = options or Options()
    reports: list[VerticalReport] = []

    async def step() -> None:
        async with conn.transaction():
            reports.append(await _apply(conn, statements, options))

    await ensure_bookkeeping(conn)
    await retried("the vertical's objects", step, options, on_retry or (lambda _: None))
    return reports[-1]


async def check_vertical(conn: Conn, statements: Sequence[GeneratedStatement]) -> None:
    """Refuse a shard that lacks an object of this declaration.

    One with another definition is none of this code's business: while a release is being deployed,
    functions are those of the newer one.

    Raises:
        SchemaTooOldError: says what is missing.
    """
    recorded = await _recorded(conn) if await value(conn, SQL["exists"]) else {}
    missing = [statement.name for statement in statements if statement.name not in recorded]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise SchemaTooOldError("shard", f"{missing[0]}{more} of the vertical is not there")


async def _recorded(conn: Conn) -> dict[str, Recorded]:
    cursor = await conn.execute(SQL["generated"])
    return {
        name: Recorded(kind, bytes(sha256), drop_sql)
        for name, kind, sha256, drop_sql in await cursor.fetchall()
    }


async def _apply(
    conn: Conn, statements: Sequence[GeneratedStatement], options: Options
) -> VerticalReport:
    # The migrator holds this lock already and gets it once more; another caller must not run beside
    # a migrator.
    if not await value(conn, SQL["try_lock_in_transaction"], {"key": LOCK_KEY}):
        raise BusyError
    plan = plan_vertical(await _recorded(conn), statements)
    if not plan.run and not plan.drop:
        return VerticalReport(kept=plan.kept)
    await limit_lock_waits(conn, options)
    for name, drop_sql in plan.drop.items():
        await _run(conn, name, drop_sql)
    for statement in plan.run:
        await _run(conn, statement.name, statement.sql)
    async with conn.cursor() as cursor:
        await cursor.execute(SQL["forget_generated"], {"names": list(plan.drop)})
        await cursor.executemany(
            SQL["record_generated"],
            [
                {"name": s.name, "kind": s.kind, "sha256": s.sha256, "drop_sql": s.drop}
                for s in plan.run
            ],
        )
    return VerticalReport(tuple(s.name for s in plan.run), tuple(plan.drop), plan.kept)


async def _run(conn: Conn, name: str, sql: str) -> None:
    try:
        await conn.execute(sql.encode())
    except psycopg.errors.NotNullViolation as error:
        raise StatementFailedError(
            name,
            "rows exist that have no value for a required field",
            "Declare the field as optional.",
        ) from error
    except psycopg.IntegrityError as error:
        raise StatementFailedError(
            name,
            f"rows exist that break it: {error.diag.message_detail or error.diag.message_primary}",
            "Mend the rows, or declare less.",
        ) from error
    except (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError) as error:
        raise refused(name, error) from error
