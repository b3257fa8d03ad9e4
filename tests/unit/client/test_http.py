"""The transport over HTTP, against a real server on a local port.

Owns what is between the client and the server: packing, tokens, validators, refusals, and
everything that is no answer. The server of these scenes answers from a script; none of them uses
the network beyond this machine.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import aiohttp
import msgspec
import pytest
import zstandard
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from serai.client import HttpTransport, SyncClient, Unreachable
from serai.client.forms import page_decoder
from serai.client.http import problem, unpacked
from serai.core.errors import CODES, Code, SeraiError
from serai.wire.sync import ChangesRequest, MutationsRequest, WantedCollection
from unit.client.fake_server import HOTEL, FakeServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PULL = ChangesRequest([WantedCollection("stays")])
PUSH = MutationsRequest(UUID(int=1), [])


@asynccontextmanager
async def serving(handler: Handler) -> AsyncGenerator[str]:
    app = web.Application()
    app.router.add_post("/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Tokens:
    """Access tokens t0, t1 ...; a new one each time the present one has expired."""

    def __init__(self) -> None:
        self.number = 0

    async def __call__(self, expired: bool) -> str:
        self.number += expired
        return f"t{self.number}"


@asynccontextmanager
async def transport(handler: Handler, **more) -> AsyncGenerator[HttpTransport]:
    async with serving(handler) as address:
        made = HttpTransport(address + "/", Tokens(), **more)
        try:
            yield made
        finally:
            await made.close()


def refusal(code: Code, **more) -> web.Response:
    body = {"type": "about:blank", "title": "x", "code": code.text, "detail": "Why.", **more}
    return web.json_response(body, status=code.kind.status, content_type="application/problem+json")


async def test_a_request_says_who_asks_and_what_it_takes():
    seen = {}

    async def handler(request):
        seen.update(request.headers, path=request.path, body=await request.read())
        return web.Response(body=b"{}", headers={"ETag": '"a"'})

    async with transport(handler) as made:
        answer = await made.changes(PULL, '"old"')
    assert (answer.body, answer.etag, answer.unchanged) == (b"{}", '"a"', False)
    assert seen["path"] == "/v1/sync/changes"
    assert seen["Authorization"] == "Bearer t0"
    assert seen["Accept-Encoding"] == "zstd, gzip"
    assert seen["If-None-Match"] == '"old"'
    assert seen["Content-Type"] == "application/json"
    assert json.loads(seen["body"]) == {"collections": [{"name": "stays"}]}


async def test_a_push_goes_to_its_own_address():
    paths = []

    async def handler(request):
        paths.append((request.path, "If-None-Match" in request.headers))
        return web.Response(body=b"{}")

    async with transport(handler) as made:
        await made.mutations(PUSH)
    assert paths == [("/v1/sync/mutations", False)]


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("zstd", zstandard.compress), ("identity", bytes)],
)
async def test_packed_answers_are_unpacked(encoding, pack):
    async def handler(_):
        return web.Response(body=pack(b"x" * 100_000), headers={"Content-Encoding": encoding})

    async with transport(handler) as made:
        assert (await made.changes(PULL, None)).body == b"x" * 100_000


async def test_nothing_new_is_told_without_a_body():
    async def handler(_):
        return web.Response(status=304)

    async with transport(handler) as made:
        answer = await made.changes(PULL, '"a"')
    assert (answer.unchanged, answer.etag) == (True, '"a"')


async def test_an_expired_access_token_is_refreshed_once():
    seen = []

    async def handler(request):
        seen.append(request.headers["Authorization"])
        if seen[-1] == "Bearer t0":
            return refusal(Code.ACCESS_EXPIRED)
        return web.Response(body=b"{}")

    async with transport(handler) as made:
        await made.changes(PULL, None)
        await made.changes(PULL, None)
    assert seen == ["Bearer t0", "Bearer t1", "Bearer t1"]


async def test_an_access_token_that_stays_expired_is_not_refreshed_for_ever():
    seen = []

    async def handler(request):
        seen.append(request)
        return refusal(Code.ACCESS_EXPIRED)

    async with transport(handler) as made:
        with pytest.raises(SeraiError) as error:
            await made.changes(PULL, None)
    assert error.value.code is Code.ACCESS_EXPIRED
    assert len(seen) == 2


async def test_a_refusal_is_the_catalogues_error_with_its_particulars():
    async def handler(_):
        answer = refusal(Code.MUTATION_GAP, expected=7)
        answer.headers["Retry-After"] = "3"
        return answer

    async with transport(handler) as made:
        with pytest.raises(SeraiError) as error:
            await made.mutations(PUSH)
    assert error.value.code is Code.MUTATION_GAP
    assert error.value.extra == {"expected": 7}
    assert error.value.retry_after_seconds == 3
    assert error.value.detail == "Why."


async def test_a_server_that_is_not_there_is_unreachable():
    async def handler(_):
        return web.Response()

    async with serving(handler) as address:
        pass
    made = HttpTransport(address, Tokens())
    with pytest.raises(Unreachable):
        await made.changes(PULL, None)
    await made.close()


async def test_an_answer_that_is_cut_is_unreachable():
    async def handler(request):
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b"{")
        assert request.transport is not None
        request.transport.abort()
        return answer

    async with transport(handler) as made:
        with pytest.raises(Unreachable):
            await made.changes(PULL, None)


async def test_a_server_that_falls_silent_is_unreachable():
    released = asyncio.Event()

    async def handler(_):
        await released.wait()
        return web.Response()

    async with transport(handler, read_timeout=0.05) as made:
        with pytest.raises(Unreachable):
            await made.changes(PULL, None)
        released.set()


async def test_a_redirect_to_a_sign_in_page_is_not_followed():
    async def handler(_):
        return web.Response(status=302, headers={"Location": "http://wifi.example/"})

    async with transport(handler) as made:
        with pytest.raises(Unreachable):
            await made.changes(PULL, None)


async def test_a_session_of_the_app_is_used_and_left_open():
    async def handler(_):
        return web.Response(body=b"{}")

    async with aiohttp.ClientSession() as session:
        async with transport(handler, session=session) as made:
            await made.changes(PULL, None)
        assert not session.closed


async def test_a_client_syncs_over_http(tmp_path):
    server = FakeServer()
    server.write(("stays", UUID(int=1), {"property_id": str(HOTEL), "note": "a"}))

    async def handler(request):
        body = await request.read()
        if request.path == "/v1/sync/changes":
            answer = server.pull(msgspec.json.decode(body, type=ChangesRequest))
        else:
            answer = server.push(msgspec.json.decode(body, type=MutationsRequest))
        return web.json_response(answer)

    async with (
        transport(handler, account="1/ada") as made,
        await SyncClient.open(tmp_path / "d.db", transport=made, collections=["stays"]) as client,
    ):
        await client.sync_once()
        client.update("stays", UUID(int=1), {"note": "b"})
        client.delete("stays", client.insert("stays", {"property_id": str(HOTEL)}))
        await client.sync_once()
        assert client.status.pending == 0
        assert client.refusals() == []
    assert server.docs("stays")[UUID(int=1)]["note"] == "b"


@pytest.mark.parametrize("code", Code)
def test_every_code_of_the_catalogue_is_understood(code):
    found = problem(code.kind.status, json.dumps({"code": code.text}).encode(), None)
    assert isinstance(found, SeraiError)
    assert found.code is code


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (503, b"", Code.UNAVAILABLE),
        (504, b"<html>", Code.DEADLINE),
        (429, b"{}", Code.RATE_LIMITED),
        (401, b"", Code.UNAUTHENTICATED),
        (500, b'{"code":"of_next_year"}', Code.INTERNAL),
        (422, b'{"code":"of_next_year"}', Code.BODY_INVALID),
        (500, b"", None),
        (404, b"<html>", None),
        (200 + 2, b"", None),
    ],
)
def test_an_unknown_refusal_is_taken_by_its_status(status, body, expected):
    found = problem(status, body, "Tue, 24 Nov 2026 00:00:00 GMT")
    if expected is None:
        assert isinstance(found, Unreachable)
    else:
        assert isinstance(found, SeraiError)
        assert (found.code, found.retry_after_seconds) == (expected, None)
        assert found.code in CODES.values()


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_body_that_grows_beyond_any_answer_is_refused(pack):
    encoding = "gzip" if pack is gzip.compress else "zstd"
    bomb = pack(b"\0" * (40 * 1024 * 1024))
    assert len(bomb) < 100_000
    with pytest.raises(Unreachable, match="larger"):
        unpacked(bomb, encoding)


def test_a_packed_body_that_is_cut_is_no_answer():
    whole = gzip.compress(b"x" * 99)
    for end in range(len(whole)):
        with pytest.raises(Unreachable):
            unpacked(whole[:end], "gzip")
    with pytest.raises(Unreachable, match="packed with br"):
        unpacked(b"x", "br")


def test_a_page_in_a_cut_zstd_frame_is_no_answer():
    whole = zstandard.compress(json.dumps({"collections": [], "serverTime": "x" * 999}).encode())
    for end in range(len(whole)):
        with pytest.raises((Unreachable, msgspec.DecodeError)):
            page_decoder.decode(unpacked(whole[:end], "zstd"))


@given(st.binary(max_size=200), st.sampled_from(["gzip", "zstd"]))
def test_noise_is_no_answer(body, encoding):
    with pytest.raises((Unreachable, msgspec.DecodeError)):
        page_decoder.decode(unpacked(body, encoding))
