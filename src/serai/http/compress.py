"""Answers made smaller, where that is worth it.

Owns the choice of a content encoding and its use. Promises that a body is sent compressed only
when the client takes the encoding, the body is over 1 KB, and it saves 20 %; and that blocks which
were sealed as zstd go to who takes zstd as they are. Never compresses twice. The levels are those
that cost about 2 ms a MB: on a page of changes more effort costs more time than it saves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, assert_never

import zstandard
from isal import isal_zlib

from serai.core.limits import COMPRESS_BYTES_MIN, COMPRESS_SAVING_MIN
from serai.readers.sync import BLOCK

Encoding = Literal["zstd", "gzip"]
_GZIP_WBITS: Final = 31
_ISAL_LEVEL: Final = 1
_ZSTD_LEVEL: Final = 3
_WORTH: Final = 1 - COMPRESS_SAVING_MIN
_ITEM: Final = re.compile(
    r"\s*([a-z0-9*-]+)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?", re.IGNORECASE
)
_TAG_SUFFIXES: Final = ("-zstd", "-gzip")
_BLOCK: Final = BLOCK.encode()
_zstd: Final = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
_unzstd: Final = zstandard.ZstdDecompressor()


def chosen_encoding(accept: str | None) -> Encoding | None:
    """Return the encoding that the client likes best of ours, None for as it is (RFC 9110,
    12.5.3).
    """
    if not accept:
        return None
    weights: dict[str, float] = {}
    for item in accept.split(","):
        found = _ITEM.fullmatch(item)
        if found is not None:
            weights[found[1].lower()] = min(float(found[2] or "1"), 1.0)
    other = weights.get("*", 0.0)
    zstd = weights.get("zstd", other)
    gzip = max(weights.get("gzip", other), weights.get("x-gzip", 0.0))
    # Of equals zstd: it is smaller at the same cost.
    best: Encoding = "zstd" if zstd >= gzip else "gzip"
    weight = max(zstd, gzip)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


def compressed(body: bytes, encoding: Encoding) -> bytes | None:
    """Return the body in that encoding, None if it is not worth it."""
    if len(body) < COMPRESS_BYTES_MIN:
        return None
    match encoding:
        case "zstd":
            small = _zstd.compress(body)
        case "gzip":
            small = isal_zlib.compress(  # pyright: ignore[reportUnknownMemberType] - its stubs name no buffer type
                body, _ISAL_LEVEL, _GZIP_WBITS
            )
        case _:
            assert_never(encoding)
    return small if len(small) <= len(body) * _WORTH else None


def joined(body: bytes, frames: Sequence[bytes]) -> bytes:
    """Return the body with the text of each zstd frame in the place of its mark."""
    texts = iter([_unzstd.decompress(frame) for frame in frames])
    start, *rest = body.split(_BLOCK)
    return b"".join([start, *(piece for each in rest for piece in (next(texts), each))])


def joined_packed(body: bytes, frames: Sequence[bytes]) -> bytes:
    """Return the same as zstd, the frames as they are: several frames in a row are one content
    (RFC 8878, section 3).
    """
    following = iter(frames)
    start, *rest = map(_zstd.compress, body.split(_BLOCK))
    return b"".join([start, *(piece for each in rest for piece in (next(following), each))])


def tagged(etag: str, encoding: Encoding) -> str:
    """Return the strong tag of the compressed form: other bytes, another tag (RFC 9110,
    8.8.3.3).
    """
    return f'{etag[:-1]}-{encoding}"' if etag.endswith('"') and not etag.startswith("W/") else etag


def untagged(etag: str) -> str:
    """Return the tag of what was compressed, so that a client may send back the tag it was
    given.
    """
    for suffix in _TAG_SUFFIXES:
        if etag.endswith(suffix + '"'):
            return etag.removesuffix(suffix + '"') + '"'
    return etag
