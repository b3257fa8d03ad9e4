"""The load over HTTP: keep-alive connections, one request in flight on each.

Owns a program of its own (`python -m serai.bench.load`), so that its processor time is not the
server's. It reads one JSON line, connects, says `ready`, and then for each further line (a number
of seconds) sends requests for that long and prints one JSON line of what came back. Promises to
cost little beside a server: bytes are prepared, answers are counted by their head and never
decoded. Pipelining is off: a device waits for its answer.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Final, Literal, cast
from uuid import UUID

import msgspec
import uvloop

Kind = Literal["same", "write", "push"]
_LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"


class Script(msgspec.Struct, frozen=True):
    """What one connection sends.

    Attributes:
        kind: `same`: `body` each time; `write`: `body` with a new id at `@id` each time, under a
            key of its own; `push`: `mutations` times `body` with a new id at `@id` and the next
            number at `@number`.
        path, headers: of every request.
        device: 24 hexadecimal digits, with which the ids of this connection begin.
    """

    kind: Kind
    path: str
    headers: dict[str, str]
    body: str
    device: str = "0" * 24
    mutations: int = 1


class Plan(msgspec.Struct, frozen=True):
    """Where the load goes, and one script a connection."""

    host: str
    port: int
    scripts: list[Script]


class Outcome(msgspec.Struct, frozen=True):
    """What came back in one stretch of load.

    Attributes:
        requests: answered in the stretch.
        statuses: how often each status came.
        bytes: of the answers.
        seconds: of the stretch.
        p50_ms, p99_ms: from request to the answer's last byte.
    """

    requests: int
    statuses: dict[str, int]
    bytes: int
    seconds: float
    p50_ms: float
    p99_ms: float


def requests_of(script: Script) -> Iterator[bytes]:
    """Yield the requests of a connection, for ever."""
    lines = [f"POST {script.path} HTTP/1.1", "host: 127.0.0.1"]
    lines += [f"{name}: {text}" for name, text in script.headers.items()]
    head = "\r\n".join(lines) + "\r\n"
    ids = _ids(script.device)
    match script.kind:
        case "same":
            request = _request(head, script.body)
            while True:
                yield request
        case "write":
            for row_id in ids:
                body = script.body.replace("@id", row_id, 1)
                yield _request(f"{head}idempotency-key: {row_id}\r\n", body)
        case "push":
            yield from _pushes(head, script, ids)


def _pushes(head: str, script: Script, ids: Iterator[str]) -> Iterator[bytes]:
    number = 0
    before, between, after = re.split("@id|@number", script.body)
    assert script.body.index("@number") < script.body.index("@id"), "the number comes first"
    device = UUID(script.device + "0" * 8)
    while True:
        parts: list[str] = []
        for _ in range(script.mutations):
            number += 1
            parts.append(f"{before}{number}{between}{next(ids)}{after}")
        yield _request(head, f'{{"deviceId":"{device}","mutations":[{",".join(parts)}]}}')


def _request(head: str, body: str) -> bytes:
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


def _ids(device: str) -> Iterator[str]:
    """Yield ids that rise, as those of a real device do."""
    start = f"{device[:8]}-{device[8:12]}-{device[12:16]}-{device[16:20]}-{device[20:24]}"
    number = 0
    while True:
        number += 1
        yield f"{start}{number:08x}"


class _Connection(asyncio.Protocol):
    """One connection: the next request leaves when the answer to the last one is whole."""

    def __init__(self, script: Script) -> None:
        self._next = requests_of(script).__next__
        self._buffer: bytes = b""
        self._wanted: int = 0
        self._sent = 0.0
        self._until = 0.0
        self._transport: asyncio.Transport | None = None
        self.idle: asyncio.Future[None] | None = None
        self.millis: list[float] = []
        self.statuses: dict[bytes, int] = {}
        self.size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # TCP has a transport of bytes; uvloop's is none of the standard library's classes.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.idle is not None and not self.idle.done():
            self.idle.set_exception(exc or ConnectionError("the server closed the connection"))

    def start(self, until: float) -> asyncio.Future[None]:
        """Send until then; return when the last answer has come."""
        self.millis, self.statuses, self.size = [], {}, 0
        self._until = until
        self.idle = asyncio.get_running_loop().create_future()
        self._send()
        return self.idle

    def _send(self) -> None:
        assert self._transport is not None, "started after it was connected"
        request = self._next()
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        # The common case is one answer in one piece; what is larger comes as pieces of a known sum.
        if self._wanted == 0:
            data = self._buffer + data
            end = data.find(_HEAD_END)
            if end < 0:
                self._buffer = data
                return
            self._buffer = b""
            status = data[9:12]
            self.statuses[status] = self.statuses.get(status, 0) + 1
            found = _LENGTH.search(data, 0, end)
            self._wanted = end + len(_HEAD_END) + (int(found[1]) if found else 0)
        self.size += len(data)
        self._wanted -= len(data)
        if self._wanted == 0:
            self._answered()

    def _answered(self) -> None:
        now = time.perf_counter()
        self.millis.append((now - self._sent) * 1e3)
        if now < self._until:
            self._send()
        elif self.idle is not None:
            self.idle.set_result(None)


async def run(plan: Plan, lines: asyncio.StreamReader) -> None:
    """Connect and work off stretches of load until the input ends."""
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(partial(_Connection, script), plan.host, plan.port))[1]
        for script in plan.scripts
    ]
    _say("ready")
    while line := await lines.readline():
        started = time.perf_counter()
        until = started + float(line)
        await asyncio.gather(*(each.start(until) for each in connections))
        outcome = _outcome(connections, time.perf_counter() - started)
        _say(msgspec.json.encode(outcome).decode())


def _outcome(connections: list[_Connection], seconds: float) -> Outcome:
    millis = sorted(each for connection in connections for each in connection.millis)
    statuses: dict[str, int] = {}
    for connection in connections:
        for status, count in connection.statuses.items():
            statuses[status.decode()] = statuses.get(status.decode(), 0) + count
    return Outcome(
        requests=len(millis),
        statuses=statuses,
        bytes=sum(connection.size for connection in connections),
        seconds=seconds,
        p50_ms=round(millis[len(millis) // 2], 2),
        p99_ms=round(millis[int(len(millis) * 0.99)], 2),
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def _main() -> None:
    lines = asyncio.StreamReader(limit=1 << 30)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    await run(msgspec.json.decode(await lines.readline(), type=Plan), lines)


if __name__ == "__main__":
    uvloop.run(_main())
