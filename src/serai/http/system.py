"""Health, the document and its pages.

Owns the operations that are about the server itself. Promises that `/healthz` asks nobody (a
database that is down is no reason to kill this process), that `/readyz` fails only for a process to
which every shard is gone, and that the pages load nothing from anywhere else: their policy forbids
it to the browser. Never shows anything of an organisation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from serai.core.errors import Code, SeraiError
from serai.http.asgi import JSON, Reply, Request, json_reply, no_query
from serai.http.docs_page import STYLE, errors_page, operations_page
from serai.http.headers import matches_none
from serai.http.openapi import openapi_document, openapi_text
from serai.http.operations import Operation
from serai.http.services import HttpServices
from serai.wire.rest import HealthAnswer

_HTML: Final = "text/html; charset=utf-8"
_CSS: Final = "text/css; charset=utf-8"
_POLICY: Final = (
    "default-src 'self'; script-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)


async def healthz(request: Request, _services: HttpServices, _last: str) -> Reply:
    """Tell that the process answers."""
    no_query(request)
    return json_reply(HealthAnswer("live"))


async def readyz(request: Request, services: HttpServices, _last: str) -> Reply:
    """Tell whether the process can serve requests now."""
    no_query(request)
    if not await services.ready():
        raise SeraiError(Code.UNAVAILABLE, "The process is not ready to serve.")
    return json_reply(HealthAnswer("ready"))


class Page:
    """A page that is made once and served from memory."""

    def __init__(self, body: bytes, media_type: str) -> None:
        self._body = body
        self._media_type = media_type
        self._etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'

    async def get(self, request: Request, _services: HttpServices, _last: str) -> Reply:
        """Answer the page, or 304 to who holds it."""
        no_query(request)
        headers = {
            "etag": self._etag,
            "cache-control": "public, no-cache",
            "content-security-policy": _POLICY,
        }
        if matches_none(request, self._etag):
            return Reply(304, headers=headers, private=False)
        return Reply(200, self._body, self._media_type, headers, private=False)


HEALTH: Final = (
    Operation(
        id="healthz",
        method="GET",
        path="/healthz",
        tag="system",
        summary="The process answers",
        handler=healthz,
        answer=HealthAnswer,
        answer_example={"status": "live"},
        signed_in=False,
    ),
    Operation(
        id="readyz",
        method="GET",
        path="/readyz",
        tag="system",
        summary="The process can serve requests now",
        handler=readyz,
        answer=HealthAnswer,
        answer_example={"status": "ready"},
        problems=(Code.UNAVAILABLE,),
        signed_in=False,
    ),
)


def page_operations(services: HttpServices, operations: Sequence[Operation]) -> list[Operation]:
    """Return the operations that serve the document of `operations` and its pages."""
    document = openapi_document(services.vertical, operations, services.version)
    pages = {
        "/openapi.json": Page(openapi_text(document), JSON),
        "/docs": Page(operations_page(document).encode(), _HTML),
        "/docs/errors": Page(errors_page().encode(), _HTML),
        "/docs/style.css": Page(STYLE.encode(), _CSS),
    }
    return [
        Operation(
            id=path.strip("/").replace("/", "-"),
            method="GET",
            path=path,
            tag="system",
            summary="A page about the API",
            handler=page.get,
            signed_in=False,
            listed=False,
        )
        for path, page in pages.items()
    ]
