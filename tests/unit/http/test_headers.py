"""Conditions, keys and the map of headers: read as RFC 9110 says, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.core.errors import Code, SeraiError
from serai.http.asgi import header_map
from serai.http.headers import etag_of, idempotency_key, if_match, matches_none, request_hash
from unit.http.requests import request

NO_ROW_HAS_IT = -1


def having(**headers: str):
    return request(headers={name.replace("_", "-"): value for name, value in headers.items()})


def code_of(ask, asked) -> Code:
    with pytest.raises(SeraiError) as caught:
        ask(asked)
    return caught.value.code


@given(st.integers(min_value=1, max_value=2**53 - 1), st.sampled_from(["", "-gzip", "-zstd"]))
def test_the_tag_that_was_given_is_understood_as_it_was_sent(version, ending):
    tag = f'{etag_of(version)[:-1]}{ending}"'
    assert if_match(having(if_match=tag)) == version
    assert if_match(having(if_match=f"  {tag} ")) == version
    assert matches_none(having(if_none_match=tag), etag_of(version))
    assert matches_none(having(if_none_match=f"W/{tag}"), etag_of(version))
    assert not matches_none(having(if_none_match=tag), etag_of(version + 1))


@pytest.mark.parametrize("text", ["*", " * "])
def test_a_star_and_no_header_are_whatever_is_there(text):
    assert if_match(having(if_match=text)) is None
    assert if_match(having()) is None
    assert matches_none(having(if_none_match=text), '"1"')
    assert not matches_none(having(), '"1"')


@pytest.mark.parametrize(
    "text",
    ['""', '"0"', '"01"', '"-1"', '"1.0"', '"x"', 'W/"12"', '"12-br"', '"9007199254740992"', '"é"'],
)
def test_a_tag_of_something_else_matches_no_row(text):
    # Weak tags never match here: If-Match compares strongly (RFC 9110, 13.1.1).
    assert if_match(having(if_match=text)) == NO_ROW_HAS_IT
    assert not matches_none(having(if_none_match=text), '"13"')


@pytest.mark.parametrize(
    "text", ["", "12", "'12'", '"12', '12"', '"1"2"', 'w/"12"', '"12",', ',"12"', '"1 2"', '"\x7f"']
)
def test_a_condition_that_cannot_be_read_is_refused_and_never_ignored(text):
    assert code_of(if_match, having(if_match=text)) is Code.HEADER_INVALID
    asked = having(if_none_match=text)
    assert code_of(lambda a: matches_none(a, '"12"'), asked) is Code.HEADER_INVALID


def test_of_several_tags_one_is_enough_to_hold_and_too_many_to_write():
    several = '"3", W/"12" ,"7-zstd"'
    for held in ('"3"', '"12"', '"7"'):
        assert matches_none(having(if_none_match=several), held)
    assert not matches_none(having(if_none_match=several), '"4"')
    assert code_of(if_match, having(if_match=several)) is Code.HEADER_INVALID


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("abc", "abc"),
        (" abc ", "abc"),
        ('"abc"', "abc"),
        ('"', '"'),
        ("a,b", "a,b"),
        ("x" * 200, "x" * 200),
        ('"' + "x" * 200 + '"', "x" * 200),
    ],
)
def test_a_key_is_taken_bare_or_quoted(text, key):
    assert idempotency_key(having(idempotency_key=text)) == key


@pytest.mark.parametrize("text", ["", " ", '""', "a b", "a\tb", "é", "\x7f", "x" * 201])
def test_what_is_no_key_is_refused(text):
    assert code_of(idempotency_key, having(idempotency_key=text)) is Code.KEY_REQUIRED
    assert code_of(idempotency_key, having()) is Code.KEY_REQUIRED


def test_a_repetition_is_the_same_method_path_condition_and_body():
    one = request_hash(request(path="/v1/guests"), b"{}")
    assert one == request_hash(request(path="/v1/guests", headers={"x": "y"}), b"{}")
    others = [
        request_hash(request(path="/v1/guest"), b"s{}"),
        request_hash(request(path="/v1/guests"), b"{ }"),
        request_hash(request(path="/v1/guests", headers={"if-match": '"1"'}), b"{}"),
    ]
    assert len({one, *others}) == 4


def test_a_header_stands_once_under_its_lower_case_name():
    headers, repeated = header_map([(b"Accept", b"a"), (b"ACCEPT", b"b"), (b"X-\xe9", b"\xff")])
    assert headers == {"accept": "a, b", "x-\xe9": "\xff"}
    assert repeated == ""


@pytest.mark.parametrize(
    "name", [b"Authorization", b"content-length", b"Host", b"Idempotency-Key", b"X-Request-Id"]
)
def test_a_header_with_one_value_that_stands_twice_is_told(name):
    _, repeated = header_map([(name, b"1"), (b"accept", b"x"), (name.lower(), b"1")])
    assert repeated == name.decode().lower()
