"""How a command ends: errors in words, statuses, signals.

Owns the translation of exceptions to a message and an exit status: 0 done, 1 failed, 2 wrong use,
130 interrupted, 141 nobody reads the output any more. Promises that a known failure prints what is
wrong and what to do, without a traceback. Never hides an unknown one.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import psycopg
import uvloop
from cyclopts import App
from rich.console import Console

from serai.app.settings import SettingsError
from serai.core.errors import SeraiError
from serai.embedded.postgres import EmbeddedPostgresError
from serai.schema.database_url import failure_of
from serai.schema.errors import SchemaError
from serai.shard.connection import ValueRefused

T = TypeVar("T")

console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
"""Where people look; standard output is for results. Text is printed as it is: lines are for
copying, and names of files and people may hold brackets.
"""
_READER_LEFT = 128 + signal.SIGPIPE
_READ_ONLY = (
    "A database takes no writes: it is a replica, or a primary whose place another has taken. Check"
    " SERAI_DIRECTORY_URL, and `serai shard replica list`."
)

_OLD_SCHEMA = (
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InvalidSchemaName,
)
"""What a statement meets that a migration would have prepared."""


class CommandFailed(Exception):
    """A command cannot do what was asked. The message says why and what to do."""


def guarded(app: App) -> int:
    """Run the application and return its exit status."""
    try:
        result = app(sys.argv[1:], result_action="return_value")
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except SeraiError as error:
        return _failed(_in_words(error))
    except (SchemaError, SettingsError, CommandFailed, EmbeddedPostgresError) as error:
        return _failed(str(error))
    except (psycopg.DataError, ValueRefused, UnicodeEncodeError) as error:
        return _failed(f"A value that was given is none that a database takes: {_first(error)}.")
    except psycopg.errors.ReadOnlySqlTransaction:
        return _failed(_READ_ONLY)
    except _OLD_SCHEMA as error:
        return _failed(
            f"A database has not the schema of this release: {_first(error)}. Type `serai migrate`,"
            " then this again; nothing of the step that failed was done."
        )
    except psycopg.OperationalError as error:
        why = failure_of(error)
        return _failed(f"The database does not answer ({why}). Check SERAI_DIRECTORY_URL.")
    except BrokenPipeError:
        # As after `| head -1`. What is still buffered goes nowhere, or Python complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_LEFT
    except OSError as error:
        return _failed(f"{error.filename or ''} {error.strerror or error}".strip())
    return result if isinstance(result, int) else 0


def _failed(message: str) -> int:
    console.print("serai:", style="red", end=" ")
    console.print(message)
    return 1


def _first(error: Exception) -> str:
    """Return the first line of an error, in characters that every terminal takes."""
    return str(error).partition("\n")[0].rstrip(".").encode("ascii", "backslashreplace").decode()


def _in_words(error: SeraiError) -> str:
    """Return the error for a reader who cannot see a problem document's `errors`."""
    if error.errors:
        reasons = "; ".join(f"{name} {reason.rstrip('.')}" for name, reason in error.errors)
        return f"{error.code.kind.title}: {reasons}."
    return f"{error.code.kind.title}: {error.detail or error.code.kind.remedy}"


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine. The first interrupt cancels it, so that everything is closed in
    order.
    """
    return uvloop.run(_until_interrupted(main))


async def _until_interrupted(main: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(main)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def print_json(value: object) -> None:
    """Print one JSON line on standard output, in ASCII: a terminal may have any encoding, and the
    name of a file any bytes.
    """
    print(json.dumps(value))
