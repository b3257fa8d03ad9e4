"""Request bodies: read, unpacked and decoded within bounds.

Owns the way from the socket to a typed value. Promises that at most 32 MiB are taken, counted
while they stream and again while they are unpacked, that a small body which unpacks to a large one
costs no memory, that all bodies of a process together stay within its room, and that a client holds
its place only as long as bytes keep coming: it has 8 s of patience, which time uses up and bytes
give back, so that a slow phone is never cut and a client that sends a byte now and then is. Never
logs a body.
"""

from __future__ import annotations

import asyncio
import io
import zlib
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec
import zstandard

from serai.core.errors import Code, SeraiError
from serai.core.limits import (
    BODY_BYTES_MAX,
    BODY_STALL_SECONDS_MAX,
    DRAIN_BYTES_MAX,
    KIB,
    UNPACK_ONCE_BYTES_MAX,
    UPLOAD_BYTES_PER_SECOND_MIN,
    ZSTD_WINDOW_BYTES_MAX,
)
from serai.http.asgi import JSON, Request
from serai.http.json_text import check_json

T = TypeVar("T")
MERGE_PATCH: Final = "application/merge-patch+json"
_GZIP_WBITS: Final = 31
_STEP: Final = 64 * KIB
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_RLE: Final = 1
_ZSTD_BLOCKS_MAX: Final = 8 * BODY_BYTES_MAX // (128 * KIB)
"""A block unpacks to 128 KiB unless its maker flushed earlier; empty ones would cost seconds."""
_NOT_WHOLE: Final = "The body is one whole gzip member or zstd frame."
_REASON_CHARS_MAX: Final = 300
_UTF8: Final = ("utf-8", "utf8", '"utf-8"')


async def read_body(
    request: Request, limit: int = BODY_BYTES_MAX, *, too_large: Code = Code.BODY_TOO_LARGE
) -> bytes:
    """Return the body as the client meant it, unpacked.

    Raises:
        SeraiError: `too_large`, `encoding`, `header_invalid`, `body_invalid`, `body_stalled`,
            `overloaded`.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", "zstd"):
        raise SeraiError(Code.ENCODING)
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()):
        raise SeraiError(Code.HEADER_INVALID, "Content-Length is one number.")
    if len(declared) > len(str(limit)) or int(declared) > limit:
        raise SeraiError(too_large)
    raw = await _received(request, limit, too_large)
    if encoding == "identity" or not raw:
        return raw
    return _unpacked(request, raw, limit, too_large, zstd=encoding == "zstd")


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return the typed value of a JSON body.

    Raises:
        SeraiError: `body_too_deep`, `body_invalid` with the place and the reason.
    """
    check_json(body)
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        # Its message may quote a member's name, which has any length.
        raise SeraiError(Code.BODY_INVALID, f"{str(error)[:_REASON_CHARS_MAX]}.") from None


def check_media_type(request: Request, *also: str) -> None:
    """Refuse a body that does not say it is JSON.

    Raises:
        SeraiError: `media_type`.
    """
    text = request.headers.get("content-type")
    if text == JSON:
        return
    kind, _, parameters = (text or "").partition(";")
    if kind.strip().lower() not in (JSON, *also):
        raise SeraiError(Code.MEDIA_TYPE)
    name, _, charset = parameters.strip().partition("=")
    if parameters.strip() and (name.lower() != "charset" or charset.lower() not in _UTF8):
        raise SeraiError(Code.MEDIA_TYPE, "JSON is UTF-8, and has no other parameter.")


async def no_body(request: Request) -> None:
    """Refuse a body where an operation has none.

    Raises:
        SeraiError: `body_invalid`, and those of `read_body`.
    """
    if not request.coming:
        return
    try:
        await read_body(request, limit=0)
    except SeraiError as error:
        if error.code is Code.BODY_TOO_LARGE:
            raise SeraiError(Code.BODY_INVALID, "This operation has no body.") from None
        raise


def check_framing(request: Request) -> None:
    """Refuse a request whose body another server may see end elsewhere (RFC 9112, 6.1): what
    follows it could be read as a request of somebody else.

    Raises:
        SeraiError: `header_invalid`.
    """
    coding = request.headers.get("transfer-encoding")
    if coding is not None and (coding.lower() != "chunked" or "content-length" in request.headers):
        raise SeraiError(
            Code.HEADER_INVALID, "Transfer-Encoding is chunked, and there is no Content-Length."
        )


