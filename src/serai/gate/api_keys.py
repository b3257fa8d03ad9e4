"""API keys: how a machine signs in.

Owns the text `serai_<key id>_<secret>`, its row in the directory, and the moment for which a
checked key is remembered. Promises that the secret is shown once and stored as a hash, that it is
compared in constant time, and that a revoked key stops working within 5 seconds wherever the
directory answers. A process that cannot ask it goes on with keys that it has checked within 15
minutes, as it does with access tokens. Never gives more than the roles recorded with the key.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from serai.core.clock import Clock
from serai.core.errors import Code, SeraiError
from serai.core.ids import uuid7
from serai.core.limits import (
    ACCESS_SECONDS,
    API_KEY_CACHE_MAX,
    API_KEY_ROLES_MAX,
    API_KEYS_PER_ORG_MAX,
    IDENTITY_STALE_SECONDS_MAX,
)
from serai.gate.bounded import Bounded
from serai.gate.mirror import Connections
from serai.shard.connection import Connection, Record
from serai.shard.queries import load_queries

_log = logging.getLogger(__name__)
_SQL = load_queries("serai.gate", "api_keys.sql")
_AWAY_SECONDS_MAX: Final = ACCESS_SECONDS
"""How long after its last check a key is taken while the directory cannot be asked: as long as an
access token runs that nobody can renew then."""
_RETRY_SECONDS: Final = 1.0
_READ_SECONDS_MAX: Final = 1.0
PREFIX: Final = "serai_"
_SECRET_BYTES: Final = 32
# The secret is hexadecimal: a double click takes the whole key, and it has one spelling.
_FORM: Final = re.compile(r"serai_([0-9a-f]{32})_([0-9a-f]{64})", re.ASCII)


class KeyRole(msgspec.Struct, frozen=True):
    """A role of a key: at one property, or (None) at all of them."""

    role: str
    property_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as lists show it. The secret is nowhere."""

    key_id: UUID
    org_id: int
    name: str
    roles: tuple[KeyRole, ...]
    created_by: UUID | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


async def create_api_key(
    directory: Connection,
    *,
    org_id: int,
    name: str,
    roles: Sequence[KeyRole],
    created_by: UUID | None,
    expires_at: datetime | None,
    now: datetime,
) -> tuple[ApiKey, str]:
    """Make a key; return it with its text, which nobody can see again.

    Raises:
        SeraiError: `fields_invalid` for no roles, too many, or an expiry that has passed; `rule` if
            the organisation has its full number of live keys.
    """
    if not 1 <= len(roles) <= API_KEY_ROLES_MAX:
        reason = f"from 1 to {API_KEY_ROLES_MAX}"
        raise SeraiError(Code.FIELDS_INVALID, errors=(("roles", reason),))
    if expires_at is not None and expires_at <= now:
        raise SeraiError(Code.FIELDS_INVALID, errors=(("expiresAt", "has passed"),))
    key_id, secret = uuid7(), secrets.token_hex(_SECRET_BYTES)
    row = await directory.fetchrow(
        _SQL["create_api_key"],
        key_id,
        _hashed(secret),
        org_id,
        name,
        msgspec.json.encode(roles).decode(),
        created_by,
        now,
        expires_at,
        API_KEYS_PER_ORG_MAX,
    )
    if row is None:
        reason = f"The organisation has {API_KEYS_PER_ORG_MAX} keys. Revoke one first."
        raise SeraiError(Code.RULE, reason)
    return _api_key(row), f"{PREFIX}{key_id.hex}_{secret}"


async def list_api_keys(directory: Connection, org_id: int) -> list[ApiKey]:
    """Return the organisation's keys, newest first; revoked ones for as long as their row is
    kept.
    """
    rows = await directory.fetch(_SQL["list_api_keys"], org_id, 2 * API_KEYS_PER_ORG_MAX)
    return [_api_key(row) for row in rows]


async def api_key_of_id(directory: Connection, key_id: UUID) -> ApiKey | None:
    """Return the key, None if there is none."""
    row = await directory.fetchrow(_SQL["api_key"], key_id)
    return None if row is None else _api_key(row)


