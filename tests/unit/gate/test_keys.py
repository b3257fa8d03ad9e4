"""Which key signs and which verify, through the life of a key."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from serai.gate.keys import KeyRing, SigningKey
from unit.gate.support import START

DAY = timedelta(days=1)


def key(number: int, *, age: float = 86_400, retired_ago: float | None = None) -> SigningKey:
    retired = None if retired_ago is None else START - timedelta(seconds=retired_ago)
    seed = bytes([number]) * 32
    return SigningKey(number, START - timedelta(seconds=age), retired, seed)


def ring(*keys: SigningKey) -> tuple[str, set[str]]:
    made = KeyRing.of(keys, START)
    return made.signing_kid, set(made.verifiers)


def test_the_first_key_signs_at_once_or_nobody_could_sign_in():
    assert ring(key(1, age=0)) == ("1", {"1"})


def test_a_new_key_is_known_everywhere_before_it_signs():
    assert ring(key(1), key(2, age=59)) == ("1", {"1", "2"})
    assert ring(key(1), key(2, age=60)) == ("2", {"1", "2"})


def test_keys_that_are_all_new_leave_the_oldest_signing():
    assert ring(key(2, age=5), key(1, age=10)) == ("1", {"1", "2"})


def test_a_retired_key_verifies_until_its_last_token_has_expired():
    assert ring(key(1, retired_ago=0), key(2)) == ("2", {"1", "2"})
    assert ring(key(1, retired_ago=929), key(2)) == ("2", {"1", "2"})
    assert ring(key(1, retired_ago=930), key(2)) == ("2", {"2"})


def test_a_key_that_leaked_is_gone_at_once_and_the_new_one_signs_though_it_is_new():
    assert ring(key(1, retired_ago=86_400), key(2, age=0)) == ("2", {"2"})


def test_without_a_key_nothing_is_signed():
    for keys in ([], [key(1, retired_ago=1)]):
        with pytest.raises(LookupError):
            KeyRing.of(keys, START)


def test_rings_are_alike_only_if_they_sign_and_verify_alike():
    base = KeyRing.of([key(1), key(2)], START).fingerprint
    assert base == KeyRing.of([key(2), key(1)], START + DAY).fingerprint
    others = [[key(1)], [key(2)], [key(1), key(2, age=1)], [key(1), key(2), key(3, age=1)]]
    prints = {KeyRing.of(keys, START).fingerprint for keys in others} | {base}
    assert len(prints) == 5


def test_the_published_keys_hold_the_public_half_only():
    document = KeyRing.of([key(1), key(2, retired_ago=1)], START).jwks()
    expected: list[dict[str, str]] = []
    for number in (1, 2):
        public = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32).public_key()
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        expected.append({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": str(number)})
        expected[-1] |= {"alg": "Ed25519", "use": "sig"}
    # The second one still verifies, so others must still find it.
    assert KeyRing.of([key(1), key(2, retired_ago=1)], START).signing_kid == "1"
    assert document == {"keys": expected}


def test_no_log_line_shows_a_private_key():
    made = KeyRing.of([key(1)], START)
    for shown in (repr(key(1)), repr(made), str(made.jwks())):
        assert "\\x01" not in shown
        assert base64.urlsafe_b64encode(bytes([1]) * 32).decode().rstrip("=") not in shown
