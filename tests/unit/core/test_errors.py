"""The catalogue of errors, held against the table that clients were given.

Owns the published numbers: they are written here by hand and only ever added to. Checks that each
line tells a person what to do and a program whether to send again. Never checks who raises what.
"""

from __future__ import annotations

import pytest

from serai.core.errors import CODES, Code, Kind, Retry, SeraiError

PUBLISHED = {
    "body_too_large": (1001, 413),
    "body_invalid": (1002, 400),
    "body_too_deep": (1003, 400),
    "fields_invalid": (1004, 422),
    "field_unknown": (1005, 422),
    "field_read_only": (1006, 422),
    "query_invalid": (1007, 400),
    "media_type": (1008, 415),
    "encoding": (1009, 415),
    "not_found": (1010, 404),
    "method": (1011, 405),
    "key_required": (1012, 400),
    "key_reused": (1013, 422),
    "precondition": (1014, 412),
    "row_exists": (1015, 409),
    "row_gone": (1016, 409),
    "referenced": (1017, 409),
    "reference_missing": (1018, 422),
    "not_unique": (1019, 409),
    "constraint": (1020, 422),
    "conflict": (1021, 409),
    "rule": (1022, 422),
    "write_too_large": (1023, 413),
    "header_invalid": (1024, 400),
    "body_stalled": (1025, 408),
    "property_transferred": (1026, 409),
    "unauthenticated": (2001, 401),
    "access_expired": (2002, 401),
    "credentials": (2003, 401),
    "refresh_invalid": (2004, 401),
    "refresh_reused": (2005, 401),
    "forbidden": (2006, 403),
    "origin": (2007, 403),
    "password_weak": (2008, 422),
    "oidc_off": (2009, 403),
    "id_token_invalid": (2010, 401),
    "identity_unknown": (2011, 403),
    "token_invalid": (3001, 400),
    "must_refetch": (3002, 409),
    "mutation_gap": (3003, 409),
    "device_unknown": (3004, 409),
    "overloaded": (4001, 503),
    "unavailable": (4002, 503),
    "deadline": (4003, 504),
    "contended": (4004, 503),
    "org_frozen": (4005, 503),
    "org_moved": (4006, 503),
    "rate_limited": (4007, 429),
    "issuer_away": (4008, 503),
    "disk_full": (4009, 503),
    "property_held": (4010, 503),
    "internal": (5001, 500),
}
each_code = pytest.mark.parametrize("code", list(Code), ids=lambda code: code.text)


def test_a_published_code_keeps_its_number_and_its_status() -> None:
    now = {code.text: (code.kind.number, code.kind.status) for code in Code}
    assert {text: now.get(text) for text in PUBLISHED} == PUBLISHED


def test_no_two_errors_share_a_number_or_a_title() -> None:
    assert len({code.kind.number for code in Code}) == len(list(Code)) == len(CODES)
    assert len({code.kind.title for code in Code}) == len(list(Code))


@each_code
def test_a_client_finds_every_code_by_its_text(code: Code) -> None:
    assert CODES[code.text] is code
    assert code.text == code.text.lower()


@each_code
def test_each_error_says_what_happened_and_what_to_do(code: Code) -> None:
    kind = code.kind
    assert isinstance(kind, Kind)
    assert kind.title[0].isupper()
    assert not kind.title.endswith(".")
    assert kind.remedy.endswith(".")
    assert 400 <= kind.status < 600
    assert len(str(kind.number)) == 4


@each_code
def test_a_program_sends_again_only_where_waiting_can_help(code: Code) -> None:
    """A server's fault, too many requests and a line that failed are sent again; what the caller
    must change is not.
    """
    later = code.kind.status >= 500 or code.kind.status in (408, 429)
    assert (code.kind.retry is Retry.LATER) == later


def test_only_an_expired_token_is_refreshed_and_only_a_bad_since_token_refetched() -> None:
    by_retry = {r: {c.text for c in Code if c.kind.retry is r} for r in Retry}
    assert by_retry[Retry.REFRESH] == {"access_expired"}
    assert by_retry[Retry.REFETCH] == {"token_invalid", "must_refetch"}


def test_an_error_in_a_log_says_its_title_and_its_detail() -> None:
    assert str(SeraiError(Code.RULE, "The day is closed.")) == (
        "The change is not allowed. The day is closed."
    )
    assert str(SeraiError(Code.KEY_REQUIRED)) == (
        "Idempotency-Key is missing. Send a new random key with each new write."
    )


def test_two_errors_do_not_share_what_they_carry() -> None:
    first, second = SeraiError(Code.CONFLICT), SeraiError(Code.CONFLICT)
    first.extra["row"] = "mine"
    assert second.extra == {}
    assert first.errors == ()
    assert first.retry_after_seconds is None
