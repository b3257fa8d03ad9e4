"""Sessions: one sign-in on one device, and the refresh tokens that keep it alive.

Owns how a session starts, goes on and ends. Promises that a refresh token is 256 random bits of
which the directory holds only the hash, that it is used once, and that one which comes again ends
its session for whoever holds it (RFC 9700, section 4.14.2). Never checks a password or a token of
another issuer; who opens a session has done so.

A phone whose answer was lost, and two tabs that refresh at once, also present a used token. They
are told apart from a thief by time and by what followed: within 60 seconds, and while the successor
has not been used, the same successor is given again. It can be, although only its hash is stored,
because it is HMAC(token, salt) with a random salt beside the used token. Both tabs then hold one
token, where a fresh token for each would fork the family and blind the check. What that grace costs
is in docs/decisions/0007-identity.md.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, assert_never
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.core.limits import (
    REFRESH_GENERATIONS_KEPT,
    REFRESH_GRACE_SECONDS,
    REFRESH_SECONDS,
    SESSION_SECONDS_MAX,
)
from serai.shard.connection import Connection, Record
from serai.shard.queries import load_queries

_SQL = load_queries("serai.gate", "sessions.sql")
_PREFIX: Final = "srr_"
"""Lets a scanner for leaked secrets know the token, and a person tell it from an access token."""
_TOKEN_CHARS: Final = len(_PREFIX) + 43
_REUSED: Final = "reuse"


@dataclass(frozen=True, slots=True)
class Session:
    """A live session and the refresh token that goes on with it."""

    session_id: UUID
    user_id: UUID
    org_id: int | None
    refresh_token: str = field(repr=False)
    refresh_expires_at: datetime


class Use(Enum):
    """What presenting a refresh token means."""

    FIRST = "first"
    AGAIN = "again"
    """The answer to the first use may have been lost: give it again."""
    STOLEN = "stolen"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Presented:
    """A stored refresh token that was presented, and its session.

    Attributes:
        newest: generation of the newest token of the session.
        successor_salt: None before the use, and after the use of the successor.
        ended: the session was revoked, or its user disabled; `ended_by_reuse`: because a token came
            twice.
    """

    generation: int
    newest: int
    expires_at: datetime
    session_expires_at: datetime
    used_at: datetime | None
    successor_salt: bytes | None = field(repr=False)
    ended: bool = False
    ended_by_reuse: bool = False

    def use(self, now: datetime) -> Use:
        """Judge the presentation."""
        if self.ended:
            return Use.STOLEN if self.ended_by_reuse else Use.DEAD
        if now >= self.session_expires_at:
            return Use.DEAD
        if self.used_at is None:
            return Use.FIRST if now < self.expires_at else Use.DEAD
        in_grace = now - self.used_at <= timedelta(seconds=REFRESH_GRACE_SECONDS)
        followed = self.successor_salt is None or self.generation != self.newest - 1
        return Use.AGAIN if in_grace and not followed else Use.STOLEN


async def open_session(
    directory: Connection,
    *,
    user_id: UUID,
    password_hash: str,
    org_id: int | None,
    device_id: UUID | None,
    now: datetime,
) -> Session | None:
    """Start a session. None if the user was disabled or the password changed while `password_hash`
    was being checked.
    """
    until = now + timedelta(seconds=SESSION_SECONDS_MAX)
    async with directory.transaction():
        row = await directory.fetchrow(
            _SQL["open_session"], user_id, password_hash, org_id, device_id, now, until
        )
        return None if row is None else await _begun(directory, row, now)


async def open_session_of_identity(
    directory: Connection,
    *,
    user_id: UUID,
    org_id: int | None,
    device_id: UUID | None,
    now: datetime,
) -> Session | None:
    """Start a session of a user whom another issuer has identified. None if the user is disabled.

    The caller is in the transaction in which it has found the link to the user.
    """
    until = now + timedelta(seconds=SESSION_SECONDS_MAX)
    row = await directory.fetchrow(
        _SQL["open_session_of_identity"], user_id, org_id, device_id, now, until
    )
    return None if row is None else await _begun(directory, row, now)


async def succeed_session(
    directory: Connection, *, session_id: UUID, org_id: int, now: datetime
) -> Session:
    """Start a session of the same user on the same device as one that the caller, in the same
    transaction, has just ended.
    """
    until = now + timedelta(seconds=SESSION_SECONDS_MAX)
    row = await directory.fetchrow(_SQL["succeed_session"], session_id, org_id, now, until)
    assert row is not None, "the caller has ended it a moment ago"
    return await _begun(directory, row, now)


async def refresh(
    directory: Connection, *, refresh_token: str, org_id: int | None, now: datetime
) -> Session:
    """Go on with a session, in organisation `org_id` from now on (None: in the one it was in).

    The caller opens no transaction around this: what a stolen token ends must stay ended.

    Raises:
        SeraiError: `refresh_invalid`; `refresh_reused`, and the session has ended.
    """
    name = hashed(refresh_token) if _plausible(refresh_token) else None
    if name is None:
        raise SeraiError(Code.REFRESH_INVALID)
    async with directory.transaction():
        # The lock first, the state in a second statement: the first one's snapshot is older than
        # the lock.
        if await directory.fetchval(_SQL["lock_session_of"], name) is None:
            raise SeraiError(Code.REFRESH_INVALID)
        row = await directory.fetchrow(_SQL["presented"], name)
        use = Use.DEAD if row is None else _presented(row).use(now)
        if row is not None and use in (Use.FIRST, Use.AGAIN):
            return await _go_on(directory, row, use, refresh_token, org_id, now)
        if row is not None and use is Use.STOLEN:
            await directory.execute(_SQL["end_session"], row["session_id"], _REUSED, now)
    # Raised after the commit: inside, the error would undo the end of the session.
    raise _refusal(use)


async def user_of_token(directory: Connection, refresh_token: str) -> UUID | None:
    """Return whose refresh token it is, in whatever state, None if it is nobody's."""
    if not _plausible(refresh_token):
        return None
    return await directory.fetchval(_SQL["user_of_token"], hashed(refresh_token))


