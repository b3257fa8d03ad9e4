"""The HTTP half of identity: sign in, refresh, sign out, new password, who am I, API keys.

Owns the way from a request to `serai.gate.service` and back. Promises that no answer with a secret
can be stored by a cache, and that forms with a secret are never shown in an error. Needs no
`Idempotency-Key`: an answer kept for replays would keep the secret in it.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from serai.core.errors import Code, SeraiError
from serai.core.ids import parse_uuid
from serai.core.limits import FORM_BYTES_MAX
from serai.http.asgi import Reply, Request, json_reply, no_query
from serai.http.body import check_media_type, decode, no_body, read_body
from serai.http.json_text import check_members
from serai.http.services import HttpServices
from serai.wire.identity import (
    ApiKeyRequest,
    OidcRequest,
    PasswordRequest,
    RefreshRequest,
    SignInRequest,
    SignOutRequest,
)

T = TypeVar("T")
_sign_in_decoder: Final = msgspec.json.Decoder(SignInRequest)
_oidc_decoder: Final = msgspec.json.Decoder(OidcRequest)
_refresh_decoder: Final = msgspec.json.Decoder(RefreshRequest)
_sign_out_decoder: Final = msgspec.json.Decoder(SignOutRequest)
_password_decoder: Final = msgspec.json.Decoder(PasswordRequest)
_api_key_decoder: Final = msgspec.json.Decoder(ApiKeyRequest)
_KEYS_SECONDS: Final = 30
"""A cache may hold the public keys so long: half of what a new key waits before it signs."""


async def sign_in(request: Request, services: HttpServices, _: str) -> Reply:
    """Start a session."""
    form = await _form(request, services, _sign_in_decoder)
    return json_reply(await services.identity.sign_in(form, address=request.address))


async def sign_in_oidc(request: Request, services: HttpServices, _: str) -> Reply:
    """Start a session with an ID token."""
    form = await _form(request, services, _oidc_decoder)
    return json_reply(await services.identity.sign_in_oidc(form, address=request.address))


async def refresh(request: Request, services: HttpServices, _: str) -> Reply:
    """Go on with a session."""
    form = await _form(request, services, _refresh_decoder)
    return json_reply(await services.identity.refresh(form))


async def sign_out(request: Request, services: HttpServices, _: str) -> Reply:
    """End a session."""
    form = await _form(request, services, _sign_out_decoder)
    await services.identity.sign_out(form)
    return Reply(204)


async def change_password(request: Request, services: HttpServices, _: str) -> Reply:
    """Give the caller a new password."""
    caller = await services.identity.identity.resolve_own(request.headers.get("authorization"))
    form = await _form(request, services, _password_decoder)
    told = await services.identity.change_password(caller, form, address=request.address)
    return json_reply(told)


async def me(request: Request, services: HttpServices, _: str) -> Reply:
    """Tell the caller who it is."""
    caller = await services.identity.identity.resolve(request.headers.get("authorization"))
    no_query(request)
    return json_reply(await services.identity.me(caller))


async def create_api_key(request: Request, services: HttpServices, _: str) -> Reply:
    """Give a machine a key."""
    caller = await services.identity.identity.resolve(request.headers.get("authorization"))
    form = await _form(request, services, _api_key_decoder)
    created = await services.identity.create_api_key(caller, form)
    return json_reply(created, 201, location=f"/v1/api-keys/{created.key.id}")


async def list_api_keys(request: Request, services: HttpServices, _: str) -> Reply:
    """List the organisation's keys."""
    caller = await services.identity.identity.resolve(request.headers.get("authorization"))
    no_query(request)
    return json_reply(await services.identity.list_api_keys(caller))


async def revoke_api_key(request: Request, services: HttpServices, last: str) -> Reply:
    """End a key."""
    caller = await services.identity.identity.resolve(request.headers.get("authorization"))
    no_query(request)
    await no_body(request)
    try:
        key_id = parse_uuid(last)
    except ValueError:
        raise SeraiError(Code.NOT_FOUND) from None
    await services.identity.revoke_api_key(caller, key_id)
    return Reply(204)


async def jwks(request: Request, services: HttpServices, _: str) -> Reply:
    """Publish the keys that verify access tokens."""
    no_query(request)
    reply = json_reply(dict(await services.identity.jwks()))
    reply.private = False
    reply.headers["cache-control"] = f"public, max-age={_KEYS_SECONDS}"
    return reply


async def _form(request: Request, services: HttpServices, decoder: msgspec.json.Decoder[T]) -> T:
    no_query(request)
    check_media_type(request)
    body = await read_body(request, min(FORM_BYTES_MAX, services.settings.body_bytes_max))
    if b"\\u0000" in body:
        raise SeraiError(Code.BODY_INVALID, "A text holds the character NUL.")
    form = decode(body, decoder)
    check_members(body, 0)
    return form
