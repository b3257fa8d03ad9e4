"""Frames of RFC 6455: what is written, and everything that may come in."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.frames import Opcode as Theirs

from serai.gateway.framing import Close, Message, Opcode, Parser, Violation, close_frame, framed

LIMIT = 8_192
MASK = b"\x01\x02\x03\x04"


def sent(payload: bytes, opcode: int = Opcode.TEXT, *, final: bool = True, first: int = 0) -> bytes:
    """A frame of a client, by hand. `first`: further bits of its first byte."""
    size = len(payload)
    head = bytes(((0x80 if final else 0) | opcode | first,))
    if size < 126:
        head += bytes((0x80 | size,))
    elif size < 1 << 16:
        head += struct.pack(">BH", 0x80 | 126, size)
    else:
        head += struct.pack(">BQ", 0x80 | 127, size)
    return head + MASK + bytes(b ^ MASK[n % 4] for n, b in enumerate(payload))


def fed(parser: Parser, data: bytes, cuts: Iterable[int] = ()) -> list[Message]:
    """Feed in pieces."""
    found: list[Message] = []
    edges = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        found += parser.feed(data[start:end])
    return found


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_what_is_written_is_what_the_library_writes(size: int, opcode: Opcode) -> None:
    payload = b"x" * size
    assert framed(payload, opcode) == Frame(Theirs(opcode), payload).serialize(mask=False)


def test_a_close_frame_has_its_code_and_as_much_of_the_reason_as_fits() -> None:
    assert close_frame(4201, "busy") == b"\x88\x06" + struct.pack(">H", 4201) + b"busy"
    cut = close_frame(1000, "\u00e9" * 100)
    assert cut[1] == len(cut) - 2 <= 125
    cut[4:].decode()


@given(st.binary(max_size=300), st.data())
def test_a_message_arrives_whole_however_it_is_cut(noise: bytes, data: st.DataObject) -> None:
    text = noise.hex().encode()
    places = st.integers(0, len(text))
    pieces = sorted(data.draw(st.lists(places, max_size=5)))
    edges = [0, *pieces, len(text)]
    parts = [text[a:b] for a, b in itertools.pairwise(edges)]
    wire = b""
    for number, part in enumerate(parts):
        opcode = Opcode.TEXT if number == 0 else Opcode.CONTINUATION
        wire += sent(part, opcode, final=number == len(parts) - 1)
        if data.draw(st.booleans()) and number < len(parts) - 1:
            wire += sent(b"still there?", Opcode.PING)
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=8))
    parser = Parser()
    found = fed(parser, wire, cuts)
    assert [m for m in found if m.opcode is Opcode.TEXT] == [Message(Opcode.TEXT, text)]
    assert parser.idle


@given(st.binary(max_size=600), st.lists(st.integers(0, 600), max_size=6))
def test_any_bytes_are_messages_or_a_violation_and_cuts_change_nothing(
    data: bytes, cuts: list[int]
) -> None:
    def outcome(pieces: list[int]) -> list[Message] | Close:
        try:
            return fed(Parser(), data, [cut for cut in pieces if cut <= len(data)])
        except Violation as violation:
            return violation.code

    whole, cut = outcome([]), outcome(cuts)
    if isinstance(whole, list) and isinstance(cut, list):
        assert whole == cut
    else:
        assert isinstance(whole, Close) == isinstance(cut, Close)


def test_a_client_without_a_mask_is_refused() -> None:
    with pytest.raises(Violation, match="masked") as raised:
        Parser().feed(framed(b"{}"))
    assert raised.value.code is Close.PROTOCOL


@pytest.mark.parametrize("bits", [0x40, 0x20, 0x10])
def test_reserved_bits_are_refused(bits: int) -> None:
    with pytest.raises(Violation, match="extension") as raised:
        Parser().feed(sent(b"{}", first=bits))
    assert raised.value.code is Close.PROTOCOL


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_opcodes_that_are_not_defined_are_refused(opcode: int) -> None:
    with pytest.raises(Violation, match="opcode") as raised:
        Parser().feed(sent(b"", opcode))
    assert raised.value.code is Close.PROTOCOL


@pytest.mark.parametrize("opcode", [Opcode.CLOSE, Opcode.PING, Opcode.PONG])
def test_control_frames_are_short_and_whole(opcode: Opcode) -> None:
    for frame in (sent(b"x" * 126, opcode), sent(b"", opcode, final=False)):
        with pytest.raises(Violation, match="125 bytes") as raised:
            Parser().feed(frame)
        assert raised.value.code is Close.PROTOCOL


def test_a_continuation_of_nothing_and_a_second_beginning_are_refused() -> None:
    begun = sent(b"a", final=False)
    for frames in (sent(b"a", Opcode.CONTINUATION), begun + sent(b"b")):
        with pytest.raises(Violation, match="goes on with its rest") as raised:
            Parser().feed(frames)
        assert raised.value.code is Close.PROTOCOL


def test_binary_is_refused() -> None:
    with pytest.raises(Violation, match="text") as raised:
        Parser().feed(sent(b"a", Opcode.BINARY))
    assert raised.value.code is Close.UNSUPPORTED


@pytest.mark.parametrize("size", [126, 127])
def test_a_length_has_its_shortest_form(size: int) -> None:
    form = ">H" if size == 126 else ">Q"
    with pytest.raises(Violation, match="shortest") as raised:
        Parser().feed(bytes((0x81, 0x80 | size)) + struct.pack(form, 125))
    assert raised.value.code is Close.PROTOCOL


def test_a_message_that_is_too_large_is_refused_before_it_has_come() -> None:
    assert fed(Parser(), sent(b"x" * LIMIT))[0].payload == b"x" * LIMIT
    with pytest.raises(Violation, match="8192 bytes at most") as raised:
        Parser().feed(sent(b"x" * (LIMIT + 1))[:8])
    assert raised.value.code is Close.TOO_LARGE
    parser = Parser()
    parser.feed(sent(b"x" * LIMIT, final=False))
    with pytest.raises(Violation, match="8192 bytes at most"):
        parser.feed(sent(b"x", Opcode.CONTINUATION))


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
def test_text_that_is_not_utf8_is_refused(text: bytes) -> None:
    with pytest.raises(Violation, match="UTF-8") as raised:
        Parser().feed(sent(text))
    assert raised.value.code is Close.INVALID_TEXT


def test_a_character_may_be_cut_by_a_fragment() -> None:
    text = "\u20ac".encode()
    wire = sent(text[:1], final=False) + sent(text[1:], Opcode.CONTINUATION)
    assert fed(Parser(), wire) == [Message(Opcode.TEXT, text)]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
def test_close_codes_that_nobody_may_send_are_refused(code: int) -> None:
    with pytest.raises(Violation, match="close code") as raised:
        Parser().feed(sent(struct.pack(">H", code), Opcode.CLOSE))
    assert raised.value.code is Close.PROTOCOL


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 3000, 4999])
def test_close_codes_that_may_be_sent_are_read(code: int) -> None:
    payload = struct.pack(">H", code) + b"bye"
    assert fed(Parser(), sent(payload, Opcode.CLOSE)) == [Message(Opcode.CLOSE, payload)]


def test_after_a_close_frame_nothing_is_read() -> None:
    wire = sent(b"", Opcode.CLOSE) + sent(b"more")
    assert fed(Parser(), wire) == [Message(Opcode.CLOSE, b"")]


def test_a_close_frame_with_half_a_code_or_bad_text_is_refused() -> None:
    with pytest.raises(Violation, match="two bytes"):
        Parser().feed(sent(b"\x03", Opcode.CLOSE))
    with pytest.raises(Violation, match="UTF-8"):
        Parser().feed(sent(struct.pack(">H", 1000) + b"\xff", Opcode.CLOSE))
