"""Who is let in, who is sent away, and how: credentials, origins, caps, broken clients."""

from __future__ import annotations

import asyncio
import contextlib
import json

import aiohttp
import psutil
import pytest

from integration.live.gateway import SECONDS, Listener, Live
from serai.core.errors import Code
from serai.core.live_limits import LIVE_CLIENT_FRAME_BYTES_MAX, LIVE_USER_CONNECTIONS_MAX
from serai.gateway.codes import close_code


async def refused(listener: Listener) -> tuple[int, str]:
    """The close code of a listener that is sent away, and the code in its last frame."""
    code = await listener.closed()
    return code, listener.frames[-1]["code"]


async def raw(live: Live, data: bytes) -> bytes:
    """What the gateway answers to these bytes before it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.front.port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), SECONDS)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", "srk_nonsense", "x" * 5000])
async def test_who_is_not_signed_in_is_sent_away(live: Live, token: str) -> None:
    listener = await live.connect(accessToken=token)
    assert await refused(listener) == (close_code(Code.UNAUTHENTICATED), "unauthenticated")


async def test_a_user_without_a_role_here_is_sent_away(live: Live) -> None:
    person = await live.person("staff")
    live.hotel.sql(
        "delete from hospitality.memberships where user_id = %s returning 1", str(person.user_id)
    )
    listener = await live.connect(accessToken=person.token)
    assert await refused(listener) == (close_code(Code.FORBIDDEN), "forbidden")


async def test_a_since_token_of_another_user_is_sent_away(live: Live) -> None:
    since = await live.in_step()
    person = await live.person("owner")
    listener = await live.connect(accessToken=person.token, sinceToken=since)
    assert await refused(listener) == (close_code(Code.TOKEN_INVALID), "token_invalid")


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "seen", "version": 1},
        {"type": "hello"},
        {"type": "hello", "accessToken": 1},
        {"type": "hello", "accessToken": "x", "more": 1},
        {"type": "nothing"},
        [],
    ],
)
async def test_a_first_frame_that_is_no_hello_is_refused(live: Live, frame: object) -> None:
    socket = await live.session.ws_connect(live.url)
    await socket.send_json(frame)
    assert await refused(Listener(socket)) == (close_code(Code.BODY_INVALID), "body_invalid")


@pytest.mark.parametrize("hello", [{"credit": -1}, {"credit": 501}])
async def test_credit_has_bounds(live: Live, hello: dict[str, object]) -> None:
    listener = await live.connect(**hello)
    assert await refused(listener) == (close_code(Code.BODY_INVALID), "body_invalid")
    more = await live.listen()
    await more.say(type="seen", version=0, credit=hello["credit"])
    assert await refused(more) == (close_code(Code.BODY_INVALID), "body_invalid")


async def test_a_collection_that_there_is_not_is_refused(live: Live) -> None:
    listener = await live.connect(collections=["minibars"])
    assert await refused(listener) == (close_code(Code.NOT_FOUND), "not_found")


async def test_a_second_hello_is_refused(live: Live) -> None:
    listener = await live.listen()
    await listener.say(type="hello", accessToken=live.token)
    assert await refused(listener) == (close_code(Code.BODY_INVALID), "body_invalid")


async def test_a_user_has_ten_connections_at_most_and_one_that_goes_makes_room(live: Live) -> None:
    person = await live.person("staff")
    held = [await live.listen(accessToken=person.token) for _ in range(LIVE_USER_CONNECTIONS_MAX)]
    one_more = await live.connect(accessToken=person.token)
    assert await refused(one_more) == (close_code(Code.RATE_LIMITED), "rate_limited")
    await live.listen()
    await held[0].socket.close()
    await live.listen(accessToken=person.token)


async def test_a_session_that_was_signed_out_is_closed_and_others_are_not(live: Live) -> None:
    person, other = await live.person("staff"), await live.person("staff")
    listener = await live.listen(accessToken=person.token)
    goes_on = await live.listen(accessToken=other.token)
    form = {"refreshToken": person.refresh_token}
    async with live.session.post(f"{live.hotel.url}/v1/auth/sign-out", json=form) as answer:
        assert answer.status < 300
    assert await refused(listener) == (close_code(Code.UNAUTHENTICATED), "unauthenticated")
    await goes_on.nothing()


async def test_whose_roles_change_comes_back_and_hears_what_they_may_then(live: Live) -> None:
    person = await live.person("staff")
    listener = await live.listen(accessToken=person.token)
    machine_free = await live.person("auditor")
    assert await listener.closed() == 1001
    assert machine_free.user_id != person.user_id
    again = await live.listen(accessToken=person.token)
    await live.add_staff()
    await again.next("changes")


async def test_a_new_access_token_is_taken_over_the_open_socket(live: Live) -> None:
    listener = await live.listen()
    await listener.say(type="refresh", accessToken=await live.hotel.sign_in())
    refreshed = await listener.next("refreshed")
    assert 0 < refreshed["expiresIn"] <= 900


async def test_the_token_of_somebody_else_ends_the_connection(live: Live) -> None:
    person = await live.person("staff")
    listener = await live.listen()
    await listener.say(type="refresh", accessToken=person.token)
    assert (await refused(listener))[0] in (close_code(Code.UNAUTHENTICATED), 1001)


async def test_pages_of_other_origins_are_refused(live: Live) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        await live.session.ws_connect(live.url, headers={"Origin": "https://elsewhere.example"})
    assert raised.value.status == 403


async def test_what_is_no_websocket_is_told_so(live: Live) -> None:
    for path, status in (("/", b"404"), ("/v1/live", b"426"), ("/v1/live2", b"404")):
        answer = await raw(live, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert (await raw(live, b"\x16\x03\x01\r\n\r\n")).startswith(b"HTTP/1.1 400")
    assert (await raw(live, b"GET /v1/live HTTP/1.1\r\nX: " + b"x" * 20_000)).startswith(
        b"HTTP/1.1 431"
    )
    await live.listen()


async def test_a_listener_that_breaks_the_protocol_is_closed_alone(live: Live) -> None:
    well = await live.listen()
    for say, code in (
        (lambda s: s.send_bytes(b"binary"), 1003),
        (lambda s: s.send_str("x" * (LIVE_CLIENT_FRAME_BYTES_MAX + 1)), 1009),
        (lambda s: s.send_str("{"), close_code(Code.BODY_INVALID)),
        (lambda s: s.send_str("{}"), close_code(Code.BODY_INVALID)),
    ):
        broken = await live.listen()
        await say(broken.socket)
        assert await broken.closed() == code
    await live.add_guest()
    await well.next("changes")


async def test_one_listener_never_ends_a_table(live: Live) -> None:
    well = await live.listen()
    deep = await live.listen()
    await deep.socket.send_str('{"a":' + "[" * 8_000)
    assert await deep.closed() == close_code(Code.BODY_INVALID)
    rude = await live.listen()
    rude.transport.write(b"\x89\x80\0\0\0\0" + b"\x88\x80\0\0\0\0" + b"\x89\x80\0\0\0\0")
    rude.transport.abort()
    await live.add_guest()
    await well.next("changes")


async def test_one_that_only_pings_and_never_reads_is_let_go(live: Live) -> None:
    well, flood = await live.listen(), await live.listen()
    flood.transport.pause_reading()
    ping = b"\x89\xfd\0\0\0\0" + b"x" * 125
    for _ in range(400):
        flood.transport.write(ping * 250)
        await asyncio.sleep(0)
    await live.add_guest()
    await well.next("changes")
    flood.transport.resume_reading()
    assert await flood.closed() == 1006


async def test_one_refresh_at_a_time(live: Live) -> None:
    listener = await live.listen()
    frame = json.dumps({"type": "refresh", "accessToken": live.token})
    await asyncio.gather(*(listener.socket.send_str(frame) for _ in range(50)))
    kinds = set()
    while "error" not in kinds:
        kinds.add((await listener.next())["type"])
    assert listener.frames[-1]["code"] == "rate_limited"


async def test_a_close_is_answered_with_its_code(live: Live) -> None:
    listener = await live.listen()
    await listener.socket.close(code=4999, message=b"bye")
    assert listener.socket.close_code == 4999


async def test_a_table_that_is_killed_is_begun_anew_and_its_listeners_come_back(live: Live) -> None:
    since = await live.in_step()
    listener = await live.listen(sinceToken=since, collections=["guests", "stays"])
    (forker,) = (
        p for p in psutil.Process().children() if "serai.gateway.tables" in " ".join(p.cmdline())
    )
    (table,) = forker.children()
    table.kill()
    assert await listener.closed() == 1006
    made = await live.add_guest()
    back = await live.listen(sinceToken=since, collections=["guests", "stays"])
    frame = await back.next()
    if frame["type"] == "changes":
        assert made in json.dumps(frame)
    else:
        assert frame["reason"] == "behind"
    again = await live.add_guest()
    heard = await back.next("changes")
    assert again in json.dumps(heard)
