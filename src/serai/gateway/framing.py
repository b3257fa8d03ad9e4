"""WebSocket frames (RFC 6455, section 5): bytes out, and the bytes of clients in.

Owns the parser of what clients send after the handshake, and its limits. Promises an answer to
every sequence of bytes: messages, or a close code, and never more memory than one message. Pure:
never touches a socket. Extensions are not negotiated here, so reserved bits are refused.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from serai.core.live_limits import LIVE_CLIENT_FRAME_BYTES_MAX

_FIN: Final = 0x80
_MASKED: Final = 0x80
_CONTROL_MAX: Final = 125
_SHORT: Final = 126
_LONG: Final = 127


class Opcode(IntEnum):
    """What a frame is."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Close(IntEnum):
    """Close codes of the protocol itself (section 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL = 1002
    UNSUPPORTED = 1003
    NOTHING = 1005
    INVALID_TEXT = 1007
    TOO_LARGE = 1009


class Violation(Exception):
    """The client broke the protocol; `code` closes the connection."""

    def __init__(self, code: Close, what: str) -> None:
        """Keep both."""
        super().__init__(what)
        self.code = code


class Message(NamedTuple):
    """What a client sent: a whole message of text, or a control frame."""

    opcode: Opcode
    payload: bytes


def framed(payload: bytes, opcode: Opcode = Opcode.TEXT) -> bytes:
    """Return the bytes of one unfragmented frame of a server."""
    size = len(payload)
    if size < _SHORT:
        return bytes((_FIN | opcode, size)) + payload
    if size < 1 << 16:
        return struct.pack(">BBH", _FIN | opcode, _SHORT, size) + payload
    return struct.pack(">BBQ", _FIN | opcode, _LONG, size) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame; the reason is cut to what fits."""
    text = reason.encode()[: _CONTROL_MAX - 2].decode(errors="ignore").encode()
    return framed(struct.pack(">H", code) + text, Opcode.CLOSE)


class Parser:
    """Bytes of one client in, messages out.

    Args:
        max_bytes: of a message.
    """

    __slots__ = ("_buffer", "_max", "_text")

    def __init__(self, max_bytes: int = LIVE_CLIENT_FRAME_BYTES_MAX) -> None:
        """Start between two frames."""
        self._buffer = bytearray()
        self._text: bytearray | None = None
        self._max = max_bytes

    @property
    def idle(self) -> bool:
        """Whether it stands between two messages, and so holds nothing."""
        return not self._buffer and self._text is None

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes and return the messages that end in them. After a close frame nothing more is
        read.

        Raises:
            Violation: the connection must be closed.
        """
        self._buffer += data
        messages: list[Message] = []
        while (frame := self._frame()) is not None:
            final, opcode, payload = frame
            message = self._message(final=final, opcode=opcode, payload=payload)
            if message is None:
                continue
            messages.append(message)
            if message.opcode is Opcode.CLOSE:
                self._buffer.clear()
                break
        return messages

    def _frame(self) -> tuple[bool, Opcode, bytes] | None:
        """Take one frame off the buffer; None if it is not whole yet."""
        buffer = self._buffer
        if len(buffer) < 2:  # noqa: PLR2004 - the shortest frame has two bytes
            return None
        first, second = buffer[0], buffer[1]
        opcode, final = _kind(first), bool(first & _FIN)
        size, start = second & 0x7F, 2
        if not second & _MASKED:
            raise Violation(Close.PROTOCOL, "a client's frame is masked")
        if opcode >= Opcode.CLOSE and (size > _CONTROL_MAX or not final):
            raise Violation(Close.PROTOCOL, "a control frame is whole, with 125 bytes at most")
        if size >= _SHORT:
            form, least = (">H", _SHORT) if size == _SHORT else (">Q", 1 << 16)
            start += struct.calcsize(form)
            if len(buffer) < start:
                return None
            (size,) = struct.unpack_from(form, buffer, 2)
            if size < least:
                raise Violation(Close.PROTOCOL, "a length has its shortest form")
        if size + len(self._text or b"") > self._max:
            raise Violation(Close.TOO_LARGE, f"a message has {self._max} bytes at most")
        end = start + 4 + size
        if len(buffer) < end:
            return None
        payload = _unmasked(buffer[start : start + 4], buffer[start + 4 : end])
        del buffer[:end]
        return final, opcode, payload

    def _message(self, *, final: bool, opcode: Opcode, payload: bytes) -> Message | None:
        if opcode is Opcode.CLOSE:
            return Message(opcode, _checked_close(payload))
        if opcode >= Opcode.CLOSE:
            return Message(opcode, payload)
        if opcode is Opcode.BINARY:
            raise Violation(Close.UNSUPPORTED, "frames are text")
        if (opcode is Opcode.CONTINUATION) != (self._text is not None):
            raise Violation(Close.PROTOCOL, "a message begins with text and goes on with its rest")
        text = self._text
        if text is None:
            if final:
                return Message(Opcode.TEXT, _checked_text(payload))
            self._text = bytearray(payload)
            return None
        text += payload
        if not final:
            return None
        self._text = None
        return Message(Opcode.TEXT, _checked_text(bytes(text)))


def _kind(first: int) -> Opcode:
    if first & 0x70:
        raise Violation(Close.PROTOCOL, "no extension was agreed on")
    try:
        return Opcode(first & 0x0F)
    except ValueError:
        raise Violation(Close.PROTOCOL, "there is no such opcode") from None


def _unmasked(mask: bytes | bytearray, payload: bytes | bytearray) -> bytes:
    size = len(payload)
    key = (bytes(mask) * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def _checked_text(payload: bytes) -> bytes:
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise Violation(Close.INVALID_TEXT, "text is UTF-8") from None
    return payload


_CODES: Final = ((1000, 1003), (1007, 1014), (3000, 4999))
"""Close codes that an endpoint may send (section 7.4, and the register of codes)."""


def _checked_close(payload: bytes) -> bytes:
    if not payload:
        return payload
    if len(payload) == 1:
        raise Violation(Close.PROTOCOL, "a close code has two bytes")
    code = int.from_bytes(payload[:2], "big")
    if not any(first <= code <= last for first, last in _CODES):
        raise Violation(Close.PROTOCOL, "there is no such close code")
    _checked_text(payload[2:])
    return payload
