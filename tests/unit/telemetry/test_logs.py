"""Log lines: their form, what they never hold, and a reader that stands still."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from serai.telemetry.exchange import CURRENT, Exchange
from serai.telemetry.logs import (
    JsonFormatter,
    LineHandler,
    LineWriter,
    TextFormatter,
    as_json,
    as_text,
    redacted,
    request_line,
)

NOW = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)
USER = UUID("01890000-0000-7000-8000-000000000001")
SECONDS = 20.0
"""A bound against hanging."""
# Written in halves, so that nobody takes them for secrets that were left here.
SECRETS = [
    "serai" + "_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo",
    "srr" + "_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo",
    "eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ" + ".eyJzdWIiOiIwMTg5MDAwMCJ9." + "c2lnbmF0dXJlc2lnbmF0",
    "A" * 120,
    "anna.smith+desk@hotel.example.com",
]


def line(exchange: Exchange, status: int = 200) -> dict[str, Any]:
    return json.loads(as_json(request_line(exchange, status, 250, NOW)))


def exchange(**more: Any) -> Exchange:
    made = Exchange("r-1", "POST", operation="pushMutations", path="/v1/sync")
    for name, value in more.items():
        setattr(made, name, value)
    made.start()
    return made


def test_a_request_is_one_line_with_these_fields_and_no_other() -> None:
    shown = line(exchange(org_id=7, user_id=USER, code="rule", body_bytes=12), 422)
    assert shown.pop("duration_ms") >= 0
    assert shown == {
        "time": "2026-03-14T09:30:00Z",
        "level": "info",
        "event": "request",
        "request_id": "r-1",
        "method": "POST",
        "operation": "pushMutations",
        "path": "/v1/sync",
        "status": 422,
        "bytes_in": 12,
        "bytes_out": 250,
        "org_id": 7,
        "user_id": str(USER),
        "code": "rule",
    }


@pytest.mark.parametrize(
    ("operation", "status", "level"),
    [
        ("pushMutations", 200, "info"),
        ("pushMutations", 404, "info"),
        ("pushMutations", 500, "error"),
        ("healthz", 200, "debug"),
        ("readyz", 503, "error"),
    ],
)
def test_what_fails_is_loud_and_health_checks_are_quiet(
    operation: str, status: int, level: str
) -> None:
    assert line(exchange(operation=operation), status)["level"] == level


def test_a_method_that_is_made_up_is_not_repeated() -> None:
    assert line(exchange(method="hunter2-my-password"))["method"] == "other"


def test_a_person_reads_one_short_line() -> None:
    made = exchange(org_id=7, code="rule")
    text = as_text(request_line(made, 422, 250, NOW)).decode()
    assert text.startswith("09:30:00 info    POST /v1/sync 422 rule ")
    assert text.endswith(" ms org 7 request r-1\n")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("around", ["{}", "key {} was refused", "a={},b=2", '"{}"', "<{}>"])
def test_what_looks_like_a_secret_is_removed(secret: str, around: str) -> None:
    shown = redacted(around.format(secret))
    assert secret not in shown
    assert "[removed]" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://serai:hush@db:5432/x", "postgresql://[removed]db:5432/x"),
        ("password=hush, user=anna", "password=[removed], user=anna"),
        ("Authorization: Bearer abc", "Authorization: Bearer [removed]"),
        ("upkeep of shard shard-1 waits", "upkeep of shard shard-1 waits"),
        ("request 01890000-0000-7000-8000-000000000001", None),
        ("serai.commit failed at src/serai/log/coalesce.py:140", None),
    ],
)
def test_the_rest_of_the_text_stays(text: str, shown: str | None) -> None:
    assert redacted(text) == (shown or text)


def record(message: str, *args: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("serai.x", logging.WARNING, __file__, 1, message, args, None)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_a_record_has_the_request_on_whose_behalf_it_was_made() -> None:
    token = CURRENT.set(Exchange("r-7"))
    try:
        shown = json.loads(JsonFormatter().format(record("late by %d s", 3)))
    finally:
        CURRENT.reset(token)
    del shown["time"]
    assert shown == {
        "level": "warning",
        "event": "late by 3 s",
        "logger": "serai.x",
        "request_id": "r-7",
    }
    outside = json.loads(JsonFormatter().format(record("x", request_ids=["r-1", "r-2"])))
    assert "request_id" not in outside
    assert outside["request_ids"] == ["r-1", "r-2"]


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_an_exception_is_its_type_and_frames_never_its_message(
    formatter: logging.Formatter,
) -> None:
    try:
        raise ValueError("Key (email)=(a guest's row)")
    except ValueError as error:
        made = record("it failed")
        made.exc_info = (type(error), error, error.__traceback__)
    shown = formatter.format(made)
    assert "guest" not in shown
    assert "ValueError" in shown
    assert "test_logs.py:" in shown
    assert "\n" not in shown


class Reader:
    """A reader of standard error that may stand still, or be gone."""

    def __init__(self) -> None:
        self.reads = threading.Event()
        self.called = threading.Event()
        self.gone = False
        self.data = b""

    def write(self, data: bytes) -> None:
        self.called.set()
        assert self.reads.wait(SECONDS)
        if self.gone:
            raise BrokenPipeError
        self.data += data


def test_lines_come_out_whole_and_in_order() -> None:
    reader = Reader()
    reader.reads.set()
    writer = LineWriter(reader.write)
    for number in range(1000):
        writer.put(b"%d\n" % number)
    writer.close(SECONDS)
    assert reader.data == b"".join(b"%d\n" % n for n in range(1000))
    assert writer.dropped == 0


def test_a_reader_that_stands_still_stops_nobody_and_what_is_lost_is_counted() -> None:
    reader = Reader()
    writer = LineWriter(reader.write, waiting_max=10)
    writer.put(b"first\n", urgent=True)
    assert reader.called.wait(SECONDS)  # the thread is in the write now
    for _ in range(25):
        writer.put(b"later\n")  # none of these waits
    assert writer.dropped == 15
    reader.reads.set()
    writer.close(SECONDS)
    assert reader.data == b"first\n" + b"later\n" * 10


def test_a_reader_that_is_gone_ends_nothing() -> None:
    reader = Reader()
    reader.gone = True
    reader.reads.set()
    writer = LineWriter(reader.write)
    writer.put(b"one\n", urgent=True)
    writer.close(SECONDS)
    assert writer.dropped == 1


def test_logging_goes_to_the_writer() -> None:
    reader = Reader()
    reader.reads.set()
    writer = LineWriter(reader.write)
    LineHandler(writer, JsonFormatter()).emit(record("password=%s", "hush"))
    writer.close(SECONDS)
    assert json.loads(reader.data)["event"] == "password=[removed]"
