"""What a body must be before a JSON parser sees it.

Owns the checks that a typed decoder does not make or makes too late: nesting, how many values there
are (a decoder makes all of them before it finds one too many), text that no database or phone can
hold, and members that stand twice. Promises linear time, and memory of a few hundred KiB beside the
body, whatever it is; of one with colons in its texts, once the size of the body more. Never keeps a
value of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from serai.core.errors import Code, SeraiError
from serai.core.limits import JSON_DEPTH_MAX, JSON_PARTS_MAX, KIB

_STEP: Final = 256 * KIB
_STRING: Final = re.compile(rb'"[^"]*+"')
_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_ELSE: Final = bytes(b for b in range(256) if b not in b'"[]{},')
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPES: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
    rb"|\\."
)
_PAIR_CHARS: Final = 12
# What may stand around a number, and the letter of an exponent; what a number is made of besides.
_AROUND: Final = bytes.maketrans(b",[]{} \t\n\rE", b":::::::::e")
_WITHIN: Final = b"0123456789.-"


def check_json(body: bytes) -> None:
    """Refuse a body that is nested too deeply, holds too many values, or that a lazy decoder would
    find fault with only later.

    Raises:
        SeraiError: `body_too_deep`, `body_invalid`.
    """
    marks = body if len(body) > _STEP else body.translate(None, _ELSE)
    opened = marks.count(b"[") + marks.count(b"{")
    if opened > JSON_DEPTH_MAX or opened + marks.count(b",") > JSON_PARTS_MAX:
        _check_structure(body)
    try:
        if not body.isascii():
            body.decode()
        if _has_exponent(body):
            msgspec.json.decode(body)
    except (UnicodeDecodeError, msgspec.MsgspecError):
        raise SeraiError(Code.BODY_INVALID, "The body is not UTF-8 JSON.") from None


def check_members(body: bytes, members: int, values: Iterable[msgspec.Raw] = ()) -> None:
    """Refuse a body in which a member stands twice: a decoder takes the last one, a proxy or the
    person who looks at it may take the first.

    Args:
        members: how many the decoder kept at least, of all objects together.
        values: those that it left undecoded.

    Each member has its colon, so where there are no more colons than members that were kept, none
    was dropped. Others may stand in strings: in values that were left undecoded they are counted,
    for the rest the body is read again, member by member.

    Raises:
        SeraiError: `body_invalid`.
    """
    colons = body.count(b":")
    if colons > members and colons > members + b"".join(values).count(b":"):
        # Numbers stay texts: one of a million digits costs nothing then.
        json.loads(body, object_pairs_hook=_each_once, parse_int=str, parse_float=str)


def _each_once(pairs: list[tuple[str, object]]) -> None:
    """Refuse a name that is there twice."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise SeraiError(Code.BODY_INVALID, "A member stands twice in an object.")


def without_lone_surrogates(body: bytes) -> bytes:
    """Return the body with every escaped half of a surrogate pair as an escaped NUL.

    A JavaScript client that cuts a text in the middle of an emoji sends such a half, and a decoder
    refuses the whole body for it. NUL is refused too, but by the field it stands in: one such
    mutation is rejected, and the others of the batch, and every later batch of that phone, go
    through.
    """
    if _SURROGATE.search(body) is None:
        return body

    def mend(found: re.Match[bytes]) -> bytes:
        text = found[0]
        return rb"\u0000" if len(text) == _PAIR_CHARS // 2 else text

    return _ESCAPES.sub(mend, body)


def _has_exponent(body: bytes) -> bool:
    """Tell whether there may be a number with a positive exponent, which may overflow a double.

    Without its digits such a number is a lone `e` or `e+`. A text in which one stands is taken for
    a number too. (A search for the number itself takes ten times as long, and finds ids.)
    """
    carry = b""
    for start in range(0, len(body), _STEP):
        marks = carry + body[start : start + _STEP].translate(_AROUND, _WITHIN)
        if b":e:" in marks or b":e+:" in marks:
            return True
        carry = marks[-3:]
    return False


def _check_structure(body: bytes) -> None:
    """Refuse a body with a value inside more than `JSON_DEPTH_MAX` others, or with too many values.

    Step by step: strings are taken out, brackets are closed, and then each removal of `[]` takes
    one level off every tree at once, so what is left after as many removals as levels are allowed
    is too deep. Each is one pass in C. (A loop in Python over the brackets of 32 MiB takes
    seconds.)
    """
    depth, parts, carry, in_string = 0, 0, b"", False
    for start in range(0, len(body), _STEP):
        part = carry + body[start : start + _STEP]
        backslashes = len(part) - len(part.rstrip(b"\\"))
        carry = b"\\" if backslashes % 2 else b""
        part = part[: len(part) - len(carry)]
        if b"\\" in part:
            part = part.replace(b"\\\\", b"").replace(b'\\"', b"")
        marks = (b'"' if in_string else b"") + part.translate(None, _ELSE)
        in_string = marks.count(b'"') % 2 == 1
        if in_string:
            marks = marks[: marks.rindex(b'"')]
        # Most strings hold no mark: these go fast. (Two that touch become one, which goes as well.)
        marks = _STRING.sub(b"", marks.replace(b'""', b"")).translate(_BRACKETS)
        parts += marks.count(b",") + marks.count(b"[")
        if parts > JSON_PARTS_MAX:
            raise SeraiError(
                Code.BODY_INVALID, f"A body holds at most {JSON_PARTS_MAX} members and items."
            )
        marks = b"[" * depth + marks.translate(None, b",")
        depth = marks.count(b"[") - marks.count(b"]")
        if depth < 0:
            return  # More is closed than opened: the parser says where.
        marks += b"]" * depth
        for _ in range(JSON_DEPTH_MAX):
            shorter = marks.replace(b"[]", b"")
            if len(shorter) == len(marks):
                break
            marks = shorter
        if b"[" in marks and not marks.startswith(b"]"):
            raise SeraiError(Code.BODY_TOO_DEEP)
