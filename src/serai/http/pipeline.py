"""What happens around every request.

Owns, from outside in: the request id, the deadline, CORS, the way from any error to a problem
document, security headers, and the compression of the answer. Promises that a request gets exactly
one whole answer of ours whatever happens inside it, and that nothing inside needs to think about
any of this. Never knows what an operation does.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from serai.core.errors import Code, SeraiError
from serai.core.ids import uuid7_text
from serai.core.limits import REQUEST_ID_CHARS_MAX
from serai.http.asgi import Message, Receive, Reply, Request, Scope, Send, header_map
from serai.http.body import check_framing, drain
from serai.http.compress import chosen_encoding, compressed, joined, joined_packed, tagged
from serai.http.deadlines import Deadlines
from serai.http.operations import Routes, allowed
from serai.http.problems import problem_reply, unforeseen
from serai.http.room import Room, Share
from serai.http.services import HttpServices
from serai.telemetry.exchange import CURRENT, Exchange

_REQUEST_ID: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{REQUEST_ID_CHARS_MAX}}}")
_NO_BODY: Final = frozenset({204, 304})
_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NOTHING_LOADED: Final = "default-src 'none'; frame-ancestors 'none'"
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
_CORS_HEADERS: Final = (
    "authorization, content-type, content-encoding, idempotency-key, if-match, if-none-match,"
    " serai-min-version, x-request-id"
)
_CORS_EXPOSED: Final = (
    "etag, location, retry-after, idempotency-replayed, serai-version, x-request-id"
)
_CORS_SECONDS: Final = 600


class Pipeline:
    """The ASGI application.

    Args:
        routes: what there is.
        services: what handlers work with.
    """

    def __init__(self, routes: Routes, services: HttpServices) -> None:
        self.routes = routes
        self._services = services
        self._settings = services.settings
        self._origins = frozenset(services.settings.cors_origins)
        self._room = Room()
        self._deadlines = Deadlines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await _lifespan(receive, send)
            case _:
                await receive()
                await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = _request(scope, receive, Share(self._room))
        told = _Told()
        current = CURRENT.set(request.exchange)
        self._services.recorder.begin(request.exchange)
        try:
            await self._exchange(request, send, told)
        finally:
            self._services.recorder.end(request.exchange, told.status, told.sent_bytes)
            CURRENT.reset(current)

    async def _exchange(self, request: Request, send: Send, told: _Told) -> None:
        """Answer a request; what was sent is noted in `told`."""
        head = request.method == "HEAD"
        if head:
            request.method = "GET"
        deadline = request.deadline = self._deadlines.begin(self._settings.deadline_seconds)
        try:
            reply = await self._in_time(request)
            if request.coming:
                await drain(request)
        finally:
            self._deadlines.end(deadline)
        self._cross_origin(request, reply)
        told.sent_bytes = await self._send(request, reply, send, head=head)
        told.status = reply.status

    async def _in_time(self, request: Request) -> Reply:
        """Return the reply, which says so if the deadline has passed."""
        try:
            return await self._answered(request)
        except asyncio.CancelledError:
            if not request.deadline.took_it():
                raise
            return _problem(request, SeraiError(Code.DEADLINE))
        finally:
            request.share.give_back()

    async def _answered(self, request: Request) -> Reply:
        """Return the reply of the operation, or of whatever went wrong."""
        try:
            if request.repeated:
                raise SeraiError(Code.HEADER_INVALID, f"{request.repeated.title()} stands twice.")
            check_framing(request)
            if request.method == "OPTIONS":
                return self._options(request)
            operation, last = self.routes.find(request.method, request.path)
            request.exchange.operation, request.exchange.path = operation.id, operation.path
            return await operation.handler(request, self._services, last)
        except SeraiError as error:
            return _problem(request, error)
        except Exception as error:  # noqa: BLE001 - whatever it was, the client gets one whole answer
            place = f"{request.method} {self._place(request)}"
            return _problem(request, unforeseen(error, request.id, place))

    def _place(self, request: Request) -> str:
        """Return the operation's own path: one that was sent may hold anything."""
        try:
            return self.routes.find(request.method, request.path)[0].path
        except SeraiError:
            return "an unknown path"

    def _options(self, request: Request) -> Reply:
        """Answer a preflight, or say which methods there are."""
        methods = [m for m in ("GET", "POST", "PATCH", "DELETE") if self._has(m, request.path)]
        if not methods:
            raise SeraiError(Code.NOT_FOUND)
        reply = Reply(204, headers={"allow": allowed(methods)})
        if "access-control-request-method" in request.headers:
            if request.headers.get("origin") not in self._origins:
                raise SeraiError(Code.ORIGIN)
            reply.headers["access-control-allow-methods"] = ", ".join(methods)
            reply.headers["access-control-allow-headers"] = _CORS_HEADERS
            reply.headers["access-control-max-age"] = str(_CORS_SECONDS)
        return reply

    def _has(self, method: str, path: str) -> bool:
        try:
            self.routes.find(method, path)
        except SeraiError:
            return False
        return True

    def _cross_origin(self, request: Request, reply: Reply) -> None:
        """Let pages of allowed origins read the answer. No cookies: credentials are headers
        here.
        """
        if not self._origins:
            return
        _vary(reply, "Origin")
        origin = request.headers.get("origin", "")
        if origin in self._origins:
            reply.headers["access-control-allow-origin"] = origin
            reply.headers["access-control-expose-headers"] = _CORS_EXPOSED

    async def _send(self, request: Request, reply: Reply, send: Send, *, head: bool) -> int:
        """Send the answer; return the bytes of its body."""
        body = reply.body
        if reply.status not in _NO_BODY:
            body = self._squeezed(request, reply)
            reply.headers["content-type"] = reply.media_type
            reply.headers["content-length"] = str(len(body))
        if reply.private:
            reply.headers["cache-control"] = "no-store"
        reply.headers.setdefault("content-security-policy", _NOTHING_LOADED)
        reply.headers["x-request-id"] = request.id
        if request.coming:
            reply.headers["connection"] = "close"
        headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in reply.headers.items()]
        headers += _SECURITY
        if request.secure:
            headers.append(_HSTS)
        start: Message = {
            "type": "http.response.start",
            "status": reply.status,
            "headers": headers,
        }
        await send(start)
        body = b"" if head else body
        await send({"type": "http.response.body", "body": body})
        return len(body)

    def _squeezed(self, request: Request, reply: Reply) -> bytes:
        """Return the body as it is sent, noting the encoding in the headers."""
        if not self._settings.compression:
            return joined(reply.body, reply.packed) if reply.packed else reply.body
        _vary(reply, "Accept-Encoding")
        encoding = chosen_encoding(request.headers.get("accept-encoding"))
        if reply.packed and encoding == "zstd":
            small, body = joined_packed(reply.body, reply.packed), b""
        else:
            body = joined(reply.body, reply.packed) if reply.packed else reply.body
            small = None if encoding is None else compressed(body, encoding)
        if encoding is None or small is None:
            return body
        reply.headers["content-encoding"] = encoding
        if "etag" in reply.headers:
            reply.headers["etag"] = tagged(reply.headers["etag"], encoding)
        return small


