"""The load client: what it sends, byte for byte, and what it counts."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from serai.bench.load import Script, requests_of

ID = "01900000-0000-7000-8000-0000000000"
DEVICE = "019000000000700080000000"


def test_a_request_that_stays_the_same_is_whole() -> None:
    script = Script(kind="same", path="/v1/x", headers={"a": "b"}, body="{}")
    sent = requests_of(script)
    expected = b"POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1\r\na: b\r\ncontent-length: 2\r\n\r\n{}"
    assert [next(sent), next(sent)] == [expected, expected]


def test_each_write_has_an_id_and_a_key_of_its_own() -> None:
    script = Script(kind="write", path="/v1/x", headers={}, body='{"id":"@id"}', device=DEVICE)
    sent = requests_of(script)
    for number in ("01", "02"):
        head, _, body = next(sent).decode().partition("\r\n\r\n")
        assert body == f'{{"id":"{ID}{number}"}}'
        assert f"idempotency-key: {ID}{number}" in head.split("\r\n")
        assert "content-length: 45" in head.split("\r\n")


def test_numbers_of_pushes_go_on_without_gaps() -> None:
    body = '{"number":@number,"id":"@id"}'
    script = Script(kind="push", path="/p", headers={}, body=body, device=DEVICE, mutations=2)
    sent = requests_of(script)
    pushes = [msgspec.json.decode(next(sent).partition(b"\r\n\r\n")[2]) for _ in range(2)]
    assert [m["number"] for p in pushes for m in p["mutations"]] == [1, 2, 3, 4]
    assert pushes[0]["deviceId"] == pushes[1]["deviceId"] == f"{ID}00"
    assert [m["id"] for m in pushes[1]["mutations"]] == [f"{ID}03", f"{ID}04"]


@pytest.mark.parametrize("pieces", [1, 5])
async def test_answers_are_counted_however_they_are_cut(pieces: int) -> None:
    """Against a server that cuts its answers; the client program itself runs in the figures."""
    from serai.bench.load import _Connection  # noqa: PLC0415 - the one private thing looked at

    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nabcdefg"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            step = len(answer) // pieces + 1
            for start in range(0, len(answer), step):
                writer.write(answer[start : start + step])
                await writer.drain()
        writer.close()
        await writer.wait_closed()
        over.set()

    over = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    script = Script(kind="same", path="/", headers={}, body="")
    loop = asyncio.get_running_loop()
    async with server:
        transport, made = await loop.create_connection(
            lambda: _Connection(script), "127.0.0.1", port
        )
        await made.start(0.0)  # one request: its time is over when the answer comes
        transport.close()
        await over.wait()
    assert made.statuses == {b"200": 1}
    assert made.size == len(answer)
    assert len(made.millis) == 1
