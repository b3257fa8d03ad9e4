"""The application around the operations: whatever happens inside, one whole answer leaves."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import zstandard

from serai.core.errors import Code, SeraiError
from serai.http.asgi import Message, Reply
from serai.http.operations import Handler, Method, Operation, Routes
from serai.http.pipeline import Pipeline
from serai.http.services import HttpServices, HttpSettings
from serai.telemetry.exchange import CURRENT, Exchange
from serai.telemetry.recorder import Recorder
from serai.testing.vertical import VERTICAL
from unit.http.requests import parts, scope

LONG = b'{"rows":[' + b'"the same again",' * 200 + b"1]}"
MINE = "https://app.example.com"


@dataclass
class Answered:
    """What a client sees."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        return json.loads(self.body)


@dataclass
class Told(Recorder):
    """What is told of requests when they end."""

    ended: list[tuple[str, str, str | None, int, int]] = field(default_factory=list)

    def end(self, exchange: Exchange, status: int, sent_bytes: int) -> None:
        row = (exchange.method, exchange.operation, exchange.code, status, sent_bytes)
        self.ended.append(row)


async def plain(request, _services, last) -> Reply:
    return Reply(200, LONG, headers={"etag": '"7"'})


async def nothing(request, _services, last) -> Reply:
    return Reply(204)


async def held(request, _services, last) -> Reply:
    return Reply(304, headers={"etag": '"7"'})


async def public(request, _services, last) -> Reply:
    return Reply(200, b"{}", headers={"cache-control": "public, max-age=30"}, private=False)


async def fails(request, _services, last) -> Reply:
    raise ZeroDivisionError("secret value")


async def refuses(request, _services, last) -> Reply:
    raise SeraiError(Code.RULE, "No.")


async def hangs(request, _services, last) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


def application(handler: Handler, told: Recorder | None = None, **settings: Any) -> Pipeline:
    """Return an application with a path or two, all answered by the handler."""
    there: tuple[tuple[str, Method, str], ...] = (
        ("getIt", "GET", "/it"),
        ("postIt", "POST", "/it"),
        ("getOne", "GET", "/it/{id}"),
    )
    routes = [
        Operation(id=name, method=method, path=path, tag="t", summary="", handler=handler)
        for name, method, path in there
    ]
    unused: Any = None
    services = HttpServices(
        VERTICAL,
        unused,
        unused,
        unused,
        unused,
        "1",
        HttpSettings(**settings),
        recorder=told or Recorder(),
    )
    return Pipeline(Routes(routes), services)


