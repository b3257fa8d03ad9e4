"""Bodies that are too large, that unpack to too much, that no parser should see, that never end.

Each gets the documented problem from the server that ships, its memory stays where it was, its log
holds nothing of what was sent, and the organisation's rows, log and replies do not change.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import socket
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
import zstandard

from integration.http.house import Api, new_row, state
from integration.http.serving import SECONDS, answered, asked, rest_of
from serai.core.ids import uuid7

MIB = 2**20
LIMIT = 32 * MIB
GROWTH_MAX = 16 * MIB
MUTATIONS, CHANGES = "/v1/sync/mutations", "/v1/sync/changes"


@pytest.fixture
def unchanged(seaside, shard_url):
    """What the organisation holds is the same after the test."""
    before = state(shard_url, seaside.org_id)
    yield
    assert state(shard_url, seaside.org_id) == before


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    piece = b" " * 65_536
    while size > 0:
        yield piece[:size]
        size -= len(piece)


async def sent(api: Api, path: str, data: object, **headers: str) -> tuple[int, str]:
    named = {
        "Authorization": f"Bearer {api.token}",
        "Content-Type": "application/json",
        "Idempotency-Key": "k",
        **{n.replace("_", "-"): v for n, v in headers.items()},
    }
    data = io.BytesIO(data) if isinstance(data, bytes) else data
    async with api.session.post(f"{api.url}{path}", data=data, headers=named) as answer:
        assert answer.content_type == "application/problem+json", await answer.read()
        return answer.status, (await answer.json(content_type=None))["code"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("path", "code"),
    [
        (MUTATIONS, "body_too_large"),
        (CHANGES, "body_too_large"),
        ("/v1/guests", "write_too_large"),
        ("/v1/auth/token", "body_too_large"),
        ("/v1/api-keys", "body_too_large"),
    ],
)
async def test_32_mib_and_one_byte_are_too_many_however_they_are_sent(path, code, sea):
    too_much = b" " * (LIMIT + 1)
    assert await sent(sea, path, too_much) == (413, code)
    assert await sent(sea, path, in_pieces(LIMIT + 1)) == (413, code)
    packed = gzip.compress(too_much, 1)
    assert await sent(sea, path, packed, Content_Encoding="gzip") == (413, code)
    packed = zstandard.compress(too_much)
    assert await sent(sea, path, packed, Content_Encoding="zstd") == (413, code)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("packed", [None, "gzip", "zstd"])
async def test_32_mib_are_read_to_their_end(packed, sea):
    """One byte less is not too large: what is wrong with it is found by the parser."""
    pack: dict[str | None, Callable[[bytes], bytes]] = {
        None: bytes,
        "gzip": lambda body: gzip.compress(body, 1),
        "zstd": zstandard.compress,
    }
    body = pack[packed](b" " * LIMIT)
    headers = {} if packed is None else {"Content_Encoding": packed}
    assert await sent(sea, MUTATIONS, body, **headers) == (400, "body_invalid")


def bombs() -> dict[str, tuple[str, bytes]]:
    """Name -> (encoding, body): small ones that unpack to far more than may be."""
    zeros = zstandard.ZstdCompressor(level=3).compressobj(size=8 * 1024 * MIB)
    large = b"".join(zeros.compress(bytes(64 * MIB)) for _ in range(128)) + zeros.flush()
    window = zstandard.ZstdCompressionParameters(window_log=23, compression_level=3)
    widest = zstandard.ZstdCompressor(compression_params=window).compress(bytes(256 * MIB))
    return {
        "gzip, just beyond": ("gzip", gzip.compress(bytes(LIMIT + 1), 9)),
        "gzip, 1 GiB": ("gzip", gzip.compress(bytes(1024 * MIB), 1)),
        "gzip of gzip": ("gzip", gzip.compress(gzip.compress(bytes(1024 * MIB), 1), 9)),
        "zstd, just beyond": ("zstd", zstandard.compress(bytes(LIMIT + 1))),
        "zstd, 8 GiB": ("zstd", large),
        "zstd, the widest window": ("zstd", widest),
        "zstd, a wider window": (
            "zstd",
            zstandard.ZstdCompressor(
                compression_params=zstandard.ZstdCompressionParameters(window_log=27)
            )
            .compressobj()
            .compress(bytes(140 * MIB)),
        ),
    }


@pytest.mark.usefixtures("unchanged")
async def test_a_bomb_is_refused_and_the_server_stays_small(sea, server):
    # Made first: it takes seconds, and the server closes a connection that is idle for that long.
    made = bombs()
    for encoding, body in (("gzip", gzip.compress(b"{}")), ("zstd", zstandard.compress(b"{}"))):
        for path in (MUTATIONS, "/v1/guests"):
            await sent(sea, path, body, Content_Encoding=encoding)
    before = server.memory("VmRSS")
    server.forget_peak()
    for name, (encoding, body) in made.items():
        for path in (MUTATIONS, CHANGES, "/v1/guests", "/v1/auth/token"):
            status, code = await sent(sea, path, body, Content_Encoding=encoding)
            fits = {413: ("body_too_large", "write_too_large"), 400: ("body_invalid",)}
            assert code in fits[status], (name, path)
    grown = server.memory("VmHWM") - before
    assert grown < GROWTH_MAX, f"{grown / MIB:.1f} MiB"


@pytest.mark.usefixtures("unchanged")
async def test_a_body_that_is_not_what_its_encoding_says(sea):
    whole = b'{"collections":[{"name":"guests"}]}'
    packed, frame = gzip.compress(whole), zstandard.compress(whole)
    for encoding, body, expected in (
        ("gzip", whole, (400, "body_invalid")),
        ("zstd", whole, (400, "body_invalid")),
        ("gzip", frame, (400, "body_invalid")),
        ("zstd", packed, (400, "body_invalid")),
        ("gzip", packed[:-1], (400, "body_invalid")),
        ("gzip", packed[:-8] + b"\0" * 8, (400, "body_invalid")),
        ("gzip", packed + b"x", (400, "body_invalid")),
        ("gzip", packed + gzip.compress(b""), (400, "body_invalid")),
        ("zstd", frame[:-1], (400, "body_invalid")),
        ("zstd", frame + b"x", (400, "body_invalid")),
        ("zstd", frame + frame, (400, "body_invalid")),
        ("zstd", b"\x50\x2a\x4d\x18\x01\0\0\0x" + frame, (400, "body_invalid")),
        ("br", whole, (415, "encoding")),
        ("deflate", whole, (415, "encoding")),
        ("gzip, gzip", gzip.compress(packed), (415, "encoding")),
        ("gzip, identity", packed, (415, "encoding")),
    ):
        assert await sent(sea, CHANGES, body, Content_Encoding=encoding) == expected, encoding
    for encoding, body in (("gzip", packed), ("x-gzip", packed), ("zstd", frame), ("ZSTD", frame)):
        good = await sea("POST", CHANGES, raw=body, Content_Encoding=encoding)
        assert good.status == 200, good


DEEP = 10_000
KEYS = ",".join(f'"k{n}":{n}' for n in range(100_000))
WRONG: dict[str, bytes] = {
    "10,000 arrays deep": b"[" * DEEP + b"]" * DEEP,
    "10,000 objects deep": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "10,000 deep, never closed": b'{"mutations":' + b"[" * DEEP,
    "100k keys": b"{" + KEYS.encode() + b"}",
    "2.8 million parts": b'{"collections":[' + b'{"name":""},' * 2_700_000 + b'{"name":""}]}',
    "a million digits": b'{"batchSize":' + b"9" * 1_000_000 + b"}",
    "past 64 bit": b'{"collections":[{"name":"guests"}],"batchSize":18446744073709551616}',
    "past a double": b'{"collections":[{"name":"guests"}],"batchSize":1e999}',
    "not a number": b'{"collections":[{"name":"guests"}],"batchSize":NaN}',
    "a raw NUL": b'{"collections":[{"name":"gue\0sts"}]}',
    "half a surrogate pair": b'{"collections":[{"name":"\\ud83d"}]}',
    "the other half first": b'{"collections":[{"name":"\\udc4d\\ud83d"}]}',
    "not UTF-8": b'{"collections":[{"name":"\xff\xfe"}]}',
    "overlong UTF-8": b'{"collections":[{"name":"\xc0\xaf"}]}',
    "a surrogate in UTF-8": b'{"collections":[{"name":"\xed\xa0\x80"}]}',
    "UTF-16": '{"collections":[]}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"collections":[{"name":"guests"}]}',
    "two values": b"{}{}",
    "a comment": b"{/* */}",
    "single quotes": b"{'collections':[]}",
    "nothing": b"",
    "white space": b" \n\t ",
    "a list": b"[]",
    "null": b"null",
    "XML": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", WRONG)
async def test_json_that_no_parser_should_see_is_refused_everywhere(name, sea, seaside):
    body = WRONG[name]
    patch = f"/v1/guests/{seaside.rows['guests']}"
    for method, path in (
        ("POST", CHANGES),
        ("POST", MUTATIONS),
        ("POST", "/v1/guests"),
        ("PATCH", patch),
        ("POST", "/v1/auth/token"),
        ("POST", "/v1/api-keys"),
    ):
        refused = await sea(method, path, raw=body)
        assert refused.status in (400, 413, 422), (path, refused)
        assert refused.code in (
            "body_invalid",
            "body_too_deep",
            "body_too_large",
            "write_too_large",
            "field_unknown",
        ), (path, refused)
        assert len(refused.body) < 32_768, path
        if "deep" in name:
            assert refused.code in ("body_too_deep", "body_invalid")


@pytest.mark.usefixtures("unchanged")
async def test_a_body_of_many_small_values_does_not_swell_the_server(sea, server):
    await sea("POST", CHANGES, raw=b"{}")
    body = WRONG["2.8 million parts"]
    server.forget_peak()
    before = server.memory("VmRSS")
    for path in (CHANGES, MUTATIONS):
        assert (await sea("POST", path, raw=body)).code == "body_invalid"
    # The body itself, in the pieces that came and as one; a decoder would take 220 MiB more.
    assert server.memory("VmHWM") - before < 2 * len(body) + GROWTH_MAX


@pytest.mark.usefixtures("unchanged")
async def test_values_that_no_field_holds_are_named(sea, seaside):
    row = new_row("stays", seaside.rows)
    for field, text in (
        ("adults", "18446744073709551616"),
        ("adults", "-9223372036854775809"),
        ("rate_minor", "9007199254740993"),
        ("rate_minor", "1.0"),
        ("adults", "1e2"),
        ("note", '"a\\u0000b"'),
        ("note", '["a"]'),
        ("note", '{"$gt":""}'),
        ("note", '"' + "x" * 5_000 + '"'),
        ("arrival", '"2026-02-30"'),
        ("arrival", '"+002026-03-01"'),
        ("guest_id", '"1 OR 1=1"'),
        ("status", '"reserved\\n"'),
    ):
        body = json.dumps(row | {field: "@"}).replace('"@"', text).encode()
        refused = await sea("POST", "/v1/stays", raw=body)
        assert (refused.status, refused.code) == (422, "fields_invalid"), (text[:40], refused)
        assert [e["field"] for e in refused.json["errors"]] == [field]


async def test_half_an_emoji_costs_a_phone_one_mutation_and_not_its_queue(api, inn):
    made = await api("POST", "/v1/properties", new_row("properties", {}))
    rows = {"properties": made.json["id"]}
    fields = json.dumps(new_row("guests", rows))
    batch = ",".join(
        f'{{"number":{n},"collection":"guests","id":"{uuid7()}","op":"insert","fields":{text}}}'
        for n, text in (
            (1, fields),
            (2, fields.replace("Sea View", "\\ud83d")),
            (3, fields.replace("Sea View", "\\u0000")),
            (4, fields.replace("Sea View", "\\ud83d\\udc4d")),
            (5, fields),
        )
    )
    body = f'{{"deviceId":"{uuid7()}","mutations":[{batch}]}}'.encode()
    answer = await api("POST", MUTATIONS, raw=body)
    assert answer.status == 200, answer
    assert [r["status"] for r in answer.json["results"]] == [
        "applied",
        "rejected",
        "rejected",
        "applied",
        "applied",
    ]
    assert answer.json["results"][3]["row"]["name"] == "\N{THUMBS UP SIGN}"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "wrong",
    [{"op": "upsert"}, {"id": "7"}, {"number": 0}, {"base": -1}, {"force": True}, {"fields": []}],
)
async def test_one_item_that_is_no_mutation_refuses_its_whole_batch(wrong, sea, seaside):
    guest = {"collection": "guests", "op": "insert", "fields": new_row("guests", seaside.rows)}
    right = [{**guest, "number": n, "id": str(uuid7())} for n in (1, 2)]
    batch = {"deviceId": str(uuid7()), "mutations": [right[0], {**right[1], **wrong}]}
    refused = await sea("POST", MUTATIONS, batch)
    assert (refused.status, refused.code) == (400, "body_invalid")


@pytest.mark.usefixtures("unchanged")
async def test_a_field_name_of_a_megabyte_and_a_thousand_names_get_a_short_answer(sea):
    long = await sea("POST", "/v1/guests", {"n" * 900_000: 1})
    assert (long.status, long.code) == (422, "field_unknown")
    assert len(long.body) < 4_096
    many = await sea("POST", "/v1/guests", {f"n{n}": n for n in range(5_000)})
    assert (many.status, many.code) == (422, "field_unknown")
    assert len(many.json["errors"]) == 100
    unknown = await sea("POST", CHANGES, {"n" * 900_000: 1})
    assert (unknown.status, unknown.code) == (400, "body_invalid")
    assert len(unknown.body) < 4_096


@pytest.mark.usefixtures("unchanged")
async def test_a_body_where_there_is_none_is_refused(sea, seaside):
    path = f"/v1/guests/{seaside.rows['guests']}"
    refused = await sea("DELETE", path, raw=b"{}")
    assert (refused.status, refused.code) == (400, "body_invalid")
    refused = await sea("DELETE", path, raw=b" " * (LIMIT + 1))
    assert (refused.status, refused.code) == (400, "body_invalid")


@pytest.mark.usefixtures("unchanged")
async def test_a_media_type_that_is_not_json_is_refused(sea, seaside):
    row = json.dumps(new_row("guests", seaside.rows)).encode()
    for kind in (
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/json, text/plain",
        "application/xml",
        "",
    ):
        refused = await sea("POST", "/v1/guests", raw=row, Content_Type=kind)
        assert (refused.status, refused.code) == (415, "media_type"), kind


def head(api: Api, path: str, *lines: str) -> bytes:
    all_lines = [
        f"POST {path} HTTP/1.1",
        "Host: serai",
        f"Authorization: Bearer {api.token}",
        "Content-Type: application/json",
        "Idempotency-Key: slow",
        *lines,
    ]
    return ("\r\n".join(all_lines) + "\r\n\r\n").encode()


@pytest.mark.usefixtures("unchanged")
async def test_a_body_that_stops_or_trickles_is_ended_and_its_connection_closed(sea, server):
    sized, chunked = "Content-Length: 100000", "Transfer-Encoding: chunked"
    answers = await asyncio.gather(
        *(
            answered(server.port, head(sea, path, how) + first, last=drip)
            for path in (MUTATIONS, "/v1/guests", "/v1/auth/token")
            for how, first, drip in (
                (sized, b"", b""),
                (sized, b"{", b""),
                (sized, b"{", b" "),
                (chunked, b"", b""),
                (chunked, b"1\r\n{\r\n", b""),
                (chunked, b"1\r\n{\r\n", b"1\r\n \r\n"),
            )
        )
    )
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert b"connection: close" in answer.lower()
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "body_stalled"


async def test_a_slow_phone_that_keeps_sending_is_heard_to_its_end(sea, server):
    """Three seconds of silence every 4 KiB, for longer than the patience with silence."""
    body = b'{"collections":[{"name":"guests"}]' + b" " * 16_000 + b"}"
    request = head(sea, CHANGES, f"Content-Length: {len(body)}", "Connection: close")
    pieces = [body[start : start + 4_096] for start in range(0, len(body), 4_096)]
    answer = await answered(server.port, request, *pieces, every=3)
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:500]


@pytest.mark.usefixtures("unchanged")
async def test_a_body_that_breaks_off_or_is_no_http_leaves_no_trace(sea, server):
    key = head(sea, "/v1/guests", "Content-Length: 5000")
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as line:
            line.sendall(key + b'{"name":')
    chunked = head(sea, "/v1/guests", "Transfer-Encoding: chunked")
    for broken in (b"zz\r\n{}\r\n0\r\n\r\n", b"fffffffffffffffff\r\n{}", b"2\r\n{}x\r\n0\r\n\r\n"):
        answer = await asyncio.to_thread(asked, server.port, chunked + broken)
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "body_invalid"
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as line:
        line.sendall(head(sea, "/v1/guests", "Content-Length: 5000") + b'{"name":')
        line.shutdown(socket.SHUT_WR)
        answer = await asyncio.to_thread(rest_of, line)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 "), answer
    assert "failure" not in server.log
    assert "Traceback" not in server.log


async def test_nothing_of_a_body_or_a_credential_is_in_the_log(sea, server, seaside):
    async with aiohttp.ClientSession() as session:
        stranger = Api(session, server.url, None)
        secret = "correct-horse-battery-staple"
        for body in (
            {"email": "a@example.com", "password": secret},
            {"email": "a@example.com", "password": secret, "more": secret},
            {"refreshToken": f"srr_{secret}"},
        ):
            for path in ("/v1/auth/token", "/v1/auth/refresh", "/v1/auth/sign-out"):
                refused = await stranger("POST", path, body)
                assert secret not in refused.body.decode()
        await sea("POST", "/v1/guests", {"name": secret, secret: 1})
        await sea("GET", f"/v1/guests?{secret}={secret}")
        await sea("GET", f"/v1/{secret}")
    for word in (secret, seaside.password, sea.token, sea.token.rpartition(".")[2]):
        assert word not in server.log
