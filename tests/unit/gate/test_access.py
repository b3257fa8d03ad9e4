"""Access tokens: what opens, and everything that must not.

Forged tokens are made here byte by byte, with the standard library and `cryptography`, never with
the code that checks them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from serai.core.errors import Code, SeraiError
from serai.gate.access import AccessTokens
from serai.gate.keys import KeyRing, SigningKey
from unit.gate.support import ANA, SESSION, START, SetClock, ring_of

SEED = b"the first key of the directory!!"
OTHER = b"a key that the directory has not"
HEADER = {"alg": "Ed25519", "kid": "1", "typ": "at+jwt"}
NOW = int(START.timestamp())
CLAIMS: dict[str, object] = {
    "iss": "serai",
    "aud": "api",
    "sub": str(ANA),
    "org": 7,
    "sid": str(SESSION),
    "iat": NOW,
    "exp": NOW + 900,
    "jti": "abcdefgh",
}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signing_input(header: object, claims: object) -> str:
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"


def forged(header: object = HEADER, claims: object = CLAIMS, seed: bytes = SEED) -> str:
    text = signing_input(header, claims)
    return f"{text}.{b64(Ed25519PrivateKey.from_private_bytes(seed).sign(text.encode()))}"


def tokens(clock: SetClock | None = None, ring: KeyRing | None = None) -> AccessTokens:
    return AccessTokens("serai", "api", clock or SetClock(), ring or ring_of(SEED))


def refusal(checker: AccessTokens, text: str) -> Code:
    with pytest.raises(SeraiError) as refused:
        checker.verify(text)
    assert refused.value.detail == "", "nothing tells why"
    return refused.value.code


def test_a_signed_in_device_is_known_for_fifteen_minutes_and_then_told_to_refresh():
    clock = SetClock()
    checker = tokens(clock)
    text, expires_at = checker.sign(user_id=ANA, org_id=7, session_id=SESSION)
    assert expires_at == START + timedelta(minutes=15)
    clock.advance(899)
    claims = checker.verify(text)
    assert (claims.sub, claims.org, claims.sid) == (ANA, 7, SESSION)
    clock.advance(1)
    assert refusal(checker, text) is Code.ACCESS_EXPIRED


def test_a_token_is_what_the_standards_say_so_that_others_can_verify_it():
    text, _ = tokens().sign(user_id=ANA, org_id=7, session_id=SESSION)
    header, body, signature = text.split(".")
    assert json.loads(unb64(header)) == HEADER
    claims = json.loads(unb64(body))
    assert {k: claims[k] for k in CLAIMS if k != "jti"} == {
        k: v for k, v in CLAIMS.items() if k != "jti"
    }
    public = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
    public.verify(unb64(signature), f"{header}.{body}".encode())


def test_a_token_made_by_the_standards_opens():
    assert tokens().verify(forged()).sub == ANA


def test_no_two_tokens_are_alike():
    checker = tokens()
    made = {checker.sign(user_id=ANA, org_id=7, session_id=SESSION)[0] for _ in range(20)}
    assert len(made) == 20


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": "1", "typ": "at+jwt"},
        {"alg": "None", "kid": "1", "typ": "at+jwt"},
        {"alg": "none", "typ": "at+jwt"},
        {"alg": "none"},
    ],
)
@pytest.mark.parametrize("signature", ["", b64(b"x" * 64)])
def test_a_token_that_says_it_needs_no_signature_is_nobodys(header: object, signature: str):
    assert refusal(tokens(), f"{signing_input(header, CLAIMS)}.{signature}") is Code.UNAUTHENTICATED


@pytest.mark.parametrize("form", ["raw", "pem", "der", "x", "jwk"])
@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
def test_the_public_key_is_no_password_for_an_hmac(form: str, algorithm: str):
    public = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    key = {
        "raw": raw,
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "x": b64(raw).encode(),
        "jwk": json.dumps({"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}).encode(),
    }[form]
    digest = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}[algorithm]
    text = signing_input({**HEADER, "alg": algorithm}, CLAIMS)
    mac = hmac.digest(key, text.encode(), digest)
    assert refusal(tokens(), f"{text}.{b64(mac)}") is Code.UNAUTHENTICATED


def test_a_good_signature_of_another_algorithm_is_refused():
    text = signing_input({**HEADER, "alg": "ES256"}, CLAIMS)
    signature = generate_private_key(SECP256R1()).sign(text.encode(), ECDSA(SHA256()))
    assert refusal(tokens(), f"{text}.{b64(signature)}") is Code.UNAUTHENTICATED


def test_the_deprecated_name_of_the_algorithm_is_refused_although_the_signature_is_good():
    assert refusal(tokens(), forged({**HEADER, "alg": "EdDSA"})) is Code.UNAUTHENTICATED


@pytest.mark.parametrize(
    "header",
    [
        {**HEADER, "kid": "2"},
        {**HEADER, "kid": 1},
        {**HEADER, "kid": None},
        {**HEADER, "kid": ["1"]},
        {"alg": "Ed25519", "typ": "at+jwt"},
        {"alg": "Ed25519", "kid": "1"},
        {**HEADER, "typ": "JWT"},
        {**HEADER, "crit": ["exp"]},
        {**HEADER, "b64": False},
        {**HEADER, "jku": "https://example.org/keys"},
        {**HEADER, "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}},
        {**HEADER, "cty": "JWT"},
        ["alg"],
        "alg",
        7,
        None,
        {},
    ],
)
def test_only_the_one_header_that_we_write_is_read(header: object):
    assert refusal(tokens(), forged(header)) is Code.UNAUTHENTICATED


def test_a_stranger_with_a_key_of_his_own_is_nobody():
    assert refusal(tokens(), forged(seed=OTHER)) is Code.UNAUTHENTICATED


@pytest.mark.parametrize(
    "changed",
    [
        {"org": 8},
        {"sub": "0198c0de-0000-7000-8000-0000000000b2"},
        {"exp": NOW + 100_000},
    ],
)
def test_a_token_whose_claims_were_changed_is_nobodys(changed: dict[str, object]):
    header, _, signature = forged().split(".")
    body = b64(json.dumps({**CLAIMS, **changed}).encode())
    assert refusal(tokens(), f"{header}.{body}.{signature}") is Code.UNAUTHENTICATED


@pytest.mark.parametrize(
    "claims",
    [
        {**CLAIMS, "iss": "someone"},
        {**CLAIMS, "aud": "another service"},
        {**CLAIMS, "aud": ["api", "another service"]},
        {**CLAIMS, "exp": NOW + 901},
        {**CLAIMS, "exp": NOW - 1, "iat": NOW},
        {**CLAIMS, "exp": "later"},
        {**CLAIMS, "exp": (NOW + 900) * 1.5},
        {**CLAIMS, "org": "7"},
        {**CLAIMS, "org": True},
        {**CLAIMS, "sub": "ana"},
        {**CLAIMS, "sid": None},
        {k: v for k, v in CLAIMS.items() if k != "exp"},
        {k: v for k, v in CLAIMS.items() if k != "org"},
        {k: v for k, v in CLAIMS.items() if k != "sid"},
        {k: v for k, v in CLAIMS.items() if k != "aud"},
        [],
        "claims",
    ],
)
def test_a_good_signature_over_the_wrong_claims_opens_nothing(claims: object):
    assert refusal(tokens(), forged(claims=claims)) is Code.UNAUTHENTICATED


def test_a_server_whose_clock_is_half_a_minute_behind_still_knows_a_fresh_token():
    ahead = SetClock(START + timedelta(seconds=30))
    text, _ = tokens(ahead).sign(user_id=ANA, org_id=7, session_id=SESSION)
    assert tokens(SetClock()).verify(text).sub == ANA
    assert refusal(tokens(SetClock(START - timedelta(seconds=1))), text) is Code.ACCESS_EXPIRED


def test_a_token_of_a_clock_that_was_ahead_is_refreshed_and_opens_nothing_meanwhile():
    clock = SetClock(START + timedelta(days=1))
    checker = tokens(clock)
    text, _ = checker.sign(user_id=ANA, org_id=7, session_id=SESSION)
    assert checker.verify(text).sub == ANA
    clock.at = START
    # Also where it was checked a moment ago.
    assert refusal(checker, text) is Code.ACCESS_EXPIRED
    forger = forged(claims={**CLAIMS, "iat": NOW + 86_400, "exp": NOW + 87_000}, seed=OTHER)
    assert refusal(checker, forger) is Code.UNAUTHENTICATED


def test_an_expired_token_of_a_stranger_is_not_worth_a_refresh():
    old = {**CLAIMS, "iat": NOW - 1000, "exp": NOW - 100}
    assert refusal(tokens(), forged(claims=old)) is Code.ACCESS_EXPIRED
    assert refusal(tokens(), forged(claims=old, seed=OTHER)) is Code.UNAUTHENTICATED


@pytest.mark.parametrize("text", ["", ".", "..", "...", "a.b.c", "{}", "\udcff", "é" * 10, "a" * 5])
def test_what_is_no_token_is_refused(text: str):
    assert refusal(tokens(), text) is Code.UNAUTHENTICATED


def test_a_huge_token_is_refused_before_anything_is_computed():
    checker = tokens()
    padded = forged(claims={**CLAIMS, "padding": "x" * 4000})
    for text in (padded, "a" * 10_000_000):
        assert refusal(checker, text) is Code.UNAUTHENTICATED
    assert checker.signatures_checked == 0


def test_a_header_of_a_thousand_brackets_breaks_no_parser():
    deep = b64(b"[" * 700 + b"]" * 700)
    assert refusal(tokens(), f"{deep}.{deep}.AAAA"[:2048]) is Code.UNAUTHENTICATED


def test_every_truncation_is_refused():
    text = forged()
    checker = tokens()
    assert checker.verify(text)
    for length in range(len(text)):
        assert refusal(checker, text[:length]) is Code.UNAUTHENTICATED, length


@given(st.integers(min_value=0, max_value=10_000), st.integers(min_value=1, max_value=255))
def test_no_changed_byte_goes_unseen(where: int, by: int):
    raw = bytearray(forged().encode())
    # Not the last character: it has four spare bits, so the same signature has other spellings.
    raw[where % (len(raw) - 1)] ^= by
    assert refusal(tokens(), raw.decode("latin-1")) is Code.UNAUTHENTICATED


@pytest.mark.parametrize("junk", ["!", " ", "=", "\n", "+", "/"])
def test_a_token_with_signs_that_decoders_skip_is_refused(junk: str):
    header, body, signature = forged().split(".")
    for text in (
        f"{header}.{body}.{signature}{junk}",
        f"{header}.{body}.{junk}{signature}",
        f"{header}.{body}{junk}.{signature}",
    ):
        assert refusal(tokens(), text) is Code.UNAUTHENTICATED


@given(st.text(max_size=300))
def test_no_text_at_all_breaks_the_check(text: str):
    assert refusal(tokens(), text) is Code.UNAUTHENTICATED


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_no_signed_bytes_at_all_break_the_check(header: bytes, body: bytes):
    text = f"{b64(header)}.{b64(body)}"
    signed = Ed25519PrivateKey.from_private_bytes(SEED).sign(text.encode())
    assert refusal(tokens(), f"{text}.{b64(signed)}") is Code.UNAUTHENTICATED


def test_a_busy_device_pays_for_its_signature_once():
    checker = tokens()
    text = forged()
    for _ in range(10):
        checker.verify(text)
    assert checker.signatures_checked == 1


def test_a_remembered_token_still_expires():
    clock = SetClock()
    checker = tokens(clock)
    text = forged()
    checker.verify(text)
    clock.advance(900)
    assert refusal(checker, text) is Code.ACCESS_EXPIRED


def test_a_forged_token_is_not_remembered_as_a_good_one():
    checker = tokens()
    text = forged(seed=OTHER)
    for attempt in range(1, 4):
        assert refusal(checker, text) is Code.UNAUTHENTICATED
        assert checker.signatures_checked == attempt


def test_a_key_that_is_taken_away_ends_its_tokens_also_remembered_ones():
    checker = tokens()
    text = forged()
    assert checker.verify(text)
    checker.use(ring_of(OTHER))
    assert refusal(checker, text) is Code.UNAUTHENTICATED


def test_reading_the_same_keys_again_forgets_nothing():
    checker = tokens()
    text = forged()
    checker.verify(text)
    checker.use(ring_of(SEED))
    checker.verify(text)
    assert checker.signatures_checked == 1


def test_tokens_of_the_older_key_work_through_a_rotation():
    checker = tokens()
    old = forged()
    checker.use(ring_of(SEED, OTHER))
    new, _ = checker.sign(user_id=ANA, org_id=7, session_id=SESSION)
    assert json.loads(unb64(new.split(".")[0]))["kid"] == "2"
    assert checker.verify(old).sub == checker.verify(new).sub == ANA


def test_a_key_signs_only_under_its_own_name():
    checker = tokens(ring=ring_of(SEED, OTHER))
    assert refusal(checker, forged({**HEADER, "kid": "2"}, seed=SEED)) is Code.UNAUTHENTICATED


def test_a_key_of_the_wrong_length_is_found_at_the_start():
    with pytest.raises(ValueError, match="32"):
        KeyRing.of([SigningKey(1, START, None, b"short")], START)
