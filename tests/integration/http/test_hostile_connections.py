"""Connections that say nothing, say it slowly, or are many; bytes that are no HTTP.

A silent connection ends by itself within the bound of `serai.core.limits`, which asserts that it is
below ten seconds; that it ends is what is tested here, with a bound for a busy machine. Never
measures time.
"""

from __future__ import annotations

import asyncio
import json
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from integration.http.house import new_row, state
from integration.http.serving import SECONDS, Server, answered, asked

IDLE = 10_000
PER_HELPER = 5_000
CROWD = Path(__file__).with_name("crowd.py")


async def test_a_connection_that_does_not_finish_its_headers_is_closed(server):
    start = b"GET /healthz HTTP/1.1\r\nHost: serai\r\n"
    answers = await asyncio.gather(
        answered(server.port, b""),
        answered(server.port, b"", last=b"\r\n"),
        answered(server.port, b"G"),
        answered(server.port, start),
        answered(server.port, start, last=b"X: a\r\n"),
        answered(server.port, b"GET /health", last=b"z"),
        answered(server.port, start + b"\r\n"),
        answered(server.port, start + b"\r\n", last=b"X"),
    )
    *unfinished, kept_alive, next_one = answers
    assert all(answer == b"" for answer in unfinished), unfinished
    for answer in (kept_alive, next_one):
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b'{"status":"live"}')


@pytest.fixture
def crowd(server: Server) -> Iterator[None]:
    """Ten thousand idle connections, held by helpers: one process may not open so many files."""
    with ExitStack() as stack:
        helpers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(CROWD), str(server.port), str(PER_HELPER)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            for _ in range(IDLE // PER_HELPER)
        ]
        for helper in helpers:
            stack.callback(helper.kill)
        for helper in helpers:
            assert helper.stdout is not None
            ready, _, _ = select.select([helper.stdout], [], [], SECONDS)
            assert ready
            assert helper.stdout.readline() == b"held\n"
        yield


@pytest.mark.usefixtures("crowd")
async def test_ten_thousand_idle_connections_keep_nobody_out(sea, seaside):
    for _ in range(20):
        found = await sea("GET", "/v1/guests?limit=1", Connection="close")
        assert found.status == 200
    made = await sea("POST", "/v1/vendors", new_row("vendors", seaside.rows))
    assert made.status == 201
    assert (await sea("DELETE", f"/v1/vendors/{made.json['id']}")).status == 200


NOT_HTTP = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n",
    "another protocol": b"EHLO example.com\r\n\r\n",
    "NUL in the path": b"GET /healthz\0 HTTP/1.1\r\nHost: s\r\n\r\n",
    "bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: s\r\n\r\n",
    "a space in the path": b"GET /a b HTTP/1.1\r\nHost: s\r\n\r\n",
    "NUL in a header": b"GET /healthz HTTP/1.1\r\nHost: s\r\nX: a\0b\r\n\r\n",
    "a folded header": b"GET /healthz HTTP/1.1\r\nHost: s\r\nX: a\r\n b\r\n\r\n",
    "a header without a name": b"GET /healthz HTTP/1.1\r\nHost: s\r\n: a\r\n\r\n",
    "a space before the colon": b"GET /healthz HTTP/1.1\r\nHost: s\r\nX : a\r\n\r\n",
    "two lengths": b"POST /v1/auth/token HTTP/1.1\r\nHost: s\r\nContent-Length: 2\r\n"
    b"Content-Length: 3\r\n\r\n{}x",
    "a list of lengths": b"POST /v1/me HTTP/1.1\r\nHost: s\r\nContent-Length: 2, 2\r\n\r\n{}",
    "a signed length": b"POST /v1/auth/token HTTP/1.1\r\nHost: s\r\nContent-Length: +2\r\n\r\n{}",
    "a negative length": b"POST /v1/auth/token HTTP/1.1\r\nHost: s\r\nContent-Length: -1\r\n\r\n",
    "a length in hex": b"POST /v1/auth/token HTTP/1.1\r\nHost: s\r\nContent-Length: 0x2\r\n\r\n{}",
    "an unknown coding": b"POST /v1/auth/token HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: x\r\n\r\n",
    "chunked, then more": b"POST /v1/auth/token HTTP/1.1\r\nHost: s\r\n"
    b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a path of 70 kB": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: s\r\n\r\n",
    "a header of 500 kB": b"GET /healthz HTTP/1.1\r\nHost: s\r\nX: " + b"a" * 500_000 + b"\r\n\r\n",
    "200 headers": b"GET /healthz HTTP/1.1\r\nHost: s\r\n" + b"X: a\r\n" * 200 + b"\r\n",
}


@pytest.mark.parametrize("name", NOT_HTTP)
async def test_what_is_no_http_gets_a_bare_refusal_or_nothing_and_the_end(name, server):
    try:
        answer = await asyncio.to_thread(asked, server.port, NOT_HTTP[name])
    except (ConnectionResetError, BrokenPipeError):
        return  # closed while it was still being sent
    if answer:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.split()[1] in (b"400", b"414", b"431", b"505"), answer
        assert body == b""
        assert b"connection: close" in head.lower()


SMUGGLED = b"GET /v1/me HTTP/1.1\r\nHost: s\r\n\r\n"


