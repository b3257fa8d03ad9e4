"""The horizon: when a token cannot be continued, and why.

Owns the one condition for `must_refetch`. Promises that pulls and the doctor, which explains them,
decide by the same lines. Pure; never opens a token or reads a database.
"""

from __future__ import annotations

from enum import Enum

from serai.core.token import Position
from serai.ports.store import Head


class Refetch(Enum):
    """Why a device has to fetch everything anew."""

    EPOCH = "epoch"
    """The organisation was restored, or moved back: numbers may mean something else now."""
    BELOW = "below"
    """The log does not reach back to the token's version any more."""
    AHEAD = "ahead"
    """The organisation has not reached the token's version: it has lost a tail of its log."""


def why_refetch(position: Position, head: Head) -> Refetch | None:
    """Return why a token at `position` cannot be continued, None if it can."""
    if position.epoch != head.epoch:
        return Refetch.EPOCH
    if position.version < head.floor:
        return Refetch.BELOW
    if position.version > head.version:
        return Refetch.AHEAD
    return None
