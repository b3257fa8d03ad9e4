"""The keys that sign access tokens: which one signs, which ones verify.

Owns the `jwt` rows of the directory's secrets (Ed25519 seeds) and the ring made of them. Promises
that a new key verifies everywhere before it signs anywhere, so no token is refused in a rotation,
and that a retired key verifies until its last token has expired. Never gives a private key to
anything but the signer.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64encode

from serai.core.limits import ACCESS_SECONDS, CLOCK_SKEW_SECONDS_MAX, IDENTITY_STALE_SECONDS_MAX
from serai.shard.connection import Connection
from serai.shard.queries import load_queries

ALGORITHM: Final = "Ed25519"
"""RFC 9864's name. The older name `EdDSA` also stands for another curve, is deprecated, and is
refused.
"""
SETTLE_SECONDS: Final = 60
"""A key is this old before it signs; by then every process and every reader of the JWKS has it."""
_SEED_BYTES: Final = 32
_SQL = load_queries("serai.gate", "keys.sql")

assert SETTLE_SECONDS > 2 * IDENTITY_STALE_SECONDS_MAX, "a key is known before it signs"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A row of the directory. Without the seed in its repr."""

    key_id: int
    created_at: datetime
    retired_at: datetime | None = None
    seed: bytes = field(repr=False, default=b"")


@dataclass(frozen=True)
class KeyRing:
    """The keys of one moment.

    Attributes:
        signing_kid: of the key that signs.
        signer: its private key.
        verifiers: kid -> public key.
        fingerprint: equal for rings that sign and verify alike.
    """

    signing_kid: str
    signer: OKPKey = field(repr=False)
    verifiers: Mapping[str, OKPKey]
    fingerprint: bytes

    @classmethod
    def of(cls, keys: Iterable[SigningKey], now: datetime) -> KeyRing:
        """Return the ring at `now`.

        Raises:
            LookupError: no key may sign.
        """
        ordered = sorted(keys, key=lambda key: key.key_id)
        # One that a rotation replaces has a moment ahead: until then it signs.
        live = [key for key in ordered if key.retired_at is None or key.retired_at > now]
        if not live:
            raise LookupError("the directory holds no key that signs access tokens")
        settled = [k for k in live if k.created_at + timedelta(seconds=SETTLE_SECONDS) <= now]
        chosen = settled[-1] if settled else live[0]
        last = now - timedelta(seconds=ACCESS_SECONDS + CLOCK_SKEW_SECONDS_MAX)
        verifying = [k for k in ordered if k.retired_at is None or k.retired_at > last]
        print_ = hashlib.sha256(chosen.key_id.to_bytes(8, "big"))
        for key in verifying:
            print_.update(key.key_id.to_bytes(8, "big") + key.seed)
        return cls(
            signing_kid=str(chosen.key_id),
            signer=_jwk(chosen, private=True),
            verifiers={str(k.key_id): _jwk(k, private=False) for k in verifying},
            fingerprint=print_.digest(),
        )

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the public keys as a JWK set (RFC 7517), for others who verify."""
        return {"keys": [_plain(key) for key in self.verifiers.values()]}


async def read_signing_keys(directory: Connection) -> list[SigningKey]:
    """Return every signing key of the directory."""
    return [
        SigningKey(row["key_id"], row["created_at"], row["retired_at"], bytes(row["material"]))
        for row in await directory.fetch(_SQL["read_signing_keys"])
    ]


async def ensure_signing_key(directory: Connection, now: datetime) -> None:
    """Make the first signing key, unless there is one. Any number of processes may do so at once,
    and one that serves requests, which may make none, when there is one.
    """
    if any(key.retired_at is None for key in await read_signing_keys(directory)):
        return
    await directory.execute(_SQL["ensure_signing_key"], os.urandom(_SEED_BYTES), now)


async def rotate_signing_key(directory: Connection, now: datetime) -> int:
    """Add a key, which signs after `SETTLE_SECONDS`; return its id. The older ones go on
    verifying.
    """
    return await directory.fetchval(_SQL["rotate_signing_key"], os.urandom(_SEED_BYTES), now)


async def replace_signing_keys(
    directory: Connection, now: datetime, *, leaked: bool = False
) -> int:
    """Rotate: add a key that signs after `SETTLE_SECONDS`, and retire the older ones at that
    moment; return the new one's id. No token in flight is refused.

    `leaked`: the older ones stop working within `IDENTITY_STALE_SECONDS_MAX`, tokens of theirs too.
    """
    async with directory.transaction():
        new = await rotate_signing_key(directory, now)
        at = now if leaked else now + timedelta(seconds=SETTLE_SECONDS)
        await retire_signing_keys(directory, below=new, now=at, at_once=leaked)
    return new


async def retire_signing_keys(
    directory: Connection, *, below: int, now: datetime, at_once: bool = False
) -> int:
    """Retire the keys with an id below `below`; return how many.

    Their tokens work until they expire. `at_once`, for a key that leaked: they stop working within
    `IDENTITY_STALE_SECONDS_MAX`, and whoever held one refreshes.
    """
    moment = now - timedelta(days=1) if at_once else now
    return await directory.fetchval(_SQL["retire_signing_keys"], below, moment)


def _jwk(key: SigningKey, *, private: bool) -> OKPKey:
    seed = Ed25519PrivateKey.from_private_bytes(key.seed)
    public = seed.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    parts: dict[str, str | list[str]] = {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": urlsafe_b64encode(public).decode(),
    }
    parts |= {"kid": str(key.key_id), "alg": ALGORITHM, "use": "sig"}
    if private:
        parts["d"] = urlsafe_b64encode(key.seed).decode()
    return OKPKey.import_key(parts)


def _plain(key: OKPKey) -> dict[str, str]:
    return {name: str(value) for name, value in key.as_dict(private=False).items()}
