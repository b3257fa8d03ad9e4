"""Two people, one device: neither sees the other's rows, neither sends the other's queue.

Owns the promise that a file belongs to one account, one user of one organisation. The last scenes
use a real server on a local port, which notes whose token each request carried.
"""

from __future__ import annotations

import base64
import json
from uuid import UUID

import msgspec
import pytest
from aiohttp import web

from serai.client import FileOfOtherUser, HttpTransport, State, SyncClient
from serai.client.account import account_of
from serai.core.errors import Code, SeraiError
from serai.wire.sync import ChangesRequest, MutationsRequest
from unit.client.fake_server import HOTEL, FakeServer
from unit.client.fake_transport import FakeTransport, in_virtual_time, open_client, there
from unit.client.test_http import serving

ADA, BEN = UUID(int=0xADA), UUID(int=0xBE)
ROW = {"property_id": str(HOTEL), "guest": "Ada's guest"}


def token(user: UUID, org: int = 7, **more: object) -> str:
    claims = json.dumps({"iss": "x", "sub": str(user), "org": org, **more}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.{'s' * 86}"


@in_virtual_time
async def test_another_user_of_the_device_never_sees_the_rows_or_sends_the_queue(tmp_path):
    server = FakeServer()
    server.write(("stays", UUID(int=1), ROW))
    transport = FakeTransport(server)
    async with await open_client(tmp_path, transport) as client:
        await client.sync_once()
        client.insert("stays", {**ROW, "note": "without signal"}, UUID(int=2))
    requests = len(transport.sent)
    transport.user = "1/ben"
    with pytest.raises(FileOfOtherUser):
        await open_client(tmp_path, transport)
    assert len(transport.sent) == requests
    transport.user = "1/ada"
    async with await open_client(tmp_path, transport) as client:
        await client.sync_once()
        assert server.docs("stays")[UUID(int=2)]["note"] == "without signal"
        assert len(server.applied) == 1


@in_virtual_time
async def test_the_same_user_in_another_organisation_is_another_account(tmp_path):
    transport = FakeTransport(FakeServer())
    async with await open_client(tmp_path, transport):
        pass
    transport.user = "2/ada"
    with pytest.raises(FileOfOtherUser):
        await open_client(tmp_path, transport)


@pytest.mark.parametrize("now", [token(BEN), token(ADA, org=8)])
async def test_signing_in_as_someone_else_under_an_open_client_sends_nothing(tmp_path, now):
    server, seen = FakeServer(), []
    signed_in = token(ADA)

    async def handler(request):
        seen.append(account_of(request.headers["Authorization"].removeprefix("Bearer ")))
        body = await request.read()
        if request.path == "/v1/sync/changes":
            return web.json_response(server.pull(msgspec.json.decode(body, type=ChangesRequest)))
        return web.json_response(server.push(msgspec.json.decode(body, type=MutationsRequest)))

    async def access_token(_: bool) -> str:
        return signed_in

    async with serving(handler) as address:
        made = HttpTransport(address, access_token)
        async with await SyncClient.open(
            tmp_path / "d.db", transport=made, collections=["stays"]
        ) as client:
            await client.sync_once()
            stay = client.insert("stays", ROW)
            signed_in = now
            with pytest.raises(SeraiError) as refused:
                await client.sync_once()
            assert refused.value.code is Code.UNAUTHENTICATED
            assert client.status.state is State.HALTED
            assert (client.status.pending, there(client, stay).data) == (1, ROW)
            signed_in = token(ADA, jti="another sign-in of hers")
            await client.sync_once()
            assert server.docs("stays")[stay] == ROW
        await made.close()
    assert set(seen) == {f"7/{ADA}"}


async def test_a_token_renewed_in_the_middle_of_a_push_sends_each_entry_once(tmp_path):
    server, attempts = FakeServer(), []
    old, new = token(ADA, jti="old"), token(ADA, jti="new")

    async def handler(request):
        body = await request.read()
        attempts.append((request.path, request.headers["Authorization"]))
        if request.headers["Authorization"] == f"Bearer {old}":
            problem = {"code": "access_expired"}
            return web.json_response(problem, status=401, content_type="application/problem+json")
        if request.path == "/v1/sync/changes":
            return web.json_response(server.pull(msgspec.json.decode(body, type=ChangesRequest)))
        return web.json_response(server.push(msgspec.json.decode(body, type=MutationsRequest)))

    async def access_token(expired: bool) -> str:
        return new if expired or len(attempts) > 1 else old

    async with serving(handler) as address:
        made = HttpTransport(address, access_token)
        async with await SyncClient.open(
            tmp_path / "d.db", transport=made, collections=["stays"]
        ) as client:
            for _ in range(150):
                client.insert("stays", ROW)
            await client.sync_once()
            assert client.status.pending == 0
        await made.close()
    assert attempts[:2] == [("/v1/sync/mutations", f"Bearer {t}") for t in (old, new)]
    assert {bearer for _, bearer in attempts[1:]} == {f"Bearer {new}"}
    assert sorted(number for _, number in server.applied) == [*range(1, 151)]


async def test_an_api_key_needs_the_name_of_its_account(tmp_path):
    async def key(_):
        return "serai_0123_secret"

    bare = HttpTransport("http://127.0.0.1:1", key)
    with pytest.raises(ValueError, match="give `account`"):
        await SyncClient.open(tmp_path / "d.db", transport=bare, collections=["stays"])
    assert not (tmp_path / "d.db").exists()
    named = HttpTransport("http://127.0.0.1:1", key, account="7/key-1")
    assert await named.account() == "7/key-1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (token(ADA), f"7/{ADA}"),
        (token(ADA, org=8), f"8/{ADA}"),
        ("serai_0123_secret", None),
        ("a.b.c", None),
        ("e30.e30.x", None),
        ("e30.!!!!.x", None),
        (token(ADA).replace("e30.", "e30.a"), None),
        ("é.é.é", None),
    ],
)
def test_whose_a_token_is_stands_in_its_claims(text, expected):
    assert account_of(text) == expected
