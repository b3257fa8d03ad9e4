"""Access tokens: fifteen minutes, signed, checked without asking anyone.

Owns the JSON Web Token (RFC 7519, profile of RFC 9068) that a signed-in device sends with each
request: its claims, its signature, and every check on it. Promises that the algorithm comes from
the key and never from the token, so `none`, HMAC with the public key and other signatures are
refused before any arithmetic. Never reads a database and never tells why a token is not valid.

Checking a signature costs 130 us, so checked tokens are remembered by their hash, in a bounded
table, and never beyond their expiry; expiry itself is checked each time.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from serai.core.clock import Clock
from serai.core.errors import Code, SeraiError
from serai.core.limits import (
    ACCESS_CACHE_MAX,
    ACCESS_SECONDS,
    AUTHORIZATION_CHARS_MAX,
    CLOCK_SKEW_SECONDS_MAX,
)
from serai.gate.bounded import Bounded
from serai.gate.keys import ALGORITHM, KeyRing

_TYPE: Final = "at+jwt"
_JTI_BYTES: Final = 12
# The decoder of the library skips what is not base64; a token has one spelling here. The signature
# has 64 bytes.
_FORM: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]{86}", re.ASCII)


class AccessClaims(msgspec.Struct, frozen=True):
    """What a token says.

    Attributes:
        iss, aud: who made it, for whom.
        sub: the user.
        org: the organisation.
        sid: the session (one sign-in on one device) that it belongs to.
        iat, exp: seconds since 1970, UTC.
        jti: its own id.
    """

    iss: str
    aud: str
    sub: UUID
    org: int
    sid: UUID
    iat: int
    exp: int
    jti: str


class AccessTokens:
    """Signs and verifies access tokens.

    Args:
        issuer: `iss`, which is checked.
        audience: `aud`, which is checked.
        clock: of the server.
        ring: keys; `use` replaces them.

    Attributes:
        signatures_checked: so far; the others came from the table of checked tokens.
    """

    def __init__(self, issuer: str, audience: str, clock: Clock, ring: KeyRing) -> None:
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._ring = ring
        self._checked: Bounded[bytes, AccessClaims] = Bounded(ACCESS_CACHE_MAX)
        self._claims = msgspec.json.Decoder(AccessClaims)
        self.signatures_checked = 0

    @property
    def ring(self) -> KeyRing:
        """The keys in use."""
        return self._ring

    def use(self, ring: KeyRing) -> None:
        """Sign and verify with these keys from now on; tokens of a key that is gone stop working at
        once.
        """
        if ring.fingerprint != self._ring.fingerprint:
            self._ring = ring
            self._checked.clear()

    def sign(self, *, user_id: UUID, org_id: int, session_id: UUID) -> tuple[str, datetime]:
        """Return a new token and the moment it expires."""
        issued = int(self._clock.now().timestamp())
        claims = AccessClaims(
            iss=self._issuer,
            aud=self._audience,
            sub=user_id,
            org=org_id,
            sid=session_id,
            iat=issued,
            exp=issued + ACCESS_SECONDS,
            jti=secrets.token_urlsafe(_JTI_BYTES),
        )
        header = _header(self._ring.signing_kid)
        body = msgspec.json.encode(claims)
        text = jws.serialize_compact(header, body, self._ring.signer, algorithms=[ALGORITHM])
        return text, datetime.fromtimestamp(claims.exp, tz=UTC)

    def verify(self, text: str) -> AccessClaims:
        """Return the claims of a token that is ours and still runs.

        One that was signed later than now is of a clock that was ahead and has been put right: it
        gets `access_expired` too, so that devices refresh it and nobody has to sign in again.

        Raises:
            SeraiError: `access_expired` if it was ours, `unauthenticated` for all else.
        """
        if len(text) > AUTHORIZATION_CHARS_MAX or not text.isascii():
            raise SeraiError(Code.UNAUTHENTICATED)
        name = hashlib.sha256(text.encode()).digest()
        now = int(self._clock.now().timestamp())
        claims = self._checked.get(name)
        if claims is None:
            claims = self._opened(text)
            if claims is None or not self._meant_for_us(claims):
                raise SeraiError(Code.UNAUTHENTICATED)
            if _runs(claims, now):
                self._checked.put(name, claims)
        if not _runs(claims, now):
            self._checked.drop(name)
            raise SeraiError(Code.ACCESS_EXPIRED)
        return claims

    def _opened(self, text: str) -> AccessClaims | None:
        """Return the claims under a good signature of one of our keys, None if there is none."""
        if _FORM.fullmatch(text) is None:
            return None
        self.signatures_checked += 1
        try:
            token = jws.extract_compact(text.encode())
            # The whole header is compared, whatever JSON it is: no `crit`, no `jku`, no embedded
            # key, no other algorithm gets further.
            header: object = token.headers()
            key = next(
                (k for kid, k in self._ring.verifiers.items() if header == _header(kid)), None
            )
            if key is None:
                return None
            if not jws.validate_compact(token, key, algorithms=[ALGORITHM]):
                return None
            return self._claims.decode(token.payload or b"")
        except (JoseError, msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            # What a stranger can do to a parser; all of it means: not our token.
            return None

    def _meant_for_us(self, claims: AccessClaims) -> bool:
        return (
            claims.iss == self._issuer
            and claims.aud == self._audience
            and claims.iat < claims.exp <= claims.iat + ACCESS_SECONDS
        )


def _runs(claims: AccessClaims, now: int) -> bool:
    return claims.iat - CLOCK_SKEW_SECONDS_MAX <= now < claims.exp


def _header(kid: str) -> dict[str, str]:
    """Return the one header that a token of this key has."""
    return {"alg": ALGORITHM, "kid": kid, "typ": _TYPE}