CHUNKED = b"Transfer-Encoding: chunked"
TWO_LENGTHS = (
    ((b"Content-Length: 6", CHUNKED), b"0\r\n\r\n"),
    ((CHUNKED, b"Content-Length: 6"), b"0\r\n\r\n"),
    ((b"Content-Length: 0", CHUNKED), b"0\r\n\r\n"),
    ((b"Transfer-Encoding: gzip, chunked",), b"0\r\n\r\n"),
    ((CHUNKED, CHUNKED), b"0\r\n\r\n"),
    ((b"Transfer-Encoding: identity", b"Content-Length: 0"), b""),
    ((b"Transfer-Encoding: \x0bchunked", b"Content-Length: 0"), b""),
    ((CHUNKED, b"Connection: Transfer-Encoding"), b"0\r\n\r\n"),
    ((CHUNKED,), b"0;a=\r\nGET / HTTP/1.1\r\n\r\n"),
    ((CHUNKED,), b"0_2\r\n{}\r\n0\r\n\r\n"),
    ((CHUNKED,), b"+0\r\n\r\n"),
    ((CHUNKED,), b" 0\r\n\r\n"),
)


async def test_a_request_of_two_lengths_is_never_read_as_two_requests(server):
    """One answer, then the end; or, where only one reading is possible, the second as it stands."""
    firsts = [
        b"\r\n".join([b"POST /v1/auth/token HTTP/1.1", b"Host: s", *lines]) + b"\r\n\r\n"
        for lines, _ in TWO_LENGTHS
    ]
    answers = await asyncio.gather(
        *(
            answered(server.port, first + body + SMUGGLED)
            for first, (_, body) in zip(firsts, TWO_LENGTHS, strict=True)
        )
    )
    for first, answer in zip(firsts, answers, strict=True):
        statuses = [part.split()[0] for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses[0] in (b"400", b"415"), answer
        if len(statuses) > 1:
            # Chunked, and nothing but chunked: every reader finds the end at the same byte.
            assert b"content-length" not in first.lower()
            assert statuses[1:] == [b"401"], answer


async def test_a_header_cannot_be_put_into_an_answer(sea, server, seaside, shard_url):
    before = state(shard_url, seaside.org_id)
    guest = seaside.rows["guests"]
    for path in (
        f"/v1/guests/{guest}%0d%0aSet-Cookie:%20a=b",
        "/v1/guests?order=name%0d%0aSet-Cookie:%20a=b",
        f"/v1/guests/{guest}%0aX:%20y",
    ):
        answer = await asyncio.to_thread(
            asked,
            server.port,
            f"GET {path} HTTP/1.1\r\nHost: s\r\nConnection: close\r\n"
            f"Authorization: Bearer {sea.token}\r\n\r\n".encode(),
        )
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.split()[1] in (b"400", b"404"), answer
        assert b"set-cookie" not in head.lower()
        assert b"\nx: y" not in head.lower()
        assert json.loads(body)["code"] in ("not_found", "query_invalid")
    for given in ("a b", "x" * 65, "é", "<script>", "a;b", "a\tb"):
        found = await sea("GET", f"/v1/guests/{guest}", X_Request_Id=given)
        assert found.headers["X-Request-Id"] != given
    kept = await sea("GET", f"/v1/guests/{guest}", X_Request_Id="from-a-proxy_1.2")
    assert kept.headers["X-Request-Id"] == "from-a-proxy_1.2"
    assert state(shard_url, seaside.org_id) == before


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Host", "Content-Type", "Idempotency-Key", "Content-Encoding", "Origin"],
)
async def test_a_header_that_stands_twice_is_refused(name, sea, server, seaside, shard_url):
    before = state(shard_url, seaside.org_id)
    row = json.dumps(new_row("guests", seaside.rows)).encode()
    values = {
        "Host": "serai",
        "Authorization": f"Bearer {sea.token}",
        "Content-Type": "application/json",
        "Idempotency-Key": "twice",
        "Content-Encoding": "identity",
        "Origin": "https://app.example.com",
        "Content-Length": str(len(row)),
        "Connection": "close",
    }
    head = [f"{n}: {v}" for n, v in values.items()] + [f"{name.lower()}: {values[name]}"]
    request = "\r\n".join(["POST /v1/guests HTTP/1.1", *head]).encode() + b"\r\n\r\n" + row
    answer = await asyncio.to_thread(asked, server.port, request)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "header_invalid"
    assert state(shard_url, seaside.org_id) == before


async def test_a_body_that_nobody_wants_does_not_hide_the_answer(sea, server):
    """A phone with a large batch and a token that has expired must hear that it has."""
    batch = b" " * 5_000_000
    refused = await sea("POST", "/v1/sync/mutations", raw=batch, Authorization="Bearer x.y.z")
    assert (refused.status, refused.code) == (401, "unauthenticated")
    refused = await sea("POST", "/v1/nothing", raw=batch)
    assert (refused.status, refused.code) == (404, "not_found")
    waits = (
        b"POST /v1/sync/mutations HTTP/1.1\r\nHost: s\r\nExpect: 100-continue\r\n"
        b"Content-Length: 5000000\r\n\r\n"
    )
    answer = await asyncio.to_thread(asked, server.port, waits)
    assert answer.startswith(b"HTTP/1.1 401 "), answer


def test_the_server_is_reached_by_its_own_address_only(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as line:
        line.sendall(b"GET http://other.example/healthz HTTP/1.1\r\nHost: s\r\n\r\n")
        assert line.recv(65_536).startswith(b"HTTP/1.1 200 ")
    for method in (b"CONNECT other.example:443", b"TRACE /healthz", b"DEBUG /healthz", b"get /me"):
        answer = asked(server.port, method + b" HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n")
        assert answer.split()[1] in (b"404", b"405"), answer
