"""The door: a connection from its first byte to its first frame.

Owns the handshake of one connection, by the WebSocket library, and its first frame. Promises that
whoever does not come to a first frame in ten seconds is let go; that a page of a foreign origin is
refused; that nothing is read beyond what the bounds allow. Never decides who may hear what.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import Final, NamedTuple, NoReturn

import msgspec
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Origin

from serai.core.errors import Code, SeraiError
from serai.core.live_limits import LIVE_HEAD_BYTES_MAX, LIVE_HELLO_SECONDS_MAX
from serai.gateway.codes import close_code
from serai.gateway.framing import Opcode, Parser, Violation, close_frame, framed
from serai.wire.live import Failed, Hello

PATH: Final = "/v1/live"
_END: Final = b"\r\n\r\n"
_READ_BYTES: Final = 4_096
_LAST_READS: Final = 16
_encode: Final = msgspec.json.Encoder().encode
_hello: Final = msgspec.json.Decoder(Hello)


class Guest(NamedTuple):
    """A connection that has said who it is."""

    socket: socket.socket
    hello: Hello


class _Left(Exception):
    """The connection has ended, or was answered and is to be closed."""


async def welcomed(connection: socket.socket, origins: Sequence[str]) -> Guest | None:
    """Do the handshake and read the first frame. Returns None if that did not come about: the
    connection is closed then.

    Args:
        connection: just accepted, not blocking.
        origins: pages from there may come; programs that are no browser send none.
    """
    try:
        async with asyncio.timeout(LIVE_HELLO_SECONDS_MAX):
            rest = await _shaken(connection, origins)
            return await _first(connection, rest)
    except (_Left, TimeoutError, OSError):
        connection.close()
        return None


async def refused(connection: socket.socket, error: SeraiError) -> None:
    """Say why, and close."""
    kind = error.code.kind
    name = error.code.name.lower()
    frame = Failed(name, kind.title, kind.remedy, kind.retry.value, error.detail)
    data = framed(_encode(frame)) + close_frame(close_code(error.code), name)
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(LIVE_HELLO_SECONDS_MAX):
            await _sent_off(connection, data)
    connection.close()


async def _shaken(connection: socket.socket, origins: Sequence[str]) -> bytes:
    """Answer the request to open a WebSocket. Returns what came after it."""
    loop = asyncio.get_running_loop()
    received = bytearray()
    while (end := received.find(_END)) < 0:
        if len(received) > LIVE_HEAD_BYTES_MAX:
            await _answer(connection, 431, "The head of the request is too large.\n")
        received += await _more(connection)
    protocol = ServerProtocol(origins=[None, *(Origin(each) for each in origins)])
    protocol.receive_data(bytes(received[: end + len(_END)]))
    requests = [event for event in protocol.events_received() if isinstance(event, Request)]
    if not requests:
        await _answer(connection, 400, "This is no HTTP request.\n")
    request = requests[0]
    if request.path.partition("?")[0] != PATH:
        await _answer(connection, 404, f"There is {PATH} here, and nothing else.\n")
    response = protocol.accept(request)
    protocol.send_response(response)
    await loop.sock_sendall(connection, b"".join(protocol.data_to_send()))
    if protocol.handshake_exc is not None:
        connection.shutdown(socket.SHUT_WR)
        await _farewell(connection, b"")
    return bytes(received[end + len(_END) :])


async def _first(connection: socket.socket, data: bytes) -> Guest:
    """Read the first frame."""
    parser = Parser()
    while True:
        try:
            messages = parser.feed(data)
        except Violation as violation:
            await _farewell(connection, close_frame(violation.code, str(violation)))
        for place, message in enumerate(messages):
            if message.opcode is Opcode.PING:
                pong = framed(message.payload, Opcode.PONG)
                await asyncio.get_running_loop().sock_sendall(connection, pong)
            elif message.opcode is Opcode.CLOSE:
                await _farewell(connection, framed(message.payload, Opcode.CLOSE))
            elif message.opcode is Opcode.TEXT:
                if messages[place + 1 :] or not parser.idle:
                    raise await _failed(connection, "After hello, wait for the answer.")
                return Guest(connection, await _decoded(connection, message.payload))
        data = await _more(connection)


async def _decoded(connection: socket.socket, text: bytes) -> Hello:
    try:
        return _hello.decode(text)
    except msgspec.ValidationError as error:
        raise await _failed(connection, str(error)) from None
    except msgspec.DecodeError:
        raise await _failed(connection, "The first frame is a JSON object.") from None


async def _failed(connection: socket.socket, detail: str) -> _Left:
    await refused(connection, SeraiError(Code.BODY_INVALID, detail))
    return _Left()


async def _more(connection: socket.socket) -> bytes:
    data = await asyncio.get_running_loop().sock_recv(connection, _READ_BYTES)
    if not data:
        raise _Left
    return data


async def _farewell(connection: socket.socket, data: bytes) -> NoReturn:
    await _sent_off(connection, data)
    raise _Left


async def _sent_off(connection: socket.socket, data: bytes) -> None:
    """Send the last word, and wait for the client's: a socket that is closed with unread bytes
    takes the last word with it.
    """
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, data)
    parser = Parser()
    with contextlib.suppress(Violation):
        for _ in range(_LAST_READS):
            received = await loop.sock_recv(connection, _READ_BYTES)
            said = parser.feed(received)
            if not received or any(message.opcode is Opcode.CLOSE for message in said):
                return


async def _answer(connection: socket.socket, status: int, text: str) -> NoReturn:
    """Answer in plain HTTP, and end."""
    headers = Headers()
    body = text.encode()
    headers["Content-Type"] = "text/plain; charset=utf-8"
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    head = f"HTTP/1.1 {status} \r\n{headers}".encode()
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, head + body)
    connection.shutdown(socket.SHUT_WR)
    await _farewell(connection, b"")
