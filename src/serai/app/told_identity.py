"""Identity as the recorder hears of it.

Owns two things that are told: whom a request is for, noted on its exchange, and how sign-ins and
refreshes end (guesses at the old password of a change are sign-ins that fail). Promises that
identity itself behaves as without it. Never keeps a form: what was sent holds passwords and tokens.
"""

from __future__ import annotations

from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.gate.caller import Caller
from serai.http.services import Callers, Grants, IdentityRoutes
from serai.telemetry.exchange import CURRENT
from serai.telemetry.recorder import Recorder
from serai.wire.identity import (
    ApiKeyCreated,
    ApiKeyRequest,
    ApiKeysAnswer,
    MeAnswer,
    OidcRequest,
    PasswordRequest,
    RefreshRequest,
    SignInRequest,
    SignOutRequest,
    TokenAnswer,
)


class ToldIdentity:
    """Identity that tells who was resolved, and how sign-ins end."""

    def __init__(self, inner: IdentityRoutes, recorder: Recorder) -> None:
        self._inner, self._recorder = inner, recorder
        self.identity: Callers = _ToldCallers(inner.identity)
        self.grants: Grants = inner.grants

    async def sign_in(self, request: SignInRequest, *, address: str) -> TokenAnswer:
        """Sign in, and tell."""
        try:
            answer = await self._inner.sign_in(request, address=address)
        except SeraiError as error:
            self._recorder.signed_in(error.code.text)
            raise
        self._recorder.signed_in("ok")
        return answer

    async def sign_in_oidc(self, request: OidcRequest, *, address: str) -> TokenAnswer:
        """Sign in with an ID token, and tell."""
        try:
            answer = await self._inner.sign_in_oidc(request, address=address)
        except SeraiError as error:
            self._recorder.signed_in(error.code.text)
            raise
        self._recorder.signed_in("ok")
        return answer

    async def refresh(self, request: RefreshRequest) -> TokenAnswer:
        """Refresh, and tell."""
        try:
            answer = await self._inner.refresh(request)
        except SeraiError as error:
            self._recorder.refreshed(error.code.text)
            raise
        self._recorder.refreshed("ok")
        return answer

    async def sign_out(self, request: SignOutRequest) -> None:
        await self._inner.sign_out(request)

    async def change_password(
        self, caller: Caller, request: PasswordRequest, *, address: str
    ) -> TokenAnswer:
        """Change the password, and tell of a guess: this door has the lock of the sign-in."""
        try:
            return await self._inner.change_password(caller, request, address=address)
        except SeraiError as error:
            if error.code in (Code.CREDENTIALS, Code.RATE_LIMITED):
                self._recorder.signed_in(error.code.text)
            raise

    async def me(self, caller: Caller) -> MeAnswer:
        return await self._inner.me(caller)

    async def create_api_key(self, caller: Caller, request: ApiKeyRequest) -> ApiKeyCreated:
        return await self._inner.create_api_key(caller, request)

    async def list_api_keys(self, caller: Caller) -> ApiKeysAnswer:
        return await self._inner.list_api_keys(caller)

    async def revoke_api_key(self, caller: Caller, key_id: UUID) -> None:
        await self._inner.revoke_api_key(caller, key_id)

    async def jwks(self) -> dict[str, list[dict[str, str]]]:
        return await self._inner.jwks()


class _ToldCallers:
    """Notes the caller on the exchange."""

    def __init__(self, inner: Callers) -> None:
        self._inner = inner

    async def resolve(self, authorization: str | None) -> Caller:
        return _noted(await self._inner.resolve(authorization))

    async def resolve_own(self, authorization: str | None) -> Caller:
        return _noted(await self._inner.resolve_own(authorization))


def _noted(caller: Caller) -> Caller:
    exchange = CURRENT.get()
    if exchange is not None:
        exchange.org_id, exchange.user_id = caller.org_id, caller.user_id
        exchange.machine = caller.machine
    return caller
