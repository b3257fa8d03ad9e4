"""What PostgreSQL raises, for what stands for it in memory.

Owns the errors, with the states of SQL by which the code that ships tells them apart. Promises the
classes that psycopg has. Never raises one.
"""

from __future__ import annotations

import psycopg

from serai.core.errors import Code


class LostTurnError(psycopg.errors.RaiseException):
    """What the functions of the schema raise for whoever lost a turn."""

    sqlstate = "SE002"


class GoneError(psycopg.errors.RaiseException):
    """What they raise for a row that was deleted."""

    sqlstate = "SE003"


def refusal(failed: Code, detail: str) -> psycopg.IntegrityError:
    """Return what PostgreSQL raises for a violation."""
    match failed:
        case Code.NOT_UNIQUE | Code.ROW_EXISTS:
            return psycopg.errors.UniqueViolation(detail)
        case Code.REFERENCE_MISSING | Code.REFERENCED:
            return psycopg.errors.ForeignKeyViolation(detail)
        case _:
            return psycopg.errors.CheckViolation(detail)
