"""Answers made smaller: chosen as RFC 9110 says, and only where it is worth it."""

from __future__ import annotations

import gzip
import random

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from serai.http.compress import (
    chosen_encoding,
    compressed,
    joined,
    joined_packed,
    tagged,
    untagged,
)
from serai.readers.sync import BLOCK

NOISE = random.Random(7).randbytes(200_000)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("br", None),
        ("deflate, br", None),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("gzip;q=0.5, zstd;q=0.501", "zstd"),
        ("gzip ; q = 0.5 , zstd ; q = 0.4", "gzip"),
        ("gzip;Q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.000, zstd;q=0", None),
        ("gzip;q=0.001", "gzip"),
        ("*", "zstd"),
        ("*;q=0", None),
        ("*;q=0.5, zstd;q=0", "gzip"),
        ("zstd;q=0, gzip;q=0, *", None),
        ("gzip;q=0.5, *;q=0.1", "gzip"),
        ("identity;q=1, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("gzip;q=2", None),
        ("gzip;q=1.7, zstd;q=1", "zstd"),
        ("gzip;q=0.1234, zstd;q=0.1", "zstd"),
        ("gzip;q=", None),
        ("gzip;level=9", None),
        ("nonsense; gzip", None),
        (";,;q=1,,", None),
    ],
)
def test_the_encoding_is_the_one_that_the_client_likes_best(accept, expected):
    assert chosen_encoding(accept) == expected


@given(st.text(max_size=60))
def test_no_header_breaks_the_choice(accept):
    assert chosen_encoding(accept) in (None, "gzip", "zstd")


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_below_1_kib_nothing_is_packed(encoding):
    assert compressed(b"a" * 1_023, encoding) is None
    assert compressed(b"a" * 1_024, encoding) is not None


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("of_noise", range(50, 101, 5))
def test_it_is_sent_packed_only_if_that_saves_a_fifth(encoding, of_noise):
    body = NOISE[: 2_000 * of_noise] + bytes(2_000 * (100 - of_noise))
    packed = compressed(body, encoding)
    # Noise does not shrink and zeros vanish, but for headers and tables of some hundred bytes.
    if of_noise <= 75:
        assert packed is not None
        assert len(packed) <= 0.8 * len(body)
    elif of_noise >= 85:
        assert packed is None


@given(st.binary(min_size=1_024, max_size=4_096).map(lambda b: b * 4))
def test_what_is_packed_is_what_it_was(body):
    small, other = compressed(body, "gzip"), compressed(body, "zstd")
    assert small is not None
    assert other is not None
    assert gzip.decompress(small) == body
    assert zstandard.decompress(other) == body


@given(st.from_regex(r'\A"[!#-~]{0,20}"\Z'), st.sampled_from(["gzip", "zstd"]))
def test_other_bytes_have_another_tag_that_leads_back(etag, encoding):
    changed = tagged(etag, encoding)
    assert changed != etag
    assert changed.endswith(f'-{encoding}"')
    assert untagged(changed) == etag


@pytest.mark.parametrize("etag", ['W/"12"', "12", ""])
def test_a_weak_tag_stands_for_every_encoding(etag):
    assert tagged(etag, "gzip") == etag
    assert untagged(etag) == etag


def test_blocks_stand_in_their_places_whatever_the_answer_is_packed_with():
    blocks = [b'{"id":"1"},{"id":"2"}', b'{"id":"3"}', b"x" * 300_000]
    frames = [zstandard.ZstdCompressor(level=9).compress(block) for block in blocks]
    mark = BLOCK.encode()
    body = b'[{"c":[' + mark + b"," + mark + b',{"id":"9"}]},{"c":[' + mark + b"]}]"
    whole = body
    for block in blocks:
        whole = whole.replace(mark, block, 1)
    assert joined(body, frames) == whole
    packed = joined_packed(body, frames)
    reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    assert reader.read() == whole
    assert all(frame in packed for frame in frames)
