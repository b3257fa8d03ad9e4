"""Problems: every error of the catalogue is one document of RFC 9457, and says nothing else."""

from __future__ import annotations

import json
import logging

import jsonschema_rs
import msgspec
import pytest

from serai.core.errors import Code, Retry, SeraiError
from serai.http.problems import MEDIA_TYPE, problem_reply, unforeseen
from serai.wire.rest import ProblemDocument

FORM = jsonschema_rs.validator_for(msgspec.json.schema(ProblemDocument))
LATER = {c for c in Code if c.kind.retry is Retry.LATER}


@pytest.mark.parametrize("code", Code, ids=lambda code: code.text)
def test_every_error_is_a_valid_problem(code: Code):
    reply = problem_reply(SeraiError(code), "r-1")
    problem = json.loads(reply.body)
    assert list(FORM.iter_errors(problem)) == []
    # RFC 9457, 3.1: the types of the members, and the status of the answer itself.
    assert reply.media_type == MEDIA_TYPE == "application/problem+json"
    assert problem["status"] == reply.status == code.kind.status
    assert problem["type"] == f"/docs/errors#{code.name.lower()}"
    assert all(isinstance(problem[name], str) for name in ("type", "title", "detail"))
    assert problem["detail"] == problem["remedy"] != ""
    assert (problem["code"], problem["number"]) == (code.name.lower(), code.kind.number)
    assert problem["request_id"] == "r-1"
    assert "errors" not in problem
    assert reply.private


@pytest.mark.parametrize("code", Code, ids=lambda code: code.text)
def test_who_may_try_again_is_told_when(code: Code):
    headers = problem_reply(SeraiError(code), "r").headers
    assert headers.get("retry-after") == ("1" if code in LATER else None)
    told = problem_reply(SeraiError(code, retry_after_seconds=17), "r").headers
    assert told["retry-after"] == "17"


@pytest.mark.parametrize("code", Code, ids=lambda code: code.text)
def test_a_401_says_how_to_sign_in_and_nothing_else_does(code: Code):
    expected = None
    if code.kind.status == 401:
        expired = code is Code.ACCESS_EXPIRED
        expected = 'Bearer error="invalid_token"' if expired else "Bearer"
    assert problem_reply(SeraiError(code), "r").headers.get("www-authenticate") == expected


def test_a_415_says_what_is_taken_and_a_405_what_is_allowed():
    assert problem_reply(SeraiError(Code.ENCODING), "r").headers["accept-encoding"] == "gzip, zstd"
    wrong = SeraiError(Code.METHOD, extra={"allow": "GET, HEAD"})
    assert problem_reply(wrong, "r").headers["allow"] == "GET, HEAD"


def test_details_fields_and_members_of_the_occurrence_are_there():
    error = SeraiError(
        Code.CONFLICT, "Ben was first.", errors=(("room", "differs"),), extra={"row": {"room": "1"}}
    )
    problem = json.loads(problem_reply(error, "r").body)
    assert problem["detail"] == "Ben was first."
    assert problem["errors"] == [{"field": "room", "reason": "differs"}]
    assert problem["row"] == {"room": "1"}


def test_no_member_of_an_occurrence_replaces_one_of_the_form():
    extra: dict[str, object] = {"status": 200, "code": "fine", "request_id": "x", "type": "y"}
    problem = json.loads(problem_reply(SeraiError(Code.RULE, extra=extra), "r").body)
    plain = json.loads(problem_reply(SeraiError(Code.RULE), "r").body)
    assert problem == plain


def test_a_thousand_faults_with_long_names_make_a_small_problem():
    errors = tuple(("n" * 10_000, "is wrong") for _ in range(1_000))
    reply = problem_reply(SeraiError(Code.FIELDS_INVALID, errors=errors), "r")
    assert len(json.loads(reply.body)["errors"]) == 100
    assert len(reply.body) < 20_000


def test_what_nobody_foresaw_says_its_request_and_its_place_and_no_value(caplog):
    def fails() -> None:
        raise ValueError("password hunter2")

    with caplog.at_level(logging.ERROR), pytest.raises(ValueError, match="hunter2") as caught:
        fails()
    error = unforeseen(caught.value, "r-9", "GET /v1/guests")
    reply = problem_reply(error, "r-9")
    assert error.code is Code.INTERNAL
    assert "request r-9 to GET /v1/guests failed: ValueError at" in caplog.text
    assert "fails" in caplog.text
    for shown in (caplog.text, reply.body.decode()):
        assert "hunter2" not in shown
