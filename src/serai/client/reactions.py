"""What the client does about an error, without asking a person.

Owns the map from the catalogue of errors to the client's reaction. It is derived from
`Code.kind.retry`, with the few codes that only a client with a queue can mend named here. Promises
that every code has a reaction, and that no reaction drops a queued mutation. Pure.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, assert_never

from serai.core.errors import Code, Retry, SeraiError


class Unreachable(Exception):
    """No answer that can be read: no network, a timeout, a cut connection, or a stranger's page (a
    captive portal).

    Whether the server did what was asked is unknown, so the same is sent again.
    """


class Reaction(Enum):
    """What to do next."""

    LATER = "later"
    """Send the same again, after Retry-After or with backoff."""
    REFETCH = "refetch"
    """Drop the tokens, keep queue and rows, pull from the start."""
    RENUMBER = "renumber"
    """Take a new device id and number the queue from 1 under it."""
    RESEND = "resend"
    """Send the queue again from its first mutation: what was applied is answered as it was."""
    HALT = "halt"
    """Stop until a person has signed in or asked again; everything local still works."""


NUMBER_REUSED: Final = Code.KEY_REUSED.text
"""The code of a rejected mutation whose number was used for another write: a copy of this file has
used it, or the file is an old copy of itself. It was not judged, nor was any after it in the
request, so they stay in the queue and get new numbers. (As an error of a whole request the code
would not tell which mutations were judged; the client halts.)"""

_OWN: Final = {
    Code.DEVICE_UNKNOWN: Reaction.RENUMBER,
}


def reaction(code: Code) -> Reaction:
    """Return the reaction to a code; for `mutation_gap` see also `gap_reaction`."""
    own = _OWN.get(code)
    if own is not None:
        return own
    if code is Code.MUTATION_GAP:
        return Reaction.RESEND
    match code.kind.retry:
        case Retry.LATER:
            return Reaction.LATER
        case Retry.REFETCH:
            return Reaction.REFETCH
        # The transport has refreshed and tried again before this comes here: a person must sign in.
        case Retry.REFRESH | Retry.NEVER:
            return Reaction.HALT
        case _:
            assert_never(code.kind.retry)


def gap_reaction(first_queued: int, expected: int | None) -> Reaction:
    """Return the reaction to `mutation_gap`.

    Expects the server less than the first number of the queue, then it has lost mutations that it
    had answered: a restore. Nothing of the queue was applied there, so it may get new numbers;
    under a new device id, because a delayed copy of an old request could else meet its old number
    and be applied beside the renumbered one.
    """
    if expected is not None and expected < first_queued:
        return Reaction.RENUMBER
    return Reaction.RESEND


def reaction_to(error: SeraiError, first_queued: int) -> Reaction:
    """Return the reaction to an error of a request whose first mutation has this number."""
    if error.code is Code.MUTATION_GAP:
        expected = error.extra.get("expected")
        return gap_reaction(first_queued, expected if isinstance(expected, int) else None)
    return reaction(error.code)
