"""Problem documents: every error of the catalogue as RFC 9457 says.

Owns how an error looks on the wire. Promises that all of them have the same members, that `type`
names a section of the error page, and that an error nobody foresaw says nothing but its request
id: the traceback goes to the log, without headers, bodies or values.
"""

from __future__ import annotations

import logging
from typing import Final

from serai.core.errors import Code, Retry, SeraiError
from serai.core.limits import PROBLEM_ERRORS_MAX, PROBLEM_NAME_CHARS_MAX
from serai.http.asgi import Reply, encode

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS_DEFAULT: Final = 1
MEMBERS: Final = frozenset(
    {
        "type",
        "title",
        "status",
        "detail",
        "code",
        "number",
        "remedy",
        "retry",
        "request_id",
        "errors",
    }
)
_log: Final = logging.getLogger("serai.http")


def problem_type(code: Code) -> str:
    """Return the relative address that names the kind of problem and explains it."""
    return f"/docs/errors#{code.text}"


def problem_reply(error: SeraiError, request_id: str) -> Reply:
    """Return the reply for an error of the catalogue."""
    kind = error.code.kind
    members: dict[str, object] = {
        "type": problem_type(error.code),
        "title": kind.title,
        "status": kind.status,
        "detail": error.detail or kind.remedy,
        "code": error.code.text,
        "number": kind.number,
        "remedy": kind.remedy,
        "retry": kind.retry.value,
        "request_id": request_id,
    }
    if error.errors:
        members["errors"] = [
            {"field": name[:PROBLEM_NAME_CHARS_MAX], "reason": reason}
            for name, reason in error.errors[:PROBLEM_ERRORS_MAX]
        ]
    members.update({name: value for name, value in error.extra.items() if name not in MEMBERS})
    return Reply(kind.status, encode(members), MEDIA_TYPE, _headers(error))


def unforeseen(error: Exception, request_id: str, operation: str) -> SeraiError:
    """Log what nobody foresaw, and return the error that stands for it outside."""
    # The type and the frames; not the message, which may quote a row, a token or a statement's
    # values.
    trace: list[str] = []
    frame = error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        trace.append(f"{code.co_filename}:{frame.tb_lineno} {code.co_name}")
        frame = frame.tb_next
    _log.error(
        "request %s to %s failed: %s at %s",
        request_id,
        operation,
        type(error).__qualname__,
        " < ".join(reversed(trace)) or "no frame",
    )
    return SeraiError(Code.INTERNAL)


def _headers(error: SeraiError) -> dict[str, str]:
    headers: dict[str, str] = {}
    if error.code.kind.status == Code.UNAUTHENTICATED.kind.status:
        stale = error.code is Code.ACCESS_EXPIRED
        headers["www-authenticate"] = 'Bearer error="invalid_token"' if stale else "Bearer"
    if error.code is Code.ENCODING:
        headers["accept-encoding"] = "gzip, zstd"
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(error.retry_after_seconds)
    elif error.code.kind.retry is Retry.LATER:
        headers["retry-after"] = str(RETRY_SECONDS_DEFAULT)
    allow = error.extra.get("allow")
    if error.code is Code.METHOD and isinstance(allow, str):
        headers["allow"] = allow
    return headers
