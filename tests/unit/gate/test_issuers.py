"""Which issuers a deployment believes: the form of the setting, and what an address may be."""

from __future__ import annotations

import json

import pytest

from serai.gate.issuer_keys import NotFetched, parsed_keys
from serai.gate.issuers import TrustedIssuer, parse_issuers
from unit.gate.made_tokens import private_key, public_jwk


def test_a_setting_names_the_issuer_its_keys_and_its_clients():
    text = "https://id.example.org https://keys.example.org/a?p=b  app   web "
    assert parse_issuers([text]) == (
        TrustedIssuer(
            "https://id.example.org", "https://keys.example.org/a?p=b", frozenset({"app", "web"})
        ),
    )
    assert parse_issuers([]) == ()


def test_a_setting_names_the_domains_that_the_issuer_may_vouch_for():
    [issuer] = parse_issuers(["https://a.example https://a.example/keys app @Hotel.com web @b.co"])
    assert (issuer.clients, issuer.domains) == ({"app", "web"}, {"hotel.com", "b.co"})
    assert issuer.vouches_for("ana@HOTEL.com", None)
    assert not issuer.vouches_for("ana@gmail.com", "gmail.com")


def test_an_issuer_without_domains_vouches_for_nobody():
    issuer = TrustedIssuer.parse("https://id.example.org https://id.example.org/keys app")
    for email in ("ana@example.org", "ana@id.example.org", "ana@", "", "app"):
        assert not issuer.vouches_for(email, "example.org")


@pytest.mark.parametrize(
    ("email", "hosted", "vouched"),
    [
        ("ana@gmail.com", None, True),
        ("ana@hotel.com", "hotel.com", True),
        ("ana@hotel.com", "Hotel.com", True),
        ("ana@hotel.com", None, False),
        ("ana@hotel.com", "", False),
        ("ana@hotel.com", "thief.example", False),
        ("ana@thief.example", "thief.example", False),
    ],
)
def test_google_vouches_for_its_own_mail_and_for_domains_that_it_hosts(
    email: str, hosted: str | None, *, vouched: bool
):
    google = TrustedIssuer.parse(
        "https://accounts.google.com https://www.googleapis.com/oauth2/v3/certs app"
        " @gmail.com @hotel.com"
    )
    assert google.vouches_for(email, hosted) is vouched


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://id.example.org https://id.example.org/keys @example.org",
        "https://id.example.org https://id.example.org/keys app @",
        "https://id.example.org https://id.example.org/keys app @example",
        "https://id.example.org https://id.example.org/keys app @*.example.org",
        "https://id.example.org https://id.example.org/keys app ana@example.org @b@example.org",
        "https://id.example.org",
        "https://id.example.org https://id.example.org/keys",
        "id.example.org https://id.example.org/keys app",
        "https://id.example.org id.example.org/keys app",
        "http://id.example.org https://id.example.org/keys app",
        "https://id.example.org http://id.example.org/keys app",
        "https://id.example.org http://10.0.0.1/keys app",
        "https://id.example.org file:///etc/passwd app",
        "https://id.example.org https:///keys app",
        "https://id.example.org https://u:secret@id.example.org/keys app",
        "https://id.example.org https://id.example.org/keys#x app",
        "https://id.example.org?x=1 https://id.example.org/keys app",
    ],
)
def test_another_form_is_refused(text: str):
    with pytest.raises(ValueError, match=r".") as refused:
        TrustedIssuer.parse(text)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "localhost:9000", "[::1]:9000"])
def test_plain_http_is_for_this_machine(host: str):
    issuer = TrustedIssuer.parse(f"http://{host} http://{host}/keys app")
    assert issuer.keys_url == f"http://{host}/keys"


def test_an_issuer_stands_there_once_and_there_are_not_too_many():
    one = "https://id{}.example.org https://id.example.org/keys app"
    with pytest.raises(ValueError, match="twice"):
        parse_issuers([one, one])
    assert len(parse_issuers([one.format(n) for n in range(20)])) == 20
    with pytest.raises(ValueError, match="at most 20"):
        parse_issuers([one.format(n) for n in range(21)])


def test_of_a_set_of_keys_those_are_taken_that_can_verify():
    rsa, curve, edwards = private_key("RSA"), private_key("P-256"), private_key("Ed25519")
    good = {
        "rsa": public_jwk(rsa, "rsa"),
        "curve": public_jwk(curve, "curve", use=None),
        "edwards": public_jwk(edwards, "edwards", key_ops=["verify"]),
    }
    bad = [
        public_jwk(rsa, "encrypts", use="enc"),
        public_jwk(rsa, "wraps", key_ops=["wrapKey"]),
        public_jwk(rsa, ""),
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        {"kty": "RSA", "kid": "half", "n": "AQAB"},
        {"kty": "EC", "kid": "nowhere", "crv": "P-999", "x": "AA", "y": "AA"},
        {"kty": "EC", "kid": "off", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "new", "kid": "new"},
        {"kid": "no type"},
        "no key",
        None,
    ]
    assert set(parsed_keys(json.dumps({"keys": [*bad, *good.values()]}).encode())) == set(good)


def test_a_private_key_that_an_issuer_shows_by_mistake_becomes_a_public_one():
    whole = {**private_key("RSA").as_dict(private=True), "kid": "k1"}
    assert "d" in whole
    key = parsed_keys(json.dumps({"keys": [whole]}).encode())["k1"]
    assert not key.is_private


def test_an_rsa_key_that_is_too_short_is_none():
    # 1,024 bits, all of them set but the last ones: its length is what counts here.
    short = {"kty": "RSA", "kid": "short", "e": "AQAB", "n": "_" * 170 + "8"}
    assert parsed_keys(json.dumps({"keys": [short]}).encode()) == {}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"keys":7}', b"<html>", b"\xff", b"[" * 9000]
)
def test_what_is_no_set_of_keys_is_said_to_be_none(body: bytes):
    with pytest.raises(NotFetched, match="no JWK set"):
        parsed_keys(body)
