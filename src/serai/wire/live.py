"""Frames of live sockets: every message of `protocol/SPEC.md`, section Live.

Owns their form. A frame with changes is not built here: it is joined from finished texts
(`serai.readers.live.frames`).
"""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec


class Hello(msgspec.Struct, tag="hello", rename="camel", forbid_unknown_fields=True):
    """The first frame of a client.

    Attributes:
        access_token: or an API key.
        since_token: of what the device holds; None: only what changes from now on.
        credit: frames that the server may send before it hears more.
        collections: only these; None: all that may be seen.
        property_ids: only these, and what belongs to the organisation itself; None: all.
    """

    access_token: str
    since_token: str | None = None
    credit: int = 100
    collections: list[str] | None = None
    property_ids: list[UUID] | None = None


class Seen(msgspec.Struct, tag="seen", rename="camel", forbid_unknown_fields=True):
    """The client holds everything up to `version`; `credit` more frames may be sent. The answer is
    a `token` frame, if that version can be sealed; there is none for a client that brings the
    since-token of a pull.
    """

    version: int
    credit: int = 0
    since_token: str | None = None


class Refresh(msgspec.Struct, tag="refresh", rename="camel", forbid_unknown_fields=True):
    """A new access token for this connection, before the old one expires."""

    access_token: str


ClientFrame = Hello | Seen | Refresh


class Ready(msgspec.Struct, tag="ready", rename="camel"):
    """The connection is live from this position on. `expires_in`: seconds until the access token
    must have been refreshed; None for an API key.
    """

    epoch: int
    version: int
    expires_in: int | None


PullReason = Literal["behind", "epoch", "grants", "filling"]


class Pull(msgspec.Struct, tag="pull", rename="camel"):
    """What the client holds cannot be brought forward here: it pulls, and goes on listening.

    Attributes:
        reason: `behind` (more has changed than is kept or sent here), `epoch` (positions were used
            again: restore or failover), `grants` (the caller's roles have changed), `filling` (the
            since-token is of a device that does not hold everything yet).
    """

    reason: PullReason
    epoch: int
    version: int


class Token(msgspec.Struct, tag="token", rename="camel"):
    """A since-token for what the client said it holds: the next pull begins there."""

    since_token: str
    version: int


class Refreshed(msgspec.Struct, tag="refreshed", rename="camel"):
    """The new access token counts; it expires in so many seconds."""

    expires_in: int


class Failed(msgspec.Struct, tag="error", rename="camel"):
    """Why the connection is closed: a line of the catalogue of errors."""

    code: str
    title: str
    remedy: str
    retry: str
    detail: str | None = None


ServerFrame = Ready | Pull | Token | Refreshed | Failed
