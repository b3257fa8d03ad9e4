"""Arguments that several commands of an operator have, and what is read of them.

Owns their words. Promises that a URL may come by standard input. Never does anything else.
"""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

Reason = Annotated[str, Parameter(help="Why; kept in the audit table.")]
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
