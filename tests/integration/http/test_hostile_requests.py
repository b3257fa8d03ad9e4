"""Credentials, paths and queries that are not what they should be.

Each gets the documented problem and changes nothing; no answer and no line of the log shows a
credential. Tokens are forged here from a real one, with the standard library alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from typing import Any

import pytest
import yarl

from integration.http.house import ORDER, Api, new_row, owner_of, state
from serai.core.ids import uuid7


def packed(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unpacked(part: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@pytest.fixture
def unchanged(seaside, mill, shard_url):
    before = [state(shard_url, inn.org_id) for inn in (seaside, mill)]
    yield
    assert [state(shard_url, inn.org_id) for inn in (seaside, mill)] == before


def forgeries(token: str, public_key: dict[str, str], other_org: int) -> dict[str, str]:
    """Return tokens that look like ours and are not."""
    head, claims, signature = token.split(".")
    said, meant = unpacked(head), unpacked(claims)

    def with_mac(header: dict[str, Any], key: bytes) -> str:
        body = f"{packed(header)}.{claims}"
        return f"{body}.{packed(hmac.new(key, body.encode(), hashlib.sha256).digest())}"

    elsewhere = packed(meant | {"org": other_org})
    later = packed(meant | {"exp": meant["exp"] + 86_400})
    another = packed(meant | {"sub": str(uuid7())})
    public = json.dumps(public_key).encode()
    return {
        "algorithm none": f"{packed(said | {'alg': 'none'})}.{claims}.",
        "algorithm None": f"{packed(said | {'alg': 'None'})}.{claims}.{signature}",
        "no algorithm": f"{packed({k: v for k, v in said.items() if k != 'alg'})}.{claims}."
        + signature,
        "HMAC with the public key": with_mac(said | {"alg": "HS256"}, public),
        "HMAC with its x": with_mac(said | {"alg": "HS256"}, public_key["x"].encode()),
        "HMAC with nothing": with_mac(said | {"alg": "HS256"}, b""),
        "another key's name": f"{packed(said | {'kid': 'x'})}.{claims}.{signature}",
        "a key as a path": f"{packed(said | {'kid': '../../../dev/null'})}.{claims}.{signature}",
        "a key of its own": f"{packed(said | {'jwk': public_key})}.{claims}.{signature}",
        "a key elsewhere": f"{packed(said | {'jku': 'http://127.0.0.1/k'})}.{claims}.{signature}",
        "critical": f"{packed(said | {'crit': ['b64'], 'b64': False})}.{claims}.{signature}",
        "another type": f"{packed(said | {'typ': 'JWT'})}.{claims}.{signature}",
        "another organisation": f"{head}.{elsewhere}.{signature}",
        "another user": f"{head}.{another}.{signature}",
        "a later end": f"{head}.{later}.{signature}",
        "no signature": f"{head}.{claims}.",
        "two parts": f"{head}.{claims}",
        "four parts": f"{token}.{signature}",
        "a signature of zeros": f"{head}.{claims}.{packed(bytes(64))}",
        "a bit of the signature": f"{head}.{claims}.{'B' if signature[0] == 'A' else 'A'}"
        + signature[1:],
        "padding": f"{token}==",
        "white space": f"{head}. {claims}.{signature}",
        "encrypted": f"{head}.{claims}.{signature}.{signature}.{signature}",
        "empty": "",
        "long": "a" * 3_000,
        "deep": f"{packed(b'[' * 1_000)}.{claims}.{signature}",
        "a null header": f"{packed(None)}.{claims}.{signature}",
    }


@pytest.mark.usefixtures("unchanged")
async def test_a_token_that_is_not_ours_opens_nothing(sea, server, seaside, mill):
    keys = (await sea("GET", "/.well-known/jwks.json")).json["keys"]
    assert "d" not in keys[0]
    made = forgeries(sea.token, keys[0], mill.org_id)
    for name, token in made.items():
        stranger = Api(sea.session, server.url, token)
        for refused in (
            await stranger("GET", "/v1/me"),
            await stranger("GET", f"/v1/guests/{seaside.rows['guests']}"),
            await stranger("POST", "/v1/guests", new_row("guests", seaside.rows)),
            await stranger("POST", "/v1/sync/changes", {"collections": [{"name": "guests"}]}),
        ):
            assert (refused.status, refused.code) == (401, "unauthenticated"), name
            assert refused.headers["WWW-Authenticate"].startswith("Bearer")
            assert not token or token not in refused.body.decode()
        assert not token or token not in server.log
    assert (await sea("GET", "/v1/me")).status == 200


@pytest.mark.usefixtures("unchanged")
async def test_a_header_that_is_no_bearer_token_opens_nothing(sea, seaside):
    path = f"/v1/guests/{seaside.rows['guests']}"
    for text in (
        None,
        "",
        "Bearer",
        "Bearer ",
        sea.token,
        f"Basic {base64.b64encode(b'owner:x').decode()}",
        f"Token {sea.token}",
        f"Bearer {sea.token} {sea.token}",
        f"Bearer {sea.token}, Bearer {sea.token}",
        f"Bearer srk_{secrets.token_urlsafe(32)}",
        "Bearer srk_",
        "Bearer null",
        "Bearer ' OR 1=1 --",
        "Bearer " + "a." * 5_000,
    ):
        refused = await sea("GET", path, Authorization=text)
        assert (refused.status, refused.code) == (401, "unauthenticated"), text
    in_query = await sea("GET", f"{path}?access_token={sea.token}", Authorization=None)
    assert in_query.code == "unauthenticated"


@pytest.mark.usefixtures("unchanged")
async def test_rows_of_another_organisation_are_not_there(sea, server, seaside, mill):
    """With each method, by each id, in each collection; the refusal is that of a row which does
    not exist.
    """
    for name in ORDER:
        path = f"/v1/{name}/{mill.rows[name]}"
        for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
            refused = await sea(method, path, body)
            nowhere = await sea(method, f"/v1/{name}/{uuid7()}", body)
            assert (refused.status, refused.code) == (nowhere.status, nowhere.code), (name, method)
            assert refused.status == 404
        listed = await sea("GET", f"/v1/{name}?limit=500")
        assert mill.rows[name] not in [row["id"] for row in listed.json["rows"]]
    row = new_row("stays", seaside.rows) | {"guest_id": mill.rows["guests"]}
    assert (await sea("POST", "/v1/stays", row)).code == "reference_missing"
    row = new_row("guests", mill.rows)
    assert (await sea("POST", "/v1/guests", row)).code in ("reference_missing", "forbidden")


PATHS = (
    "/v1/guests/",
    "/v1//guests",
    "//v1/guests",
    "/v1/guests//",
    "/v1/./guests",
    "/v1/expenses/../guests",
    "/v1/expenses/%2e%2e/guests",
    "/v1/expenses/%2e%2e%2fguests",
    "/v1%2fguests",
    "/v1/%67uests",
    "/%76%31/guests",
    "/v1/guests%00",
    "/v1/guests%00.json",
    "/v1/guests.json",
    "/v1/guests;a=b",
    "/v1/guests%3flimit=1",
    "/v1/guests%20",
    "/v1/guests%0a",
    "/v1/Guests",
    "/V1/guests",
    "/v1/guests\\",
    "/v1/\\guests",
    "/v1/%c0%ae%c0%ae/guests",
    "/v1/%e0%80%ae/guests",
    "/v1/%uff0e/guests",
    "/v1/guests%",
    "/v1/guests%zz",
    "/v1/%2525/guests",
    "/..%2f..%2fetc/passwd",
    "/docs/../v1/guests",
    "/v1/guests/..%2f..%2fhealthz",
    "/v1/",
    "/v1",
    "/v2/guests",
    "/.env",
    "/.git/config",
    "/v1/sync",
    "/v1/sync/changes/x",
    "/v1/__proto__",
    "/v1/guests/__proto__",
)


@pytest.mark.usefixtures("unchanged")
async def test_a_path_has_one_spelling(sea):
    for path in PATHS:
        assert await as_it_stands(sea, path) == (404, "not_found"), path


async def as_it_stands(api: Api, path: str) -> tuple[int, str]:
    """Send a path which no client library may tidy up; return status and code of the problem."""
    address = yarl.URL(f"{api.url}{path}", encoded=True)
    async with api.session.get(address, headers={"Authorization": f"Bearer {api.token}"}) as answer:
        return answer.status, (await answer.json(content_type=None))["code"]


@pytest.mark.usefixtures("unchanged")
async def test_an_id_has_one_spelling(sea, seaside):
    row_id = seaside.rows["guests"]
    for text in (
        row_id.upper(),
        f"%7B{row_id}%7D",
        f"urn:uuid:{row_id}",
        row_id.replace("-", ""),
        row_id.replace("-", "%2d"),
        f"{row_id}%00",
        f"{row_id}%20",
        f"{row_id},{row_id}",
        f"{row_id}'--",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "*",
        "-1",
        "%",
    ):
        if text == row_id:
            continue
        assert await as_it_stands(sea, f"/v1/guests/{text}") == (404, "not_found"), text


QUERIES = (
    "limit=1&limit=1",
    "name=a&name=b",
    "name[]=a",
    "name[$gt]=",
    "name[gt][lt]=a",
    "name[gt]=a&name[gt]=b",
    "limit=1;drop",
    "limit=-1",
    "limit=1e2",
    "limit=0x10",
    "limit=%31%00",
    "limit=٣",
    "limit=9999999999999999999999",
    "order=name%20desc",
    "order=--name",
    "order=name,id",
    "order=(select%201)",
    "order=%00",
    "name=%00",
    "name=%ff",
    "name=%c0%af",
    "name=%ed%a0%80",
    "name=%zz",
    "name=%",
    "name[like]=%25",
    "name[null]=yes",
    "%00=1",
    "=1",
    "&",
    "a",
    "id=1",
    "org_id=1",
    "org_id[ne]=0",
    "version=1",
    "scope=x",
    "access_token=x",
    "_method=DELETE",
    "property_id=1",
    "property_id[lt]=" + "0" * 36,
    "created_at[gt]=2026",
    "cursor=",
    "cursor=%00",
    "cursor=e30",
    "cursor=W10",
    "cursor=" + "A" * 30_000,
    "name=" + "a" * 4_001,
    "&".join(f"name{n}=1" for n in range(100)),
    "q=" + "a" * 33_000,
)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("query", QUERIES, ids=lambda q: q[:24].replace("%", "_"))
async def test_a_query_is_read_strictly(query, sea):
    assert await as_it_stands(sea, f"/v1/guests?{query}") == (400, "query_invalid")


@pytest.mark.usefixtures("unchanged")
async def test_a_cursor_made_by_hand_opens_no_other_row(sea, seaside, mill):
    """A cursor holds an id and a value; the filters and the organisation are not in it."""
    for mark in (
        ["id", None, mill.rows["guests"]],
        ["id", None, "00000000-0000-7000-8000-000000000000"],
        ["name", "", mill.rows["guests"]],
    ):
        order = mark[0]
        found = await sea("GET", f"/v1/guests?order={order}&cursor={packed(mark)}")
        assert found.status == 200, found
        ids = {row["id"] for row in found.json["rows"]}
        assert ids <= {seaside.rows["guests"]}
    for mark in (["id", "x", 1], ["id"], {"order": "id"}, ["-id", None, mill.rows["guests"]]):
        refused = await sea("GET", f"/v1/guests?order=id&cursor={packed(mark)}")
        assert refused.code == "query_invalid", mark


@pytest.mark.usefixtures("unchanged")
async def test_a_since_token_of_another_organisation_or_of_nobody_is_refused(sea, server, mill):
    async with owner_of(mill, server.url) as miller:
        pulled = await miller("POST", "/v1/sync/changes", {"collections": [{"name": "guests"}]})
        token = pulled.json["collections"][0]["nextToken"]
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    changed = bytes([raw[0] ^ 1]) + raw[1:]
    for text in (
        token,
        packed(changed),
        packed(raw[:-1] + bytes([raw[-1] ^ 1])),
        packed(raw + b"\0"),
        packed(b""),
        "A" * 60_000,
        "%00",
        "é",
        "' OR 1=1",
    ):
        wanted = {"collections": [{"name": "guests", "sinceToken": text}]}
        refused = await sea("POST", "/v1/sync/changes", wanted)
        assert (refused.status, refused.code) == (400, "token_invalid"), text[:40]


async def test_a_page_of_another_origin_is_not_let_in(sea, seaside):
    asks = {"Origin": "https://evil.example", "Access_Control_Request_Method": "GET"}
    preflight = await sea("OPTIONS", "/v1/guests", **asks)
    assert (preflight.status, preflight.code) == (403, "origin")
    for origin in ("https://evil.example", "null", "*"):
        found = await sea("GET", f"/v1/guests/{seaside.rows['guests']}", Origin=origin)
        assert "Access-Control-Allow-Origin" not in found.headers
        assert "Access-Control-Allow-Credentials" not in found.headers
