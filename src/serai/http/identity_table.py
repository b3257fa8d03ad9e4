"""The operations of identity in the table of all operations.

Owns what the document says of sign-in, sessions, passwords and API keys. Promises that an operation
is closed unless it says `signed_in=False`; the tests keep the list of those that do. Never handles
a request: `serai.http.identity` does.
"""

from __future__ import annotations

from typing import Final

from serai.core.errors import Code
from serai.http import identity
from serai.http.operations import NO_BODY, Operation
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
from serai.wire.rest import KeySetAnswer

_CREDENTIALS: Final = (Code.OVERLOADED, Code.UNAVAILABLE)


def identity_operations() -> list[Operation]:
    """Return the operations of identity."""
    return [*_session_operations(), *_oidc_operations(), *_own_operations(), *_key_operations()]


def _session_operations() -> list[Operation]:
    return [
        Operation(
            id="signIn",
            method="POST",
            path="/v1/auth/token",
            summary="Sign in with e-mail and password",
            handler=identity.sign_in,
            request=SignInRequest,
            request_example={"email": "ana@example.com", "password": "correct horse battery"},
            answer=TokenAnswer,
            problems=(
                *_CREDENTIALS,
                Code.CREDENTIALS,
                Code.RATE_LIMITED,
                Code.FORBIDDEN,
                Code.DEVICE_UNKNOWN,
            ),
            tag="identity",
            signed_in=False,
        ),
        Operation(
            id="refreshSession",
            method="POST",
            path="/v1/auth/refresh",
            summary="Get a new access token",
            handler=identity.refresh,
            request=RefreshRequest,
            request_example={"refreshToken": "srr_..."},
            answer=TokenAnswer,
            problems=(*_CREDENTIALS, Code.REFRESH_INVALID, Code.REFRESH_REUSED, Code.FORBIDDEN),
            tag="identity",
            signed_in=False,
        ),
        Operation(
            id="signOut",
            method="POST",
            path="/v1/auth/sign-out",
            summary="End the session of a refresh token",
            handler=identity.sign_out,
            status=204,
            request=SignOutRequest,
            request_example={"refreshToken": "srr_..."},
            problems=_CREDENTIALS,
            tag="identity",
            signed_in=False,
        ),
    ]


def _oidc_operations() -> list[Operation]:
    return [
        Operation(
            id="signInWithIdToken",
            method="POST",
            path="/v1/auth/oidc",
            summary="Sign in with an ID token of an OpenID Connect provider",
            handler=identity.sign_in_oidc,
            doc="The app gets the token by the authorization code flow with PKCE, or from the"
            " provider's library. It makes a secret for each sign-in (`nonceVerifier`, 43 to 128"
            " characters), sends base64url(SHA-256(secret)) as `nonce` to the provider, and the"
            " secret here. A token opens one session, within 10 minutes of its issue. The first"
            " time, the e-mail that the provider has verified tells whose identity it is, if the"
            " settings let the provider vouch for its domain; otherwise an operator links it. From"
            " then on, issuer and subject do. Believed are the issuers of `SERAI_OIDC_ISSUERS`;"
            " without any, the answer is `oidc_off`.",
            request=OidcRequest,
            request_example={
                "idToken": "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ...",
                "nonceVerifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            },
            answer=TokenAnswer,
            problems=(
                *_CREDENTIALS,
                Code.OIDC_OFF,
                Code.ID_TOKEN_INVALID,
                Code.IDENTITY_UNKNOWN,
                Code.ISSUER_AWAY,
                Code.RATE_LIMITED,
                Code.FORBIDDEN,
                Code.DEVICE_UNKNOWN,
            ),
            tag="identity",
            signed_in=False,
        ),
    ]


def _own_operations() -> list[Operation]:
    return [
        Operation(
            id="changePassword",
            method="POST",
            path="/v1/auth/password",
            summary="Change your own password",
            handler=identity.change_password,
            doc="Every session of the user ends, this one too. The answer has the tokens of a new"
            " session on this device, in the same organisation; access tokens of the others work"
            " for 5 seconds at most. A device that loses the answer signs in with the new password."
            " Attempts count with those to sign in. Nobody needs a role for it. An API key has no"
            " password.",
            request=PasswordRequest,
            request_example={
                "oldPassword": "correct horse battery",
                "newPassword": "a longer way home",
            },
            answer=TokenAnswer,
            problems=(
                Code.CREDENTIALS,
                Code.PASSWORD_WEAK,
                Code.FIELDS_INVALID,
                Code.RATE_LIMITED,
            ),
            tag="identity",
        ),
        Operation(
            id="me",
            method="GET",
            path="/v1/me",
            tag="identity",
            summary="Who the caller is, and its roles",
            handler=identity.me,
            answer=MeAnswer,
        ),
    ]


def _key_operations() -> list[Operation]:
    return [
        Operation(
            id="createApiKey",
            method="POST",
            path="/v1/api-keys",
            tag="identity",
            summary="Give a machine a key",
            handler=identity.create_api_key,
            doc="The secret is shown this once. It takes no `Idempotency-Key`: a kept answer would"
            " keep the secret.",
            status=201,
            request=ApiKeyRequest,
            request_example={"name": "Channel manager", "roles": [{"role": "auditor"}]},
            answer=ApiKeyCreated,
            problems=(Code.FIELDS_INVALID, Code.RULE),
            answer_headers=("Location",),
        ),
        Operation(
            id="listApiKeys",
            method="GET",
            path="/v1/api-keys",
            tag="identity",
            summary="The organisation's API keys",
            handler=identity.list_api_keys,
            answer=ApiKeysAnswer,
        ),
        Operation(
            id="revokeApiKey",
            method="DELETE",
            path="/v1/api-keys/{id}",
            tag="identity",
            summary="End an API key",
            handler=identity.revoke_api_key,
            status=204,
            problems=(Code.NOT_FOUND, *NO_BODY),
        ),
        Operation(
            id="jwks",
            method="GET",
            path="/.well-known/jwks.json",
            summary="Public keys that verify access tokens",
            handler=identity.jwks,
            answer=KeySetAnswer,
            problems=_CREDENTIALS,
            tag="identity",
            signed_in=False,
        ),
    ]
