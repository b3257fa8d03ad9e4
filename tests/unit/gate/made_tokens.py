"""ID tokens as an issuer makes them, and as an attacker would.

Owns the keys and the spelling of tokens, with the standard library around the signature, so that a
token may have any header and any claims. Never checks anything: expected values stand in the tests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from unit.gate.support import START

ISSUER = "https://id.example.org"
APP, WEB = "serai-app", "serai-web"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
NONCE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
"""The hash of VERIFIER, as appendix B of RFC 7636 has it."""
PrivateKey = RSAKey | ECKey | OKPKey


@cache
def private_key(kind: str, number: int = 1) -> PrivateKey:
    """Return a key: `RSA`, `P-256`, `P-384` or `Ed25519`; another number is another key."""
    assert number > 0
    if kind == "RSA":
        return RSAKey.generate_key(2048)
    return OKPKey.generate_key("Ed25519") if kind == "Ed25519" else ECKey.generate_key(kind)


KINDS = {"RS256": "RSA", "PS256": "RSA", "ES256": "P-256", "ES384": "P-384", "Ed25519": "Ed25519"}


def public_jwk(key: PrivateKey, kid: str, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid, "use": "sig", **more}


def claims(at: datetime = START, **changes: Any) -> dict[str, Any]:
    """Return the claims of a good token of this moment; a change to None leaves the claim out."""
    now = int(at.timestamp())
    whole = {
        "iss": ISSUER,
        "sub": "ana-at-the-issuer",
        "aud": APP,
        "exp": now + 3600,
        "iat": now,
        "nonce": NONCE,
        "email": "ana@example.org",
        "email_verified": True,
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def encoded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(
    body: dict[str, Any],
    key: PrivateKey | None = None,
    *,
    alg: str = "RS256",
    **header: Any,
) -> str:
    """Return a token signed with `alg`, whatever else its header says."""
    head = {"alg": alg, "kid": "k1", "typ": "JWT", **header}
    head = {name: value for name, value in head.items() if value is not None}
    first = f"{encoded(head)}.{encoded(body)}"
    chosen = key or private_key(KINDS[alg])
    model = jws.JWSRegistry.algorithms[alg]
    return f"{first}.{encoded(model.sign(first.encode(), chosen))}"


def unsigned(body: dict[str, Any], **header: Any) -> str:
    return f"{encoded({'alg': 'none', 'kid': 'k1', **header})}.{encoded(body)}."


def mac_with_public_key(body: dict[str, Any], key: PrivateKey, alg: str = "HS256") -> str:
    """Return the oldest forgery: HMAC, with the public key as if it were the shared secret."""
    assert isinstance(key.private_key, RSAPrivateKey)
    public = key.private_key.public_key()
    secret = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    first = f"{encoded({'alg': alg, 'kid': 'k1', 'typ': 'JWT'})}.{encoded(body)}"
    return f"{first}.{encoded(hmac.digest(secret, first.encode(), hashlib.sha256))}"
