"""The forms of identity: `/v1/auth/token`, `/v1/auth/refresh`, `/v1/auth/sign-out`,
`/v1/auth/password`, `/v1/auth/oidc`, `/v1/me`, `/v1/api-keys`.

Owns what a person or an administrator exchanges to sign in, stay signed in, and give machines keys.
Promises that a form which carries a secret does not show it in its repr, so that no log line or
traceback does. Never holds behaviour.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from serai.core.limits import (
    API_KEY_ROLES_MAX,
    ID_TOKEN_CHARS_MAX,
    INTEGER_MAX,
    NONCE_VERIFIER_CHARS_MAX,
    NONCE_VERIFIER_CHARS_MIN,
    PASSWORD_CHARS_MAX,
)

Name = Annotated[str, Meta(max_length=200)]
OrgId = Annotated[int, Meta(ge=1, le=INTEGER_MAX)]
OrgKey = Annotated[str, Meta(min_length=1, max_length=100)]
RefreshText = Annotated[str, Meta(max_length=200)]
TimestampText = str
"""`2026-01-31T12:00:00.000000Z`."""


class _Wire(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """A request or a part of one: unknown members are refused."""


class _Answer(Struct, frozen=True, rename="camel"):
    """An answer: every member is there."""


class SignInRequest(_Wire, frozen=True):
    """A sign-in. `organisation`: its number or its key; may be left out by a user of one
    organisation.
    """

    email: Annotated[str, Meta(min_length=3, max_length=320)]
    password: Annotated[str, Meta(max_length=PASSWORD_CHARS_MAX)]
    organisation: OrgId | OrgKey | None = None
    device_id: UUID | None = None
    device_name: Name = ""

    def __repr__(self) -> str:
        return "SignInRequest(...)"


class RefreshRequest(_Wire, frozen=True):
    """A refresh. `organisation`: switch to it; else the session stays where it was."""

    refresh_token: RefreshText
    organisation: OrgId | OrgKey | None = None

    def __repr__(self) -> str:
        return "RefreshRequest(...)"


class SignOutRequest(_Wire, frozen=True):
    """A sign-out: ends the session of the refresh token."""

    refresh_token: RefreshText

    def __repr__(self) -> str:
        return "SignOutRequest(...)"


class PasswordRequest(_Wire, frozen=True):
    """A new password in the place of the old one."""

    old_password: Annotated[str, Meta(max_length=PASSWORD_CHARS_MAX)]
    new_password: Annotated[str, Meta(max_length=PASSWORD_CHARS_MAX)]

    def __repr__(self) -> str:
        return "PasswordRequest(...)"


class OidcRequest(_Wire, frozen=True):
    """A sign-in with an ID token of another issuer. The other members are those of a sign-in.

    Attributes:
        id_token: as the issuer gave it to the app.
        nonce_verifier: the app's secret: the token's `nonce` is base64url(SHA-256(it)).
    """

    id_token: Annotated[str, Meta(min_length=1, max_length=ID_TOKEN_CHARS_MAX)]
    nonce_verifier: Annotated[
        str,
        Meta(
            min_length=NONCE_VERIFIER_CHARS_MIN,
            max_length=NONCE_VERIFIER_CHARS_MAX,
            pattern=r"^[A-Za-z0-9._~-]+$",
        ),
    ]
    organisation: OrgId | OrgKey | None = None
    device_id: UUID | None = None
    device_name: Name = ""

    def __repr__(self) -> str:
        return "OidcRequest(...)"


class OrganisationForm(_Answer, frozen=True):
    """An organisation in a list."""

    id: int
    key: str
    name: str


class TokenAnswer(_Answer, frozen=True):
    """The answer to a sign-in, to a refresh and to a new password.

    Attributes:
        access_token: for `Authorization: Bearer`; None when the user has several organisations and
            named none: refresh with one of `organisations`.
        expires_in: seconds that the access token lives.
        refresh_token: replaces the one that was sent.
        refresh_expires_at: unless it is used before.
        organisation: that the access token is for.
        organisations: those the user may name, by name.
    """

    access_token: str | None
    expires_in: int
    refresh_token: str
    refresh_expires_at: TimestampText
    organisation: OrganisationForm | None
    organisations: list[OrganisationForm]
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the scheme's name, not a secret

    def __repr__(self) -> str:
        return "TokenAnswer(...)"


class RoleForm(_Wire, frozen=True):
    """A role at one property, or (None) at all of them."""

    role: Annotated[str, Meta(min_length=1, max_length=100)]
    property_id: UUID | None = None


class MeAnswer(_Answer, frozen=True):
    """Who the caller is and which roles it has where. `email` is None for an API key."""

    kind: Literal["user", "apiKey"]
    id: UUID
    email: str | None
    name: str
    organisation: OrganisationForm
    roles: list[RoleForm]


class ApiKeyRequest(_Wire, frozen=True):
    """A new API key. Without `expires_at` it lives until it is revoked."""

    name: Name
    roles: Annotated[list[RoleForm], Meta(min_length=1, max_length=API_KEY_ROLES_MAX)]
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class ApiKeyForm(_Answer, frozen=True):
    """An API key in a list."""

    id: UUID
    name: str
    roles: list[RoleForm]
    created_by: UUID | None
    created_at: TimestampText
    expires_at: TimestampText | None
    revoked_at: TimestampText | None
    last_used_at: TimestampText | None


class ApiKeyCreated(_Answer, frozen=True):
    """A new API key. `secret` is what the machine sends; it is shown this once."""

    key: ApiKeyForm
    secret: str

    def __repr__(self) -> str:
        return "ApiKeyCreated(...)"


class ApiKeysAnswer(_Answer, frozen=True):
    """The keys of the organisation, newest first."""

    keys: list[ApiKeyForm]