def _request(scope: Scope, receive: Receive, share: Share) -> Request:
    headers, repeated = header_map(scope["headers"])
    given = headers.get("x-request-id", "")
    client = scope.get("client")
    request_id = given if _REQUEST_ID.fullmatch(given) else uuid7_text()
    exchange = Exchange(request_id, scope["method"], headers.get("traceparent"))
    exchange.start()
    return Request(
        id=request_id,
        exchange=exchange,
        method=scope["method"],
        # One spelling each: nothing is decoded, so `%2e`, `%2f` and `%67uests` name nothing here.
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"],
        headers=headers,
        receive=receive,
        address=client[0] if client else "",
        secure=scope.get("scheme") == "https",
        repeated=repeated,
        share=share,
        coming="content-length" in headers or "transfer-encoding" in headers,
    )


@dataclass(slots=True)
class _Told:
    """What was sent: status 0 if nothing was."""

    status: int = 0
    sent_bytes: int = 0


def _problem(request: Request, error: SeraiError) -> Reply:
    """Return the reply for an error, which is noted."""
    request.exchange.code = error.code.text
    return problem_reply(error, request.id)


def _vary(reply: Reply, name: str) -> None:
    known = reply.headers.get("vary")
    reply.headers["vary"] = name if known is None else f"{known}, {name}"


async def _lifespan(receive: Receive, send: Send) -> None:
    """Answer the server's start and end: what has a life is started and stopped by the
    application.
    """
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