async def ask(
    app: Pipeline,
    method: str = "GET",
    path: str = "/it",
    *headers: tuple[str, str],
    messages: list[Message] | None = None,
    change: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Answered:
    """Send a request; AssertionError if there is not exactly one whole answer."""
    sent: list[Message] = []
    waiting = messages or []

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asked = scope(method, path, *headers)
    change(asked)
    await app(asked, receive, send)
    assert [m["type"] for m in sent] == ["http.response.start", "http.response.body"]
    start, end = sent
    assert not end.get("more_body", False)
    names = [name.decode() for name, _ in start["headers"]]
    assert len(names) == len(set(names)), names
    named = {n.decode(): v.decode("latin-1") for n, v in start["headers"]}
    assert CURRENT.get() is None, "the exchange ends with its request"
    return Answered(start["status"], named, end["body"])


async def test_an_answer_is_whole_private_and_safe_for_a_browser():
    found = await ask(application(plain))
    assert (found.status, found.body) == (200, LONG)
    assert found.headers["content-length"] == str(len(LONG))
    assert found.headers["cache-control"] == "no-store"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["content-security-policy"].startswith("default-src 'none'")
    assert "strict-transport-security" not in found.headers
    secure = await ask(application(plain), change=lambda s: s.update(scheme="https"))
    assert secure.headers["strict-transport-security"] == "max-age=31536000"


async def test_a_public_answer_keeps_its_own_rule_for_caches():
    assert (await ask(application(public))).headers["cache-control"] == "public, max-age=30"


@pytest.mark.parametrize("handler", [plain, public, refuses, fails])
@pytest.mark.parametrize("accept", ["identity", "gzip"])
async def test_head_is_get_without_its_body(handler, accept):
    encoding = ("accept-encoding", accept)
    whole = await ask(application(handler), "GET", "/it", ("x-request-id", "r"), encoding)
    head = await ask(application(handler), "HEAD", "/it", ("x-request-id", "r"), encoding)
    assert head.body == b""
    assert (head.status, head.headers) == (whole.status, whole.headers)
    assert head.headers["content-length"] == str(len(whole.body))


@pytest.mark.parametrize("handler", [nothing, held])
async def test_an_answer_without_a_body_says_no_length_or_type(handler):
    found = await ask(application(handler), "GET", "/it", ("accept-encoding", "gzip"))
    assert found.body == b""
    assert not {"content-length", "content-type", "content-encoding"} & found.headers.keys()


@pytest.mark.parametrize(
    ("accept", "encoding", "unpack"),
    [
        ("gzip", "gzip", gzip.decompress),
        ("zstd, gzip", "zstd", zstandard.decompress),
        ("br", None, bytes),
        (None, None, bytes),
    ],
)
async def test_an_answer_is_packed_as_the_client_likes_it(accept, encoding, unpack):
    headers = [] if accept is None else [("accept-encoding", accept)]
    found = await ask(application(plain), "GET", "/it", *headers)
    assert found.headers.get("content-encoding") == encoding
    assert unpack(found.body) == LONG
    assert found.headers["etag"] == ('"7"' if encoding is None else f'"7-{encoding}"')
    # Whatever was chosen: a cache must know that it could have been otherwise.
    assert found.headers["vary"] == "Accept-Encoding"


async def test_packing_can_be_switched_off():
    found = await ask(
        application(plain, compression=False), "GET", "/it", ("accept-encoding", "gzip")
    )
    assert found.body == LONG
    assert "vary" not in found.headers


async def test_options_says_what_there_is():
    found = await ask(application(plain), "OPTIONS")
    assert (found.status, found.body) == (204, b"")
    assert found.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert "access-control-allow-methods" not in found.headers
    one = await ask(application(plain), "OPTIONS", "/it/x")
    assert one.headers["allow"] == "GET, HEAD, OPTIONS"
    assert (await ask(application(plain), "OPTIONS", "/other")).problem["code"] == "not_found"
    assert (await ask(application(plain), "OPTIONS", "*")).problem["code"] == "not_found"


async def test_a_page_of_an_allowed_origin_may_read_and_no_other():
    app = application(plain, cors_origins=(MINE,))
    preflight = ("access-control-request-method", "POST")
    yes = await ask(app, "OPTIONS", "/it", ("origin", MINE), preflight)
    assert yes.status == 204
    assert yes.headers["access-control-allow-origin"] == MINE
    assert yes.headers["access-control-allow-methods"] == "GET, POST"
    assert "access-control-allow-credentials" not in yes.headers
    for origin in (
        "https://evil.example",
        MINE.upper(),
        f"{MINE}.evil.example",
        "null",
        f"{MINE}/",
    ):
        no = await ask(app, "OPTIONS", "/it", ("origin", origin), preflight)
        assert no.problem["code"] == "origin"
        assert "access-control-allow-origin" not in no.headers
        read = await ask(app, "GET", "/it", ("origin", origin))
        assert "access-control-allow-origin" not in read.headers
        assert "Origin" in read.headers["vary"]
    closed = await ask(application(plain), "GET", "/it", ("origin", MINE))
    assert "access-control-allow-origin" not in closed.headers


async def test_an_error_that_nobody_foresaw_is_one_whole_answer_that_says_nothing(caplog):
    told = Told()
    with caplog.at_level(logging.ERROR):
        found = await ask(application(fails, told), "GET", "/it/4711", ("x-request-id", "r-1"))
    assert found.status == 500
    assert found.problem["code"] == "internal"
    assert found.problem["request_id"] == found.headers["x-request-id"] == "r-1"
    assert "request r-1 to GET /it/{id} failed: ZeroDivisionError" in caplog.text
    for shown in (found.body.decode(), caplog.text):
        assert "secret value" not in shown
        assert "4711" not in shown
    assert told.ended == [("GET", "getOne", "internal", 500, len(found.body))]


async def test_a_request_that_takes_too_long_gets_its_answer():
    told = Told()
    found = await ask(application(hangs, told, deadline_seconds=0.01))
    assert found.status == 504
    assert found.problem["code"] == "deadline"
    assert found.headers["retry-after"] == "1"
    assert [row[2] for row in told.ended] == ["deadline"]


async def test_an_error_of_the_catalogue_and_an_unknown_place_are_told():
    told = Told()
    app = application(refuses, told)
    assert (await ask(app)).problem["detail"] == "No."
    assert (await ask(app, "GET", "/nowhere")).status == 404
    wrong = await ask(app, "DELETE", "/it")
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert [row[:4] for row in told.ended] == [
        ("GET", "getIt", "rule", 422),
        ("GET", "none", "not_found", 404),
        ("DELETE", "none", "method", 405),
    ]


@pytest.mark.parametrize("given", ["abc", "A.b_c-9", "x" * 64])
async def test_the_request_id_of_the_client_is_kept(given):
    assert (await ask(application(plain), "GET", "/it", ("x-request-id", given))).headers[
        "x-request-id"
    ] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "é", 'a"', "a\nb", "<script>"])
async def test_an_id_that_could_do_harm_is_replaced(given):
    found = await ask(application(plain), "GET", "/it", ("x-request-id", given))
    assert found.headers["x-request-id"] != given
    assert len(found.headers["x-request-id"]) == 36


async def test_a_header_that_stands_twice_and_a_body_that_ends_in_two_places_are_refused():
    app = application(plain)
    twice = [("authorization", "Bearer a"), ("Authorization", "Bearer b")]
    assert (await ask(app, "GET", "/it", *twice)).problem["detail"] == "Authorization stands twice."
    smuggled = [("transfer-encoding", "chunked"), ("content-length", "3")]
    found = await ask(app, "POST", "/it", *smuggled, messages=parts(b"abc"))
    assert found.problem["code"] == "header_invalid"


async def test_a_body_that_nobody_wanted_is_taken_and_dropped():
    waiting = parts(b"x" * 1_000, b"y" * 1_000)
    found = await ask(
        application(refuses), "POST", "/it", ("content-length", "2000"), messages=waiting
    )
    assert found.problem["code"] == "rule"
    assert waiting == []
    assert "connection" not in found.headers


async def test_a_body_that_is_not_taken_closes_the_connection():
    found = await ask(
        application(refuses), "POST", "/it", ("content-length", "9"), ("expect", "100-continue")
    )
    assert found.problem["code"] == "rule"
    assert found.headers["connection"] == "close"


async def test_a_socket_is_closed_and_the_life_of_a_server_is_answered():
    sent: list[Message] = []
    waiting: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await application(plain)({"type": "lifespan"}, receive, send)
    await application(plain)({"type": "websocket"}, receive, send)
    assert [m["type"] for m in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
        "websocket.close",
    ]
