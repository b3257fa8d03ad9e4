"""Bodies: what is taken, what is refused, and that it is refused before it costs memory."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from serai.core.errors import Code, SeraiError
from serai.core.limits import BODY_STALL_SECONDS_MAX
from serai.http.body import check_framing, check_media_type, decode, drain, no_body, read_body
from serai.http.deadlines import Deadline, Deadlines
from serai.http.room import Room, Share
from unit.http.requests import GONE, parts, request

KIB, MIB = 2**10, 2**20


async def refused(asked, limit=32 * MIB, **more) -> Code:
    with pytest.raises(SeraiError) as caught:
        await read_body(asked, limit, **more)
    return caught.value.code


async def test_a_body_is_its_pieces_in_order():
    assert await read_body(request(parts(b"a", b"", b"bc", b"d"))) == b"abcd"
    assert await read_body(request(parts(b""))) == b""
    assert await read_body(request()) == b""


async def test_the_bound_counts_what_came_not_what_was_said():
    assert await read_body(request(parts(b"ab", b"c")), 3) == b"abc"
    assert await refused(request(parts(b"ab", b"cd")), 3) is Code.BODY_TOO_LARGE
    lies = request(parts(b"ab", b"cd"), headers={"content-length": "2"})
    assert await refused(lies, 3) is Code.BODY_TOO_LARGE
    wide = request(parts(b"abcd"))
    assert await refused(wide, 3, too_large=Code.WRITE_TOO_LARGE) is Code.WRITE_TOO_LARGE


async def test_a_body_that_says_it_is_too_large_is_not_waited_for():
    for said in ("4", "99999999999999999999", "0000000000000000000004"):
        silent = request(parts(b"abcd"), headers={"content-length": said})
        assert await refused(silent, 3) is Code.BODY_TOO_LARGE
        assert silent.coming
    for said in ("x", "-1", "+1", "1, 1", "", "٣"):
        wrong = request(parts(b"abc"), headers={"content-length": said})
        assert await refused(wrong, 3) is Code.HEADER_INVALID, said


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP ", "zstd"])
@pytest.mark.parametrize("size", [0, 1, 65_536, MIB, MIB + 1, 3 * MIB])
async def test_a_packed_body_is_unpacked_to_what_it_was(encoding, size):
    plain = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    packed = zstandard.compress(plain) if encoding == "zstd" else gzip.compress(plain)
    headers = {"content-encoding": encoding}
    halves = parts(packed[:9], packed[9:])
    assert await read_body(request(halves, headers=headers), 3 * MIB) == plain


@given(st.binary(max_size=300_000), st.sampled_from(["gzip", "zstd"]))
def test_any_body_survives_packing(plain, encoding):
    packed = zstandard.compress(plain) if encoding == "zstd" else gzip.compress(plain, 1)
    asked = request(parts(packed), headers={"content-encoding": encoding})
    assert asyncio.run(read_body(asked)) == plain


@given(st.binary(max_size=2_000), st.data())
def test_a_frame_that_was_cut_or_goes_on_is_not_whole(plain, data):
    for pack in (zstandard.compress, lambda b: gzip.compress(b, mtime=0)):
        packed = pack(plain)
        encoding = "gzip" if packed[:2] == b"\x1f\x8b" else "zstd"
        cut = data.draw(st.integers(min_value=1, max_value=len(packed) - 1))
        for wrong in (packed[:cut], packed + b"\0", packed + packed):
            asked = request(parts(wrong), headers={"content-encoding": encoding})
            assert asyncio.run(refused(asked)) is Code.BODY_INVALID


async def test_zstd_frames_of_every_form_are_whole():
    plain = b"a hotel, " * 40_000
    for chosen in (
        zstandard.ZstdCompressor(write_checksum=True),
        zstandard.ZstdCompressor(write_content_size=False),
        zstandard.ZstdCompressor(write_content_size=False, write_checksum=True),
        zstandard.ZstdCompressor(level=-5),
        zstandard.ZstdCompressor(level=19),
    ):
        flushed = chosen.compressobj()
        slowly = flushed.compress(plain[:50]) + flushed.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        slowly += flushed.compress(plain[50:]) + flushed.flush()
        for packed in (chosen.compress(plain), slowly):
            asked = request(parts(packed), headers={"content-encoding": "zstd"})
            assert await read_body(asked) == plain


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_a_bomb_costs_a_fraction_of_what_it_unpacks_to(encoding):
    zeros = bytes(33 * MIB)
    packed = gzip.compress(zeros) if encoding == "gzip" else zstandard.compress(zeros)
    del zeros
    tracemalloc.start()
    try:
        asked = request(parts(packed), headers={"content-encoding": encoding})
        assert await refused(asked) is Code.BODY_TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


async def test_an_encoding_that_is_not_ours_is_refused_before_the_body():
    for encoding in ("br", "deflate", "gzip, gzip", "identity, gzip", "", "gzip;q=1"):
        asked = request(parts(b"x"), headers={"content-encoding": encoding})
        assert await refused(asked) is Code.ENCODING, encoding
        assert asked.coming


async def test_a_body_that_breaks_off_is_no_body():
    asked = request([*parts(b"a", b"b")[:1], GONE])
    assert await refused(asked) is Code.BODY_INVALID
    assert not asked.coming


async def test_patience_is_used_up_by_time_and_given_back_by_bytes():
    deadlines = Deadlines(step_seconds=0.01)
    stops = request(parts(b"a", b"b")[:1])
    stops.deadline, stops.patience = deadlines.begin(30), 0.05
    assert await refused(stops) is Code.BODY_STALLED
    assert stops.stalled
    assert stops.coming
    await drain(stops)  # returns at once: it has stopped
    deadlines.end(stops.deadline)
    slow = request(parts(b"a" * 2 * KIB, b"b"))
    slow.patience = 0.5
    await read_body(slow)
    assert slow.patience > 2, "a KiB is worth a second"
    fast = request(parts(b"a" * MIB, b"b"))
    await read_body(fast)
    assert fast.patience == BODY_STALL_SECONDS_MAX


async def test_the_time_that_a_body_takes_is_not_the_answers():
    time = iter([100.0, 107.0, 107.0, 114.0])
    asked = request(parts(b"a" * 8 * KIB, b"b"))
    asked.deadline = Deadline(until=130.0, now=lambda: next(time))
    assert len(await read_body(asked)) == 8 * KIB + 1
    assert asked.deadline.until == 144.0


async def test_all_bodies_of_a_process_share_one_room():
    room = Room(10)
    first = request(parts(b"123456"), room=room)
    assert await read_body(first) == b"123456"
    assert await refused(request(parts(b"12345"), room=room)) is Code.OVERLOADED
    assert room.free == 4
    first.share.give_back()
    first.share.give_back()
    assert room.free == 10
    assert await read_body(request(parts(b"12345"), room=room)) == b"12345"


def test_a_share_that_does_not_fit_takes_nothing():
    room = Room(10)
    share = Share(room)
    with pytest.raises(SeraiError) as caught:
        share.take(11)
    assert caught.value.code is Code.OVERLOADED
    assert room.free == 10


async def test_an_operation_without_a_body_takes_an_empty_one_only():
    await no_body(request())
    await no_body(request(parts(b""), headers={"content-length": "0"}))
    await no_body(request(parts(b"", b""), headers={"transfer-encoding": "chunked"}))
    for asked in (
        request(parts(b"x"), headers={"content-length": "1"}),
        request(parts(b"x"), headers={"transfer-encoding": "chunked"}),
    ):
        with pytest.raises(SeraiError) as caught:
            await no_body(asked)
        assert caught.value.code is Code.BODY_INVALID


async def test_what_nobody_read_is_taken_and_dropped():
    asked = request(parts(b"x" * 1_000, b"y" * 1_000, b"z"), headers={"content-length": "2001"})
    await drain(asked)
    assert not asked.coming
    gone = request([*parts(b"a", b"b")[:1], GONE])
    await drain(gone)
    assert not gone.coming
    for headers in ({"expect": "100-continue"}, {"content-length": "9" * 12}):
        asked = request(parts(b"x"), headers=headers)
        await drain(asked)
        assert asked.coming


def test_a_request_of_two_lengths_is_refused():
    check_framing(request())
    check_framing(request(headers={"content-length": "1"}))
    check_framing(request(headers={"transfer-encoding": "Chunked"}))
    for headers in (
        {"transfer-encoding": "chunked", "content-length": "1"},
        {"transfer-encoding": "gzip, chunked"},
        {"transfer-encoding": "identity"},
        {"transfer-encoding": "chunked, chunked"},
        {"transfer-encoding": ""},
    ):
        with pytest.raises(SeraiError) as caught:
            check_framing(request(headers=headers))
        assert caught.value.code is Code.HEADER_INVALID


def test_json_says_that_it_is_json():
    for kind in (
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"',
    ):
        check_media_type(request(headers={"content-type": kind}))
    merge = "application/merge-patch+json"
    check_media_type(request(headers={"content-type": merge}), merge)
    for kind in (
        "",
        "text/json",
        merge,
        "application/json; charset=latin-1",
        "application/json; a",
    ):
        with pytest.raises(SeraiError) as caught:
            check_media_type(request(headers={"content-type": kind}))
        assert caught.value.code is Code.MEDIA_TYPE, kind
    with pytest.raises(SeraiError):
        check_media_type(request())


def test_a_refusal_of_the_form_is_short_whatever_was_sent():
    class Form(msgspec.Struct, forbid_unknown_fields=True):
        name: str

    decoder = msgspec.json.Decoder(Form)
    assert decode(b'{"name":"a"}', decoder).name == "a"
    with pytest.raises(SeraiError) as caught:
        decode(b'{"name":"a","' + b"n" * 100_000 + b'":1}', decoder)
    assert caught.value.code is Code.BODY_INVALID
    assert len(caught.value.detail) < 400
