"""Who asks: from the `Authorization` header to the caller.

Owns the one door of every request. Promises that what passes has an organisation, a user (or a
machine) and a grant (an empty one only for what people do to their own sign-in), and that all else
ends in one of three errors: `access_expired` (refresh), `forbidden` (no role in the organisation),
`unauthenticated`. Nothing is open by default: there is
no path through here without a credential. Never decides whether the caller may do what it asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.core.limits import AUTHORIZATION_CHARS_MAX
from serai.gate.access import AccessClaims, AccessTokens
from serai.gate.api_keys import PREFIX, ApiKeys
from serai.gate.caller import Caller, Grant
from serai.gate.grants import GrantCache, GrantSource
from serai.gate.mirror import DirectoryMirror
from serai.model import Vertical

Stores = Callable[[int], Awaitable[GrantSource]]
"""Organisation -> the store of its home shard; raises `not_found` for an organisation that is not
there.
"""
_SCHEME: Final = "bearer "


class Identity:
    """Resolves callers.

    Args:
        tokens: checks access tokens.
        mirror: keys, and sessions that have ended.
        api_keys: checks API keys.
        grants: what users may do.
        stores: where organisations live.
        vertical: what roles mean.
    """

    def __init__(
        self,
        *,
        tokens: AccessTokens,
        mirror: DirectoryMirror,
        api_keys: ApiKeys,
        grants: GrantCache,
        stores: Stores,
        vertical: Vertical,
    ) -> None:
        self._tokens = tokens
        self._mirror = mirror
        self._api_keys = api_keys
        self._grants = grants
        self._stores = stores
        self._vertical = vertical

    async def resolve(self, authorization: str | None) -> Caller:
        """Return the caller behind the header `Authorization: Bearer ...`: an access token or an
        API key.

        Raises:
            SeraiError: `unauthenticated`, `access_expired`, `forbidden`; `unavailable` and its kin
                if a database that must be asked does not answer.
        """
        credential = _credential(authorization)
        if credential.startswith(PREFIX):
            return await self._machine(credential)
        claims = await self._session(credential)
        grant = await self._grant(claims.org, claims.sub)
        caller = Caller(claims.org, claims.sub, grant, self._vertical, device_id=claims.sid)
        return _admitted(caller)

    async def resolve_own(self, authorization: str | None) -> Caller:
        """Return the caller for what anybody who is signed in may do to their own sign-in, also
        without a role: their grant is not read, and empty.

        Raises:
            SeraiError: as `resolve`, but `forbidden` for a machine only.
        """
        credential = _credential(authorization)
        if credential.startswith(PREFIX):
            return await self._machine(credential)
        claims = await self._session(credential)
        grant = Grant.from_memberships(self._vertical, 0, ())
        return Caller(claims.org, claims.sub, grant, self._vertical, device_id=claims.sid)

    async def resolve_lasting(self, authorization: str | None) -> tuple[Caller, int | None]:
        """Return the caller for a connection that stays open, and the second since 1970 at which
        its access token expires; None for an API key.

        Raises:
            SeraiError: as `resolve`.
        """
        caller = await self.resolve(authorization)
        if caller.machine:
            return caller, None
        return caller, self._tokens.verify(_credential(authorization)).exp

    async def ended(self) -> frozenset[UUID]:
        """Return the sessions that have ended lately: signed out, revoked, taken over. For those
        whose connections stay open, which ask every few seconds.

        Raises:
            SeraiError: `unavailable` if the directory was never read.
        """
        self._tokens.use(await self._mirror.fresh())
        return self._mirror.ended

    async def _session(self, token: str) -> AccessClaims:
        self._tokens.use(await self._mirror.fresh())
        claims = self._tokens.verify(token)
        if self._mirror.has_ended(claims.sid):
            raise SeraiError(Code.UNAUTHENTICATED)
        return claims

    async def _machine(self, text: str) -> Caller:
        key = await self._api_keys.resolve(text)
        roles = [(r.role, r.property_id) for r in key.roles]
        grant = Grant.from_memberships(self._vertical, 0, roles)
        caller = Caller(
            key.org_id, key.key_id, grant, self._vertical, machine=True, device_id=key.key_id
        )
        return _admitted(caller)

    async def _grant(self, org_id: int, user_id: UUID) -> Grant:
        try:
            store = await self._stores(org_id)
        except SeraiError as error:
            if error.code is Code.NOT_FOUND:
                # The token outlived the organisation.
                raise SeraiError(Code.FORBIDDEN) from error
            raise
        return await self._grants.get(store, org_id, user_id, self._vertical)


def _credential(authorization: str | None) -> str:
    """Return what follows `Bearer `."""
    if authorization is None or len(authorization) > AUTHORIZATION_CHARS_MAX:
        raise SeraiError(Code.UNAUTHENTICATED)
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise SeraiError(Code.UNAUTHENTICATED)
    return authorization[len(_SCHEME) :].strip()


def _admitted(caller: Caller) -> Caller:
    if not caller.grant.by_scope:
        raise SeraiError(Code.FORBIDDEN, "You have no role in this organisation.")
    return caller
