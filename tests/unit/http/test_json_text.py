"""Text that no parser should see: nesting, number of values, halves of surrogate pairs.

The check is compared with a plain reading of JSON, character by character, which is written here.
"""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.core.errors import Code, SeraiError
from serai.http.json_text import check_json, without_lone_surrogates

DEPTH, PARTS = 32, 95_000


def verdict(body: bytes) -> Code | None:
    try:
        check_json(body)
    except SeraiError as error:
        return error.code
    return None


def depth_of(text: str) -> int:
    """Return how deep a JSON text goes, read one character after another."""
    depth = deepest = at = 0
    in_string = False
    while at < len(text):
        mark = text[at]
        if in_string:
            at += 1 if mark == "\\" else 0
            in_string = mark != '"'
        elif mark == '"':
            in_string = True
        elif mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "]}":
            depth -= 1
        at += 1
    return deepest


nested = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(alphabet='[]{}",\\a\u00e9', max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text('[]{}"\\', max_size=4), inner, max_size=3),
    ),
    max_leaves=60,
)


@given(nested, st.integers(min_value=0, max_value=40))
def test_nesting_is_counted_as_a_reader_counts_it(value, more):
    text = "[" * more + json.dumps(value, ensure_ascii=False) + "]" * more
    expected = Code.BODY_TOO_DEEP if depth_of(text) > DEPTH else None
    assert verdict(text.encode()) is expected


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_32_levels_are_taken_and_33_are_not(opening, closing):
    assert verdict(opening * 32 + b"1" + closing * 32) is None
    assert verdict(opening * 33 + b"1" + closing * 33) is Code.BODY_TOO_DEEP
    assert verdict(opening * 10_000 + b"1" + closing * 10_000) is Code.BODY_TOO_DEEP
    assert verdict(opening * 10_000) is Code.BODY_TOO_DEEP


def test_brackets_in_strings_and_beside_each_other_are_no_nesting():
    assert verdict(json.dumps("[" * 100_000).encode()) is None
    assert verdict(json.dumps({"a": '\\"[{' * 1_000}).encode()) is None
    assert verdict(b"[" + b"[],{}," * 10_000 + b"[]]") is None


def test_a_string_that_spans_the_steps_of_the_check_is_still_one():
    step = 256 * 1_024
    for size in range(step - 3, step + 4):
        for inside in ('"', "\\", "[", "a"):
            text = json.dumps(["x" * (size - 2) + inside + "[[" * 40, [[1]]])
            assert verdict(text.encode()) is None, (size, inside)
            deep = text[:-1] + "," + "[" * 32 + "]" * 32 + "]"
            assert verdict(deep.encode()) is Code.BODY_TOO_DEEP, (size, inside)


def test_95_000_values_are_taken_and_one_more_is_not():
    # A list of n items: one bracket and n - 1 commas.
    assert verdict(b"[" + b",".join([b"0"] * PARTS) + b"]") is None
    assert verdict(b"[" + b",".join([b"0"] * (PARTS + 1)) + b"]") is Code.BODY_INVALID
    assert verdict(b"{" + b",".join(b'"k":0' for _ in range(100_000)) + b"}") is Code.BODY_INVALID
    assert verdict(json.dumps("," * 200_000).encode()) is None


def test_what_a_lazy_decoder_finds_too_late_is_found_here():
    for wrong in (b'{"a":"\xff"}', b'{"a":"\xc0\xaf"}', b'{"a":"\xed\xa0\x80"}', b'{"a":1e999}'):
        assert verdict(wrong) is Code.BODY_INVALID
    for wrong in (b'{"a":-1.5E+400}', b'{"a":[1,2.5e309 ]}', b'[{"a": 1e00000000999\r}]'):
        assert verdict(wrong) is Code.BODY_INVALID, wrong
    for right in (
        b'{"a":1e99}',
        b'{"a":1E-999}',
        b'{"a":"1e999"}',
        '{"a":"é\N{THUMBS UP SIGN}"}'.encode(),
    ):
        assert verdict(right) is None


numbers = st.from_regex(
    r"-?[1-9][0-9]{0,3}(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,4})?",
    fullmatch=True,
    alphabet="0123456789-+.eE",
)
space = st.sampled_from(["", " ", "\n", "\t", "\r "])
texts = st.sampled_from(['"1e999"', '"a e 5"', '", 2e999"', "null", '"0190e123-0e12-7000"'])
lists = st.lists(st.tuples(space, numbers | texts, space).map("".join), max_size=6)


@given(lists, st.sampled_from(["[%s]", '{"a":%s}', '{"a":[[%s]]}', '[{"b":2},%s]']))
def test_a_number_that_no_double_holds_is_found_wherever_it_stands(values, form):
    inner = ",".join(values) or "1"
    text = form % (inner if "[%s]" in form else f"[{inner}]")
    held = [float(value) for value in values if value.strip()[0] not in '"n']
    wrong = any(math.isinf(number) for number in held)
    assert verdict(text.encode()) is (Code.BODY_INVALID if wrong else None)


def test_a_number_that_spans_the_steps_of_the_check_is_still_one():
    step = 256 * 1_024
    for size in range(step - 8, step):
        for number, code in (
            ("1e+999", Code.BODY_INVALID),
            ("12e9", None),
            ("1E999", Code.BODY_INVALID),
        ):
            assert verdict(b"[" + b" " * (size - 1) + number.encode() + b"]") is code, (
                size,
                number,
            )


@given(st.lists(st.sampled_from(["a", "\\", '"', "\n", "\ud83d", "\udc4d", "\U0001f44d", "\x00"])))
def test_half_a_pair_becomes_a_character_that_a_field_refuses(marks):
    text = "".join(marks)
    body = json.dumps({"a": text}).encode()
    mended = json.loads(without_lone_surrogates(body))["a"]
    # What Python makes of the same text in UTF-16, where pairs are pairs and halves are lone.
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert mended == whole.replace("\ufffd", "\x00")