async def drain(request: Request) -> None:
    """Take and drop what is left of a body that nobody wanted, as far as is reasonable.

    An answer that leaves while the body is still on its way is lost: the connection must close, and
    a client that is sending sees that and nothing else. A phone with a large batch and an access
    token that has expired would never hear of it.
    """
    declared = request.headers.get("content-length", "0")
    too_much = len(declared) > len(str(DRAIN_BYTES_MAX))
    if request.stalled or too_much or "expect" in request.headers:
        return  # It has stopped, sends more than is taken, or waits for our word.
    left = DRAIN_BYTES_MAX
    try:
        while request.coming and left >= 0:
            left -= len(await _next_part(request))
    except SeraiError:
        return  # It stopped, or is gone: the connection ends with the answer.


async def _received(request: Request, limit: int, too_large: Code) -> bytes:
    """Return the body as it was sent."""
    parts: list[bytes] = []
    size = 0
    while request.coming:
        part = await _next_part(request)
        size += len(part)
        if size > limit:
            raise SeraiError(too_large)
        request.share.take(len(part))
        parts.append(part)
    request.exchange.body_bytes = size
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _next_part(request: Request) -> bytes:
    """Return the next part of the body. The time that it takes to arrive is not the answer's.

    Raises:
        SeraiError: `body_stalled`, `body_invalid` if it ends before it is whole; nothing more will
            come then.
    """
    deadline = request.deadline
    began = deadline.now()
    left = deadline.until - began
    deadline.until = began + request.patience
    try:
        message = await request.receive()
    except asyncio.CancelledError:
        if not deadline.took_it():
            raise
        request.stalled = True
        raise SeraiError(Code.BODY_STALLED) from None
    arrived = deadline.now()
    deadline.until = arrived + left
    if message["type"] != "http.request":
        # Gone, or its framing is not HTTP: the server does not tell which.
        request.coming = False
        raise SeraiError(Code.BODY_INVALID, "The body ended before it was whole.")
    request.coming = message.get("more_body", False)
    part: bytes = message.get("body", b"")
    if request.coming:
        patience = request.patience - (arrived - began) + len(part) / UPLOAD_BYTES_PER_SECOND_MIN
        request.patience = min(patience, BODY_STALL_SECONDS_MAX)
    return part


def _unpacked(request: Request, raw: bytes, limit: int, too_large: Code, *, zstd: bool) -> bytes:
    unpack = _from_zstd if zstd else _from_gzip
    once = min(limit, UNPACK_ONCE_BYTES_MAX)
    try:
        body = b"".join(unpack(raw, once))
        if len(body) > once:
            body = b""
            size = sum(map(len, unpack(raw, limit)))
            if size > limit:
                raise SeraiError(too_large)
            request.share.take(size)
            return b"".join(unpack(raw, limit))
    except (zstandard.ZstdError, zlib.error):
        raise SeraiError(Code.BODY_INVALID, "The body is not what Content-Encoding says.") from None
    request.share.take(len(body))
    return body


def _from_gzip(raw: bytes, limit: int) -> Iterator[bytes]:
    """Yield what is packed, in small pieces, until it is more than `limit`."""
    unpacker = zlib.decompressobj(wbits=_GZIP_WBITS)
    size = start = 0
    while not unpacker.eof:
        # In slices: what a call leaves over is copied, and a copy of all the rest each time would
        # cost seconds. After the last slice: what the unpacker still holds.
        rest = raw[start : start + _STEP]
        start += _STEP
        while not unpacker.eof:
            piece = unpacker.decompress(rest, _STEP)
            rest = unpacker.unconsumed_tail
            size += len(piece)
            yield piece
            if size > limit:
                return
            if not rest:
                break
        if start >= len(raw) + _STEP:
            break
    # Not one of several members: a million empty ones would cost seconds.
    if not unpacker.eof or unpacker.unused_data or start < len(raw):
        raise SeraiError(Code.BODY_INVALID, _NOT_WHOLE)


def _from_zstd(raw: bytes, limit: int) -> Iterator[bytes]:
    """Yield what is packed, in small pieces, until it is more than `limit`."""
    if not _one_whole_frame(raw):
        raise SeraiError(Code.BODY_INVALID, _NOT_WHOLE)
    unpacker = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
    size = 0
    with unpacker.stream_reader(io.BytesIO(raw), read_across_frames=False) as reader:
        while size <= limit and (piece := reader.read(_STEP)):
            size += len(piece)
            yield piece


def _one_whole_frame(raw: bytes) -> bool:
    """Tell whether these bytes are one frame (RFC 8878, 3.1.1) from end to end.

    The library takes a frame that was cut short for its end, and offers no reader with a bound on
    what it returns that tells. So the headers of the blocks are followed, nothing else.
    """
    if not raw.startswith(_ZSTD_MAGIC):
        return False
    at = zstandard.frame_header_size(raw)
    checksum = 4 if raw[4] & 0b100 else 0
    for _ in range(_ZSTD_BLOCKS_MAX):
        header = int.from_bytes(raw[at : at + 3], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == _ZSTD_RLE else size)
        if last or at >= len(raw):
            return bool(last) and at + checksum == len(raw)
    return False
