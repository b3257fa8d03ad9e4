"""One request of a run, through the application that ships.

Owns the way from a request's parts to ASGI and back. Promises that the application sees what a
server would give it. Never lets time pass by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from serai.core.token import Position
from serai.http.asgi import Message
from serai.http.headers import position_text
from serai.http.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it leaves the server."""

    status: int
    body: bytes
    etag: str | None = None
    retry_after: str | None = None


async def serve(
    app: Pipeline,
    user: UUID,
    kind: str,
    body: bytes,
    etag: str | None,
    need: Position | None = None,
) -> Reply:
    """Run one request through the application. `need`: what it says it must see."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [
        (b"authorization", f"Bearer {user}".encode()),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", b"simulation"),
    ]
    if etag is not None:
        headers.append((b"if-none-match", etag.encode()))
    if need is not None:
        headers.append((b"serai-min-version", position_text(need).encode()))
    path = f"/v1/sync/{'changes' if kind == 'pull' else 'mutations'}"
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": None,
    }
    await app(scope, receive, send)
    start, end = sent
    return _reply(start, end)


def _reply(start: Message, end: Message) -> Reply:
    found = {name: value.decode() for name, value in start["headers"]}
    return Reply(start["status"], end["body"], found.get(b"etag"), found.get(b"retry-after"))
