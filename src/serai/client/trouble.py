"""The last failed attempt, kept in the file for whoever reads it without the app.

Owns the form of the note. Promises that it holds no row and no credential: a code of the catalogue
or a message of this package, and times. The client itself never reads it back: after a start it
tries at once, whatever stood there.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Final

import msgspec
from msgspec import Struct

from serai.client.file import DeviceFile, FileDamaged, FileError, NotWritten
from serai.client.reactions import Unreachable
from serai.client.states import State
from serai.core.clock import Clock, timestamp_text
from serai.core.errors import SeraiError

META_KEY: Final = "trouble"


class Trouble(Struct, frozen=True):
    """Why the last attempt failed.

    Attributes:
        state: what the client did then: `waiting`, `open`, `halted`.
        code: of the catalogue, None if no answer came.
        failures: attempts that failed in a row.
        at: when it failed.
        next_at: when the next attempt is due, None if it waits for a person.
    """

    state: str
    code: str | None
    message: str
    failures: int
    at: str
    next_at: str | None


_decoder: Final = msgspec.json.Decoder(Trouble)


def keep(
    file: DeviceFile,
    error: Unreachable | SeraiError | FileError,
    state: State,
    failures: int,
    clock: Clock,
    wait: float | None,
) -> None:
    """Note a failed attempt. `wait`: seconds to the next one, None if it waits for a person."""
    code = error.code.text if isinstance(error, SeraiError) else None
    now = clock.now()
    due = None if wait is None else timestamp_text(now + timedelta(seconds=wait))
    made = Trouble(state.value, code, str(error), failures, timestamp_text(now), due)
    # A file that does not take the note was the trouble, and the client's `error` says so.
    with contextlib.suppress(NotWritten, FileDamaged), file.transaction():
        file.set_meta(META_KEY, msgspec.json.encode(made).decode())


def read(text: str | None) -> Trouble | None:
    """Return the note in a file, None if the last attempt did not fail.

    Raises:
        msgspec.DecodeError: it is no such note.
    """
    return _decoder.decode(text) if text else None
