"""The keys of an issuer: fetched from one address, remembered for minutes.

Owns the one request that Serai makes to an issuer. Promises that it goes to the address of the
settings and nowhere else (no redirect is followed), that it takes bounded time and bytes, that any
number of sign-ins wait for one of it, and that strangers who send made-up key ids cause one in 30
seconds at most, whether the issuer answers, fails, or those who wait for it give up. An issuer that
is away is not noticed for an hour by who uses keys that are known; a key that is not known is then
no forgery but a reason to come again. Never takes a shared secret or a private key from what it
reads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import aiohttp
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

from serai.core.clock import Clock
from serai.core.errors import Code, SeraiError
from serai.core.limits import (
    JWKS_AGAIN_SECONDS,
    JWKS_BYTES_MAX,
    JWKS_FRESH_SECONDS,
    JWKS_RETRY_SECONDS,
    JWKS_SECONDS_MAX,
    JWKS_STALE_SECONDS_MAX,
)
from serai.gate.id_tokens import PublicKey

_RSA_BITS: Final = range(2048, 8193)
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
_log: Final = logging.getLogger(__name__)


class _Jwk(msgspec.Struct, frozen=True):
    """The public parts of a key (RFC 7517, RFC 7518, RFC 8037)."""

    kty: str
    kid: str = ""
    use: str | None = None
    alg: str | None = None
    key_ops: list[str] | None = None
    n: str = ""
    e: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""


class _JwkSet(msgspec.Struct, frozen=True):
    keys: list[msgspec.Raw]


class NotFetched(Exception):
    """The keys did not come. The message says why."""


class IssuerKeys:
    """The keys of one issuer in one process.

    Args:
        url: where they are.
        clock: decides how old they are.
        wait_seconds: for one request.

    Attributes:
        reads: requests made so far.
    """

    def __init__(self, url: str, clock: Clock, *, wait_seconds: float = JWKS_SECONDS_MAX) -> None:
        self._url = url
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._keys: Mapping[str, PublicKey] = {}
        self._reading: asyncio.Task[None] | None = None
        self._tried_at: datetime | None = None
        self._read_at: datetime | None = None
        self._failed = False
        self.reads = 0

    async def key(self, kid: str) -> PublicKey | None:
        """Return the key, None if the issuer has none of this id.

        Raises:
            SeraiError: `issuer_away`: it does not answer, and its keys or this one are not known.
        """
        known = kid in self._keys
        pause_seconds = JWKS_RETRY_SECONDS if known else JWKS_AGAIN_SECONDS
        if not known or not self._within(self._read_at, JWKS_FRESH_SECONDS):
            await self._read(pause_seconds)
        found = self._keys.get(kid)
        too_old = not self._within(self._read_at, JWKS_STALE_SECONDS_MAX)
        if too_old or (found is None and self._failed):
            raise SeraiError(Code.ISSUER_AWAY, retry_after_seconds=pause_seconds)
        return found

    def _within(self, at: datetime | None, seconds: float) -> bool:
        return at is not None and 0 <= (self._clock.now() - at).total_seconds() < seconds

    async def _read(self, pause_seconds: float) -> None:
        """Wait for the keys to be read, which begins now unless that was tried a moment ago."""
        reading = self._reading
        if reading is None:
            if self._within(self._tried_at, pause_seconds):
                return
            reading = self._reading = asyncio.create_task(self._try())
        # Who gives up takes neither the others along nor the request back: it was made.
        await asyncio.shield(reading)

    async def _try(self) -> None:
        self.reads += 1
        self._tried_at = self._clock.now()
        try:
            self._keys = parsed_keys(await fetched(self._url, self._wait_seconds))
            self._read_at, self._failed = self._clock.now(), False
        except NotFetched as error:
            self._failed = True
            _log.warning("keys of an issuer not read from %s: %s", self._url, error)
        finally:
            # Again: the pause follows the end of a slow try.
            self._tried_at, self._reading = self._clock.now(), None


async def fetched(url: str, wait_seconds: float) -> bytes:
    """Return the body at the address: that one, in bounded time and bytes.

    Raises:
        NotFetched: it did not come so.
    """
    try:
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=wait_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            ) as session,
            session.get(url, headers=_HEADERS, allow_redirects=False) as answer,
        ):
            if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
                raise NotFetched(f"status {answer.status}")
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise NotFetched("packed, and not asked for so")
            body = bytearray()
            async for part in answer.content.iter_any():
                body += part
                if len(body) > JWKS_BYTES_MAX:
                    raise NotFetched(f"more than {JWKS_BYTES_MAX} bytes")
            return bytes(body)
    except TimeoutError as error:
        raise NotFetched(f"not within {wait_seconds} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NotFetched(f"{type(error).__name__}: {error}") from error


def parsed_keys(body: bytes) -> dict[str, PublicKey]:
    """Return kid -> key of a JWK set, without those that cannot verify an ID token.

    Raises:
        NotFetched: it is no JWK set.
    """
    try:
        listed = msgspec.json.decode(body, type=_JwkSet).keys
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise NotFetched("no JWK set") from error
    found: dict[str, PublicKey] = {}
    for raw in listed:
        try:
            jwk = msgspec.json.decode(raw, type=_Jwk)
            key = _imported(jwk)
        except (msgspec.MsgspecError, JoseError, ValueError, TypeError):
            # A key of a kind that is not known here is none of ours; the others are good.
            continue
        if key is not None:
            found[jwk.kid] = key
    return found


def _imported(jwk: _Jwk) -> PublicKey | None:
    if not jwk.kid or jwk.use not in (None, "sig"):
        return None
    if jwk.key_ops is not None and "verify" not in jwk.key_ops:
        return None
    parts: dict[str, str | list[str]] = {"kty": jwk.kty, "kid": jwk.kid}
    if jwk.alg is not None:
        parts["alg"] = jwk.alg
    match jwk.kty:
        case "RSA" if _bits(jwk.n) in _RSA_BITS:
            return RSAKey.import_key({**parts, "n": jwk.n, "e": jwk.e})
        case "EC" if jwk.crv in ("P-256", "P-384"):
            return ECKey.import_key({**parts, "crv": jwk.crv, "x": jwk.x, "y": jwk.y})
        case "OKP" if jwk.crv == "Ed25519":
            return OKPKey.import_key({**parts, "crv": jwk.crv, "x": jwk.x})
        case _:
            return None


def _bits(number: str) -> int:
    return int.from_bytes(urlsafe_b64decode(number.encode())).bit_length()
