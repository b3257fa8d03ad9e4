"""The states of a client and of a collection on it, and what moves them.

Owns three tables: the client's life (which includes the circuit breaker), a collection's, a
mutation's. Each line stands in `protocol/SPEC.md` with its test; a test holds both sides together.
Promises that a pair which is not in a table changes nothing. Pure: the tables are data, the
functions look them up.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeVar


class State(Enum):
    """What the client is doing."""

    IDLE = "idle"
    """In step with the server as far as it knows; waits for the interval, a write or a doorbell."""
    SYNCING = "syncing"
    """A request is on its way, or the next one is due."""
    WAITING = "waiting"
    """The last attempt failed; waits with backoff. The circuit is closed."""
    OPEN = "open"
    """Several attempts in a row failed; nothing is sent. The circuit is open."""
    PROBING = "probing"
    """One request finds out whether the server is back. The circuit is half open."""
    OFFLINE = "offline"
    """The device has no network; nothing is sent."""
    HALTED = "halted"
    """The server refuses in a way that only a person can mend: sign in, update the app."""
    CLOSED = "closed"
    """The file is closed."""


class Event(Enum):
    """What happens to the client."""

    WAKE = "wake"
    """The interval has passed, a row was written in the foreground, the app was opened, or a
    doorbell rang."""
    ASKED = "asked"
    """A person asked for a sync now, or has signed in again."""
    ANSWERED = "answered"
    """One request was answered and applied; more is to do."""
    DONE = "done"
    """One request was answered and applied; the queue is sent and nothing waits at the server."""
    FAILED = "failed"
    """A request failed in a way that passes."""
    TRIPPED = "tripped"
    """As `FAILED`, and it was the last failure that the circuit lets pass."""
    RETRY_DUE = "retry_due"
    """The wait after a failure is over."""
    REFUSED = "refused"
    """The server refused the request for good."""
    NETWORK_LOST = "network_lost"
    NETWORK_FOUND = "network_found"
    CLOSE = "close"


class Fill(Enum):
    """How much of a collection is on the device."""

    EMPTY = "empty"
    """Never pulled."""
    FILLING = "filling"
    """Some rows are there, not all: readable, and flagged."""
    WHOLE = "whole"
    """All rows as of the token."""
    STALE = "stale"
    """The token is gone; old rows stay readable, flagged, until the first page of the new fill
    replaces them."""


class Page(Enum):
    """What a page says about a collection."""

    PART = "part"
    """The page says `filling`."""
    LAST = "last"
    """The page does not say `filling`."""
    REFETCH = "refetch"
    """`mustRefetch` in the page, or an error that asks for it."""


class Fate(Enum):
    """Where a mutation is."""

    QUEUED = "queued"
    """Durable on the device, not answered; shown in the view."""
    ANSWERED = "answered"
    """Applied or merged by the server; shown as the server answered until a pull has passed its
    version."""
    REFUSED = "refused"
    """Conflict or rejected: out of the view, listed until a person deals with it."""
    GONE = "gone"
    """Forgotten: the server's rows contain it, or a person dismissed it."""


class Verdict(Enum):
    """What happens to a mutation."""

    APPLIED = "applied"
    MERGED = "merged"
    CONFLICT = "conflict"
    REJECTED = "rejected"
    PASSED = "passed"
    """A pull has passed the version of the write."""
    DISMISSED = "dismissed"
    RETRIED = "retried"
    """A person sent it again, as a new mutation."""


CLIENT: Final[dict[tuple[State, Event], State]] = {
    (State.IDLE, Event.WAKE): State.SYNCING,
    (State.IDLE, Event.ASKED): State.SYNCING,
    (State.IDLE, Event.NETWORK_LOST): State.OFFLINE,
    (State.SYNCING, Event.ANSWERED): State.SYNCING,
    (State.SYNCING, Event.DONE): State.IDLE,
    (State.SYNCING, Event.FAILED): State.WAITING,
    (State.SYNCING, Event.TRIPPED): State.OPEN,
    (State.SYNCING, Event.REFUSED): State.HALTED,
    (State.SYNCING, Event.NETWORK_LOST): State.OFFLINE,
    (State.WAITING, Event.RETRY_DUE): State.SYNCING,
    (State.WAITING, Event.ASKED): State.SYNCING,
    (State.WAITING, Event.NETWORK_FOUND): State.SYNCING,
    (State.WAITING, Event.NETWORK_LOST): State.OFFLINE,
    (State.OPEN, Event.RETRY_DUE): State.PROBING,
    (State.OPEN, Event.ASKED): State.PROBING,
    (State.OPEN, Event.NETWORK_FOUND): State.PROBING,
    (State.OPEN, Event.NETWORK_LOST): State.OFFLINE,
    (State.PROBING, Event.ANSWERED): State.SYNCING,
    (State.PROBING, Event.DONE): State.IDLE,
    (State.PROBING, Event.TRIPPED): State.OPEN,
    (State.PROBING, Event.REFUSED): State.HALTED,
    (State.PROBING, Event.NETWORK_LOST): State.OFFLINE,
    (State.OFFLINE, Event.NETWORK_FOUND): State.SYNCING,
    (State.HALTED, Event.ASKED): State.SYNCING,
    (State.IDLE, Event.CLOSE): State.CLOSED,
    (State.SYNCING, Event.CLOSE): State.CLOSED,
    (State.WAITING, Event.CLOSE): State.CLOSED,
    (State.OPEN, Event.CLOSE): State.CLOSED,
    (State.PROBING, Event.CLOSE): State.CLOSED,
    (State.OFFLINE, Event.CLOSE): State.CLOSED,
    (State.HALTED, Event.CLOSE): State.CLOSED,
}

COLLECTION: Final[dict[tuple[Fill, Page], Fill]] = {
    (Fill.EMPTY, Page.PART): Fill.FILLING,
    (Fill.EMPTY, Page.LAST): Fill.WHOLE,
    (Fill.FILLING, Page.PART): Fill.FILLING,
    (Fill.FILLING, Page.LAST): Fill.WHOLE,
    (Fill.FILLING, Page.REFETCH): Fill.STALE,
    (Fill.WHOLE, Page.LAST): Fill.WHOLE,
    (Fill.WHOLE, Page.PART): Fill.FILLING,
    (Fill.WHOLE, Page.REFETCH): Fill.STALE,
    (Fill.STALE, Page.PART): Fill.FILLING,
    (Fill.STALE, Page.LAST): Fill.WHOLE,
}

MUTATION: Final[dict[tuple[Fate, Verdict], Fate]] = {
    (Fate.QUEUED, Verdict.APPLIED): Fate.ANSWERED,
    (Fate.QUEUED, Verdict.MERGED): Fate.ANSWERED,
    (Fate.QUEUED, Verdict.CONFLICT): Fate.REFUSED,
    (Fate.QUEUED, Verdict.REJECTED): Fate.REFUSED,
    (Fate.ANSWERED, Verdict.PASSED): Fate.GONE,
    (Fate.REFUSED, Verdict.DISMISSED): Fate.GONE,
    (Fate.REFUSED, Verdict.RETRIED): Fate.GONE,
}

_S = TypeVar("_S", bound=Enum)
_E = TypeVar("_E", bound=Enum)


def step(table: dict[tuple[_S, _E], _S], state: _S, event: _E) -> _S:
    """Return the state after the event; the same state if the table has no line for the pair."""
    return table.get((state, event), state)
