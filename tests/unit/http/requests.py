"""Requests without a server, for the tests of `serai.http`.

Owns a fake socket: messages that arrive one by one, and what was sent back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from serai.http.asgi import Message, Request
from serai.http.room import Room, Share


def parts(*bodies: bytes) -> list[Message]:
    """Return the messages of a body that comes in these pieces."""
    last = len(bodies) - 1
    return [
        {"type": "http.request", "body": body, "more_body": n < last}
        for n, body in enumerate(bodies)
    ]


GONE: Message = {"type": "http.disconnect"}


def request(
    messages: Iterable[Message] = (),
    *,
    headers: dict[str, str] | None = None,
    room: Room | None = None,
    path: str = "/v1/guests",
    query: bytes = b"",
) -> Request:
    """Return a request whose body is these messages; after the last one nothing comes any more."""
    waiting = list(messages)

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    return Request(
        id="r",
        method="POST",
        path=path,
        query=query,
        headers=headers or {},
        receive=receive,
        address="192.0.2.1",
        share=Share(room or Room()),
        coming=bool(waiting),
    )


def scope(method: str, path: str, *headers: tuple[str, str], query: bytes = b"") -> dict[str, Any]:
    """Return what a server says of a request."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode("latin-1"),
        "query_string": query,
        "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in headers],
        "scheme": "http",
        "client": ("192.0.2.1", 1),
    }
