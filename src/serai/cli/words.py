"""Arguments that several commands of an operator have, and what is read of them.

Owns their words. Promises that a URL may come by standard input. Never does anything else.
"""

from __future__ import annotations

import sys
from typing import Annotated, Final

from cyclopts import Parameter

_REASON_CHARS_MAX: Final = 500


def _said(_: object, reason: str) -> None:
    if not reason.strip():
        raise ValueError("Say why: it is all that the audit table will know.")
    if len(reason) > _REASON_CHARS_MAX:
        raise ValueError(f"A reason has at most {_REASON_CHARS_MAX} characters.")


Reason = Annotated[str, Parameter(help="Why; kept in the audit table.", validator=_said)]
Url = Annotated[
    str,
    Parameter(
        help="PostgreSQL URL with the owner's user and password; - reads it from standard input, "
        "where no list of processes shows it."
    ),
]


def read_url(url: str) -> str:
    """Return the URL that was given, or the line of standard input that `-` stands for."""
    return sys.stdin.readline().strip() if url == "-" else url
