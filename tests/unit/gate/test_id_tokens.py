"""ID tokens: which one is believed, and what each forgery meets."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from serai.core.clock import timestamp_text
from serai.gate.id_tokens import ALGORITHMS, IdToken, NotBelieved, ReadToken, s256
from serai.gate.issuer_keys import parsed_keys
from serai.gate.issuers import TrustedIssuer
from unit.gate.made_tokens import (
    APP,
    ISSUER,
    KINDS,
    NONCE,
    VERIFIER,
    WEB,
    PrivateKey,
    claims,
    encoded,
    mac_with_public_key,
    private_key,
    public_jwk,
    signed,
    unsigned,
)
from unit.gate.support import START

TRUSTED = TrustedIssuer(ISSUER, f"{ISSUER}/keys", frozenset({APP, WEB}), frozenset({"example.org"}))
ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def believed(
    text: str, key: PrivateKey | None = None, verifier: str = VERIFIER, **jwk: Any
) -> IdToken:
    keys = parsed_keys(
        json.dumps({"keys": [public_jwk(key or private_key("RSA"), "k1", **jwk)]}).encode()
    )
    return ReadToken(text).believed(TRUSTED, keys["k1"], verifier, START)


def refusal(text: str, key: PrivateKey | None = None, verifier: str = VERIFIER, **jwk: Any) -> str:
    with pytest.raises(NotBelieved) as refused:
        believed(text, key, verifier, **jwk)
    return str(refused.value)


def test_the_hash_of_a_verifier_is_that_of_the_rfc():
    assert s256(VERIFIER) == NONCE


@pytest.mark.parametrize("alg", list(KINDS))
def test_a_good_token_is_believed_with_each_algorithm_of_the_list(alg: str):
    key = private_key(KINDS[alg])
    token = believed(signed(claims(name="Ana"), key, alg=alg), key)
    assert (token.issuer, token.subject, token.name) == (ISSUER, "ana-at-the-issuer", "Ana")
    assert token.verified_email == "ana@example.org"


def test_the_list_of_algorithms_has_no_shared_secret_and_no_none():
    assert sorted(ALGORITHMS) == ["ES256", "ES384", "Ed25519", "PS256", "RS256"]


def test_a_token_without_a_signature_is_no_token():
    for alg in ("none", "None", "NONE", "nOnE", ""):
        text = unsigned(claims(), alg=alg)
        assert refusal(text) == "no signed token"
        assert refusal(f"{text}AAAA") in ("alg is not allowed", "no signed token")


def test_a_mac_with_the_public_key_is_refused_before_any_arithmetic():
    key = private_key("RSA")
    for alg in ("HS256", "HS384", "HS512"):
        assert refusal(mac_with_public_key(claims(), key, alg)) == "alg is not allowed"


@pytest.mark.parametrize("alg", ["RS512", "ES256K", "ES512", "EdDSA", "RSA-OAEP", "dir", 7])
def test_an_algorithm_outside_the_list_is_refused(alg: Any):
    head, _, rest = signed(claims()).partition(".")
    assert head
    assert refusal(f"{encoded({'alg': alg, 'kid': 'k1'})}.{rest}") == "alg is not allowed"


def test_an_algorithm_that_does_not_fit_the_key_is_refused():
    rsa, p256, p384 = (private_key(kind) for kind in ("RSA", "P-256", "P-384"))
    assert refusal(signed(claims(), rsa), p256) == "alg does not fit the key"
    assert refusal(signed(claims(), p256, alg="ES256"), rsa) == "alg does not fit the key"
    assert refusal(signed(claims(), p256, alg="ES256"), p384) == "alg does not fit the key"
    # The key says what it is for: not for the padding of another algorithm.
    assert refusal(signed(claims(), rsa), rsa, alg="PS256") == "the key is for another alg"


def test_a_signature_of_another_key_or_of_another_text_is_wrong():
    other = private_key("RSA", 2)
    assert refusal(signed(claims(), other)) == "the signature is wrong"
    head, _, signature = signed(claims()).split(".")
    changed = f"{head}.{encoded(claims(sub='ben-at-the-issuer'))}.{signature}"
    assert refusal(changed) == "the signature is wrong"
    assert refusal(f"{head}.{encoded(claims())}.AAAA") == "the signature is wrong"


def test_a_key_that_the_token_brings_along_is_not_looked_at():
    thief = private_key("RSA", 2)
    headers: list[dict[str, Any]] = [
        {"jwk": public_jwk(thief, "k1")},
        {"jku": "https://thief.example/keys"},
        {"x5u": "https://thief.example/cert"},
        {"x5c": ["MIIB"]},
    ]
    for header in headers:
        assert refusal(signed(claims(), thief, **header)) == "the signature is wrong"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"kid": None}, "kid is missing"),
        ({"kid": ""}, "kid is missing"),
        ({"kid": "k" * 201}, "kid is missing"),
        ({"typ": "at+jwt"}, "typ is not that of an ID token"),
        ({"typ": "logout+jwt"}, "typ is not that of an ID token"),
        ({"crit": ["exp"], "exp": 1}, "crit is not understood"),
        ({"crit": ["b64"], "b64": True}, "crit is not understood"),
    ],
)
def test_a_header_that_asks_for_more_than_a_signature_is_refused(header: dict[str, Any], said: str):
    assert refusal(signed(claims(), **header)) == said


def test_members_of_a_header_that_an_issuer_adds_harm_nobody():
    more: dict[str, Any] = {"typ": None, "x5t": "abc", "pi.atm": "1"}
    text = signed(claims(), **more)
    assert believed(text).subject == "ana-at-the-issuer"


NOW = int(START.timestamp())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"iss": "https://other.example.org"}, "iss or sub is not valid"),
        ({"iss": ISSUER + "/"}, "iss or sub is not valid"),
        ({"aud": "another-app"}, "aud is not one of the clients"),
        ({"aud": []}, "aud is not one of the clients"),
        ({"aud": [APP, "another-app"], "azp": APP}, "aud is not one of the clients"),
        ({"aud": [APP] * 21, "azp": APP}, "aud is not one of the clients"),
        ({"aud": [APP, WEB]}, "azp is missing beside several aud"),
        ({"azp": "another-app"}, "azp is not one of the clients"),
        ({"exp": NOW - 30}, "expired"),
        ({"exp": -1}, "expired"),
        ({"iat": NOW + 31}, "of the future"),
        ({"nbf": NOW + 31}, "of the future"),
        ({"iat": NOW - 630}, "issued too long ago"),
        ({"iat": 0, "exp": 2**40}, "issued too long ago"),
        ({"iat": NOW + 20, "exp": NOW + 10}, "expires before it is issued"),
        ({"nonce": None}, "nonce is not of this verifier"),
        ({"nonce": ""}, "nonce is not of this verifier"),
        ({"nonce": VERIFIER}, "nonce is not of this verifier"),
        ({"nonce": NONCE + "="}, "nonce is not of this verifier"),
        ({"nonce": "\u00e9"}, "nonce is not of this verifier"),
        ({"sub": ""}, "iss or sub is not valid"),
        ({"sub": "s" * 256}, "iss or sub is not valid"),
        ({"sub": "a\nb"}, "iss or sub is not valid"),
        ({"sub": None}, "no signed token"),
        ({"sub": 7}, "no signed token"),
        ({"exp": None}, "no signed token"),
        ({"exp": "tomorrow"}, "no signed token"),
        ({"exp": True}, "no signed token"),
        ({"iat": None}, "no signed token"),
        ({"aud": None}, "no signed token"),
        ({"aud": {"a": 1}}, "no signed token"),
        ({"email_verified": 1}, "no signed token"),
    ],
)
def test_a_claim_that_is_not_right_is_refused_though_the_signature_is(
    changes: dict[str, Any], said: str
):
    assert refusal(signed(claims(**changes))) == said


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 29},
        {"iat": NOW + 30, "exp": NOW + 3600},
        {"iat": NOW - 629},
        {"iat": NOW - 0.5, "exp": NOW + 0.5},
        {"nbf": NOW + 30},
        {"aud": [APP]},
        {"aud": WEB, "azp": APP},
        {"aud": [APP, WEB], "azp": WEB},
    ],
)
def test_clocks_may_differ_by_half_a_minute_and_apps_be_several(changes: dict[str, Any]):
    changes = {"iat": NOW - 60, **changes}
    assert believed(signed(claims(**changes))).subject == "ana-at-the-issuer"


def test_another_verifier_opens_nothing():
    for verifier in ("x" * 43, VERIFIER[:-1] + "K", NONCE):
        assert refusal(signed(claims()), verifier=verifier) == "nonce is not of this verifier"


@pytest.mark.parametrize(
    ("says", "verified"),
    [
        (True, True),
        ("true", True),
        (False, False),
        ("false", False),
        ("True", False),
        (None, False),
    ],
)
def test_an_e_mail_counts_only_if_the_issuer_has_verified_it(says: Any, *, verified: bool):
    token = believed(signed(claims(email_verified=says)))
    assert (token.verified_email == "ana@example.org") is verified
    assert believed(signed(claims(email=None))).verified_email is None


@pytest.mark.parametrize(
    "email",
    ["ana@example.com", "ana@sub.example.org", "ana@notexample.org", "a@example.org@b.example", ""],
)
def test_an_e_mail_of_a_domain_that_is_not_the_issuers_counts_for_nothing(email: str):
    assert believed(signed(claims(email=email))).verified_email is None
    assert believed(signed(claims(email="Ana@Example.ORG"))).verified_email == "Ana@Example.ORG"


def test_a_token_is_remembered_until_nobody_could_believe_it_any_more():
    short = believed(signed(claims(exp=NOW + 60)))
    assert timestamp_text(short.forget_at) == "2026-03-01T12:01:30.000000Z"
    long = believed(signed(claims(exp=2**40)))
    assert timestamp_text(long.forget_at) == "2026-03-01T12:10:30.000000Z"
    for token, text in ((short, signed(claims(exp=NOW + 60))), (long, signed(claims(exp=2**40)))):
        keys = parsed_keys(json.dumps({"keys": [public_jwk(private_key("RSA"), "k1")]}).encode())
        last = token.forget_at - timedelta(seconds=1)
        assert ReadToken(text).believed(TRUSTED, keys["k1"], VERIFIER, last).subject
        with pytest.raises(NotBelieved):
            ReadToken(text).believed(TRUSTED, keys["k1"], VERIFIER, token.forget_at)


def test_a_signature_spelled_in_another_way_is_the_same_token():
    # ECDSA has two signatures for one text: (r, s) and (r, n - s).
    key = private_key("P-256")
    text = signed(claims(), key, alg="ES256")
    first, _, signature = text.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    assert decode_dss_signature(encode_dss_signature(r, ORDER_OF_P256 - s))[0] == r
    twin = r.to_bytes(32, "big") + (ORDER_OF_P256 - s).to_bytes(32, "big")
    other = f"{first}.{encoded(twin)}"
    assert other != text
    assert believed(other, key).signed_sha256 == believed(text, key).signed_sha256
    assert believed(signed(claims(sub="x"))).signed_sha256 != believed(text, key).signed_sha256


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "a.b.c.d.e",
        "..",
        "\u00e9.b.c",
        "e30.e30.e30",
        f"{encoded([])}.{encoded({})}.AAAA",
        f"{encoded({'alg': 'RS256', 'kid': 'k1'})}.{encoded([])}.AAAA",
        f"{encoded({'alg': 'RS256', 'kid': 'k1'})}.{encoded(b'[' * 4000)}.AAAA",
        f"{encoded(b'[' * 2000)}.{encoded({})}.AAAA",
        f"{encoded(b'{}' * 4000)}.e30.AAAA",
        "x" * 17_000,
        signed(claims()) + " ",
        signed(claims()) + "\n",
        signed(claims()).replace(".", ". ", 1),
    ],
)
def test_what_is_no_token_breaks_nothing(text: str):
    with pytest.raises(NotBelieved):
        ReadToken(text)


def test_a_reason_holds_nothing_of_the_token():
    for body in (claims(sub="sec\nret"), claims(aud="secret"), claims(nonce="secret")):
        assert "sec" not in refusal(signed(body)).replace("secret_", "")
