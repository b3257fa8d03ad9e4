"""ID tokens of other issuers: what is looked at before one is believed.

Owns the checks of OpenID Connect Core 1.0, section 3.1.3.7, on a token that an app hands over.
Promises that only issuers, clients and algorithms which a deployment has named are believed, that
the algorithm fits the key, and that no key, address or algorithm is taken from the token itself.
Pure: keys come from the caller; never reads a clock, a database or the network.

The app proves that the token is its own: `nonce` in the token is the S256 hash (RFC 7636) of a
secret which the app sends with it. Who finds a token in a log or an address bar does not have it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from serai.core.limits import CLOCK_SKEW_SECONDS_MAX, ID_TOKEN_AGE_SECONDS_MAX, ID_TOKEN_CHARS_MAX
from serai.gate.issuers import TrustedIssuer

PublicKey = RSAKey | ECKey | OKPKey

ALGORITHMS: Final[Mapping[str, tuple[str, str | None]]] = {
    "RS256": ("RSA", None),
    "PS256": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "Ed25519": ("OKP", "Ed25519"),
}
"""Algorithm -> type and curve of its keys. None with a shared secret: who can verify could sign."""
SUBJECT: Final = re.compile(r"[\x20-\x7e]{1,255}")
_FORM: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_KID_CHARS_MAX: Final = 200
_AUDIENCES_MAX: Final = 20


class _Registry(jws.JWSRegistry):
    """Knows our algorithms only. Issuers add members to headers, which are not read."""

    max_header_length = 4 * 1024


_REGISTRY: Final = _Registry(algorithms=list(ALGORITHMS), strict_check_header=False)


class NotBelieved(Exception):
    """The token proves nothing. The message says why, for the log, in words of ours only."""


class Claims(msgspec.Struct, frozen=True):
    """What a token says, of all that it says."""

    iss: str
    sub: str
    aud: str | list[str]
    exp: int | float
    iat: int | float
    nonce: str = ""
    azp: str | None = None
    nbf: int | float | None = None
    email: str | None = None
    email_verified: bool | str | None = None
    hd: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class IdToken:
    """A token that was believed.

    Attributes:
        verified_email: None unless the issuer says that it has verified it, and may vouch for its
            domain.
        signed_sha256: of the signed part; equal for tokens that are one.
        forget_at: from then on the token is too old to be believed.
    """

    issuer: str
    subject: str
    verified_email: str | None
    name: str
    signed_sha256: bytes = field(repr=False)
    forget_at: datetime


class ReadToken:
    """A token that was read, and not believed yet.

    Args:
        text: as the app sent it.

    Attributes:
        issuer: whom it says it is from.
        kid, algorithm: of the key that it says it is signed with.

    Raises:
        NotBelieved: it is no token, or one that nobody could believe.
    """

    def __init__(self, text: str) -> None:
        if len(text) > ID_TOKEN_CHARS_MAX or _FORM.fullmatch(text) is None:
            raise NotBelieved("no signed token")
        try:
            self._token = jws.extract_compact(text.encode(), registry=_REGISTRY)
            header: Any = self._token.headers()
            self._claims = msgspec.json.decode(self._token.payload or b"", type=Claims)
        except (JoseError, msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
            # What a stranger can do to a parser; all of it means: no token.
            raise NotBelieved("no signed token") from error
        if not isinstance(header, dict):
            raise NotBelieved("no signed token")
        self.kid, self.algorithm = _named_key(header)  # pyright: ignore[reportUnknownArgumentType] - JSON of a stranger
        self.issuer = self._claims.iss
        self._signed_sha256 = hashlib.sha256(text.rpartition(".")[0].encode()).digest()

    def believed(
        self, issuer: TrustedIssuer, key: PublicKey, nonce_verifier: str, now: datetime
    ) -> IdToken:
        """Return what the token proves.

        Args:
            issuer: the one that it names.
            key: of that issuer, the one that it names.
            nonce_verifier: the app's secret, of which the token has the hash.
            now: aware.

        Raises:
            NotBelieved: one of the checks failed.
        """
        self._check_signature(key)
        claims = self._claims
        _check_audience(claims, issuer)
        _check_times(claims, now.timestamp())
        if not hmac.compare_digest(claims.nonce.encode(), s256(nonce_verifier).encode()):
            raise NotBelieved("nonce is not of this verifier")
        if claims.iss != issuer.issuer or SUBJECT.fullmatch(claims.sub) is None:
            raise NotBelieved("iss or sub is not valid")
        until = min(claims.exp, claims.iat + ID_TOKEN_AGE_SECONDS_MAX) + CLOCK_SKEW_SECONDS_MAX
        return IdToken(
            issuer=claims.iss,
            subject=claims.sub,
            verified_email=_verified_email(claims, issuer),
            name=claims.name or "",
            signed_sha256=self._signed_sha256,
            forget_at=datetime.fromtimestamp(until, tz=UTC),
        )

    def _check_signature(self, key: PublicKey) -> None:
        kind, curve = ALGORITHMS[self.algorithm]
        if key.key_type != kind or (curve is not None and key.get("crv") != curve):
            raise NotBelieved("alg does not fit the key")
        if key.get("alg") not in (None, self.algorithm):
            raise NotBelieved("the key is for another alg")
        try:
            good = jws.validate_compact(self._token, key, registry=_REGISTRY)
        except (JoseError, ValueError, TypeError) as error:
            raise NotBelieved("the signature cannot be checked") from error
        if not good:
            raise NotBelieved("the signature is wrong")


def s256(verifier: str) -> str:
    """Return the hash of a secret as RFC 7636 spells it: base64url of SHA-256, without padding."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _named_key(header: dict[str, object]) -> tuple[str, str]:
    """Return (kid, alg) of a header that may be believed."""
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise NotBelieved("alg is not allowed")
    if not isinstance(kid, str) or not 1 <= len(kid) <= _KID_CHARS_MAX:
        raise NotBelieved("kid is missing")
    # Access and logout tokens of the same issuer have types of their own.
    if not isinstance(kind, str) or kind.lower() != "jwt":
        raise NotBelieved("typ is not that of an ID token")
    if "crit" in header or "b64" in header:
        raise NotBelieved("crit is not understood")
    return kid, algorithm


def _verified_email(claims: Claims, issuer: TrustedIssuer) -> str | None:
    # Apple writes the word.
    if claims.email is None or claims.email_verified not in (True, "true"):
        return None
    return claims.email if issuer.vouches_for(claims.email, claims.hd) else None


def _check_audience(claims: Claims, issuer: TrustedIssuer) -> None:
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if not 1 <= len(audiences) <= _AUDIENCES_MAX or not issuer.clients.issuperset(audiences):
        raise NotBelieved("aud is not one of the clients")
    if claims.azp is None:
        if len(audiences) > 1:
            raise NotBelieved("azp is missing beside several aud")
    elif claims.azp not in issuer.clients:
        raise NotBelieved("azp is not one of the clients")


def _check_times(claims: Claims, now: float) -> None:
    skew = CLOCK_SKEW_SECONDS_MAX
    # Written so that whatever a float may be, what is not surely right is refused.
    if not claims.exp > now - skew:
        raise NotBelieved("expired")
    if not claims.iat <= now + skew or not (claims.nbf is None or claims.nbf <= now + skew):
        raise NotBelieved("of the future")
    if not claims.iat > now - ID_TOKEN_AGE_SECONDS_MAX - skew:
        raise NotBelieved("issued too long ago")
    if not claims.iat < claims.exp:
        raise NotBelieved("expires before it is issued")