async def end_session(directory: Connection, *, refresh_token: str, now: datetime) -> UUID | None:
    """Sign out: end the session of the token, whatever its generation. None if there is no such
    token.
    """
    if not _plausible(refresh_token):
        return None
    return await directory.fetchval(_SQL["sign_out"], hashed(refresh_token), now)


async def prune_sessions(directory: Connection, *, now: datetime, limit: int) -> int:
    """Delete up to `limit` sessions that have been over for a day; return how many."""
    return await directory.fetchval(_SQL["prune_sessions"], now - timedelta(days=1), limit)


def hashed(token: str) -> bytes:
    """Return what is stored of a refresh token. Plain SHA-256: 256 random bits need no salt and no
    cost.
    """
    return hashlib.sha256(token.encode()).digest()


def successor(token: str, salt: bytes) -> str:
    """Return the token that follows `token`: nobody knows it who has only one of the two."""
    return _text(hmac.digest(token.encode(), salt, hashlib.sha256))


async def _begun(directory: Connection, row: Record, now: datetime) -> Session:
    """Give a session that was just written its first refresh token."""
    token, expires_at = _text(secrets.token_bytes(32)), now + timedelta(seconds=REFRESH_SECONDS)
    session_id: UUID = row["session_id"]
    await directory.execute(_SQL["first_token"], hashed(token), session_id, now, expires_at)
    return Session(session_id, row["user_id"], row["org_id"], token, expires_at)


async def _go_on(
    directory: Connection,
    row: Record,
    use: Use,
    refresh_token: str,
    org_id: int | None,
    now: datetime,
) -> Session:
    session_id: UUID = row["session_id"]
    if use is Use.AGAIN:
        token, expires_at = successor(refresh_token, row["successor_salt"]), row["next_expires_at"]
    else:
        salt = secrets.token_bytes(32)
        token = successor(refresh_token, salt)
        expires_at = min(now + timedelta(seconds=REFRESH_SECONDS), row["session_expires_at"])
        await directory.execute(
            _SQL["rotate"],
            session_id,
            row["generation"],
            salt,
            hashed(token),
            now,
            expires_at,
            REFRESH_GENERATIONS_KEPT,
        )
    chosen = row["org_id"] if org_id is None else org_id
    if chosen != row["org_id"]:
        await directory.execute(_SQL["choose_organisation"], session_id, chosen)
    return Session(session_id, row["user_id"], chosen, token, expires_at)


def _refusal(use: Use) -> SeraiError:
    match use:
        case Use.STOLEN:
            return SeraiError(Code.REFRESH_REUSED)
        case Use.DEAD | Use.FIRST | Use.AGAIN:
            return SeraiError(Code.REFRESH_INVALID)
        case _:
            assert_never(use)


def _presented(row: Record) -> Presented:
    revoked = row["revoked_at"] is not None
    return Presented(
        generation=row["generation"],
        newest=row["newest"],
        expires_at=row["expires_at"],
        session_expires_at=row["session_expires_at"],
        used_at=row["used_at"],
        successor_salt=row["successor_salt"],
        ended=revoked or row["state"] != "active",
        ended_by_reuse=revoked and row["revoke_reason"] == _REUSED,
    )


def _text(secret: bytes) -> str:
    return _PREFIX + base64.urlsafe_b64encode(secret).decode().rstrip("=")


def _plausible(token: str) -> bool:
    return len(token) == _TOKEN_CHARS and token.startswith(_PREFIX) and token.isascii()
