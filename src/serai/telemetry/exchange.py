"""The exchange: what is known of a request while it runs, for its log line, metrics and traces.

Owns the one context variable of Serai. Promises that it holds ids and sizes only. It is set by the
HTTP pipeline, filled by whoever learns something, and read when the request ends, or when a warning
is logged on the request's behalf. Never decides anything: nobody who answers a request reads it.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from time import perf_counter
from typing import Final
from uuid import UUID


@dataclass(slots=True, eq=False)
class Exchange:
    """One request and its answer.

    Attributes:
        id: of the request.
        method: as sent.
        traceparent: the header, as sent.
        operation: id of the operation; `none` until a route is found.
        path: the operation's own path: what was sent may hold ids and anything else.
        org_id, user_id: of the caller, once it is known. `machine`: `user_id` is an API key's id.
        code: the error of the catalogue that was answered, in lower case.
        body_bytes: of the request, as received.
        span: of the tracer, None without one.
        began: of the monotonic clock, in seconds.
    """

    id: str = ""
    method: str = ""
    traceparent: str | None = None
    operation: str = "none"
    path: str = ""
    org_id: int | None = None
    user_id: UUID | None = None
    machine: bool = False
    code: str | None = None
    body_bytes: int = 0
    span: object = None
    began: float = 0.0

    def start(self) -> None:
        """Note the time."""
        self.began = perf_counter()

    def seconds(self) -> float:
        """Return how long it has run."""
        return perf_counter() - self.began


CURRENT: Final[ContextVar[Exchange | None]] = ContextVar("serai_exchange", default=None)
"""The exchange on whose behalf the present task runs; None in background work."""


def request_id() -> str | None:
    """Return the id of the request that is being answered here, None outside of one."""
    exchange = CURRENT.get()
    return None if exchange is None else exchange.id
