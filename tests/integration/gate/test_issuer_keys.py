"""The keys of an issuer over a real socket: how often it is asked, and what it may do wrong."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from integration.gate.provider import Provider, provider
from serai.core.errors import Code, SeraiError
from serai.embedded.ports import free_port
from serai.gate.issuer_keys import IssuerKeys, NotFetched, fetched
from unit.gate.made_tokens import private_key
from unit.gate.support import SetClock

SOON = 0.2
"""Seconds to wait for a provider that never answers."""


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[Provider]:
    async with provider(SetClock()) as made:
        yield made


def keys_of(issuer: Provider, wait_seconds: float = 30) -> IssuerKeys:
    return IssuerKeys(f"{issuer.url}/keys", issuer.clock, wait_seconds=wait_seconds)


async def away(keys: IssuerKeys, kid: str = "k1") -> int | None:
    with pytest.raises(SeraiError) as refused:
        await keys.key(kid)
    assert refused.value.code is Code.ISSUER_AWAY
    return refused.value.retry_after_seconds


async def test_the_keys_are_read_once_in_ten_minutes(issuer: Provider):
    keys = keys_of(issuer)
    for _ in range(5):
        assert await keys.key("k1") is not None
    issuer.clock.advance(599)
    await keys.key("k1")
    assert issuer.asked == ["/keys"]
    issuer.clock.advance(1)
    await keys.key("k1")
    assert issuer.asked == ["/keys"] * 2


async def test_a_thousand_sign_ins_at_once_ask_once(issuer: Provider):
    keys = keys_of(issuer)
    found = await asyncio.gather(*(keys.key("k1") for _ in range(1000)))
    assert None not in found
    assert issuer.asked == ["/keys"]


async def test_an_unknown_key_is_looked_for_once_and_then_not_for_half_a_minute(issuer: Provider):
    keys = keys_of(issuer)
    await keys.key("k1")
    issuer.clock.advance(30)
    found = await asyncio.gather(*(keys.key(f"made-up-{n}") for n in range(100)))
    assert set(found) == {None}
    assert issuer.asked == ["/keys"] * 2
    issuer.clock.advance(29)
    assert await keys.key("made-up") is None
    assert issuer.asked == ["/keys"] * 2
    issuer.clock.advance(1)
    assert await keys.key("made-up") is None
    assert issuer.asked == ["/keys"] * 3


async def test_a_key_that_the_issuer_changed_to_is_found_and_a_withdrawn_one_goes(issuer: Provider):
    keys = keys_of(issuer)
    await keys.key("k1")
    issuer.clock.advance(30)
    issuer.keys = {"k2": private_key("P-256")}
    assert await keys.key("k2") is not None
    assert await keys.key("k1") is None
    assert issuer.asked == ["/keys"] * 2


async def test_a_withdrawn_key_works_for_ten_minutes_at_most(issuer: Provider):
    keys = keys_of(issuer)
    await keys.key("k1")
    issuer.keys = {}
    issuer.clock.advance(599)
    assert await keys.key("k1") is not None
    issuer.clock.advance(1)
    assert await keys.key("k1") is None


async def test_while_the_issuer_is_away_known_keys_work_for_an_hour(issuer: Provider):
    keys = keys_of(issuer)
    await keys.key("k1")
    issuer.answer = broken
    issuer.clock.advance(3599)
    assert await keys.key("k1") is not None
    issuer.clock.advance(1)
    assert await away(keys) == 5


async def broken(_: web.Request) -> web.StreamResponse:
    raise web.HTTPServiceUnavailable


async def test_an_issuer_that_fails_is_asked_each_five_seconds_for_keys_that_it_had(
    issuer: Provider,
):
    keys = keys_of(issuer)
    await keys.key("k1")
    issuer.answer = broken
    issuer.clock.advance(3600)
    assert [await away(keys) for _ in range(3)] == [5, 5, 5]
    assert issuer.asked == ["/keys"] * 2
    issuer.clock.advance(5)
    issuer.answer = None
    assert await keys.key("k1") is not None
    assert issuer.asked == ["/keys"] * 3


@pytest.mark.parametrize("age_seconds", [None, 30, 600, 3600])
async def test_made_up_keys_cost_an_issuer_that_fails_one_request_in_half_a_minute(
    issuer: Provider, age_seconds: int | None
):
    keys = keys_of(issuer)
    if age_seconds is not None:
        await keys.key("k1")
        issuer.clock.advance(age_seconds)
    issuer.asked.clear()
    issuer.answer = broken
    for second in range(30):
        assert await away(keys, f"made-up-{second}") == 30
        issuer.clock.advance(1)
    assert issuer.asked == ["/keys"]
    assert await away(keys, "made-up") == 30
    assert issuer.asked == ["/keys"] * 2


async def test_a_new_key_of_an_issuer_that_is_away_is_no_forgery(issuer: Provider):
    keys = keys_of(issuer)
    await keys.key("k1")
    issuer.clock.advance(30)
    issuer.keys["k2"] = private_key("P-256")
    issuer.answer = broken
    assert await away(keys, "k2") == 30
    assert await keys.key("k1") is not None
    issuer.answer = None
    issuer.clock.advance(30)
    assert await keys.key("k2") is not None
    assert await keys.key("made-up") is None


async def test_all_who_wait_for_an_issuer_that_fails_hear_of_the_one_failure(issuer: Provider):
    issuer.answer = issuer.silent
    keys = keys_of(issuer, SOON)
    assert set(await asyncio.gather(*(away(keys) for _ in range(50)))) == {30}
    assert issuer.asked == ["/keys"]


async def test_a_request_that_gives_up_takes_neither_the_others_along_nor_the_try_back(
    issuer: Provider,
):
    go = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await go.wait()
        return web.json_response(issuer.jwks())

    issuer.answer = slow
    keys = keys_of(issuer)
    first = asyncio.create_task(keys.key("k1"))
    await issuer.came.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.create_task(keys.key("k1"))
    go.set()
    assert await second is not None
    assert issuer.asked == ["/keys"]


async def test_strangers_who_hang_up_at_once_cost_one_request_too(issuer: Provider):
    issuer.answer = issuer.silent
    keys = keys_of(issuer, SOON)
    for n in range(5):
        stranger = asyncio.create_task(keys.key(f"made-up-{n}"))
        await issuer.came.wait()
        stranger.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stranger
    assert await away(keys, "made-up") == 30
    assert issuer.asked == ["/keys"]


@pytest.mark.parametrize("how", ["silent", "stuck"])
async def test_an_issuer_that_stops_in_the_middle_is_not_waited_for(issuer: Provider, how: str):
    issuer.answer = getattr(issuer, how)
    with pytest.raises(NotFetched, match=r"not within 0\.2 s"):
        await fetched(f"{issuer.url}/keys", SOON)


async def test_an_issuer_that_sends_without_an_end_is_cut_off(issuer: Provider):
    issuer.answer = issuer.endless
    with pytest.raises(NotFetched, match="more than 65536 bytes"):
        await fetched(f"{issuer.url}/keys", 30)


async def test_a_set_of_keys_may_have_64_kib_and_no_more(issuer: Provider):
    async def padded(size: int) -> web.StreamResponse:
        return web.Response(body=json.dumps(issuer.jwks()).encode().ljust(size))

    issuer.answer = lambda _: padded(65_536)
    assert len(await fetched(f"{issuer.url}/keys", 30)) == 65_536
    issuer.answer = lambda _: padded(65_537)
    with pytest.raises(NotFetched, match="more than 65536 bytes"):
        await fetched(f"{issuer.url}/keys", 30)


async def test_a_packed_answer_is_not_unpacked(issuer: Provider):
    async def packed(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=gzip.compress(b" " * 10**7), headers={"Content-Encoding": "gzip"})

    issuer.answer = packed
    with pytest.raises(NotFetched, match="packed"):
        await fetched(f"{issuer.url}/keys", 30)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nobody_is_followed_to_another_place(issuer: Provider, status: int):
    async with provider(SetClock()) as other:
        # Also not to another path of the same host.
        for target in (f"{other.url}/keys", "/elsewhere"):

            async def moved(_: web.Request, target: str = target) -> web.StreamResponse:
                return web.Response(status=status, headers={"Location": target})

            issuer.answer = moved
            with pytest.raises(NotFetched, match=f"status {status}"):
                await fetched(f"{issuer.url}/keys", 30)
        assert (other.asked, set(issuer.asked)) == ([], {"/keys"})


async def test_what_is_no_set_of_keys_is_a_failure_and_not_a_set_without_keys(issuer: Provider):
    keys = keys_of(issuer)
    await keys.key("k1")

    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>We are back soon</html>")

    issuer.answer = page
    issuer.clock.advance(600)
    assert await keys.key("k1") is not None
    assert await away(keys_of(issuer)) == 30


async def test_nobody_at_the_address_is_a_failure_too():
    port = free_port()
    assert await away(IssuerKeys(f"http://127.0.0.1:{port}/keys", SetClock())) == 30


async def test_the_answer_is_taken_over_plain_requests_without_cookies(issuer: Provider):
    seen: list[dict[str, str]] = []

    async def curious(request: web.Request) -> web.StreamResponse:
        seen.append(dict(request.headers))
        answer = web.json_response(issuer.jwks())
        answer.set_cookie("follow", "me")
        return answer

    issuer.answer = curious
    for _ in range(2):
        await fetched(f"{issuer.url}/keys", 30)
    assert [set(headers) & {"Cookie", "Authorization"} for headers in seen] == [set(), set()]
