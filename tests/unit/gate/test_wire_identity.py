"""The forms of identity: what is accepted, what is sent, and what no log shows."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from serai.wire.identity import (
    ApiKeyCreated,
    ApiKeyForm,
    ApiKeyRequest,
    OidcRequest,
    OrganisationForm,
    PasswordRequest,
    RefreshRequest,
    RoleForm,
    SignInRequest,
    SignOutRequest,
    TokenAnswer,
)

DEVICE = "0198c0de-0000-7000-8000-00000000000d"


def test_a_phone_signs_in_with_these_members():
    body = (
        b'{"email":"ana@example.org","password":"a long enough one","organisation":"demo.hotels",'
        b'"deviceId":"0198c0de-0000-7000-8000-00000000000d","deviceName":"Reception"}'
    )
    assert msgspec.json.decode(body, type=SignInRequest) == SignInRequest(
        email="ana@example.org",
        password="a long enough one",
        organisation="demo.hotels",
        device_id=UUID(DEVICE),
        device_name="Reception",
    )


def test_a_change_of_password_names_both_and_nothing_else():
    body = b'{"oldPassword":"a long enough one","newPassword":"another long one"}'
    form = msgspec.json.decode(body, type=PasswordRequest)
    assert (form.old_password, form.new_password) == ("a long enough one", "another long one")
    for wrong in (
        b'{"newPassword":"another long one"}',
        b'{"oldPassword":"a long enough one"}',
        b'{"oldPassword":null,"newPassword":"another long one"}',
        b'{"oldPassword":"a","newPassword":"' + b"x" * 257 + b'"}',
        b'{"oldPassword":"' + b"x" * 257 + b'","newPassword":"another long one"}',
        body[:-1] + b',"userId":"0198c0de-0000-7000-8000-00000000000d"}',
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(wrong, type=PasswordRequest)


def test_a_sign_in_with_an_id_token_has_these_members():
    body = (
        b'{"idToken":"a.b.c","nonceVerifier":"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",'
        b'"organisation":7,"deviceId":"0198c0de-0000-7000-8000-00000000000d"}'
    )
    form = msgspec.json.decode(body, type=OidcRequest)
    assert (form.id_token, form.organisation, form.device_id) == ("a.b.c", 7, UUID(DEVICE))
    assert form.nonce_verifier == "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


@pytest.mark.parametrize(
    ("token", "verifier"),
    [
        ("", "v" * 43),
        ("t" * (16 * 1024 + 1), "v" * 43),
        ("a.b.c", "v" * 42),
        ("a.b.c", "v" * 129),
        ("a.b.c", "v" * 42 + " "),
        ("a.b.c", "\u00e9" * 43),
    ],
)
def test_a_secret_that_could_be_guessed_is_refused(token: str, verifier: str):
    body = msgspec.json.encode({"idToken": token, "nonceVerifier": verifier})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=OidcRequest)


def test_an_organisation_is_named_by_its_number_or_by_its_key():
    for text, expected in ((b"7", 7), (b'"7"', "7")):
        body = b'{"refreshToken":"srr_x","organisation":' + text + b"}"
        assert msgspec.json.decode(body, type=RefreshRequest).organisation == expected


@pytest.mark.parametrize(
    "body",
    [
        b'{"email":"ana@example.org"}',
        b'{"email":"ana@example.org","password":"x","admin":true}',
        b'{"email":"ana@example.org","password":"' + b"x" * 257 + b'"}',
        b'{"email":"' + b"x" * 321 + b'","password":"x"}',
        b'{"email":"ana@example.org","password":"x","organisation":0}',
        b'{"email":"ana@example.org","password":"x","organisation":1.5}',
        b'{"email":"ana@example.org","password":"x","organisation":""}',
        b'{"email":"ana@example.org","password":null}',
        b"[]",
    ],
)
def test_a_sign_in_of_another_form_is_refused(body: bytes):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=SignInRequest)


def test_a_key_without_roles_or_with_an_expiry_of_no_zone_is_refused():
    for body in (
        b'{"name":"till","roles":[]}',
        b'{"name":"till","roles":[{"role":"desk"}],"expiresAt":"2026-03-01T00:00:00"}',
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(body, type=ApiKeyRequest)
    body = b'{"name":"till","roles":[{"role":"desk"}],"expiresAt":"2026-03-01T00:00:00Z"}'
    accepted = msgspec.json.decode(body, type=ApiKeyRequest)
    assert accepted.expires_at == datetime(2026, 3, 1, tzinfo=UTC)
    assert accepted.roles == [RoleForm(role="desk")]


def test_the_answer_to_a_sign_in_has_these_members():
    answer = TokenAnswer(
        access_token="a.b.c",
        expires_in=900,
        refresh_token="srr_x",
        refresh_expires_at="2026-03-31T12:00:00.000000Z",
        organisation=OrganisationForm(7, "demo.hotels", "Demo"),
        organisations=[OrganisationForm(7, "demo.hotels", "Demo")],
    )
    assert msgspec.json.decode(msgspec.json.encode(answer)) == {
        "accessToken": "a.b.c",
        "expiresIn": 900,
        "refreshToken": "srr_x",
        "refreshExpiresAt": "2026-03-31T12:00:00.000000Z",
        "organisation": {"id": 7, "key": "demo.hotels", "name": "Demo"},
        "organisations": [{"id": 7, "key": "demo.hotels", "name": "Demo"}],
        "tokenType": "Bearer",
    }


def test_no_log_line_shows_a_secret():
    key = ApiKeyForm(UUID(DEVICE), "till", [], None, "now", None, None, None)
    forms = [
        SignInRequest(email="ana@example.org", password="s3cret"),
        RefreshRequest(refresh_token="s3cret"),
        SignOutRequest(refresh_token="s3cret"),
        OidcRequest(id_token="s3cret", nonce_verifier="s3cret"),
        PasswordRequest(old_password="s3cret", new_password="s3cret too"),
        TokenAnswer("s3cret", 900, "s3cret", "", None, []),
        ApiKeyCreated(key, "s3cret"),
    ]
    for form in forms:
        for shown in (repr(form), str(form), f"{form!r:>80}"):
            assert "s3cret" not in shown