async def revoke_api_key(
    directory: Connection, *, org_id: int, key_id: UUID, now: datetime
) -> None:
    """End a key of the organisation for good. Again does nothing more.

    Raises:
        SeraiError: `not_found` if the organisation has no such key.
    """
    if await directory.fetchval(_SQL["revoke_api_key"], org_id, key_id, now) is None:
        raise SeraiError(Code.NOT_FOUND)


class ApiKeys:
    """Checks presented keys.

    Attributes:
        reads: of the directory so far.
    """

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        self._known: Bounded[bytes, tuple[ApiKey, datetime]] = Bounded(API_KEY_CACHE_MAX)
        self._away_at: datetime | None = None
        self.reads = 0

    async def resolve(self, text: str) -> ApiKey:
        """Return the live key behind `text`.

        Raises:
            SeraiError: `unauthenticated`; `unavailable` and its kin while the directory is away and
                this process has not checked the key lately.
        """
        parts = _FORM.fullmatch(text)
        if parts is None:
            raise SeraiError(Code.UNAUTHENTICATED)
        key_id, digest = UUID(parts[1]), _hashed(parts[2])
        now = self._clock.now()
        name = key_id.bytes + digest
        held = self._known.get(name)
        if held is None or not _recent(held[1], now, _AWAY_SECONDS_MAX):
            key = await self._checked(name, now)
        elif _recent(held[1], now, IDENTITY_STALE_SECONDS_MAX) or self._is_away(now):
            key = held[0]
        else:
            key = await self._checked_or(held[0], name, now)
        if key.expires_at is not None and key.expires_at <= now:
            raise SeraiError(Code.UNAUTHENTICATED, "The API key has expired.")
        return key

    def forget(self) -> None:
        """Check every key again; for the process that has just revoked one."""
        self._known.clear()

    def _is_away(self, now: datetime) -> bool:
        """Tell whether the directory did not answer a moment ago. Each second one asks again."""
        if self._away_at is None or _recent(self._away_at, now, _RETRY_SECONDS):
            return self._away_at is not None
        self._away_at = now
        return False

    async def _checked_or(self, key: ApiKey, name: bytes, now: datetime) -> ApiKey:
        """Check a known key; take it as it was if the directory does not answer."""
        try:
            async with asyncio.timeout(_READ_SECONDS_MAX):
                return await self._checked(name, now)
        except (SeraiError, TimeoutError) as error:
            if isinstance(error, SeraiError) and error.code is Code.UNAUTHENTICATED:
                raise
            if self._away_at is None:
                _log.warning("directory not read, going on with API keys that are known: %s", error)
            self._away_at = now
            return key

    async def _checked(self, name: bytes, now: datetime) -> ApiKey:
        """Read the key and remember it; forget it if it is none any more."""
        try:
            key = await self._read(UUID(bytes=name[:16]), name[16:], now)
        except SeraiError as error:
            if error.code is Code.UNAUTHENTICATED:
                self._known.drop(name)
                self._away_at = None
            raise
        self._known.put(name, (key, now))
        self._away_at = None
        return key

    async def _read(self, key_id: UUID, digest: bytes, now: datetime) -> ApiKey:
        self.reads += 1
        async with self._connections.connection() as directory:
            row = await directory.fetchrow(_SQL["api_key"], key_id)
            stored = bytes(row["key_sha256"]) if row is not None else bytes(len(digest))
            same = hmac.compare_digest(stored, digest)
            if row is None or not same or row["revoked_at"] is not None:
                raise SeraiError(Code.UNAUTHENTICATED)
            await directory.execute(_SQL["api_key_used"], key_id, now)
        return _api_key(row)


def _recent(at: datetime, now: datetime, seconds: float) -> bool:
    return 0 <= (now - at).total_seconds() < seconds


def _hashed(secret: str) -> bytes:
    """Return what is stored of a secret. Plain SHA-256: 256 random bits need no salt and no
    cost.
    """
    return hashlib.sha256(secret.encode()).digest()


def _api_key(row: Record) -> ApiKey:
    return ApiKey(
        key_id=row["api_key_id"],
        org_id=row["org_id"],
        name=row["name"],
        roles=msgspec.json.decode(row["roles"], type=tuple[KeyRole, ...]),
        created_by=row["created_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
