"""Requests and replies, as the handlers see them.

Owns the two small forms between ASGI and everything else of this folder. Promises that a header
stands once (repeated lists are joined as RFC 9110, section 5.3 says, others are refused) and that a
reply is whole before its first byte leaves, so it can still become an error. Never reads a body:
`serai.http.body` does, with its limits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import Struct
from msgspec.json import Encoder

from serai.core.errors import Code, SeraiError
from serai.core.limits import BODY_STALL_SECONDS_MAX
from serai.http.deadlines import Deadline
from serai.http.room import Room, Share
from serai.telemetry.exchange import Exchange

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON: Final = "application/json"
encode: Final = Encoder().encode
_ONCE: Final = frozenset(
    {
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "origin",
        "transfer-encoding",
        "x-request-id",
    }
)
"""Headers with one value. Of two, a proxy may look at the other one."""


@dataclass(slots=True, eq=False)
class Request:
    """One request.

    Attributes:
        id: for `X-Request-Id`, logs and problems.
        path: as it was sent, before any percent-decoding; compared as it is, never normalised.
        query: raw.
        headers: lower-case names.
        repeated: a header that stands more than once and may not; empty if there is none.
        address: of the client, for the limit of sign-ins.
        deadline: of what it waits for: a part of its body, or the work on its answer.
        share: what the request has of the room for bodies.
        coming: more of the body may still arrive.
        patience: seconds that it may take; time uses them up, bytes give them back.
        stalled: it took longer.
        exchange: what is told of it when it ends.
    """

    id: str
    method: str
    path: str
    query: bytes
    headers: dict[str, str]
    receive: Receive
    address: str
    secure: bool = False
    repeated: str = ""
    deadline: Deadline = field(default_factory=Deadline)
    share: Share = field(default_factory=lambda: Share(Room()))
    coming: bool = False
    patience: float = BODY_STALL_SECONDS_MAX
    stalled: bool = False
    exchange: Exchange = field(default_factory=Exchange)


@dataclass(slots=True)
class Reply:
    """One answer. `private` answers are never stored by a cache; others name their own rule.
    `packed`: zstd frames of text, for each of which `serai.readers.sync.BLOCK` stands in the body.
    """

    status: int
    body: bytes = b""
    media_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict[str, str])
    private: bool = True
    packed: list[bytes] = field(default_factory=list[bytes])


def header_map(raw: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], str]:
    """Return the headers of a scope by lower-case name, and one that is repeated but may not be.

    Latin-1 takes every byte to one character; who needs less than that checks it.
    """
    headers: dict[str, str] = {}
    repeated = ""
    for name, value in raw:
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        if key in headers:
            repeated = key if key in _ONCE else repeated
            text = f"{headers[key]}, {text}"
        headers[key] = text
    return headers, repeated


def json_reply(value: Struct | dict[str, Any], status: int = 200, **headers: str) -> Reply:
    """Return a reply with `value` as JSON; `Some_Name="x"` becomes the header `some-name: x`."""
    named = {name.replace("_", "-").lower(): text for name, text in headers.items()}
    return Reply(status, encode(value), headers=named)


def no_query(request: Request) -> None:
    """Refuse parameters where an operation has none: a misspelt filter must not look like an
    answer.
    """
    if request.query:
        raise SeraiError(Code.QUERY_INVALID, "This operation has no query parameters.")
