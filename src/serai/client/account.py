"""Whose requests a client makes.

Owns the name of an account: one user of one organisation, as the claims of an access token say it.
Used only to keep one account's file from another's requests; whether a token is genuine is for the
server to judge, and nothing here checks a signature. An API key says nothing of itself: its holder
names the account.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

_JWT_PARTS: Final = 3


class _Claims(Struct):
    """The part of an access token (RFC 9068) that says whose it is."""

    sub: UUID
    org: int


_claims_decoder: Final = msgspec.json.Decoder(_Claims)


def account_of(access_token: str) -> str | None:
    """Return `organisation/user` of an access token, None if it does not say."""
    parts = access_token.split(".")
    if len(parts) != _JWT_PARTS:
        return None
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = _claims_decoder.decode(base64.urlsafe_b64decode(padded))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None
    return f"{claims.org}/{claims.sub}"
