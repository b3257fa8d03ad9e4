"""Conditions and keys of a request: `If-Match`, `If-None-Match`, `Idempotency-Key`,
`Serai-Min-Version`.

Owns how these headers are read. Promises that one which cannot be understood is refused and never
ignored: an ignored `If-Match` would overwrite somebody's work. Never looks at a row.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from serai.core.errors import Code, SeraiError
from serai.core.limits import IDEMPOTENCY_KEY_CHARS_MAX, INTEGER_MAX
from serai.core.token import Position
from serai.http.asgi import Request
from serai.http.compress import untagged

_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_VERSION_TAG: Final = re.compile(r'"([1-9][0-9]{0,15})"')
_POSITION: Final = re.compile(r"([1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,15})")
_KEY: Final = re.compile(r"[\x21-\x7e]+")
_NO_VERSION: Final = -1
"""The base of a tag that no row ever has: the write path answers `precondition`, or replays."""


def etag_of(version: int) -> str:
    """Return the validator of a row: its version."""
    return f'"{version}"'


def if_match(request: Request) -> int | None:
    """Return the version that the client saw; None for whatever is there.

    A tag that is not a version of ours matches nothing. That is for the write path to say, because
    a replay of the request is answered as at first.

    Raises:
        SeraiError: `header_invalid`.
    """
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    tags = _tags(text)
    if len(tags) != 1:
        raise SeraiError(Code.HEADER_INVALID, 'If-Match is one entity tag, such as "12", or *.')
    found = _VERSION_TAG.fullmatch(untagged(tags[0]))
    if found is None or int(found[1]) > INTEGER_MAX:
        return _NO_VERSION
    return int(found[1])


def matches_none(request: Request, etag: str) -> bool:
    """Tell whether the client holds what `etag` stands for: 304 (weak comparison, RFC 9110,
    13.1.2).
    """
    text = request.headers.get("if-none-match")
    if text is None:
        return False
    if text.strip() == "*":
        return True
    return etag in {untagged(tag.removeprefix("W/")) for tag in _tags(text)}


def idempotency_key(request: Request) -> str:
    """Return the key of a write.

    Raises:
        SeraiError: `key_required`, also for one that is not 1 to 200 visible ASCII characters.
    """
    text = request.headers.get("idempotency-key", "").strip()
    # The form of draft-ietf-httpapi-idempotency-key-header is a quoted string; most send it bare.
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if len(text) > IDEMPOTENCY_KEY_CHARS_MAX or _KEY.fullmatch(text) is None:
        detail = f"A key is 1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters, sent once."
        raise SeraiError(Code.KEY_REQUIRED, detail if text else "")
    return text


def position_text(position: Position) -> str:
    """Return a position as headers hold it: epoch and version."""
    return f"{position.epoch}.{position.version}"


def min_position(request: Request) -> Position | None:
    """Return the position that the answer must stand at or after; None: the newest.

    Raises:
        SeraiError: `header_invalid`.
    """
    text = request.headers.get("serai-min-version")
    if text is None:
        return None
    found = _POSITION.fullmatch(text.strip())
    if found is None or int(found[2]) > INTEGER_MAX:
        raise SeraiError(
            Code.HEADER_INVALID,
            "Serai-Min-Version is what Serai-Version of an answer said, such as 1.12.",
        )
    return Position(int(found[1]), int(found[2]))


def request_hash(request: Request, body: bytes) -> bytes:
    """Return the digest that tells a repetition from another request under the same key."""
    # No line break stands in the first three, so each ends where it seems to.
    head = f"{request.method}\n{request.path}\n{request.headers.get('if-match', '')}\n"
    digest = hashlib.sha256(head.encode())
    digest.update(body)
    return digest.digest()


def _tags(text: str) -> list[str]:
    tags = [tag.strip() for tag in text.split(",")]
    if not all(_TAG.fullmatch(tag) for tag in tags):
        raise SeraiError(Code.HEADER_INVALID, "An entity tag stands in double quotes.")
    return tags
