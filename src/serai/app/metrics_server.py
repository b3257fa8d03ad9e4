"""The listener that shows metrics: `/metrics` for Prometheus, `/top` for a person.

Owns one small HTTP server in a thread of the process that starts the others, so that one address
answers for all of them and a scrape takes nothing from those who serve. Promises that it listens on
the loopback address or asks for a token (`serai.app.settings` refuses anything else), and that a
reader who is slow holds a thread for a few seconds and nobody else up. Never is on the port of the
API: who reaches that one learns nothing of this.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import socket
import threading
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

from serai import __version__
from serai.core.limits import TOP_ORGANISATIONS_SHOWN_MAX
from serai.telemetry.exposition import CONTENT_TYPE, exposition
from serai.telemetry.registry import Snapshot
from serai.telemetry.top import TopState, merged

_SECONDS_MAX: Final = 5.0
Numbers = Callable[[], tuple[Snapshot, list[TopState]]]


@contextlib.contextmanager
def metrics_server(host: str, port: int, token: str, numbers: Numbers) -> Generator[int]:
    """Show `numbers` while the body runs; yield the port.

    Raises:
        OSError: the port is taken, or the address is not one of this machine.
    """

    class Handler(_Handler):
        expected = f"Bearer {token}".encode() if token else None
        read = staticmethod(numbers)

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

    try:
        server = Server((host, port), Handler)
    except OSError as error:
        raise OSError(
            f"cannot show metrics on {host}:{port}: {error.strerror or error}. Choose another "
            "address with SERAI_METRICS_HOST and SERAI_METRICS_PORT."
        ) from error
    # A worker that is forked later must not keep the port.
    os.register_at_fork(after_in_child=server.socket.close)
    thread = threading.Thread(target=server.serve_forever, name="serai-metrics", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Answers GET; says nothing to standard error."""

    server_version = f"serai/{__version__}"
    sys_version = ""
    timeout = _SECONDS_MAX
    expected: bytes | None = None
    read: Numbers

    def do_GET(self) -> None:
        """Answer a page."""
        given = self.headers.get("authorization", "").encode("latin-1")
        if self.expected is not None and not hmac.compare_digest(given, self.expected):
            self._answer(401, "text/plain", "Send SERAI_METRICS_TOKEN as a bearer token.\n")
            return
        url = urlsplit(self.path)
        match url.path:
            case "/metrics":
                self._answer(200, CONTENT_TYPE, exposition(self.read()[0]))
            case "/top":
                page = merged(self.read()[1], _limit(url.query))
                self._answer(200, "application/json", json.dumps(page) + "\n")
            case _:
                self._answer(404, "text/plain", "There are /metrics and /top.\n")

    def _answer(self, status: int, media_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        if status == 401:  # noqa: PLR2004 - the status that RFC 9110 asks a challenge for
            self.send_header("www-authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing: a scrape every few seconds is no news."""


def _limit(query: str) -> int:
    """Return how many organisations are asked for: 10 unless said otherwise."""
    text = parse_qs(query).get("limit", ["10"])[0]
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 10  # noqa: PLR2004 - digits of a number that is bounded below
    return min(max(number, 1), TOP_ORGANISATIONS_SHOWN_MAX)
