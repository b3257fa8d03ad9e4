"""The server that ships, as a process of its own, and what can be seen of it from outside.

Owns the process, its log and its memory as /proc tells it. Promises that it is gone afterwards.
Never asserts anything about an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from serai.embedded.ports import free_port

SERAI = str(Path(sys.executable).with_name("serai"))
SECONDS = 120.0
"""A bound for everything that is waited for: the machine may be busy."""
_RESET_PEAK = "5"


@dataclass(frozen=True)
class Server:
    """A running `serai serve`."""

    process: subprocess.Popen[bytes]
    port: int
    log_file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self.log_file.read_text(errors="replace")

    def family(self) -> list[psutil.Process]:
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def forget_peak(self) -> None:
        """Let the kernel forget the highest memory so far."""
        for process in self.family():
            Path(f"/proc/{process.pid}/clear_refs").write_text(_RESET_PEAK)

    def memory(self, line: str) -> int:
        """Return bytes of `VmRSS` or `VmHWM` of all its processes."""
        found = 0
        for process in self.family():
            for text in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if text.startswith(f"{line}:"):
                    found += int(text.split()[1]) * 1024
        return found


@contextmanager
def running(log_file: Path, directory_url: str, **variables: str) -> Generator[Server]:
    """Start a server and wait until it can serve; stop it at the end."""
    port = free_port()
    plain = {n: v for n, v in os.environ.items() if not n.startswith("SERAI_")}
    own = {"SERAI_DIRECTORY_URL": directory_url, "SERAI_PORT": str(port), "SERAI_POOL_MIN": "5"}
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [SERAI, "serve"],
            env={**plain, **own, **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    server = Server(process, port, log_file)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        family = server.family()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(SECONDS)
        finally:
            for left in psutil.wait_procs(family, timeout=SECONDS)[1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    left.kill()


def _wait_until_ready(server: Server) -> None:
    end = time.monotonic() + SECONDS
    while not _ready(server.port):
        assert time.monotonic() < end, server.log
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(0.05)
        assert server.process.returncode is None, server.log


def _ready(port: int) -> bool:
    try:
        return b" 200 " in asked(port, b"GET /readyz HTTP/1.0\r\n\r\n")
    except OSError:
        return False


def asked(port: int, request: bytes, *, timeout: float = SECONDS) -> bytes:
    """Send these bytes on a connection of their own; return all that comes until it is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as line:
        line.sendall(request)
        return rest_of(line)


def rest_of(line: socket.socket) -> bytes:
    """Return all that comes until the server closes."""
    parts: list[bytes] = []
    while part := line.recv(65_536):
        parts.append(part)
    return b"".join(parts)


async def answered(
    port: int, first: bytes, *drips: bytes, every: float = 1, last: bytes = b""
) -> bytes:
    """Send `first`, then a drip after each interval while the server says nothing, `last` for ever;
    return all that came until the server closed.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    reading = asyncio.create_task(reader.read())
    try:
        for drip in itertools.chain(drips, itertools.repeat(last)):
            done, _ = await asyncio.wait([reading], timeout=every if drip else SECONDS)
            if done or not drip:
                break
            writer.write(drip)
        assert reading.done(), "the server keeps the connection"
        return await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        writer.close()
