"""Close codes: why a connection ends, and what the client does then.

Owns the map from the catalogue of errors to close codes, in ranges that tell the retry rule to a
client that does not know the code. Promises that a code keeps its meaning. Codes of the protocol
itself (1000 to 1015) are in `serai.gateway.framing`: after those of a server a client comes back
later.
"""

from __future__ import annotations

from typing import Final

from serai.core.errors import Code, Retry

RANGES: Final[dict[Retry, int]] = {
    Retry.NEVER: 4000,
    Retry.LATER: 4200,
    Retry.REFRESH: 4400,
    Retry.REFETCH: 4600,
}
"""The first code of each range; each has 200."""
_FAMILY: Final = 40
"""Codes of one family of errors (1001, 2001, ...) in a range."""


def close_code(code: Code) -> int:
    """Return the close code of an error."""
    family, number = divmod(code.kind.number, 1000)
    return RANGES[code.kind.retry] + (family - 1) * _FAMILY + number
