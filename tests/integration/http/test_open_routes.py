"""Which routes answer without a credential, over every route that the application has.

Owns the list of the open ones, written by hand from the specification: a route that is added is
closed, or it is added here too. Promises that the expired token is one that the server signed.
Never asks what a signed-in caller may do.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from integration.http.house import Api, Inn, sql
from integration.http.serving import Server
from serai.app.settings import Settings
from serai.core.ids import uuid7
from serai.gate.access import AccessTokens
from serai.gate.keys import KeyRing, SigningKey
from serai.http import HttpServices, create_app
from serai.http.operations import Operation
from serai_hospitality import VERTICAL
from unit.gate.support import SetClock

OPEN = {
    ("POST", "/v1/auth/token"),
    ("POST", "/v1/auth/oidc"),
    ("POST", "/v1/auth/refresh"),
    ("POST", "/v1/auth/sign-out"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/docs/errors"),
    ("GET", "/docs/style.css"),
}
AT_ONCE = 8


def routes() -> list[Operation]:
    unused: Any = None
    services = HttpServices(VERTICAL, unused, unused, unused, unused, "test")
    return list(create_app(services).routes.operations)


def expired_token(directory_url: str, inn: Inn) -> str:
    """Return an access token that the server signed an hour ago."""
    now = datetime.now(UTC)
    rows = sql(
        directory_url,
        "SELECT key_id, created_at, retired_at, material FROM serai_directory.secret"
        " WHERE kind = 'jwt'",
    )
    ring = KeyRing.of([SigningKey(*row) for row in rows], now)
    issuer = Settings().issuer
    tokens = AccessTokens(issuer, issuer, SetClock(now - timedelta(hours=1)), ring)
    text, _ = tokens.sign(user_id=uuid7(), org_id=inn.org_id, session_id=uuid7())
    return text


async def ask(api: Api, operation: Operation, header: str | None, query: str) -> str:
    """Send an empty form where the operation takes one; return the status and the code."""
    path = operation.path.replace("{id}", str(uuid7())) + query
    body = {} if operation.request is not None else None
    answer = await api(operation.method, path, body, Authorization=header)
    problem = answer.headers["Content-Type"] == "application/problem+json"
    return f"{answer.status} {answer.code if problem else ''}".strip()


async def ask_all(
    server: Server, operations: list[Operation], header: str | None, query: str = ""
) -> dict[tuple[str, str], str]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(operation: Operation) -> str:
        async with places:
            return await ask(api, operation, header, query)

    async with aiohttp.ClientSession() as session:
        api = Api(session, server.url, None)
        found = await asyncio.gather(*(one(operation) for operation in operations))
    return {(o.method, o.path): told for o, told in zip(operations, found, strict=True)}


def test_the_open_routes_are_those_of_the_list():
    operations = routes()
    assert {(o.method, o.path) for o in operations if not o.signed_in} == OPEN
    assert len(operations) > len(OPEN) + 5 * len(VERTICAL.collections)


@pytest.mark.parametrize("query", ["", "?limit=nonsense&nonsense=1"])
@pytest.mark.parametrize(
    ("header", "told"),
    [
        (None, "401 unauthenticated"),
        ("", "401 unauthenticated"),
        ("Basic b3duZXI6cGFzc3dvcmQ=", "401 unauthenticated"),
        ("Bearer eyJhbGciOiJub25lIn0.eyJvcmciOjF9.", "401 unauthenticated"),
        ("Bearer serai_" + "0" * 32 + "_" + "0" * 64, "401 unauthenticated"),
        ("expired", "401 access_expired"),
    ],
)
async def test_no_other_route_says_anything_but_401(
    server: Server, seaside: Inn, fleet: tuple[str, str], header: str | None, told: str, query: str
):
    # The body and the query are wrong too: who is not signed in does not learn that either.
    sent = f"Bearer {expired_token(fleet[0], seaside)}" if header == "expired" else header
    closed = [o for o in routes() if (o.method, o.path) not in OPEN]
    found = await ask_all(server, closed, sent, query)
    assert {place: said for place, said in found.items() if said != told} == {}


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "expired"])
async def test_an_open_route_does_not_look_at_the_credential(
    server: Server, seaside: Inn, fleet: tuple[str, str], header: str | None
):
    sent = f"Bearer {expired_token(fleet[0], seaside)}" if header == "expired" else header
    found = await ask_all(server, [o for o in routes() if (o.method, o.path) in OPEN], sent)
    assert found == {
        ("POST", "/v1/auth/token"): "400 body_invalid",
        ("POST", "/v1/auth/oidc"): "400 body_invalid",
        ("POST", "/v1/auth/refresh"): "400 body_invalid",
        ("POST", "/v1/auth/sign-out"): "400 body_invalid",
        ("GET", "/.well-known/jwks.json"): "200",
        ("GET", "/healthz"): "200",
        ("GET", "/readyz"): "200",
        ("GET", "/openapi.json"): "200",
        ("GET", "/docs"): "200",
        ("GET", "/docs/errors"): "200",
        ("GET", "/docs/style.css"): "200",
    }
