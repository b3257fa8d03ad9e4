"""Logs: one JSON line for each request and for each thing that a person should know.

Owns the form of a line and the way to standard error. Promises: a line never holds a body, a token,
a password or an e-mail (a request's line has the fields of `RequestLine` and no other; a text that
a library logs loses what looks like a secret, and an exception is its type and its frames, because
its message may quote a row); whoever reads standard error slowly, or not at all, never stops a
request: lines are dropped then, and counted. Never logs a path as it was sent.

Lines are made by msgspec: 1.0 us a request. The standard library's `logging` takes 13 us with a
msgspec formatter, structlog 16, python-json-logger 26 (decision 16); it carries what is rare.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from serai.core.clock import SystemClock, timestamp_text
from serai.core.limits import LOG_FLUSH_SECONDS, LOG_LINES_WAITING_MAX
from serai.telemetry.exchange import Exchange, request_id

LEVELS: Final = ("debug", "info", "warning", "error")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})
_SERVER_FAILED: Final = 500
_QUIET: Final = frozenset({"healthz", "readyz"})
_encode: Final = msgspec.json.Encoder().encode
_SECRETS: Final = re.compile(
    r"(?P<url>://)[^\s/@]+@"  # user and password of a URL
    r"|(?P<word>\b(?:password|passwd|secret|token|authorization|bearer)\b\W{1,4}(?:bearer\s+)?)[^\s,;)}\]]+"
    r"|\b(?:serai_|srr_)[\w-]{20,}"  # API keys, refresh tokens
    r"|\b[\w-]{20,}\.[\w-]{20,}\.[\w-]{10,}"  # access tokens
    r"|[A-Za-z0-9_-]{64,}"  # since-tokens, and anything as long
    r"|[\w.+%-]+@[\w-]+(?:\.[\w-]+)+",  # e-mail addresses
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """Return the text without what looks like a secret or an e-mail."""
    return _SECRETS.sub(lambda m: (m["url"] or m["word"] or "") + "[removed]", text)


class RequestLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """The line of one request. `path` is the operation's; `user_id` is an API key's id if
    `machine`.
    """

    time: datetime
    level: str
    event: str
    request_id: str
    method: str
    operation: str
    path: str
    status: int
    duration_ms: float
    bytes_in: int = 0
    bytes_out: int = 0
    org_id: int | None = None
    user_id: UUID | None = None
    machine: bool = False
    code: str | None = None


def level_of(exchange: Exchange, status: int) -> str:
    """Return how much the end of a request matters."""
    if status >= _SERVER_FAILED:
        return "error"
    return "debug" if exchange.operation in _QUIET else "info"


def request_line(exchange: Exchange, status: int, sent_bytes: int, now: datetime) -> RequestLine:
    """Return the line of a request that has ended."""
    return RequestLine(
        time=now,
        level=level_of(exchange, status),
        event="request",
        request_id=exchange.id,
        method=exchange.method if exchange.method in _METHODS else "other",
        operation=exchange.operation,
        path=exchange.path,
        status=status,
        duration_ms=round(exchange.seconds() * 1000, 3),
        bytes_in=exchange.body_bytes,
        bytes_out=sent_bytes,
        org_id=exchange.org_id,
        user_id=exchange.user_id,
        machine=exchange.machine,
        code=exchange.code,
    )


def as_json(line: RequestLine) -> bytes:
    """Return the line for machines."""
    return _encode(line) + b"\n"


def as_text(line: RequestLine) -> bytes:
    """Return the line for a person at a terminal."""
    who = "" if line.org_id is None else f" org {line.org_id}"
    code = "" if line.code is None else f" {line.code}"
    return (
        f"{line.time:%H:%M:%S} {line.level:<7} {line.method} {line.path or '?'} {line.status}{code}"
        f" {line.duration_ms:.1f} ms{who} request {line.request_id}\n"
    ).encode()


class JsonFormatter(logging.Formatter):
    """A record of `logging` as one JSON line, with the request on whose behalf it was made."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields: dict[str, object] = {
            "time": timestamp_text(SystemClock().now()),
            "level": record.levelname.lower(),
            "event": redacted(record.getMessage()),
            "logger": record.name,
        }
        given = getattr(record, "request_id", None) or request_id()
        if given is not None:
            fields["request_id"] = given
        several = getattr(record, "request_ids", None)
        if several is not None:
            fields["request_ids"] = several
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = type(record.exc_info[1]).__qualname__
            fields["at"] = frames(record.exc_info[1])
        return _encode(fields).decode()


class TextFormatter(JsonFormatter):
    """The same for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields: dict[str, str] = {
            k: str(v) for k, v in msgspec.json.decode(super().format(record)).items()
        }
        ids = fields.get("request_ids", fields.get("request_id", ""))
        line = f"{fields['time'][11:19]} {fields['level']:<7} {fields['event']}"
        line += f" request {ids}" if ids else ""
        return line + (f" {fields['error']} at {fields['at']}" if "error" in fields else "")


def frames(error: BaseException) -> str:
    """Return where an exception comes from, the innermost frame first, without any value."""
    trace: list[str] = []
    frame = error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        trace.append(f"{code.co_filename}:{frame.tb_lineno} {code.co_name}")
        frame = frame.tb_next
    return " < ".join(reversed(trace)) or "no frame"


class LineWriter:
    """Writes lines in a thread of its own, many at once.

    Args:
        write: takes bytes, such as `os.write` on standard error; may block.
        waiting_max: lines kept for it; further ones are dropped.
        flush_seconds: how long a line may wait for others.

    Attributes:
        dropped: lines so far.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        *,
        waiting_max: int = LOG_LINES_WAITING_MAX,
        flush_seconds: float = LOG_FLUSH_SECONDS,
    ) -> None:
        self._write = write
        self._waiting_max = waiting_max
        self._flush_seconds = flush_seconds
        self._lines: deque[bytes] = deque()
        self._ready = threading.Event()
        self._urgent = threading.Event()
        self._closing = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="serai-log", daemon=True)
        self._thread.start()

    def put(self, line: bytes, *, urgent: bool = False) -> None:
        """Take a line; never waits. An urgent one is written at once."""
        if len(self._lines) >= self._waiting_max:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._ready.is_set():
            self._ready.set()
        if urgent:
            self._urgent.set()

    def close(self, seconds: float = 1.0) -> None:
        """Write what is there, for at most `seconds`: a reader that stands still is not waited
        for.
        """
        self._closing = True
        self._urgent.set()
        self._ready.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not (self._closing and not self._lines):
            self._ready.wait()
            self._ready.clear()
            self._urgent.wait(self._flush_seconds)
            self._urgent.clear()
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            try:
                if lines:
                    self._write(b"".join(lines))
            except OSError:
                # Nobody reads any more, or the disk is full: what cannot be told is counted.
                self.dropped += len(lines)


class LineHandler(logging.Handler):
    """Hands the records of `logging` to a writer."""

    def __init__(self, writer: LineWriter, formatter: logging.Formatter) -> None:
        """Keep both."""
        super().__init__()
        self._writer = writer
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        line = (self.format(record) + "\n").encode(errors="replace")
        self._writer.put(line, urgent=record.levelno >= logging.WARNING)


def write_all(descriptor: int) -> Callable[[bytes], object]:
    """Return a function that writes all of its bytes to the descriptor."""

    def write(data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    return write
